/* encode: a secret as it may be written when somebody encodes all of it, alone or inside of more. */
#ifndef ASSAY_NET_ENCODE_H
#define ASSAY_NET_ENCODE_H

#include "base/buf.h"

/* Calls `add` with each form, the value itself ("plain") first; `text` lives during the call. Case is left for the reader to ignore. */
void encode_all(struct view value, void (*add)(void *self, const char *view, struct view text), void *self);

#endif
