/* Attempts to make the scanner look away: by giving it too much to do first, or by an end that is none. Items 43, 45, 51 and 75 of the list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/scope.h"
#include "gateway/dlp/dlp.h"

#define TEXT_MAX ((size_t)64 << 20)

static char described[64]; /* a credential in the form of a vendor's; made at the start, so that this file holds none */
static struct dlp_rules *rules;
static struct dlp *dlp;

static enum dlp_action fed(const struct buf *text, size_t chunk, const char *coding)
{
	struct dlp_message *message = dlp_begin(dlp, DLP_BODY);
	enum dlp_action action;

	dlp_coding(message, view_of(coding));
	for (size_t at = 0; at < text->length; at += chunk)
		(void)dlp_feed(message, view_make(text->at + at, text->length - at < chunk ? text->length - at : chunk));
	dlp_end(message);
	action = dlp_action(message);
	dlp_free(message);
	return action;
}

static void gzip(struct buf *out, const char *text, size_t length)
{
	z_stream z = {.zalloc = NULL};
	char *to = buf_reserve(out, length + 1024);

	assert_non_null(to);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = (uInt)length;
	z.next_out = (Bytef *)to;
	z.avail_out = (uInt)(length + 1024);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_commit(out, z.total_out);
	(void)deflateEnd(&z);
}

/* What asks for one view after another, each of them as long as what it is made from. */
static void burner(struct buf *out, size_t length)
{
	static const char piece[] =
		"%25%2525 \"a1\"+\"B2\" =3D &#38;amp; \\u005cu0041 \xe2\x80\x8b 12,34,56,78,90,12,34,56,78,90,12,34,56,78,90 ";

	while (out->length < length)
		buf_add_text(out, piece);
}

static void item_75_work_that_is_given_first_hides_nothing(void **state)
{
	static const size_t lengths[] = {1000, 10000, 45000, 200000};
	static const size_t chunks[] = {SIZE_MAX / 2, 16384};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		for (size_t j = 0; j < ARRAY_LEN(chunks); j++) {
			AUTO_BUF text = buf_new(TEXT_MAX);

			burner(&text, lengths[i]);
			buf_add_text(&text, "\n");
			buf_add_base64(&text, described, strlen(described));
			if (fed(&text, chunks[j], "") != DLP_BLOCK)
				fail_msg("behind %zu bytes, in pieces of %zu: not found", lengths[i], chunks[j]);
		}
}

/* What nobody means to write, and nobody can look at in all its readings, is refused, and says why. */
static void item_75_more_readings_than_are_looked_at_are_refused(void **state)
{
	AUTO_BUF text = buf_new(TEXT_MAX);
	struct dlp_message *message = dlp_begin(dlp, DLP_BODY);
	const struct dlp_finding *findings;
	size_t count;

	(void)state;
	burner(&text, 400000);
	(void)dlp_feed(message, buf_view(&text));
	dlp_end(message);
	findings = dlp_findings(message, &count);
	assert_int_equal(dlp_action(message), DLP_BLOCK);
	assert_true(count > 0);
	assert_string_equal(findings[0].rule, "too-much");
	dlp_free(message);
}

/* The inner coding ends; what the outer one has behind it is still read. */
static void item_45_an_inner_coding_that_ends_hides_nothing_behind_it(void **state)
{
	AUTO_BUF inner = buf_new(TEXT_MAX), outer = buf_new(TEXT_MAX);

	(void)state;
	gzip(&inner, "nothing", 7);
	for (int i = 0; i < 20000; i++)
		buf_add_format(&inner, "%d nothing %u ", i * 7919, (unsigned)i * 2654435761u);
	buf_add_text(&inner, described);
	gzip(&outer, inner.at, inner.length);
	assert_int_equal(fed(&outer, SIZE_MAX / 2, "gzip, gzip"), DLP_BLOCK);
	assert_int_equal(fed(&outer, 1000, "gzip, gzip"), DLP_BLOCK);
}

static void item_51_messages_in_a_coding_that_nobody_reads_are_refused(void **state)
{
	static const struct {
		const char *name, *value;
		enum dlp_action action;
	} rows[] = {
		{"grpc-encoding", "identity", DLP_NONE},       {"grpc-encoding", "gzip", DLP_NONE},
		{"grpc-encoding", "deflate", DLP_NONE},        {"grpc-encoding", "zstd", DLP_NONE},
		{"grpc-encoding", "snappy", DLP_BLOCK},        {"grpc-encoding", "br", DLP_BLOCK},
		{"grpc-encoding", "gzip, lz4", DLP_BLOCK},     {"connect-content-encoding", "gzip", DLP_NONE},
		{"connect-content-encoding", "br", DLP_BLOCK},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct egress_field field = {view_of(rows[i].name), view_of(rows[i].value)};
		const struct egress_request request = {.host = "ok.test",
						       .port = 443,
						       .method = VIEW("POST"),
						       .path = VIEW("/a.B/C"),
						       .fields = &field,
						       .field_count = 1};
		struct dlp_message *message = dlp_begin(dlp, DLP_BODY);

		dlp_head(message, &request);
		dlp_end(message);
		if (dlp_action(message) != rows[i].action)
			fail_msg("%s: %s", rows[i].name, rows[i].value);
		dlp_free(message);
	}
}

/* RFC 2152: two bytes of UTF-16 a character, in base 64, up to what is no digit of it. */
static void utf_7(struct buf *out, const char *text, size_t run)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	while (*text) {
		unsigned bits = 0, count = 0;

		buf_add_char(out, '+');
		for (size_t i = 0; i < run && *text; i++, text++) {
			bits = bits << 16 | (unsigned char)*text;
			for (count += 16; count >= 6;) {
				count -= 6;
				buf_add_char(out, digits[bits >> count & 63]);
			}
		}
		if (count)
			buf_add_char(out, digits[bits << (6 - count) & 63]);
		buf_add_char(out, '-');
	}
}

static void item_43_utf_7_in_runs_of_any_length_is_read(void **state)
{
	(void)state;
	for (size_t run = 1; run <= 40; run++) {
		AUTO_BUF text = buf_new(TEXT_MAX);

		utf_7(&text, described, run);
		if (fed(&text, SIZE_MAX / 2, "") != DLP_BLOCK)
			fail_msg("in runs of %zu: not found in %.*s", run, (int)text.length, text.at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(item_75_work_that_is_given_first_hides_nothing),
		cmocka_unit_test(item_75_more_readings_than_are_looked_at_are_refused),
		cmocka_unit_test(item_45_an_inner_coding_that_ends_hides_nothing_behind_it),
		cmocka_unit_test(item_51_messages_in_a_coding_that_nobody_reads_are_refused),
		cmocka_unit_test(item_43_utf_7_in_runs_of_any_length_is_read),
	};
	struct err err = {.kind = ERR_NONE};
	int failed;

	(void)snprintf(described, sizeof described, "%s%s", "sk_live_", "Q7kZp2XvLm4NbWc8Rt9xYs3Ud5If");
	rules = dlp_rules_new(NULL, false, NULL, &err);
	dlp = rules ? dlp_new(rules) : NULL;
	if (!dlp) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	dlp_unref(dlp);
	dlp_rules_unref(rules);
	return failed;
}
