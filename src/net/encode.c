/* Every form of a secret that can be told beforehand; what can only be told from the text around it is a view (views.c). */
#include "net/encode.h"

#include <ctype.h>
#include <strings.h>

#include "base/json.h"
#include "base/scope.h"

#define FORM_BYTES_MAX ((size_t)64 << 10)
#define BASE58_BYTES_MAX ((size_t)256) /* its cost is the square of the length */

struct forms {
	void (*add)(void *self, const char *view, struct view text);
	void *self;
	struct buf out;
};

static void forms_emit(struct forms *forms, const char *view)
{
	if (!forms->out.over && forms->out.length)
		forms->add(forms->self, view, buf_view(&forms->out));
	if (forms->out.at)
		explicit_bzero(forms->out.at, forms->out.capacity);
	buf_clear(&forms->out);
}

/* Groups of `group` bytes become `digits` characters; inside of a longer text a secret begins at any byte of a group. Only the characters
 * that depend on nothing but the secret are looked for. */
static void forms_grouped(struct forms *forms, struct view value, const char *view, unsigned bits, const char *alphabet,
			  size_t group)
{
	for (size_t lead = 0; lead < group; lead++) {
		size_t first = (lead * 8 + bits - 1) / bits;
		size_t last = (lead + value.length) * 8 / bits;

		for (size_t digit = first; digit < last; digit++) {
			unsigned number = 0;

			for (size_t bit = digit * bits; bit < (digit + 1) * bits; bit++) {
				unsigned char byte = (unsigned char)value.at[bit / 8 - lead];

				number = number << 1 | (byte >> (7 - bit % 8) & 1);
			}
			buf_add_char(&forms->out, alphabet[number]);
		}
		forms_emit(forms, view);
	}
}

static void forms_ascii85(struct forms *forms, struct view value)
{
	for (size_t lead = 0; lead < 4; lead++) {
		/* Whole groups only. */
		for (size_t at = (4 - lead) % 4; at + 4 <= value.length; at += 4) {
			uint32_t number = 0;
			char digits[5];

			for (size_t i = 0; i < 4; i++)
				number = number << 8 | (unsigned char)value.at[at + i];
			for (size_t i = 5; i-- > 0; number /= 85)
				digits[i] = (char)('!' + number % 85);
			buf_add(&forms->out, digits, sizeof digits);
		}
		forms_emit(forms, "ascii85");
	}
}

static void forms_base58(struct forms *forms, struct view value)
{
	static const char alphabet[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
	unsigned char digits[BASE58_BYTES_MAX * 2];
	size_t count = 0;

	if (value.length > BASE58_BYTES_MAX)
		return;
	for (size_t i = 0; i < value.length; i++) {
		unsigned carry = (unsigned char)value.at[i];

		for (size_t j = 0; j < count; j++, carry /= 58) {
			carry += (unsigned)digits[j] * 256;
			digits[j] = (unsigned char)(carry % 58);
		}
		for (; carry; carry /= 58)
			digits[count++] = (unsigned char)(carry % 58);
	}
	for (size_t j = count; j-- > 0;)
		buf_add_char(&forms->out, alphabet[digits[j]]);
	forms_emit(forms, "base58");
	explicit_bzero(digits, sizeof digits);
}

static void forms_rot13(struct forms *forms, struct view value)
{
	for (size_t i = 0; i < value.length; i++) {
		char c = value.at[i];

		if (isalpha((unsigned char)c)) {
			char a = islower((unsigned char)c) ? 'a' : 'A';

			c = (char)(a + (c - a + 13) % 26);
		}
		buf_add_char(&forms->out, c);
	}
	forms_emit(forms, "rot13");
}

static void forms_escaped(struct forms *forms, struct view value)
{
	AUTO_JSON json = json_stringn(value.at, value.length);

	buf_add_url(&forms->out, value);
	forms_emit(forms, "url");
	buf_add_html(&forms->out, value);
	forms_emit(forms, "html");
	if (!json)
		return;
	json_format(&forms->out, json);
	if (forms->out.length > 2) {
		buf_drop_front(&forms->out, 1);
		buf_cut(&forms->out, forms->out.length - 1);
	}
	forms_emit(forms, "json");
}

void encode_all(struct view value, void (*add)(void *self, const char *view, struct view text), void *self)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
	static const char base32_hex[] = "0123456789abcdefghijklmnopqrstuv";
	struct forms forms = {add, self, buf_new(FORM_BYTES_MAX)};

	add(self, "plain", value);
	forms_grouped(&forms, value, "base64", 6, base64, 3);
	forms_grouped(&forms, value, "base64", 6, base64_url, 3);
	forms_grouped(&forms, value, "base32", 5, base32, 5);
	forms_grouped(&forms, value, "base32", 5, base32_hex, 5);
	buf_add_hex(&forms.out, value.at, value.length);
	forms_emit(&forms, "hex");
	for (size_t i = value.length; i-- > 0;)
		buf_add_char(&forms.out, value.at[i]);
	forms_emit(&forms, "reversed");
	forms_rot13(&forms, value);
	forms_base58(&forms, value);
	forms_ascii85(&forms, value);
	forms_escaped(&forms, value);
	buf_fini(&forms.out);
}
