/*
 * fingerprint: by what the gateway recognises a value of the vault in what leaves a sandbox, in any encoding, without having it. The vault makes
 * it with a key of the environment; the gateway looks for it with the same key.
 *
 * Theory of operation: every form of the value (net/encode.h) has an HMAC over all of it, and keyed hashes of windows of it. A text is hashed at
 * every `stride`-th byte only: a form has as many windows, one byte apart, so that one of them is hit wherever the form begins. Of the plain
 * form every window is there, so that parts of the value are recognised too. Letters count without their case. What everybody knows of
 * a value (its beginning, as "ghp_") is left out, and windows are so wide that they cannot be guessed one letter after the other. What has
 * fewer than 12 bytes that are not known can be guessed by whoever has the fingerprint and its key.
 */
#ifndef ASSAY_NET_FINGERPRINT_H
#define ASSAY_NET_FINGERPRINT_H

#include "base/buf.h"

#define FINGERPRINT_STRIDE 8
#define FINGERPRINT_FORMS_MAX 32
#define FINGERPRINT_PARTS_MAX 128 /* windows of the plain form: of a longer one, parts of the beginning are recognised only */
#define FINGERPRINT_TEXT_MAX ((size_t)2048) /* of longer forms the first bytes are looked for */
#define FINGERPRINT_MAC_BYTES 16
#define FINGERPRINT_PART_BYTES 16 /* bytes of a window of the plain form */

struct fingerprint_key {
	uint64_t words[4];     /* odd */
	unsigned char mac[32]; /* for the HMAC */
};

/* How windows are hashed: of so many words of 8 bytes, and at which of a text's bytes. */
enum fingerprint_kind { FINGERPRINT_8, FINGERPRINT_16, FINGERPRINT_24, FINGERPRINT_16_STRIDE, FINGERPRINT_32_STRIDE };
#define FINGERPRINT_KINDS 5
static const struct {
	uint8_t words, stride;
} fingerprint_kinds[FINGERPRINT_KINDS] = {{1, 1}, {2, 1}, {3, 1}, {2, FINGERPRINT_STRIDE}, {4, FINGERPRINT_STRIDE}};

struct fingerprint_form {
	uint16_t length;
	uint16_t first; /* where in the form the first window begins */
	uint8_t kind;
	uint8_t windows; /* how many there are, one byte apart */
	char view[10];   /* how it is written, for people; ends with NUL */
	unsigned char mac[FINGERPRINT_MAC_BYTES];
	uint64_t window[FINGERPRINT_STRIDE];
};

/* Fixed: it travels as it is. */
struct fingerprint {
	struct fingerprint_key key;
	uint16_t form_count;                  /* 0: such a value cannot be told from ordinary text */
	uint16_t part_count;                  /* of the plain form, from its beginning; 0: it is too short for parts */
	uint16_t length;                      /* of what is not known of the value, at most FINGERPRINT_TEXT_MAX */
	uint16_t spaced;                      /* the value has bytes up to the space, so that its windows may have some, too */
	uint64_t part[FINGERPRINT_PARTS_MAX]; /* FINGERPRINT_16_STRIDE */
	struct fingerprint_form form[FINGERPRINT_FORMS_MAX];
};

/* `known` bytes of the value are everybody's. */
void fingerprint_make(const struct fingerprint_key *key, struct view value, size_t known, struct fingerprint *out);
/* Whatever the sender did: are all lengths and texts within bounds? */
bool fingerprint_valid(const struct fingerprint *fingerprint);
void fingerprint_mac(const struct fingerprint_key *key, struct view text, unsigned char mac[FINGERPRINT_MAC_BYTES]);

/* 8 bytes, letters in lower case (and a few signs that then count as others). */
static inline uint64_t fingerprint_word(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word | UINT64_C(0x2020202020202020);
}

/* Of `words` * 8 bytes at `at`. */
static inline uint64_t fingerprint_hash(const struct fingerprint_key *key, const char *at, unsigned words)
{
	uint64_t hash = words * UINT64_C(0x9e3779b97f4a7c15);

	for (unsigned i = 0; i < words; i++)
		hash += key->words[i] * fingerprint_word(at + (size_t)i * 8);
	return hash;
}

#endif
