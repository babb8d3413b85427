/* WebSocket frames: by rows, in steps of every size, and against what zlib deflates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zlib.h>

#include "base/scope.h"
#include "http/websocket.h"

static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* What came, as text: "T(Hello)" a text message, "B(…)" a binary one, "c(…)", "i(…)", "o(…)" close, ping, pong. */
struct story {
	struct buf text;
	struct buf message;
};

static void on_data(void *self, enum websocket_opcode opcode, struct view bytes, bool first, bool last)
{
	struct story *story = self;

	if (first)
		buf_clear(&story->message);
	buf_add_view(&story->message, bytes);
	if (!last)
		return;
	buf_add_char(&story->text, opcode == WEBSOCKET_TEXT ? 'T' : 'B');
	buf_add_char(&story->text, '(');
	buf_add_view(&story->text, buf_view(&story->message));
	buf_add_char(&story->text, ')');
}

static void on_control(void *self, enum websocket_opcode opcode, struct view payload)
{
	struct story *story = self;

	buf_add_char(&story->text, opcode == WEBSOCKET_CLOSE ? 'c' : opcode == WEBSOCKET_PING ? 'i' : 'o');
	buf_add_char(&story->text, '(');
	if (opcode == WEBSOCKET_CLOSE && payload.length >= 2)
		payload = view_make(payload.at + 2, payload.length - 2);
	buf_add_view(&story->text, payload);
	buf_add_char(&story->text, ')');
}

static const struct websocket_events events = {on_data, on_control};

/* Reads in steps. Returns what came, or the error. */
static char *read_in_steps(const struct websocket_spec *spec, struct view bytes, size_t step)
{
	struct story story = {buf_new(BUF_MAX_DEFAULT), buf_new(BUF_MAX_DEFAULT)};
	struct websocket_spec own = *spec;
	struct websocket_reader *reader;
	struct err err;
	int failed = 0;

	own.events = &events;
	own.self = &story;
	reader = websocket_reader_new(&own);
	while (!failed && bytes.length) {
		size_t used = bytes.length < step ? bytes.length : step;

		failed = websocket_read(reader, view_make(bytes.at, used), &err);
		bytes = view_make(bytes.at + used, bytes.length - used);
	}
	websocket_reader_free(reader);
	if (failed) {
		buf_add_text(&story.text, "!");
		buf_add_text(&story.text, err.text);
	}
	buf_fini(&story.message);
	return buf_take(&story.text);
}

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

static const struct {
	struct view bytes;
	bool masked, deflate;
	const char *wanted; /* after '!' a part of the error */
} rows[] = {
	/* RFC 6455 5.7 and RFC 7692 7.2.3 give these as examples. */
	{BYTES("\x81\x05Hello"), false, false, "T(Hello)"},
	{BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), true, false, "T(Hello)"},
	{BYTES("\x01\x03Hel\x80\x02lo"), false, false, "T(Hello)"},
	{BYTES("\x89\x05Hello\x8a\x00"), false, false, "i(Hello)o()"},
	{BYTES("\x01\x03Hel\x89\x01x\x80\x02lo"), false, false, "i(x)T(Hello)"},
	{BYTES("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), false, true, "T(Hello)"},
	{BYTES("\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00"), false, true, "T(Hello)"},
	{BYTES("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00"), false, true, "T(Hello)T(Hello)"},
	{BYTES("\xc1\x0b\x00\x05\x00\xfa\xffHello\x00"), false, true, "T(Hello)"},
	{BYTES("\x81\x00\x82\x00"), false, false, "T()B()"},
	{BYTES("\x88\x00"), false, false, "c()"},
	{BYTES("\x88\x05\x03\xe8"
	       "bye"),
	 false, false, "c(bye)"},
	{BYTES("\x81\x02\xc3\xa4"), false, false, "T(\xc3\xa4)"},
	{BYTES("\x01\x01\xc3\x80\x01\xa4"), false, false, "T(\xc3\xa4)"},
	{BYTES("\x82\x01\xff"), false, false, "B(\xff)"},
	/* What must not pass (gateway attack list, item 50). */
	{BYTES("\x81\x05Hello"), true, false, "!not masked"},
	{BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), false, false, "!wrongly masked"},
	{BYTES("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), false, false, "!not agreed"},
	{BYTES("\xa1\x00"), false, true, "!not agreed"},
	{BYTES("\x91\x00"), false, true, "!not agreed"},
	{BYTES("\xc9\x00"), false, true, "!not agreed"},
	{BYTES("\x01\x00\xc0\x00"), false, true, "!not agreed"},
	{BYTES("\x83\x00"), false, false, "!unknown opcode 3"},
	{BYTES("\x8b\x00"), false, false, "!unknown opcode 11"},
	{BYTES("\x80\x00"), false, false, "!no message"},
	{BYTES("\x01\x00\x81\x00"), false, false, "!within another"},
	{BYTES("\x09\x00"), false, false, "!split or too long"},
	{BYTES("\x89\x7e\x00\x7e"), false, false, "!split or too long"},
	{BYTES("\x81\x7e\x00\x05Hello"), false, false, "!shortest"},
	{BYTES("\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x05Hello"), false, false, "!shortest"},
	{BYTES("\x81\x7f\xff\x00\x00\x00\x00\x00\x00\x05Hello"), false, false, "!shortest"},
	{BYTES("\x88\x01\x03"), false, false, "!valid code"},
	{BYTES("\x88\x02\x03\xed"), false, false, "!valid code"},
	{BYTES("\x88\x02\x00\x10"), false, false, "!valid code"},
	{BYTES("\x88\x03\x03\xe8\xff"), false, false, "!close reason"},
	{BYTES("\x88\x00\x81\x00"), false, false, "c()!after"},
	{BYTES("\x81\x01\xff"), false, false, "!not UTF-8"},
	{BYTES("\x81\x01\xc3"), false, false, "!not UTF-8"},
	{BYTES("\x81\x03\xed\xa0\x80"), false, false, "!not UTF-8"},
	{BYTES("\x81\x02\xc0\xaf"), false, false, "!not UTF-8"},
	{BYTES("\xc1\x02\xff\xff"), false, true, "!does not inflate"},
	/* A final block ends the stream: what follows it could be read in two ways. */
	{BYTES("\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), false, true, "!does not inflate"},
};

static void frames_are_read_the_same_in_steps_of_any_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct websocket_spec spec = {.masked = rows[i].masked, .deflate = rows[i].deflate};

		for (size_t step = 1; step <= rows[i].bytes.length; step++) {
			AUTO_FREE char *got = read_in_steps(&spec, rows[i].bytes, step);
			const char *error = strchr(rows[i].wanted, '!');
			size_t kept = error ? (size_t)(error - rows[i].wanted) : strlen(rows[i].wanted) + 1;

			if (strncmp(got, rows[i].wanted, kept) != 0 || (error && !strstr(got + kept, error + 1)))
				fail_msg("row %zu in steps of %zu: wanted %s, got %s", i, step, rows[i].wanted, got);
		}
	}
}

static void what_is_written_is_read(void **state)
{
	static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes) * 2; i++) {
		const struct websocket_spec spec = {.masked = i & 1};
		AUTO_FREE char *payload = mem_new(sizes[i / 2] + 1);
		AUTO_BUF frame = buf_new(BUF_MAX_DEFAULT);
		AUTO_FREE char *wanted = NULL;
		AUTO_FREE char *got = NULL;

		memset(payload, 'x', sizes[i / 2]);
		websocket_frame_write(&frame, WEBSOCKET_TEXT, true, false, i & 1 ? mask : NULL, view_of(payload));
		websocket_frame_write(&frame, WEBSOCKET_TEXT, false, true, i & 1 ? mask : NULL, VIEW("end"));
		wanted = text_format("T(%send)", payload);
		got = read_in_steps(&spec, buf_view(&frame), 4096);
		assert_string_equal(got, wanted);
	}
}

/* A message of one byte over and over, deflated as permessage-deflate wants it. */
static void deflated_frame(struct buf *frame, size_t bytes)
{
	AUTO_FREE unsigned char *plain = mem_new(bytes);
	size_t room = compressBound(bytes) + 64;
	AUTO_FREE unsigned char *packed = mem_new(room);
	z_stream stream = {.next_in = plain, .avail_in = (unsigned)bytes, .next_out = packed, .avail_out = (unsigned)room};
	size_t length;

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
	length = room - stream.avail_out - 4;
	(void)deflateEnd(&stream);
	websocket_frame_write(frame, WEBSOCKET_BINARY, true, true, NULL, view_make(packed, length));
	frame->at[0] = (char)((unsigned char)frame->at[0] | 0x40);
}

static void a_message_that_blows_up_is_refused(void **state)
{
	const struct websocket_spec deflating = {.deflate = true};
	const struct websocket_spec small = {.deflate = true, .message_bytes_max = 1000};
	AUTO_BUF harmless = buf_new(BUF_MAX_DEFAULT);
	AUTO_BUF bomb = buf_new(BUF_MAX_DEFAULT);
	AUTO_FREE char *passed = NULL;
	AUTO_FREE char *over_ratio = NULL;
	AUTO_FREE char *over_maximum = NULL;

	(void)state;
	deflated_frame(&harmless, 1 << 20);
	deflated_frame(&bomb, 64 << 20);
	passed = read_in_steps(&deflating, buf_view(&harmless), 4096);
	over_ratio = read_in_steps(&deflating, buf_view(&bomb), 4096);
	over_maximum = read_in_steps(&small, buf_view(&harmless), 4096);
	assert_int_equal(passed[0], 'B');
	assert_non_null(strstr(over_ratio, "over 200 times"));
	assert_non_null(strstr(over_maximum, "more than 1000 bytes"));
}

static void only_understood_offers_are_passed_on(void **state)
{
	static const struct {
		const char *offers, *passed; /* NULL: an error */
	} cases[] = {
		{"permessage-deflate", "permessage-deflate"},
		{"permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits"},
		{"x-webkit-deflate-frame, permessage-deflate;server_max_window_bits=\"10\" ; Client_No_Context_Takeover",
		 "permessage-deflate; client_no_context_takeover; server_max_window_bits=10"},
		{"permessage-deflate; secret=abc, permessage-deflate", "permessage-deflate"},
		{"permessage-deflate; server_max_window_bits=16", ""},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
		{"foo; bar=1", ""},
		{"", ""},
		{"a b", NULL},
		{"permessage-deflate; =1", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);
		struct err err;
		int result = websocket_offers_filter(view_of(cases[i].offers), &out, &err);

		assert_int_equal(result, cases[i].passed ? 0 : -1);
		if (cases[i].passed && !view_is(buf_view(&out), cases[i].passed))
			fail_msg("%s: got %.*s", cases[i].offers, (int)out.length, buf_view(&out).at);
	}
}

static void the_answer_may_agree_to_one_deflate_or_none(void **state)
{
	struct websocket_deflate deflate;

	(void)state;
	assert_int_equal(websocket_deflate_parse(VIEW(""), &deflate, NULL), 0);
	assert_false(deflate.agreed);
	assert_int_equal(websocket_deflate_parse(VIEW("permessage-deflate; server_no_context_takeover"), &deflate, NULL), 0);
	assert_true(deflate.agreed && deflate.server_no_context_takeover && !deflate.client_no_context_takeover);
	assert_int_equal(websocket_deflate_parse(VIEW("permessage-deflate, permessage-deflate"), &deflate, NULL), -1);
	assert_int_equal(websocket_deflate_parse(VIEW("permessage-deflate; client_max_window_bits"), &deflate, NULL), -1);
	assert_int_equal(websocket_deflate_parse(VIEW("x-other"), &deflate, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_read_the_same_in_steps_of_any_size),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_message_that_blows_up_is_refused),
		cmocka_unit_test(only_understood_offers_are_passed_on),
		cmocka_unit_test(the_answer_may_agree_to_one_deflate_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
