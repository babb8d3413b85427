/* What programs export by OTLP: bytes of OpenTelemetry's own encoder (tests/data/otlp/make.mjs), and bytes that no encoder makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/file.h"
#include "base/scope.h"
#include "http/telemetry.h"

#define ROOT "\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74"
#define PART "\xee\xe1\x9b\x7e\xc3\xc1\xb1\x73"
#define TRACE "\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c"
#define NONE "\0\0\0\0\0\0\0\0"

static struct buf sample_read(const char *name)
{
	AUTO_FREE char *path = text_format("%s/tests/data/otlp/%s", getenv("SOURCE_ROOT"), name);
	struct buf bytes = buf_new(TELEMETRY_BODY_MAX);
	struct err err = {0};

	if (file_read(path, &bytes, &err))
		fail_msg("%s", err.text);
	return bytes;
}

static enum err_kind parsed(enum telemetry_signal signal, enum telemetry_coding coding, struct view body)
{
	AUTO_TELEMETRY telemetry = {0};
	struct err err = {0};

	if (telemetry_parse(signal, coding, body, &telemetry, &err)) {
		assert_int_equal(telemetry.count, 0);
		assert_null(telemetry.items);
		return err.kind;
	}
	return ERR_NONE;
}

static void spans_check(const struct telemetry *telemetry)
{
	const struct telemetry_item *items = telemetry->items;

	assert_int_equal(telemetry->count, 2);
	assert_string_equal(items[0].text, "GET /api/orders");
	assert_string_equal(items[1].text, "reserve stock");
	assert_memory_equal(items[0].id, ROOT, SPAN_ID_BYTES);
	assert_memory_equal(items[1].id, PART, SPAN_ID_BYTES);
	assert_memory_equal(items[0].parent, NONE, SPAN_ID_BYTES);
	assert_memory_equal(items[1].parent, ROOT, SPAN_ID_BYTES);
	assert_false(items[0].failed);
	assert_true(items[1].failed);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(items[i].service, "orders");
		assert_memory_equal(items[i].trace, TRACE, SPAN_TRACE_BYTES);
		assert_true(items[i].begun_ns == 1700000000000000005);
		assert_true(items[i].ended_ns == 1700000001000000007);
	}
}

static void lines_check(const struct telemetry *telemetry)
{
	const struct telemetry_item *items = telemetry->items;

	assert_int_equal(telemetry->count, 3);
	assert_string_equal(items[0].text, "cannot reserve: gr\xc3\xb6\xc3\x9f"
					   "er");
	assert_string_equal(items[1].text, "served");
	assert_string_equal(items[2].text, ""); /* a map */
	assert_true(items[0].severity >= TELEMETRY_ERROR);
	assert_int_equal(items[1].severity, 9);
	assert_int_equal(items[2].severity, 13);
	assert_true(items[0].begun_ns == 1700000000000000008);
	assert_true(items[1].begun_ns == 1700000002000000009); /* it was seen then */
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(items[i].service, "orders");
		assert_memory_equal(items[i].trace, TRACE, SPAN_TRACE_BYTES);
		assert_memory_equal(items[i].id, PART, SPAN_ID_BYTES);
	}
}

static void both_codings_of_a_real_encoder_say_the_same(void **state)
{
	static const struct {
		const char *name;
		enum telemetry_signal signal;
		enum telemetry_coding coding;
	} rows[] = {
		{"traces.pb", TELEMETRY_TRACES, TELEMETRY_PROTOBUF},
		{"traces.json", TELEMETRY_TRACES, TELEMETRY_JSON},
		{"logs.pb", TELEMETRY_LOGS, TELEMETRY_PROTOBUF},
		{"logs.json", TELEMETRY_LOGS, TELEMETRY_JSON},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF bytes = sample_read(rows[i].name);
		AUTO_TELEMETRY telemetry = {0};
		struct err err = {0};

		if (telemetry_parse(rows[i].signal, rows[i].coding, buf_view(&bytes), &telemetry, &err))
			fail_msg("%s: %s", rows[i].name, err.text);
		if (rows[i].signal == TELEMETRY_TRACES)
			spans_check(&telemetry);
		else
			lines_check(&telemetry);
	}
}

/* One part, so that its length covers the rest: wherever it is cut, it is broken; but nothing at all is an empty request. */
static void a_request_that_was_cut_is_refused_whole(void **state)
{
	AUTO_BUF wire = sample_read("traces.pb");
	AUTO_BUF json = sample_read("traces.json");

	(void)state;
	assert_int_equal(parsed(TELEMETRY_TRACES, TELEMETRY_PROTOBUF, VIEW("")), ERR_NONE);
	for (size_t length = 1; length < wire.length; length++) {
		AUTO_FREE char *exact = mem_new(length); /* reading past it is seen by the sanitizer */

		memcpy(exact, wire.at, length);
		assert_int_equal(parsed(TELEMETRY_TRACES, TELEMETRY_PROTOBUF, view_make(exact, length)), ERR_INVALID);
	}
	for (size_t length = 0; length < json.length; length++)
		assert_int_equal(parsed(TELEMETRY_TRACES, TELEMETRY_JSON, view_make(json.at, length)), ERR_INVALID);
}

static void bytes_of_no_encoder_are_judged_by_the_row(void **state)
{
#define ROW(coding, text, kind)                                      \
	{                                                            \
		TELEMETRY_##coding, {(text), sizeof(text) - 1}, kind \
	}
	static const struct {
		enum telemetry_coding coding;
		struct view body;
		enum err_kind kind;
	} rows[] = {
		ROW(PROTOBUF, "\x0a\x00", ERR_NONE),
		ROW(PROTOBUF, "\xf8\x07\x01", ERR_NONE),                                    /* a field nobody knows */
		ROW(PROTOBUF, "\x08\x01", ERR_NONE),                                        /* a known one of another wire */
		ROW(PROTOBUF, "\x00\x01", ERR_INVALID),                                     /* field 0 */
		ROW(PROTOBUF, "\x0b\x0c", ERR_INVALID),                                     /* a group */
		ROW(PROTOBUF, "\x0e", ERR_INVALID),                                         /* wire 6 */
		ROW(PROTOBUF, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ERR_NONE),    /* the largest number */
		ROW(PROTOBUF, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", ERR_INVALID), /* one bit more */
		ROW(PROTOBUF, "\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", ERR_INVALID),
		ROW(PROTOBUF, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ERR_INVALID), /* so long */
		ROW(PROTOBUF, "\x11\x01\x02\x03", ERR_INVALID),
		ROW(PROTOBUF, "\x15\x01\x02\x03", ERR_INVALID),
		ROW(PROTOBUF, "{\"resourceSpans\":[]}", ERR_INVALID),
		ROW(JSON, "{}", ERR_NONE),
		ROW(JSON, "{\"resourceSpans\":null,\"more\":[1]}", ERR_NONE),
		ROW(JSON, "[]", ERR_INVALID),
		ROW(JSON, "{\"resourceSpans\":{}}", ERR_INVALID),
		ROW(JSON, "{\"resourceSpans\":[1]}", ERR_INVALID),
		ROW(JSON, "{\"resourceSpans\":[{\"scopeSpans\":\"x\"}]}", ERR_INVALID),
		ROW(JSON, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[[]]}]}]}", ERR_INVALID),
		ROW(JSON, "{\"resourceSpans\":[{\"resource\":7,\"scopeSpans\":[{\"spans\":[{\"name\":7,\"status\":[]}]}]}]}",
		    ERR_NONE),
		ROW(JSON, "{\"a\":1,\"a\":2}", ERR_INVALID),
	};
#undef ROW

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (parsed(TELEMETRY_TRACES, rows[i].coding, rows[i].body) != rows[i].kind)
			fail_msg("row %zu is not %s", i, err_kind_name(rows[i].kind));
}

static void ids_are_hex_or_base64_and_else_none(void **state)
{
	static const struct {
		const char *id;
		const char *wanted;
	} rows[] = {
		{"eee19b7ec3c1b174", ROOT},
		{"EEE19B7EC3C1B174", ROOT},
		{"7uGbfsPBsXQ=", ROOT},
		{"7uGbfsPBsXQ", ROOT},
		{"eee19b7ec3c1b17", NONE},
		{"eee19b7ec3c1b17g", NONE},
		{"", NONE},
		{"eee19b7ec3c1b1740000", NONE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = text_format("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"spanId\":\"%s\"}]}]}]}",
						   rows[i].id);
		AUTO_TELEMETRY telemetry = {0};

		assert_int_equal(telemetry_parse(TELEMETRY_TRACES, TELEMETRY_JSON, view_of(text), &telemetry, NULL), 0);
		assert_int_equal(telemetry.count, 1);
		assert_memory_equal(telemetry.items[0].id, rows[i].wanted, SPAN_ID_BYTES);
	}
}

/* A span is its name, in a scope, in a part. */
static void texts_are_valid_and_cut(void **state)
{
	static const char bad[] = "\x0a\x0b\x12\x09\x12\x07\x2a\x05"
				  "a\xff\x00\xc3z";
	AUTO_FREE char *name = mem_new(2 * TELEMETRY_TEXT_MAX + 1);
	AUTO_FREE char *text = NULL;
	AUTO_TELEMETRY dirty = {0};
	AUTO_TELEMETRY cut = {0};

	(void)state;
	assert_int_equal(telemetry_parse(TELEMETRY_TRACES, TELEMETRY_PROTOBUF, view_make(bad, sizeof(bad) - 1), &dirty, NULL), 0);
	assert_int_equal(dirty.count, 1);
	assert_string_equal(dirty.items[0].text, "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
	for (size_t i = 1; i < 2 * TELEMETRY_TEXT_MAX - 1; i += 2)
		memcpy(name + i, "\xc3\xb6", 2);
	name[0] = 'x';
	text = text_format("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":\"%s\"}]}]}]}", name);
	assert_int_equal(telemetry_parse(TELEMETRY_TRACES, TELEMETRY_JSON, view_of(text), &cut, NULL), 0);
	assert_int_equal(strlen(cut.items[0].text), TELEMETRY_TEXT_MAX - 1); /* no half of a character */
}

static void items_of(struct buf *out, size_t count)
{
	buf_add_text(out, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{}");
	for (size_t i = 1; i < count; i++)
		buf_add_text(out, ",{}");
	buf_add_text(out, "]}]}]}");
}

static void what_is_too_much_is_over_the_limit(void **state)
{
	AUTO_BUF most = buf_new(TELEMETRY_BODY_MAX);
	AUTO_BUF more = buf_new(TELEMETRY_BODY_MAX);
	AUTO_FREE char *long_body = mem_new(TELEMETRY_BODY_MAX + 1);

	(void)state;
	items_of(&most, TELEMETRY_ITEMS_MAX);
	items_of(&more, TELEMETRY_ITEMS_MAX + 1);
	assert_int_equal(parsed(TELEMETRY_TRACES, TELEMETRY_JSON, buf_view(&most)), ERR_NONE);
	assert_int_equal(parsed(TELEMETRY_TRACES, TELEMETRY_JSON, buf_view(&more)), ERR_LIMIT);
	assert_int_equal(parsed(TELEMETRY_LOGS, TELEMETRY_PROTOBUF, view_make(long_body, TELEMETRY_BODY_MAX + 1)), ERR_LIMIT);
	buf_clear(&more);
	buf_add_text(&more, "{\"x\":[");
	for (size_t value = 0; value < TELEMETRY_VALUES_MAX / 2; value++)
		buf_add_text(&more, "{},");
	buf_add_text(&more, "{}]}");
	assert_int_equal(parsed(TELEMETRY_TRACES, TELEMETRY_JSON, buf_view(&more)), ERR_LIMIT);
}

static void gzip_is_undone_or_refused(void **state)
{
	AUTO_BUF packed = sample_read("traces.pb.gz");
	AUTO_BUF wanted = sample_read("traces.pb");
	AUTO_BUF out = buf_new(TELEMETRY_BODY_MAX);
	struct err err = {0};

	(void)state;
	assert_int_equal(telemetry_gunzip(&out, buf_view(&packed), &err), 0);
	assert_true(view_equal(buf_view(&out), buf_view(&wanted)));
	for (size_t length = 0; length < packed.length; length++) {
		assert_int_equal(telemetry_gunzip(&out, view_make(packed.at, length), &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
	assert_int_equal(telemetry_gunzip(&out, buf_view(&wanted), &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	buf_add_char(&packed, 'x');
	assert_int_equal(telemetry_gunzip(&out, buf_view(&packed), &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

static struct buf zeros_pack(size_t length)
{
	AUTO_FREE char *zeros = mem_new(length);
	struct buf packed = buf_new(TELEMETRY_BODY_MAX);
	char piece[1 << 16];
	z_stream stream = {0};

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_in = (unsigned char *)zeros;
	stream.avail_in = (unsigned)length;
	stream.next_out = (unsigned char *)piece;
	stream.avail_out = sizeof(piece);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	buf_add(&packed, piece, sizeof(piece) - stream.avail_out);
	(void)deflateEnd(&stream);
	return packed;
}

static void a_bomb_of_gzip_goes_off_at_the_limit(void **state)
{
	AUTO_BUF most = zeros_pack(TELEMETRY_BODY_MAX);
	AUTO_BUF bomb = zeros_pack(TELEMETRY_BODY_MAX + 1);
	AUTO_BUF out = buf_new(2 * TELEMETRY_BODY_MAX); /* the limit is not the buffer's */
	struct err err = {0};

	(void)state;
	assert_int_equal(telemetry_gunzip(&out, buf_view(&most), &err), 0);
	assert_int_equal(out.length, TELEMETRY_BODY_MAX);
	assert_int_equal(telemetry_gunzip(&out, buf_view(&bomb), &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_codings_of_a_real_encoder_say_the_same),
		cmocka_unit_test(a_request_that_was_cut_is_refused_whole),
		cmocka_unit_test(bytes_of_no_encoder_are_judged_by_the_row),
		cmocka_unit_test(ids_are_hex_or_base64_and_else_none),
		cmocka_unit_test(texts_are_valid_and_cut),
		cmocka_unit_test(what_is_too_much_is_over_the_limit),
		cmocka_unit_test(gzip_is_undone_or_refused),
		cmocka_unit_test(a_bomb_of_gzip_goes_off_at_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
