/* Secrets in other clothes, by the numbers of the list of attacks on the way out: 40 to 53 and 75. What is known and what rules describe. */
#include <brotli/encode.h>
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "base/scope.h"
#include "gateway/dlp/dlp.h"
#include "net/fingerprint.h"

#define TEXT_MAX ((size_t)64 << 20)

static const char known[] = "Zk8vQ2pLw7rTn5Yc1BxMd3GaHs6Jf0Kp";
static char described[64]; /* a credential in the form of a vendor's; made at the start, so that this file holds none */
static struct dlp_rules *rules;
static struct dlp *dlp;

/* ---- what is done to a secret ---- */

typedef void disguise(struct buf *out, const char *secret);

static void each(struct buf *out, const char *secret, const char *format)
{
	for (; *secret; secret++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		buf_add_format(out, format, (unsigned char)*secret);
#pragma GCC diagnostic pop
	}
}
static void between(struct buf *out, const char *secret, const char *what, size_t length)
{
	for (; *secret; secret++) {
		buf_add_char(out, *secret);
		buf_add(out, what, length);
	}
}
static void base64_of(struct buf *out, const char *lead, const char *secret, const char *trail)
{
	AUTO_FREE char *text = text_format("%s%s%s", lead, secret, trail);

	buf_add_base64(out, text, strlen(text));
}
static void d_plain(struct buf *out, const char *s)
{
	buf_add_text(out, s);
}
static void d_base64(struct buf *out, const char *s)
{
	base64_of(out, "", s, "");
}
static void d_base64_at_1(struct buf *out, const char *s)
{
	base64_of(out, "a long text around it, so ", s, " that it is inside");
}
static void d_base64_at_2(struct buf *out, const char *s)
{
	base64_of(out, "a long text around it, s ", s, " that it is inside");
}
static void d_base64_at_0(struct buf *out, const char *s)
{
	base64_of(out, "a long text around it,  ", s, " that it is inside");
}
static void d_base64_url(struct buf *out, const char *s)
{
	size_t from = out->length;

	base64_of(out, "?>?>?>", s, "?>");
	for (size_t i = from; i < out->length; i++)
		out->at[i] = out->at[i] == '+' ? '-' : out->at[i] == '/' ? '_' : out->at[i];
	while (out->at[out->length - 1] == '=')
		buf_cut(out, out->length - 1);
}
static void d_base64_wrapped(struct buf *out, const char *s)
{
	AUTO_BUF one = buf_new(TEXT_MAX);

	base64_of(&one, "a long text around it, so that it is wrapped and ", s,
		  " goes on in another line of the mail that carries it");
	for (size_t i = 0; i < one.length; i += 76) {
		buf_add(out, one.at + i, one.length - i < 76 ? one.length - i : 76);
		buf_add_text(out, "\r\n");
	}
}
static void d_base64_twice(struct buf *out, const char *s)
{
	AUTO_BUF one = buf_new(TEXT_MAX);

	base64_of(&one, "x ", s, " y");
	buf_add_base64(out, one.at, one.length);
}
static void d_hex(struct buf *out, const char *s)
{
	buf_add_hex(out, s, strlen(s));
}
static void d_hex_upper(struct buf *out, const char *s)
{
	each(out, s, "%02X");
}
static void d_hex_colons(struct buf *out, const char *s)
{
	each(out, s, "%02x:");
}
static void d_hex_dashes(struct buf *out, const char *s)
{
	each(out, s, "%02x-");
}
static void d_hex_spaces(struct buf *out, const char *s)
{
	each(out, s, "%02x ");
}
static void d_hex_x(struct buf *out, const char *s)
{
	each(out, s, "\\x%02x");
}
static void d_hex_0x(struct buf *out, const char *s)
{
	each(out, s, "0x%02x, ");
}
static void d_decimal(struct buf *out, const char *s)
{
	each(out, s, "%u, ");
}
static void d_decimal_tight(struct buf *out, const char *s)
{
	each(out, s, "%u,");
}
static void d_octal(struct buf *out, const char *s)
{
	each(out, s, "\\%03o");
}
static void d_octal_list(struct buf *out, const char *s)
{
	each(out, s, "0%o,");
}
static void d_base32(struct buf *out, const char *s)
{
	unsigned bits = 0, count = 0;

	for (; *s || count > 0; s += *s ? 1 : 0) {
		if (*s) {
			bits = bits << 8 | (unsigned char)*s;
			count += 8;
		} else if (count < 5) {
			bits <<= 5 - count;
			count = 5;
		}
		for (; count >= 5; count -= 5)
			buf_add_char(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[bits >> (count - 5) & 31]);
	}
}
static void d_rot13(struct buf *out, const char *s)
{
	for (; *s; s++) {
		char a = islower((unsigned char)*s) ? 'a' : 'A';

		buf_add_char(out, isalpha((unsigned char)*s) ? (char)(a + (*s - a + 13) % 26) : *s);
	}
}
static void d_reversed(struct buf *out, const char *s)
{
	for (size_t i = strlen(s); i-- > 0;)
		buf_add_char(out, s[i]);
}
static void d_url(struct buf *out, const char *s)
{
	each(out, s, "%%%02X");
}
static void d_url_twice(struct buf *out, const char *s)
{
	each(out, s, "%%25%02X");
}
static void d_url_thrice(struct buf *out, const char *s)
{
	each(out, s, "%%2525%02x");
}
static void d_url_some(struct buf *out, const char *s)
{
	for (size_t i = 0; s[i]; i++)
		buf_add_format(out, i % 3 ? "%c" : "%%%02x", (unsigned char)s[i]);
}
static void d_base64_then_url(struct buf *out, const char *s)
{
	AUTO_BUF one = buf_new(TEXT_MAX);

	base64_of(&one, "xy ", s, "");
	each(out, one.at, "%%%02x");
}
static void d_unicode(struct buf *out, const char *s)
{
	each(out, s, "\\u%04x");
}
static void d_unicode_braces(struct buf *out, const char *s)
{
	each(out, s, "\\u{%x}");
}
static void d_html(struct buf *out, const char *s)
{
	each(out, s, "&#%u;");
}
static void d_html_hex(struct buf *out, const char *s)
{
	each(out, s, "&#x%x;");
}
static void d_concatenated(struct buf *out, const char *s)
{
	buf_add_format(out, "key = \"%.10s\" + \"%.6s\" + '%s'", s, s + 10, s + 16);
}
static void d_concatenated_in_json(struct buf *out, const char *s)
{
	buf_add_format(out, "{\"code\": \"key = \\\"%.10s\\\" +\\n \\\"%s\\\"\"}", s, s + 10);
}
static void d_quoted_printable(struct buf *out, const char *s)
{
	buf_add_format(out, "%.12s=\r\n=%02X%s", s, (unsigned char)s[12], s + 13);
}
static void d_rfc2047(struct buf *out, const char *s)
{
	buf_add_text(out, "=?utf-8?B?");
	base64_of(out, "", s, "");
	buf_add_text(out, "?=");
}
static void d_utf7(struct buf *out, const char *s)
{
	for (; *s; s++) {
		const char bytes[3] = {0, *s, 0};
		AUTO_BUF one = buf_new(16);

		buf_add_base64(&one, bytes, 3);
		buf_add_format(out, "+%.3s-", one.at);
	}
}
static void d_utf16le(struct buf *out, const char *s)
{
	between(out, s, "\0", 1);
}
static void d_utf16be(struct buf *out, const char *s)
{
	for (; *s; s++) {
		buf_add_char(out, 0);
		buf_add_char(out, *s);
	}
}
static void d_overlong(struct buf *out, const char *s)
{
	for (; *s; s++) {
		buf_add_char(out, (char)(0xc0 | ((unsigned char)*s >> 6)));
		buf_add_char(out, (char)(0x80 | (*s & 0x3f)));
	}
}
static void d_zero_width(struct buf *out, const char *s)
{
	between(out, s, "\xe2\x80\x8b", 3);
}
static void d_soft_hyphen(struct buf *out, const char *s)
{
	between(out, s, "\xc2\xad", 2);
}
static void d_combining(struct buf *out, const char *s)
{
	between(out, s, "\xcc\x81", 2);
}
static void d_variation(struct buf *out, const char *s)
{
	between(out, s, "\xef\xb8\x8f", 3);
}
static void d_hangul(struct buf *out, const char *s)
{
	between(out, s, "\xe3\x85\xa4", 3);
}
static void d_fullwidth(struct buf *out, const char *s)
{
	for (; *s; s++) {
		unsigned code = 0xff01 + (unsigned)(*s - '!');

		buf_add_format(out, "%c%c%c", (int)(0xe0 | code >> 12), (int)(0x80 | (code >> 6 & 0x3f)),
			       (int)(0x80 | (code & 0x3f)));
	}
}
static void d_homoglyphs(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == 'c')
			buf_add_text(out, "\xd1\x81");
		else if (*s == 's')
			buf_add_text(out, "\xd1\x95");
		else if (*s == 'a')
			buf_add_text(out, "\xd0\xb0");
		else if (*s == 'p')
			buf_add_text(out, "\xd1\x80");
		else
			buf_add_char(out, *s);
	}
}
static void d_dashes(struct buf *out, const char *s)
{
	between(out, s, "-", 1);
}
static void d_spaces(struct buf *out, const char *s)
{
	between(out, s, " ", 1);
}
static void d_json_characters(struct buf *out, const char *s)
{
	buf_add_char(out, '[');
	for (size_t i = 0; s[i]; i++)
		buf_add_format(out, "%s\"%c\"", i ? "," : "", s[i]);
	buf_add_char(out, ']');
}
static void d_form_fields(struct buf *out, const char *s)
{
	buf_add_format(out, "a=%.9s&b=%.9s&c=%s", s, s + 9, s + 18);
}
static void d_json_values(struct buf *out, const char *s)
{
	buf_add_format(out, "{\"a\": \"%.14s\", \"b\": \"%s\"}", s, s + 14);
}
static void d_json_long_values(struct buf *out, const char *s)
{
	buf_add_text(out, "{\"a\": \"");
	for (int i = 0; i < 40; i++)
		buf_add_text(out, "what a person says before it\\n");
	buf_add_format(out, " %.14s\", \"b\": \"%s", s, s + 14);
	for (int i = 0; i < 40; i++)
		buf_add_text(out, " and what follows");
	buf_add_text(out, "\"}");
}
static void d_json_names(struct buf *out, const char *s)
{
	buf_add_format(out, "[{\"%.14s\": 1}, {\"b\": \"%s\"}]", s, s + 14);
}
static void d_multipart(struct buf *out, const char *s)
{
	buf_add_format(out,
		       "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n%.15s\r\n--b\r\n"
		       "content-disposition: form-data; name=\"b\"\r\n\r\n%s\r\n--b--\r\n",
		       s, s + 15);
}
static void d_multipart_name(struct buf *out, const char *s)
{
	buf_add_format(out, "--b\r\ncontent-disposition: form-data; name=\"a\"; filename=\"%s.txt\"\r\n\r\nx\r\n--b--\r\n", s);
}
static void d_graphql(struct buf *out, const char *s)
{
	buf_add_format(out, "{\"query\":\"mutation { note(text: \\\"%s\\\") { id } }\"}", s);
}
static void d_xml(struct buf *out, const char *s)
{
	buf_add_format(out, "<a b=\"%s\"/>", s);
}
static void d_json_rpc(struct buf *out, const char *s)
{
	buf_add_format(out, "[{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"x\"}]", s);
}
static void d_grpc(struct buf *out, const char *s)
{
	buf_add_format(out, "%c%c%c%c%c\n%c%s", 0, 0, 0, 0, (int)strlen(s) + 2, (int)strlen(s), s);
}
static void d_power_shell(struct buf *out, const char *s)
{
	AUTO_BUF one = buf_new(TEXT_MAX);

	between(&one, s, "\0", 1);
	buf_add_base64(out, one.at, one.length);
}

static void deflated(struct buf *out, const char *text, size_t length, int window)
{
	z_stream z = {.zalloc = NULL};
	char *to = buf_reserve(out, length + 1024);

	assert_non_null(to);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = (uInt)length;
	z.next_out = (Bytef *)to;
	z.avail_out = (uInt)(length + 1024);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_commit(out, z.total_out);
	(void)deflateEnd(&z);
}
static void d_gzip(struct buf *out, const char *s)
{
	deflated(out, s, strlen(s), 31);
}
static void d_zlib(struct buf *out, const char *s)
{
	deflated(out, s, strlen(s), 15);
}
static void d_raw(struct buf *out, const char *s)
{
	deflated(out, s, strlen(s), -15);
}
static void d_gzip_twice(struct buf *out, const char *s)
{
	AUTO_BUF one = buf_new(TEXT_MAX);

	d_gzip(&one, s);
	deflated(out, one.at, one.length, 31);
}
static void d_zstd(struct buf *out, const char *s)
{
	char bytes[1024];

	buf_add(out, bytes, ZSTD_compress(bytes, sizeof bytes, s, strlen(s), 3));
}
static void d_brotli(struct buf *out, const char *s)
{
	uint8_t bytes[1024];
	size_t length = sizeof bytes;

	assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_TEXT, strlen(s), (const uint8_t *)s, &length, bytes));
	buf_add(out, bytes, length);
}
/* APPNOTE 4.3.7, a member of a document. */
static void d_zip(struct buf *out, const char *s)
{
	AUTO_FREE char *text = text_format("<w:t>%s</w:t>", s);

	buf_add(out, "PK\3\4\24\0\0\0\10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\10\0\0\0word.xml", 38);
	deflated(out, text, strlen(text), -15);
	buf_add(out, "PK\1\2", 4);
}
static void d_pack(struct buf *out, const char *s)
{
	buf_add(out, "PACK\0\0\0\2\0\0\0\2\x3c", 13);
	deflated(out, "a first object", 14, 15);
	buf_add(out, "\xb2\2", 2);
	d_zlib(out, s);
}
static void d_pdf(struct buf *out, const char *s)
{
	buf_add_text(out, "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Filter/FlateDecode>>\nstream\r\n");
	d_zlib(out, s);
	buf_add_text(out, "\r\nendstream\n");
}
static void d_png_text(struct buf *out, const char *s)
{
	buf_add(out, "\x89PNG\r\n\x1a\n\0\0\0\30tEXtComment\0", 24);
	buf_add_text(out, s);
}

#define BOTH 3 /* secrets that are known, and ones that rules describe */
#define KNOWN 1

static const struct {
	int item;
	const char *name;
	disguise *disguise;
	int which;
	const char *coding;
} rows[] = {
	{0, "as it is", d_plain, BOTH, ""},
	{40, "base64", d_base64, BOTH, ""},
	{40, "base64 at offset 0 of a longer text", d_base64_at_0, BOTH, ""},
	{40, "base64 at offset 1", d_base64_at_1, BOTH, ""},
	{40, "base64 at offset 2", d_base64_at_2, BOTH, ""},
	{40, "base64url without padding", d_base64_url, BOTH, ""},
	{40, "base64 in MIME's lines", d_base64_wrapped, BOTH, ""},
	{40, "base64 twice", d_base64_twice, BOTH, ""},
	{41, "hex", d_hex, BOTH, ""},
	{41, "HEX", d_hex_upper, BOTH, ""},
	{41, "hex with colons", d_hex_colons, BOTH, ""},
	{41, "hex with dashes", d_hex_dashes, BOTH, ""},
	{41, "hex with spaces", d_hex_spaces, BOTH, ""},
	{41, "hex with \\x", d_hex_x, BOTH, ""},
	{41, "hex with 0x", d_hex_0x, BOTH, ""},
	{41, "base32", d_base32, BOTH, ""},
	{41, "rot13", d_rot13, BOTH, ""},
	{41, "reversed", d_reversed, BOTH, ""},
	{41, "decimal codes", d_decimal, BOTH, ""},
	{41, "decimal codes, tight", d_decimal_tight, BOTH, ""},
	{41, "octal escapes", d_octal, BOTH, ""},
	{41, "octal codes", d_octal_list, BOTH, ""},
	{42, "URL-encoded", d_url, BOTH, ""},
	{42, "URL-encoded twice", d_url_twice, BOTH, ""},
	{42, "URL-encoded thrice", d_url_thrice, BOTH, ""},
	{42, "URL-encoded here and there", d_url_some, BOTH, ""},
	{42, "base64, then URL-encoded", d_base64_then_url, BOTH, ""},
	{43, "\\u0041", d_unicode, BOTH, ""},
	{43, "\\u{41}", d_unicode_braces, BOTH, ""},
	{43, "&#65;", d_html, BOTH, ""},
	{43, "&#x41;", d_html_hex, BOTH, ""},
	{43, "\"AK\" + \"IA\"", d_concatenated, BOTH, ""},
	{43, "the same in JSON", d_concatenated_in_json, BOTH, ""},
	{43, "quoted-printable", d_quoted_printable, BOTH, ""},
	{43, "an RFC 2047 word", d_rfc2047, BOTH, ""},
	{43, "UTF-7", d_utf7, BOTH, ""},
	{43, "UTF-16LE", d_utf16le, BOTH, ""},
	{43, "UTF-16BE", d_utf16be, BOTH, ""},
	{43, "UTF-16LE in base64", d_power_shell, BOTH, ""},
	{43, "overlong UTF-8", d_overlong, BOTH, ""},
	{44, "zero-width spaces", d_zero_width, BOTH, ""},
	{44, "soft hyphens", d_soft_hyphen, BOTH, ""},
	{44, "combining marks", d_combining, BOTH, ""},
	{44, "variation selectors", d_variation, BOTH, ""},
	{44, "Hangul fillers", d_hangul, BOTH, ""},
	{44, "fullwidth letters", d_fullwidth, BOTH, ""},
	{44, "homoglyphs", d_homoglyphs, BOTH, ""},
	{44, "dashes between", d_dashes, KNOWN, ""},
	{44, "spaces between", d_spaces, BOTH, ""},
	{45, "gzip", d_gzip, BOTH, "gzip"},
	{45, "x-gzip", d_gzip, BOTH, "x-gzip"},
	{45, "deflate, zlib's", d_zlib, BOTH, "deflate"},
	{45, "deflate, raw", d_raw, BOTH, "deflate"},
	{45, "br", d_brotli, BOTH, "br"},
	{45, "zstd", d_zstd, BOTH, "zstd"},
	{45, "gzip, gzip", d_gzip_twice, BOTH, "gzip, gzip"},
	{45, "gzip without a label", d_gzip, BOTH, ""},
	{45, "zstd without a label", d_zstd, BOTH, ""},
	{46, "a document", d_zip, BOTH, ""},
	{46, "a pack of git's", d_pack, BOTH, ""},
	{46, "a PDF stream", d_pdf, BOTH, ""},
	{46, "a PNG's text", d_png_text, BOTH, ""},
	{46, "gzip in gzip", d_gzip_twice, BOTH, ""},
	{48, "an array of characters", d_json_characters, BOTH, ""},
	{48, "three fields of a form", d_form_fields, BOTH, ""},
	{48, "two values", d_json_values, BOTH, ""},
	{48, "two long values", d_json_long_values, BOTH, ""},
	{48, "a name and a value", d_json_names, BOTH, ""},
	{48, "two parts", d_multipart, BOTH, ""},
	{48, "a part's file name", d_multipart_name, BOTH, ""},
	{51, "GraphQL", d_graphql, BOTH, ""},
	{51, "XML", d_xml, BOTH, ""},
	{51, "JSON-RPC's id", d_json_rpc, BOTH, ""},
	{51, "gRPC", d_grpc, BOTH, ""},
};

static enum dlp_action fed(struct view text, size_t chunk, const char *coding)
{
	struct dlp_message *message = dlp_begin(dlp, DLP_BODY);
	enum dlp_action action;

	dlp_coding(message, view_of(coding));
	for (size_t at = 0; at < text.length; at += chunk)
		(void)dlp_feed(message, view_make(text.at + at, text.length - at < chunk ? text.length - at : chunk));
	dlp_end(message);
	action = dlp_action(message);
	dlp_free(message);
	return action;
}

static void items_40_to_51_a_secret_in_other_clothes_is_found(void **state)
{
	size_t missed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int which = 1; which <= 2; which++) {
			AUTO_BUF text = buf_new(TEXT_MAX);
			static const size_t chunks[] = {SIZE_MAX / 2, 7, 1};

			rows[i].disguise(&text, which == 1 ? known : described);
			for (size_t j = 0; (rows[i].which & which) && j < ARRAY_LEN(chunks); j++) {
				if (fed(buf_view(&text), chunks[j], rows[i].coding) == DLP_BLOCK)
					continue;
				print_error("item %d: %s, %s secret, in pieces of %zu: not found in %.*s\n", rows[i].item,
					    rows[i].name, which == 1 ? "known" : "described", chunks[j], (int)text.length, text.at);
				missed++;
				break;
			}
		}
	}
	assert_int_equal(missed, 0);
}

static void item_45_what_cannot_be_read_is_refused(void **state)
{
	AUTO_BUF text = buf_new(TEXT_MAX);

	(void)state;
	assert_int_equal(fed(VIEW("anything"), 100, "compress"), DLP_BLOCK);
	assert_int_equal(fed(VIEW("anything"), 100, "exi"), DLP_BLOCK);
	assert_int_equal(fed(VIEW("not compressed"), 100, "gzip"), DLP_BLOCK);
	assert_int_equal(fed(VIEW("anything"), 100, "gzip, gzip, gzip"), DLP_BLOCK);
	d_gzip(&text, "nothing that matters");
	assert_int_equal(fed(buf_view(&text), 3, "gzip"), DLP_NONE);
	assert_int_equal(fed(buf_view(&text), 3, "identity, gzip"), DLP_NONE);
}

static void item_47_bombs_are_refused(void **state)
{
	AUTO_BUF zeros = buf_new(TEXT_MAX), one = buf_new(TEXT_MAX), two = buf_new(TEXT_MAX), many = buf_new(TEXT_MAX);
	char *to = buf_reserve(&zeros, (size_t)32 << 20);

	(void)state;
	memset(to, 0, (size_t)32 << 20);
	buf_commit(&zeros, (size_t)32 << 20);
	deflated(&one, zeros.at, zeros.length, 31);
	assert_int_equal(fed(buf_view(&one), 4096, "gzip"), DLP_BLOCK);
	assert_int_equal(fed(buf_view(&one), 4096, ""), DLP_BLOCK);
	deflated(&two, one.at, one.length, 31);
	assert_int_equal(fed(buf_view(&two), 4096, "gzip, gzip"), DLP_BLOCK);
	for (int i = 0; i < 10000; i++)
		d_gzip(&many, "x");
	assert_int_equal(fed(buf_view(&many), 4096, "gzip"), DLP_BLOCK);
	/* A zstd frame that asks for a window of 2 GiB. */
	assert_int_equal(fed(VIEW("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"), 100, "zstd"), DLP_BLOCK);
}

static enum dlp_action head(const char *path, const char *query, const struct egress_field *fields, size_t count)
{
	struct egress_request request = {
		.host = "ok.test", .port = 443, .tls = true, .method = VIEW("GET"), .fields = fields, .field_count = count};
	struct dlp_message *message = dlp_begin(dlp, DLP_BODY);
	enum dlp_action action;

	request.path = view_of(path);
	request.query = view_of(query);
	dlp_head(message, &request);
	dlp_end(message);
	action = dlp_action(message);
	dlp_free(message);
	return action;
}

static void item_48_a_secret_divided_within_a_head_is_found(void **state)
{
	static const char *const secrets[] = {known, described};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		const char *s = secrets[i];
		AUTO_FREE char *path = text_format("/x/%s", s);
		AUTO_FREE char *segments = text_format("/%.12s/%s", s, s + 12);
		AUTO_FREE char *query = text_format("a=1&b=%s", s);
		AUTO_FREE char *two = text_format("a=%.13s&b=%s", s, s + 13);
		AUTO_FREE char *cookie = text_format("a=%.13s; b=%s", s, s + 13);
		AUTO_FREE char *first = text_format("%.12s", s);
		struct egress_field whole = {VIEW("x-a"), view_of(s)};
		struct egress_field fields[] = {
			{VIEW("x-a"), view_of(first)}, {VIEW("accept"), VIEW("*/*")}, {VIEW("x-b"), view_of(s + 12)}};
		struct egress_field crumbs = {VIEW("cookie"), view_of(cookie)};
		struct egress_field named = {view_of(first), view_of(s + 12)};

		assert_int_equal(head(path, "", NULL, 0), DLP_BLOCK);
		assert_int_equal(head(segments, "", NULL, 0), DLP_BLOCK);
		assert_int_equal(head("/", query, NULL, 0), DLP_BLOCK);
		assert_int_equal(head("/", two, NULL, 0), DLP_BLOCK);
		assert_int_equal(head("/", "", &whole, 1), DLP_BLOCK);
		assert_int_equal(head("/", "", fields, 3), DLP_BLOCK);
		assert_int_equal(head("/", "", &crumbs, 1), DLP_BLOCK);
		assert_int_equal(head("/", "", &named, 1), DLP_BLOCK);
	}
	assert_int_equal(head("/a/b", "page=2&sort=name", NULL, 0), DLP_NONE);
}

static void item_49_a_known_secret_over_several_requests_is_found(void **state)
{
	AUTO_FREE char *half = text_format("{\"note\": \"%.16s\"}", known);
	AUTO_FREE char *rest = text_format("{\"note\": \"%s\"}", known + 16);
	char query[16];
	enum dlp_action action = DLP_NONE;
	static const struct dlp_secret secret = {"token", {known, sizeof known - 1}};

	(void)state;
	assert_int_equal(dlp_secrets_set(dlp, &secret, 1, NULL), 0); /* nothing was seen of it */
	assert_int_equal(fed(view_of(half), 100, ""), DLP_NONE);
	assert_int_equal(fed(view_of(rest), 100, ""), DLP_BLOCK);
	assert_int_equal(dlp_secrets_set(dlp, &secret, 1, NULL), 0);
	for (size_t i = 0; known[i]; i++) {
		(void)snprintf(query, sizeof query, "v=1&c=%c", known[i]);
		action = head("/", query, NULL, 0);
	}
	assert_int_equal(action, DLP_BLOCK);
	for (size_t i = 0; known[i]; i++)
		action = fed(view_make(known + i, 1), 1, "");
	assert_int_equal(action, DLP_BLOCK);
	assert_int_equal(dlp_secrets_set(dlp, &secret, 1, NULL), 0);
}

static void a_head_that_had_nothing_is_looked_at_again_when_something_else_is_looked_for(void **state)
{
	static const char value[] = "Wq8ZpL3vXt5RkN7yBd2F";
	static const struct dlp_secret before = {"token", {known, sizeof known - 1}}, after = {"other", {value, sizeof value - 1}};
	const struct egress_field whole = {VIEW("x-a"), view_of(value)}, bad = {VIEW("x-a"), view_of(described)};

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(head("/a", "", &whole, 1), DLP_NONE);
	assert_int_equal(dlp_secrets_set(dlp, &after, 1, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(head("/a", "", &whole, 1), DLP_BLOCK);
		assert_int_equal(head("/a", "", &bad, 1), DLP_BLOCK);
	}
	assert_int_equal(dlp_secrets_set(dlp, &before, 1, NULL), 0);
	assert_int_equal(head("/a", "", &whole, 1), DLP_NONE);
	for (unsigned i = 0; i < 20; i++) { /* more heads than are remembered, between two that have something */
		char path[16];

		(void)snprintf(path, sizeof path, "/%u", i);
		assert_int_equal(head(path, "", NULL, 0), DLP_NONE);
		assert_int_equal(head(path, "", NULL, 0), DLP_NONE);
		assert_int_equal(head(path, "", &bad, 1), DLP_BLOCK);
	}
}

/* What a rule finds for one path only is found there, whatever another request with the same fields was. */
static void a_head_that_had_nothing_on_one_path_is_looked_at_on_another(void **state)
{
	struct dlp *told = dlp;
	AUTO_JSON own = json_parse(
		VIEW("[{\"id\": \"own-token\", \"title\": \"a token of ours\", \"pattern\": \"own_[a-z0-9]{20}\", \"paths\": [\"/b/*\"]}]"),
		NULL);
	struct dlp_rules *with = NULL;
	const struct egress_field trailer = {VIEW("x-a"), VIEW("own_a8f3k2m9x7q4w1z6c5v0")};
	static const struct {
		const char *path;
		enum dlp_action action;
	} asked[] = {{"/a", DLP_NONE}, {"/b/1", DLP_BLOCK}, {"/a", DLP_NONE}, {"/b/1", DLP_BLOCK}};
	struct err err = {0};

	(void)state;
	assert_non_null(own);
	with = dlp_rules_new(own, true, NULL, &err);
	if (!with)
		fail_msg("%s", err.text);
	dlp = dlp_new(with);
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		struct egress_request request = {.host = "ok.test", .port = 443, .tls = true, .method = VIEW("GET")};
		struct dlp_message *message = dlp_begin(dlp, DLP_BODY);

		request.path = view_of(asked[i].path);
		dlp_head(message, &request);
		dlp_fields(message, DLP_TRAILER, &trailer, 1);
		assert_int_equal(dlp_action(message), asked[i].action);
		dlp_free(message);
	}
	dlp_unref(dlp);
	dlp_rules_unref(with);
	dlp = told;
}

/* As the vault would, of a value that begins as everybody's does. */
static struct dlp *dlp_of_fingerprints(const char *value, size_t beginning)
{
	struct fingerprint_key key = {{0x123456789abcdefU, 0xfedcba987654321U, 0x5555aaaa5555aaabU, 0x77}, "the environment's"};
	AUTO_FREE struct fingerprint *print = mem_new(sizeof(*print));
	struct dlp *made = dlp_new(rules);

	fingerprint_make(&key, view_of(value), beginning, print);
	assert_true(fingerprint_valid(print));
	assert_null(memmem(print, sizeof(*print), value + beginning, 8));
	dlp_known_set(made, &(struct dlp_known){"token", print}, 1);
	return made;
}

static void items_40_to_52_a_value_of_the_vault_is_found_by_its_fingerprint(void **state)
{
	struct dlp *told = dlp;
	AUTO_FREE char *half = text_format("{\"note\": \"%.16s\"}", known);
	AUTO_FREE char *rest = text_format("{\"note\": \"%s\"}", known + 16);
	AUTO_FREE char *segments = text_format("/%.12s/%s", known, known + 12);
	AUTO_FREE char *two = text_format("a=%.13s&b=%s", known, known + 13);
	AUTO_FREE char *host = text_format("%.16s.%s.evil.test", known, known + 16);
	enum dlp_action action = DLP_NONE;
	char query[16];
	size_t missed = 0;

	(void)state;
	dlp = dlp_of_fingerprints(known, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static const size_t chunks[] = {SIZE_MAX / 2, 7, 1};
		AUTO_BUF text = buf_new(TEXT_MAX);

		rows[i].disguise(&text, known);
		for (size_t j = 0; j < ARRAY_LEN(chunks); j++)
			if (fed(buf_view(&text), chunks[j], rows[i].coding) != DLP_BLOCK) {
				print_error("item %d: %s, in pieces of %zu: not found\n", rows[i].item, rows[i].name, chunks[j]);
				missed++;
			}
	}
	assert_int_equal(missed, 0);
	assert_int_equal(head(segments, "", NULL, 0), DLP_BLOCK);
	assert_int_equal(head("/", two, NULL, 0), DLP_BLOCK);
	assert_int_equal(head("/a/b", "page=2&sort=name", NULL, 0), DLP_NONE);
	dlp_unref(dlp);
	dlp = dlp_of_fingerprints(known, 0); /* nothing was seen of it */
	assert_int_equal(fed(view_of(half), 100, ""), DLP_NONE);
	assert_int_equal(fed(view_of(rest), 100, ""), DLP_BLOCK);
	for (size_t i = 0; known[i]; i++) {
		(void)snprintf(query, sizeof query, "v=1&c=%c", known[i]);
		action = head("/", query, NULL, 0);
	}
	assert_int_equal(action, DLP_BLOCK);
	for (char *c = host; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	assert_non_null(dlp_host(dlp, host, false));
	dlp_unref(dlp);
	dlp = told;
}

/* Wherever it begins in a long text, over the edges of blocks, and for values of any length. */
static void a_value_of_the_vault_is_found_at_any_place(void **state)
{
	static const char letters[] =
		"sk-ant-api03-q7Gx2VtR9wLbN4ZcKe8Ym1JdPh5Tf0Us6QaXo3BiWn-Hk7Er2MvCg4Dy9Sz1Lp8Fj5Nt0Rb6Ux3Ve7Aq2Io";
	static const struct {
		size_t length, beginning;
	} values[] = {{8, 0}, {12, 0}, {16, 0}, {20, 0}, {23, 0}, {31, 0}, {40, 13}, {47, 7}, {97, 13}};
	struct dlp *told = dlp;

	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(values); v++) {
		size_t from = values[v].beginning ? 0 : 13;
		AUTO_FREE char *value = text_format("%.*s", (int)values[v].length, letters + from);
		AUTO_BUF text = buf_new(TEXT_MAX);

		dlp = dlp_of_fingerprints(value, values[v].beginning);
		for (size_t lead = 53200; lead < 53300; lead++) { /* about the end of the first block */
			buf_clear(&text);
			while (text.length < lead)
				buf_add_text(&text, "nothing ");
			buf_cut(&text, lead);
			assert_int_equal(fed(buf_view(&text), 5000, ""), DLP_NONE);
			buf_add_text(&text, lead % 2 ? value : "");
			if (lead % 2 == 0)
				d_hex(&text, value);
			buf_add_text(&text, " and so on");
			if (fed(buf_view(&text), 5000, "") != DLP_BLOCK)
				fail_msg("%zu bytes at %zu are not found", values[v].length, lead);
		}
		dlp_unref(dlp);
	}
	dlp = told;
}

/* Where the values have no spaces, what has some is not looked at: one that has must be found all the same, in each of its forms. */
static void a_value_with_spaces_is_found(void **state)
{
	static const char value[] = "Korrekt horse 7 Batterie staple-Nr 42";
	struct dlp *told = dlp;
	AUTO_BUF text = buf_new(TEXT_MAX);

	(void)state;
	dlp = dlp_of_fingerprints(value, 0);
	assert_int_equal(fed(VIEW("nothing of it is in here, but for a horse and a staple"), 7, ""), DLP_NONE);
	buf_add_format(&text, "it is said that %s is what they use", value);
	assert_int_equal(fed(buf_view(&text), 7, ""), DLP_BLOCK);
	buf_clear(&text);
	d_hex(&text, value);
	assert_int_equal(fed(buf_view(&text), 7, ""), DLP_BLOCK);
	dlp_unref(dlp);
	dlp = told;
}

static void a_word_is_no_value_to_look_for(void **state)
{
	struct dlp *told = dlp;

	(void)state;
	dlp = dlp_of_fingerprints("postgresql", 0);
	assert_int_equal(fed(VIEW("a database of postgresql and so on"), 100, ""), DLP_NONE);
	dlp_unref(dlp);
	dlp = told;
}

static void item_31_trailers_are_looked_at(void **state)
{
	struct egress_field trailer = {VIEW("x-sum"), view_of(described)};
	struct dlp_message *message = dlp_begin(dlp, DLP_BODY);
	const struct dlp_finding *findings;
	size_t count;

	(void)state;
	dlp_end(message);
	dlp_fields(message, DLP_TRAILER, &trailer, 1);
	findings = dlp_findings(message, &count);
	assert_int_equal(dlp_action(message), DLP_BLOCK);
	assert_true(count > 0);
	assert_int_equal(findings[0].where, DLP_TRAILER);
	assert_null(strstr(findings[0].digest, described));
	dlp_free(message);
}

static void item_52_names_that_carry_data_are_refused_before_anybody_is_asked(void **state)
{
	AUTO_BUF base32 = buf_new(1024), hex = buf_new(1024);
	AUTO_FREE char *plain = text_format("%s.evil.test", known);
	AUTO_FREE char *labels = text_format("%.16s.%s.evil.test", known, known + 16);
	static const char *const good[] = {"api.github.com",        "d111111abcdef8.cloudfront.net",
					   "registry.npmjs.org",    "shop-prod-1.s3.eu-central-1.amazonaws.com",
					   "xn--bcher-kva.example", "objects-origin.githubusercontent.com"};

	(void)state;
	for (char *c = plain; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	for (char *c = labels; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	d_base32(&base32, known);
	for (size_t i = 0; i < base32.length; i++)
		base32.at[i] = (char)tolower((unsigned char)base32.at[i]);
	buf_add_text(&base32, ".evil.test");
	d_hex(&hex, known);
	buf_add_text(&hex, ".evil.test");
	assert_non_null(dlp_host(dlp, plain, false));
	assert_non_null(dlp_host(dlp, labels, false));
	assert_non_null(dlp_host(dlp, base32.at, false));
	assert_non_null(dlp_host(dlp, hex.at, false));
	assert_non_null(dlp_host(dlp, "a.b.c.d.e.f.g.h.evil.test", false));
	assert_null(dlp_host(dlp, "a.b.c.d.e.f.g.h.evil.test", true));
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (dlp_host(dlp, good[i], false))
			fail_msg("%s: %s", good[i], dlp_host(dlp, good[i], false));
}

static void nothing_of_a_secret_is_let_go_before_it_is_found(void **state)
{
	AUTO_BUF text = buf_new(TEXT_MAX);
	struct dlp_message *message = dlp_begin(dlp, DLP_BODY);
	uint64_t let_go = 0, at;

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_add_text(&text, "nothing ");
	at = text.length;
	buf_add_format(&text, "%s ", described);
	for (int i = 0; i < 100000; i++)
		buf_add_text(&text, "nothing ");
	for (size_t i = 0; i < text.length; i += 1000) {
		let_go = dlp_feed(message, view_make(text.at + i, text.length - i < 1000 ? text.length - i : 1000));
		assert_true(let_go <= at);
		if (dlp_action(message) == DLP_BLOCK)
			break;
	}
	assert_int_equal(dlp_action(message), DLP_BLOCK);
	assert_int_equal(let_go, 0);
	dlp_free(message);
}

static void what_is_redacted_says_which_bytes(void **state)
{
	AUTO_JSON own = json_pack("[{s:s,s:s,s:s}]", "id", "ticket", "pattern", "\\b(TCK-[0-9]{8})\\b", "action", "redact");
	struct dlp_rules *some = dlp_rules_new(own, true, NULL, NULL);
	struct dlp *env = dlp_new(some);
	struct dlp_message *message = dlp_begin(env, DLP_BODY);
	const struct dlp_finding *findings;
	size_t count;

	(void)state;
	(void)dlp_feed(message, VIEW("see TCK-12345678 and TCK-87654321."));
	dlp_end(message);
	findings = dlp_findings(message, &count);
	assert_int_equal(count, 2);
	assert_int_equal(dlp_action(message), DLP_REDACT);
	assert_true(findings[0].exact);
	assert_int_equal(findings[0].from, 4);
	assert_int_equal(findings[0].to, 16);
	assert_int_equal(findings[1].from, 21);
	dlp_free(message);
	dlp_unref(env);
	dlp_rules_unref(some);
}

static void own_rules_are_read_strictly(void **state)
{
	static const struct {
		const char *json;
		const char *error;
	} bad[] = {
		{"{}", "DLP rules must be a list"},
		{"[{\"pattern\":\"x\"}]", "a DLP rule needs an `id`: letters, digits, `-`, `_` and `.`, at most 63"},
		{"[{\"id\":\"a\"}]", "DLP rule a: there is none of that name, and it has no `pattern` or `near`"},
		{"[{\"id\":\"a*\",\"pattern\":\"x\"}]", "DLP rule a*: a rule of its own has a name without `*`"},
		{"[{\"id\":\"a\",\"pattern\":\"x\",\"paths\":[\"v1\"]}]",
		 "DLP rule a: `paths` are patterns that begin with `/`: /v1/*"},
		{"[{\"id\":\"a\",\"pattern\":\"x\"},{\"id\":\"a\",\"entropy\":3}]",
		 "DLP rule a: `entropy` needs a `pattern`, or `near` and `value`"},
		{"[{\"id\":\"a\",\"pattern\":\"x\"},{\"id\":\"a\"}]", "DLP rule a: give it an `action` or `allow`"},
		{"[{\"id\":\"a\",\"pattern\":\"(\"}]", NULL},
		{"[{\"id\":\"a\",\"pattern\":\"x*\"}]", "DLP rule a: its pattern matches nothing at all"},
		{"[{\"id\":\"a\",\"pattern\":\"x\",\"action\":\"blok\"}]",
		 "DLP rule a: `action` is block, hold, redact, log or off, not `blok`"},
		{"[{\"id\":\"a\",\"pattern\":\"x\",\"entropi\":3}]", "DLP rule a: `entropi` is not a key of a rule"},
		{"[{\"id\":\"a\",\"pattern\":\"x\",\"entropy\":\"9\"}]", "DLP rule a: `entropy` must be a number from 0 to 8"},
		{"[{\"id\":\"a\",\"action\":\"off\"}]",
		 "DLP rule a: there is none of that name, and it has no `pattern` or `near`"},
		{"[{\"id\":\"a\",\"pattern\":\"x\",\"group\":2}]", "DLP rule a: its pattern has no group 2"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_JSON json = json_parse(view_of(bad[i].json), NULL);
		struct err err = {.kind = ERR_NONE};

		assert_null(dlp_rules_new(json, true, NULL, &err));
		assert_int_not_equal(err.kind, ERR_NONE);
		if (bad[i].error)
			assert_string_equal(err.text, bad[i].error);
	}
}

static enum dlp_action action_for(struct dlp *env, const char *path, const char *body)
{
	struct dlp_message *message = dlp_begin(env, DLP_BODY);
	struct egress_request request = {.method = VIEW("POST"), .path = view_of(path)};
	enum dlp_action action;

	dlp_head(message, &request);
	(void)dlp_feed(message, view_of(body));
	dlp_end(message);
	action = dlp_action(message);
	dlp_free(message);
	return action;
}

static void rules_are_changed_by_name_and_by_path(void **state)
{
	AUTO_JSON list = json_parse(
		VIEW("[{\"id\":\"shop-a\",\"pattern\":\"\\\\b(shopa_[a-z0-9]{8})\\\\b\"},"
		     "{\"id\":\"shop-b\",\"pattern\":\"\\\\b(shopb_[a-z0-9]{8})\\\\b\",\"paths\":[\"/v1/*\"],\"action\":\"hold\"},"
		     "{\"id\":\"shop-c\",\"pattern\":\"\\\\b(shopc_[a-z0-9]{8})\\\\b\"},"
		     "{\"id\":\"shop-c\",\"action\":\"off\"},"
		     "{\"id\":\"shop-*\",\"action\":\"log\",\"paths\":[\"/logs/**\"]},"
		     "{\"id\":\"*\",\"allow\":[\"^shopa_00\"]}]"),
		NULL);
	struct dlp_rules *some = dlp_rules_new(list, true, NULL, NULL);
	struct dlp *env;

	(void)state;
	assert_non_null(some);
	assert_int_equal(dlp_rules_count(some), 2);
	env = dlp_new(some);
	assert_int_equal(action_for(env, "/x", "shopa_q1w2e3r4"), DLP_BLOCK);
	assert_int_equal(action_for(env, "/x", "shopa_00w2e3r4"), DLP_NONE);
	assert_int_equal(action_for(env, "/logs/a/b", "shopa_q1w2e3r4"), DLP_LOG);
	assert_int_equal(action_for(env, "/x", "shopb_q1w2e3r4"), DLP_NONE);
	assert_int_equal(action_for(env, "/v1/a", "shopb_q1w2e3r4"), DLP_HOLD);
	assert_int_equal(action_for(env, "/x", "shopc_q1w2e3r4"), DLP_NONE);
	dlp_unref(env);
	dlp_rules_unref(some);
}

static void rules_of_gitleaks_are_taken(void **state)
{
	static const char toml[] =
		"title = \"ours\"\n[extend]\nuseDefault = true\n\n[[rules]]\nid = \"shop-key\" # a comment\ndescription = 'A key'\n"
		"regex = '''shop_([a-z0-9]{16})'''\nsecretGroup = 1\nentropy = 2.5\nkeywords = [\n  \"shop_\",\n]\n"
		"[[rules.allowlists]]\nstopwords = [\"aaaa\"]\nregexes = ['''^0''']\n[[rules]]\nid = \"path\"\npath = '''x'''\n"
		"[allowlist]\npaths = ['''x''']\n";
	struct err err = {.kind = ERR_NONE};
	AUTO_JSON list = dlp_rules_from_gitleaks(view_of(toml), &err);
	struct dlp_rules *some;

	(void)state;
	assert_non_null(list);
	assert_int_equal(json_array_size(list), 1);
	some = dlp_rules_new(list, true, NULL, &err);
	assert_non_null(some);
	assert_int_equal(dlp_rules_count(some), 1);
	dlp_rules_unref(some);
	assert_null(dlp_rules_from_gitleaks(VIEW("a = 1\na = 2\n"), &err));
	assert_string_equal(err.text, "gitleaks.toml: line 2: a key is there twice");
	assert_null(dlp_rules_from_gitleaks(VIEW("[[rules]]\nregex = 'x'\n"), &err));
	assert_null(dlp_rules_from_gitleaks(VIEW("a = {b = 1}\n"), &err));
	assert_null(dlp_rules_from_gitleaks(VIEW("a = \"x\n"), &err));
}

/* Not a time, which a loaded machine decides, but that it comes to an end: bytes that ask for the most work. */
static void item_75_no_bytes_cost_without_bounds(void **state)
{
	static const char *const pieces[] = {"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo",
					     "%25",
					     "key = ",
					     "[",
					     "{\"a\":",
					     "x",
					     "\\u0041",
					     "&#65;",
					     "sk_live_",
					     "\xe2\x80\x8b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		AUTO_BUF text = buf_new(TEXT_MAX);

		while (text.length < (size_t)1 << 20)
			buf_add_text(&text, pieces[i]);
		assert_int_equal(fed(buf_view(&text), 16384, ""), DLP_NONE);
	}
}

int main(void)
{
	static const struct dlp_secret secret = {"token", {known, sizeof known - 1}};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_40_to_51_a_secret_in_other_clothes_is_found),
		cmocka_unit_test(items_40_to_52_a_value_of_the_vault_is_found_by_its_fingerprint),
		cmocka_unit_test(a_value_of_the_vault_is_found_at_any_place),
		cmocka_unit_test(a_value_with_spaces_is_found),
		cmocka_unit_test(a_word_is_no_value_to_look_for),
		cmocka_unit_test(item_31_trailers_are_looked_at),
		cmocka_unit_test(item_45_what_cannot_be_read_is_refused),
		cmocka_unit_test(item_47_bombs_are_refused),
		cmocka_unit_test(item_48_a_secret_divided_within_a_head_is_found),
		cmocka_unit_test(item_49_a_known_secret_over_several_requests_is_found),
		cmocka_unit_test(a_head_that_had_nothing_is_looked_at_again_when_something_else_is_looked_for),
		cmocka_unit_test(a_head_that_had_nothing_on_one_path_is_looked_at_on_another),
		cmocka_unit_test(item_52_names_that_carry_data_are_refused_before_anybody_is_asked),
		cmocka_unit_test(item_75_no_bytes_cost_without_bounds),
		cmocka_unit_test(nothing_of_a_secret_is_let_go_before_it_is_found),
		cmocka_unit_test(what_is_redacted_says_which_bytes),
		cmocka_unit_test(own_rules_are_read_strictly),
		cmocka_unit_test(rules_are_changed_by_name_and_by_path),
		cmocka_unit_test(rules_of_gitleaks_are_taken),
	};
	struct err err = {.kind = ERR_NONE};
	int failed;

	(void)snprintf(described, sizeof described, "%s%s", "sk_live_", "Q7kZp2XvLm4NbWc8Rt9xYs3Ud5If");
	rules = dlp_rules_new(NULL, false, NULL, &err);
	dlp = rules ? dlp_new(rules) : NULL;
	if (!dlp || dlp_secrets_set(dlp, &secret, 1, &err)) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	dlp_unref(dlp);
	dlp_rules_unref(rules);
	return failed;
}
