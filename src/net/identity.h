/* identity: a certificate that signs itself, for who gives it out together with the address: trusted because it is the one, not by whom it is signed. */
#ifndef ASSAY_NET_IDENTITY_H
#define ASSAY_NET_IDENTITY_H

#include "base/buf.h"

#define IDENTITY_YEARS 20

/* Appends the certificate for the DNS name `name`, and its private key (P-256), as PEM. */
MUST_USE int identity_make(const char *name, struct buf *pem, struct err *err);
/* The certificate alone: what others may have. Borrows from `pem`; empty when there is none. */
struct view identity_public(struct view pem);

#endif
