/*
 * wire: what a relay and the machine behind it say to each other over TCP: u8 version, u8 kind, u16 length of what follows, little endian.
 *
 *	machine -> relay   REGISTER domain         the control connection: this is where https://<env>.<domain> goes
 *	relay -> machine   CHALLENGE 32 bytes
 *	machine -> relay   PROOF 32 bytes          HMAC-SHA-256 by the token that both have, over challenge and domain
 *	relay -> machine   WELCOME | REFUSED text
 *	relay -> machine   VISIT 16 bytes          somebody waits; the bytes name the visit
 *	machine -> relay   JOIN 16 + 32 bytes      on a connection of its own: the visit's name and its HMAC. From there on it is the visitor's.
 *
 * The token never travels. What passes is TLS between visitor and machine, which the relay has no key for: who listens or cuts in between the
 * two learns and can do no more than anybody on the visitor's way.
 */
#ifndef ASSAY_RELAY_WIRE_H
#define ASSAY_RELAY_WIRE_H

#include "base/buf.h"

#define WIRE_VERSION 1
#define WIRE_HEAD_BYTES 4
#define WIRE_BODY_MAX 256
#define WIRE_DOMAIN_MAX 190
#define WIRE_MAC_BYTES 32
#define WIRE_CHALLENGE_BYTES 32
#define WIRE_VISIT_BYTES 16
#define WIRE_TOKEN_MIN 32 /* characters */
#define WIRE_TOKEN_MAX 128

enum wire_kind { WIRE_REGISTER = 1, WIRE_CHALLENGE, WIRE_PROOF, WIRE_WELCOME, WIRE_REFUSED, WIRE_VISIT, WIRE_JOIN };

struct wire {
	enum wire_kind kind;
	struct view body; /* borrowed; of the length that its kind has */
	size_t bytes;     /* with the head */
};

enum wire_result { WIRE_MORE, WIRE_DONE, WIRE_BAD };

enum wire_result wire_parse(struct view bytes, struct wire *wire);
void wire_add(struct buf *out, enum wire_kind kind, struct view body);

/* Of a registration: `about` is the challenge; of a visit: its name. */
void wire_mac(const char *token, enum wire_kind kind, struct view about, const char *domain, unsigned char mac[WIRE_MAC_BYTES]);
bool wire_mac_same(const unsigned char *a, const unsigned char *b); /* takes the same time wherever they differ */
/* A domain of at least two labels, in lower case. */
bool wire_domain_valid(struct view domain);

#endif
