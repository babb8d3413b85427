/*
 * sigv4: signatures of AWS's requests (Signature Version 4): from a secret key to a signing key for one day, region and service, and from that to a
 * signature. The vault makes the first of them, which cannot be turned back into the secret; the gateway the second (egress/aws.h).
 */
#ifndef ASSAY_NET_SIGV4_H
#define ASSAY_NET_SIGV4_H

#include "base/buf.h"

#define SIGV4_KEY_BYTES 32
#define SIGV4_SCOPE_MAX 128      /* "20150830/us-east-1/iam", with its NUL */
#define SIGV4_SIGNATURE_BYTES 64 /* hexadecimal digits */

/* False: the scope is none (day of eight digits, region, service). */
bool sigv4_key(struct view secret, const char *scope, unsigned char key[SIGV4_KEY_BYTES]);
/* Of the string to sign, appended. */
void sigv4_sign(const unsigned char key[SIGV4_KEY_BYTES], struct view text, struct buf *out);

#endif
