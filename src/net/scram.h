/*
 * scram: proofs of a password to a server that has it: SCRAM-SHA-256 (RFC 5802, RFC 7677) and PostgreSQL's MD5. Arithmetic alone: messages are
 * the caller's (gateway/egress/postgres_login.h).
 */
#ifndef ASSAY_NET_SCRAM_H
#define ASSAY_NET_SCRAM_H

#include "base/buf.h"

#define SCRAM_BYTES 32

struct scram {
	unsigned char proof[SCRAM_BYTES];     /* the client's */
	unsigned char signature[SCRAM_BYTES]; /* that the server must show */
};

/* `message` is the AuthMessage of RFC 5802 section 3. Blocks for as long as `iterations` take. The password is taken as it is, as PostgreSQL
 * does with what SASLprep refuses; ASCII is its own SASLprep. */
MUST_USE bool scram_prove(struct view password, struct view salt, uint32_t iterations, struct view message, struct scram *scram);
/* Is it the server's signature? In a time that says nothing. */
bool scram_signed(const struct scram *scram, struct view shown);
/* "md5" and the hash of the hash of password and user, and of `salt`. False where MD5 is forbidden. */
MUST_USE bool scram_md5(struct view password, struct view user, struct view salt, struct buf *out);

#endif
