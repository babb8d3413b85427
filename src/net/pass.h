/*
 * pass: leave to look at one environment's preview from elsewhere, signed by the vault and checked by the gateway, which has the public key
 * alone. A link's is for whoever holds it, until it ends; a person's is for the one browser whose secret it names, so that who reads it
 * on its way through an address has nothing.
 *
 *	l.ENDS.SIGNATURE            in seconds since 1970; the signature in base64url
 *	l.SERIAL.ENDS.SIGNATURE     after links of the environment were taken back
 *	p.ISSUED.ENDS.SIGNATURE
 */
#ifndef ASSAY_NET_PASS_H
#define ASSAY_NET_PASS_H

#include "base/buf.h"

#define PASS_PARAMETER "assay" /* of an address: its pass */
#define PASS_TEXT_MAX 160
#define PASS_HOST_MAX 254
#define PASS_BROWSER_HEX 64
#define PASS_SIGNATURE_BYTES 64

enum pass_kind { PASS_LINK, PASS_PERSON };

struct pass {
	enum pass_kind kind;
	int64_t issued_s; /* of a person's; 0 otherwise */
	int64_t serial;   /* of a link's: how often links of its environment were taken back before; 0 otherwise */
	int64_t ends_s;
	unsigned char signature[PASS_SIGNATURE_BYTES];
};

/* What is signed. `browser` is the digest of the browser's secret; not looked at for a link. */
void pass_statement(const struct pass *pass, const char *host, const char *browser, struct buf *out);
void pass_format(const struct pass *pass, struct buf *out);
MUST_USE int pass_parse(struct view text, struct pass *pass, struct err *err);

struct pass_key;
MUST_USE int pass_key_parse(struct view pem, struct pass_key **key, struct err *err); /* an Ed25519 public key */
void pass_key_free(struct pass_key *key);                                             /* NULL is fine */
/* Is it for this host (and browser), and has it not ended? `browser` NULL: it has shown no secret. */
bool pass_good(const struct pass *pass, const struct pass_key *key, const char *host, const char *browser, int64_t now_s);

#endif
