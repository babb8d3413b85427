/* keystore: the authorities that a room trusts, as Java wants them: JKS, which every Java reads whatever type it is told to expect. */
#ifndef ASSAY_SANDBOX_KEYSTORE_H
#define ASSAY_SANDBOX_KEYSTORE_H

#include "base/buf.h"

#define KEYSTORE_BYTES_MAX ((size_t)4 << 20) /* of a store, and of the bundle that it is made from */

/* The certificates of a bundle in PEM. What is none is passed over. */
void keystore_format(struct buf *out, struct view bundle);

#endif
