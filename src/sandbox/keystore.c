/* Java's key stores, of certificates alone. */
#include "sandbox/keystore.h"

#include <stdio.h>

#include "base/scope.h"

#define JKS_MAGIC 0xfeedfeedu
#define JKS_VERSION 2
#define JKS_CERTIFICATE 2
#define JKS_DIGEST_BYTES 20 /* over a password that nobody has: not looked at without one */
#define CERTIFICATES_MAX 1024

static void number_add(struct buf *out, uint64_t number, unsigned bytes)
{
	while (bytes--)
		buf_add_char(out, (char)(number >> (8 * bytes)));
}

static void text_add(struct buf *out, const char *text)
{
	number_add(out, strlen(text), 2);
	buf_add_text(out, text);
}

/* One certificate's base64, lines and all, as an entry; false: it is none. */
static bool jks_entry_add(struct buf *out, struct view base64, uint32_t number)
{
	AUTO_BUF joined = buf_new(base64.length + 1);
	AUTO_BUF der = buf_new(base64.length + 1);
	char alias[24];

	for (size_t i = 0; i < base64.length; i++)
		if (base64.at[i] != '\n' && base64.at[i] != '\r')
			buf_add_char(&joined, base64.at[i]);
	if (buf_add_unbase64(&der, buf_view(&joined), NULL) || !der.length)
		return false;
	(void)snprintf(alias, sizeof(alias), "assay%u", number);
	number_add(out, JKS_CERTIFICATE, 4);
	text_add(out, alias);
	number_add(out, 0, 8); /* when: of no importance */
	text_add(out, "X.509");
	number_add(out, der.length, 4);
	buf_add_view(out, buf_view(&der));
	return true;
}

void keystore_format(struct buf *out, struct view bundle)
{
	static const struct view begin = {"-----BEGIN CERTIFICATE-----", 27};
	static const struct view end = {"-----END CERTIFICATE-----", 25};
	AUTO_BUF entries = buf_new(KEYSTORE_BYTES_MAX);
	uint32_t count = 0;
	ptrdiff_t at;

	while (count < CERTIFICATES_MAX && (at = view_find(bundle, begin)) >= 0) {
		ptrdiff_t length;

		bundle = view_make(bundle.at + at + begin.length, bundle.length - (size_t)at - begin.length);
		length = view_find(bundle, end);
		if (length < 0)
			break;
		count += jks_entry_add(&entries, view_make(bundle.at, (size_t)length), count);
	}
	number_add(out, JKS_MAGIC, 4);
	number_add(out, JKS_VERSION, 4);
	number_add(out, count, 4);
	buf_add_view(out, buf_view(&entries));
	for (int i = 0; i < JKS_DIGEST_BYTES; i++)
		buf_add_char(out, '\0');
}
