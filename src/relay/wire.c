/* Frames and their proofs. */
#include "relay/wire.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/scope.h"

#define PROVEN_MAX 512

/* How long a body is: between the two. */
static const struct {
	size_t least, most;
} lengths[] = {
	[WIRE_REGISTER] = {3, WIRE_DOMAIN_MAX},
	[WIRE_CHALLENGE] = {WIRE_CHALLENGE_BYTES, WIRE_CHALLENGE_BYTES},
	[WIRE_PROOF] = {WIRE_MAC_BYTES, WIRE_MAC_BYTES},
	[WIRE_WELCOME] = {0, 0},
	[WIRE_REFUSED] = {0, WIRE_BODY_MAX},
	[WIRE_VISIT] = {WIRE_VISIT_BYTES, WIRE_VISIT_BYTES},
	[WIRE_JOIN] = {WIRE_VISIT_BYTES + WIRE_MAC_BYTES, WIRE_VISIT_BYTES + WIRE_MAC_BYTES},
};

bool wire_domain_valid(struct view domain)
{
	bool dots = false;
	char before = '.';

	if (domain.length < 3 || domain.length > WIRE_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < domain.length; i++) {
		char c = domain.at[i];

		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || before == '.') && (c != '.' || before == '.'))
			return false;
		dots |= c == '.';
		before = c;
	}
	return dots && before != '.' && before != '-';
}

enum wire_result wire_parse(struct view bytes, struct wire *wire)
{
	unsigned kind;
	size_t length;

	if (bytes.length && bytes.at[0] != WIRE_VERSION)
		return WIRE_BAD;
	if (bytes.length < 2)
		return WIRE_MORE;
	kind = (unsigned char)bytes.at[1];
	if (kind < WIRE_REGISTER || kind > WIRE_JOIN)
		return WIRE_BAD;
	if (bytes.length < WIRE_HEAD_BYTES)
		return WIRE_MORE;
	length = (size_t)(unsigned char)bytes.at[2] | (size_t)(unsigned char)bytes.at[3] << 8;
	if (length < lengths[kind].least || length > lengths[kind].most)
		return WIRE_BAD;
	if (bytes.length < WIRE_HEAD_BYTES + length)
		return WIRE_MORE;
	*wire = (struct wire){(enum wire_kind)kind, view_make(bytes.at + WIRE_HEAD_BYTES, length), WIRE_HEAD_BYTES + length};
	return kind != WIRE_REGISTER || wire_domain_valid(wire->body) ? WIRE_DONE : WIRE_BAD;
}

void wire_add(struct buf *out, enum wire_kind kind, struct view body)
{
	const unsigned char head[WIRE_HEAD_BYTES] = {WIRE_VERSION, (unsigned char)kind, (unsigned char)body.length,
						     (unsigned char)(body.length >> 8)};

	buf_add(out, head, sizeof(head));
	buf_add_view(out, body);
}

void wire_mac(const char *token, enum wire_kind kind, struct view about, const char *domain, unsigned char mac[WIRE_MAC_BYTES])
{
	AUTO_BUF proven = buf_new(PROVEN_MAX);
	unsigned length = WIRE_MAC_BYTES;

	buf_add_format(&proven, "assay relay 1\n%d\n%s\n", (int)kind, domain);
	buf_add_view(&proven, about);
	if (!HMAC(EVP_sha256(), token, (int)strlen(token), (const unsigned char *)proven.at, proven.length, mac, &length))
		abort(); /* out of memory */
}

bool wire_mac_same(const unsigned char *a, const unsigned char *b)
{
	return CRYPTO_memcmp(a, b, WIRE_MAC_BYTES) == 0;
}
