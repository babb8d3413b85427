/* Fingerprints of values: made by the vault, compared by the gateway. */
#include "net/fingerprint.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/encode.h"

#define VALUE_LEAST ((size_t)8)
#define CHARACTERS_LEAST 5     /* different ones */
#define WORD_MOST ((size_t)12) /* so many small letters and nothing else are a word, as in any text */

void fingerprint_mac(const struct fingerprint_key *key, struct view text, unsigned char mac[FINGERPRINT_MAC_BYTES])
{
	unsigned char folded[FINGERPRINT_TEXT_MAX];
	unsigned char whole[EVP_MAX_MD_SIZE];
	size_t length = text.length < sizeof(folded) ? text.length : sizeof(folded);

	for (size_t i = 0; i < length; i++)
		folded[i] = (unsigned char)(text.at[i] | 0x20);
	if (!HMAC(EVP_sha256(), key->mac, sizeof(key->mac), folded, length, whole, NULL))
		abort();
	memcpy(mac, whole, FINGERPRINT_MAC_BYTES);
	OPENSSL_cleanse(folded, length);
}

struct maker {
	const struct fingerprint_key *key;
	struct fingerprint *out;
	bool tail; /* base 58, whose last characters alone depend on all of the value */
};

/* Windows cover at least ten bytes of the value where it is long enough for that. */
static enum fingerprint_kind kind_of(const char *view, size_t length)
{
	bool dense = strcmp(view, "hex") == 0 || strcmp(view, "base32") == 0;

	if (dense && length >= 32 + FINGERPRINT_STRIDE - 1)
		return FINGERPRINT_32_STRIDE;
	if (dense && length >= 24)
		return FINGERPRINT_24;
	if (!dense && length >= 16 + FINGERPRINT_STRIDE - 1)
		return FINGERPRINT_16_STRIDE;
	return length >= 16 ? FINGERPRINT_16 : FINGERPRINT_8;
}

static void form_add(void *self, const char *view, struct view text)
{
	struct maker *maker = self;
	struct fingerprint *out = maker->out;
	struct fingerprint_form form = {.first = 0};
	size_t window;

	if ((strcmp(view, "base58") == 0) != maker->tail)
		return;
	text.length = text.length < FINGERPRINT_TEXT_MAX ? text.length : FINGERPRINT_TEXT_MAX;
	if (text.length < VALUE_LEAST || out->form_count == FINGERPRINT_FORMS_MAX)
		return;
	fingerprint_mac(maker->key, text, form.mac);
	for (size_t i = 0; i < out->form_count; i++)
		if (memcmp(out->form[i].mac, form.mac, sizeof(form.mac)) == 0)
			return;
	form.kind = (uint8_t)kind_of(view, text.length);
	window = (size_t)fingerprint_kinds[form.kind].words * 8;
	form.length = (uint16_t)text.length;
	form.windows = fingerprint_kinds[form.kind].stride;
	if (maker->tail)
		form.first = (uint16_t)(text.length - window - form.windows + 1);
	(void)snprintf(form.view, sizeof(form.view), "%s", view);
	for (size_t i = 0; i < form.windows; i++)
		form.window[i] = fingerprint_hash(maker->key, text.at + form.first + i, fingerprint_kinds[form.kind].words);
	out->form[out->form_count++] = form;
}

/* Would it be found in texts that have nothing to do with it? */
static bool is_usual(struct view value)
{
	bool seen[256] = {false};
	size_t different = 0, small = 0;

	for (size_t i = 0; i < value.length; i++) {
		unsigned char c = (unsigned char)value.at[i];

		different += !seen[c];
		seen[c] = true;
		small += islower(c) != 0;
	}
	return value.length < VALUE_LEAST || different < CHARACTERS_LEAST || (small == value.length && small <= WORD_MOST);
}

void fingerprint_make(const struct fingerprint_key *key, struct view value, size_t known, struct fingerprint *out)
{
	struct maker maker = {key, out, false};
	struct view rest = view_make(value.at + known, value.length - known);

	*out = (struct fingerprint){.key = *key};
	if (rest.length < VALUE_LEAST)
		rest = value;
	if (is_usual(rest))
		return;
	for (size_t i = 0; i < value.length; i++)
		out->spaced |= (unsigned char)value.at[i] <= ' ';
	out->length = (uint16_t)(rest.length < FINGERPRINT_TEXT_MAX ? rest.length : FINGERPRINT_TEXT_MAX);
	encode_all(rest, form_add, &maker);
	maker.tail = true;
	encode_all(value, form_add, &maker);
	if (out->length < FINGERPRINT_PART_BYTES + FINGERPRINT_STRIDE - 1)
		return;
	while (out->part_count < FINGERPRINT_PARTS_MAX && (size_t)out->part_count + FINGERPRINT_PART_BYTES <= out->length) {
		out->part[out->part_count] = fingerprint_hash(key, rest.at + out->part_count, FINGERPRINT_PART_BYTES / 8);
		out->part_count++;
	}
}

bool fingerprint_valid(const struct fingerprint *fingerprint)
{
	if (fingerprint->form_count > FINGERPRINT_FORMS_MAX || fingerprint->part_count > FINGERPRINT_PARTS_MAX ||
	    fingerprint->length > FINGERPRINT_TEXT_MAX ||
	    (fingerprint->part_count && fingerprint->part_count + FINGERPRINT_PART_BYTES - 1U > fingerprint->length))
		return false;
	for (size_t i = 0; i < fingerprint->form_count; i++) {
		const struct fingerprint_form *form = &fingerprint->form[i];

		if (form->kind >= FINGERPRINT_KINDS || form->windows > FINGERPRINT_STRIDE || form->length > FINGERPRINT_TEXT_MAX ||
		    !memchr(form->view, '\0', sizeof(form->view)) ||
		    form->first + form->windows + fingerprint_kinds[form->kind].words * 8U > form->length + 1U)
			return false;
	}
	return true;
}
