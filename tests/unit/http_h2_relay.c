/* HTTP/2 that passes: two ends of ours with a relay between them, and frames of hostile peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/scope.h"
#include "http/h2.h"
#include "http/h2_relay.h"

static int64_t now_ms(void)
{
	return 0;
}

/* ---- the two ends, and what passes between them ---- */

struct between {
	struct h2 *ends[2]; /* by enum h2_relay_side */
	struct h2_relay *relay;
	struct buf out[2];   /* to that end */
	struct buf story[2]; /* what that end was told */
	struct buf seen;     /* by the relay */
	size_t content[2];   /* bytes of bodies from that side */
	struct h2_stream *last;
	bool drops; /* the next request of the client does not go on */
	uint32_t dropped;
};

static void end_head(struct between *between, enum h2_relay_side side, struct h2_stream *stream, const struct h2_head *head)
{
	between->last = stream;
	buf_add_format(&between->story[side], "%.*s%u %.*s", (int)head->method.length, head->method.at, head->status,
		       (int)head->path.length, head->path.at);
	for (size_t i = 0; i < head->field_count; i++)
		buf_add_format(&between->story[side], " %.*s=%zu", (int)head->fields[i].name.length, head->fields[i].name.at,
			       head->fields[i].value.length);
	buf_add_char(&between->story[side], '\n');
}

#define END_EVENTS(name, side)                                                                      \
	static void name##_head(void *self, struct h2_stream *stream, const struct h2_head *head)   \
	{                                                                                           \
		end_head(self, side, stream, head);                                                 \
	}                                                                                           \
	static void name##_data(void *self, struct h2_stream *stream, struct view bytes)            \
	{                                                                                           \
		buf_add_format(&((struct between *)self)->story[side], "data %zu\n", bytes.length); \
		h2_consumed(stream, bytes.length);                                                  \
	}                                                                                           \
	static void name##_closed(void *self, struct h2_stream *stream, const char *why)            \
	{                                                                                           \
		(void)stream;                                                                       \
		buf_add_format(&((struct between *)self)->story[side], "%s\n", why ? why : "well"); \
	}
END_EVENTS(client, H2_RELAY_CLIENT)
END_EVENTS(server, H2_RELAY_SERVER)

static void on_trailers(void *self, struct h2_stream *stream, const struct h2_field *fields, size_t count)
{
	(void)stream;
	for (size_t i = 0; i < count; i++)
		buf_add_format(&((struct between *)self)->story[H2_RELAY_CLIENT], "trailer %.*s=%.*s\n", (int)fields[i].name.length,
			       fields[i].name.at, (int)fields[i].value.length, fields[i].value.at);
}

static void on_nothing(void *self, struct h2_stream *stream)
{
	(void)self;
	(void)stream;
}

static const struct h2_events client_events = {.head = client_head,
					       .data = client_data,
					       .trailers = on_trailers,
					       .end = on_nothing,
					       .room = on_nothing,
					       .closed = client_closed};
static const struct h2_events server_events = {.head = server_head,
					       .data = server_data,
					       .trailers = on_trailers,
					       .end = on_nothing,
					       .room = on_nothing,
					       .closed = server_closed};

static void on_frame(void *self, enum h2_relay_side from, const struct h2_relay_frame *frame, struct view wire)
{
	struct between *between = self;

	if (frame->type == H2_RELAY_HEADERS && from == H2_RELAY_CLIENT && between->drops) {
		between->drops = false;
		between->dropped = frame->stream;
	}
	if (frame->type == H2_RELAY_HEADERS)
		buf_add_format(&between->seen, "%c%u %.*s=%.*s%s\n", from == H2_RELAY_CLIENT ? 'c' : 's', frame->stream,
			       (int)frame->fields[0].name.length, frame->fields[0].name.at, (int)frame->fields[0].value.length,
			       frame->fields[0].value.at, frame->end ? " end" : "");
	if (!frame->stream || frame->stream != between->dropped)
		buf_add_view(&between->out[from == H2_RELAY_CLIENT ? H2_RELAY_SERVER : H2_RELAY_CLIENT], wire);
}

static void on_data(void *self, enum h2_relay_side from, struct view wire, struct view content, bool last)
{
	struct between *between = self;

	(void)last;
	between->content[from] += content.length;
	buf_add_view(&between->out[from == H2_RELAY_CLIENT ? H2_RELAY_SERVER : H2_RELAY_CLIENT], wire);
}

static const struct h2_relay_events relay_events = {on_frame, on_data};

static void between_open(struct between *between)
{
	*between = (struct between){.seen = buf_new(BUF_MAX_DEFAULT)};
	for (int i = 0; i < 2; i++) {
		between->out[i] = buf_new(BUF_MAX_DEFAULT);
		between->story[i] = buf_new(BUF_MAX_DEFAULT);
	}
	between->relay = h2_relay_new(&relay_events, between);
	between->ends[H2_RELAY_CLIENT] = h2_new(H2_CLIENT, &client_events, between, now_ms);
	between->ends[H2_RELAY_SERVER] = h2_new(H2_SERVER, &server_events, between, now_ms);
}

static void between_close(struct between *between)
{
	for (int i = 0; i < 2; i++) {
		h2_free(between->ends[i]);
		buf_fini(&between->out[i]);
		buf_fini(&between->story[i]);
	}
	h2_relay_free(between->relay);
	buf_fini(&between->seen);
}

/* Until neither end has anything to say; bytes come in pieces of `step`. */
static void carry(struct between *between, size_t step)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (int i = 0; i < 2; i++) {
			AUTO_BUF bytes = buf_new(BUF_MAX_DEFAULT);

			assert_int_equal(h2_output(between->ends[i], &bytes, NULL), 0);
			for (size_t at = 0; at < bytes.length; at += step)
				assert_int_equal(
					h2_relay_feed(between->relay, (enum h2_relay_side)i,
						      view_make(bytes.at + at, bytes.length - at < step ? bytes.length - at : step),
						      NULL),
					0);
			assert_false(h2_relay_mid_frame(between->relay, (enum h2_relay_side)i));
			moved = moved || bytes.length;
		}
		for (int i = 0; i < 2; i++) {
			if (between->out[i].length)
				assert_int_equal(h2_feed(between->ends[i], buf_view(&between->out[i]), NULL), 0);
			buf_clear(&between->out[i]);
		}
	}
}

static struct h2_stream *ask(struct between *between, const char *path, const struct h2_field *fields, size_t count, bool end)
{
	const struct h2_head head = {.method = VIEW("POST"),
				     .scheme = VIEW("http"),
				     .authority = VIEW("cart:80"),
				     .path = view_of(path),
				     .fields = fields,
				     .field_count = count,
				     .content_length = -1,
				     .end = end};

	return h2_request(between->ends[H2_RELAY_CLIENT], &head, between, NULL);
}

static void calls_with_trailers_pass_in_any_pieces(void **state)
{
	static const size_t steps[] = {1, 7, 1 << 20};
	AUTO_FREE char *body = mem_new(100001);
	AUTO_FREE char *wide = mem_new(20001);
	const struct h2_field sent[] = {{VIEW("te"), VIEW("trailers")}, {VIEW("x-wide"), view_make(wide, 20000)}};
	static const struct h2_field end[] = {{VIEW("grpc-status"), VIEW("5")}};

	(void)state;
	memset(body, 'b', 100000);
	memset(wide, 'w', 20000); /* a header block of several frames */
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct between between;

		between_open(&between);
		for (int turn = 0; turn < 3; turn++) { /* the second time the client's table is used */
			struct h2_stream *asked = ask(&between, "/shop.Cart/Get", sent, ARRAY_LEN(sent), false);

			assert_non_null(asked);
			h2_send(asked, view_make(body, 100000), true);
			carry(&between, steps[i]);
			assert_int_equal(h2_respond(between.last, 200, sent, 1, false, NULL), 0);
			h2_send(between.last, VIEW("abc"), false);
			h2_send_trailers(between.last, end, 1);
			carry(&between, steps[i]);
		}
		assert_int_equal(between.content[H2_RELAY_CLIENT], 300000);
		assert_int_equal(between.content[H2_RELAY_SERVER], 9);
		assert_non_null(strstr(between.story[H2_RELAY_SERVER].at, "POST0 /shop.Cart/Get te=8 x-wide=20000\n"));
		assert_string_equal(between.story[H2_RELAY_CLIENT].at, "200  te=8\ndata 3\ntrailer grpc-status=5\nwell\n"
								       "200  te=8\ndata 3\ntrailer grpc-status=5\nwell\n"
								       "200  te=8\ndata 3\ntrailer grpc-status=5\nwell\n");
		assert_string_equal(between.seen.at, "c1 :method=POST\ns1 :status=200\ns1 grpc-status=5 end\n"
						     "c3 :method=POST\ns3 :status=200\ns3 grpc-status=5 end\n"
						     "c5 :method=POST\ns5 :status=200\ns5 grpc-status=5 end\n");
		between_close(&between);
	}
}

static void a_request_that_is_left_out_and_answered_in_between_harms_no_other(void **state)
{
	static const struct h2_field sent[] = {{VIEW("x-tenant"), VIEW("t1")}};
	static const struct h2_field own[] = {{VIEW(":status"), VIEW("503")}, {VIEW("retry-after"), VIEW("1")}};
	struct between between;

	(void)state;
	between_open(&between);
	between.drops = true; /* its field is remembered by the client only */
	assert_non_null(ask(&between, "/a", sent, 1, true));
	carry(&between, 5);
	assert_int_equal(between.story[H2_RELAY_SERVER].length, 0);
	h2_relay_headers_format(between.relay, H2_RELAY_CLIENT, between.dropped, own, ARRAY_LEN(own), false,
				&between.out[H2_RELAY_CLIENT]);
	h2_relay_data_format(between.dropped, VIEW("no"), true, &between.out[H2_RELAY_CLIENT]);
	assert_non_null(ask(&between, "/b", sent, 1, true));
	carry(&between, 5);
	assert_int_equal(h2_respond(between.last, 200, sent, 1, true, NULL), 0);
	carry(&between, 5);
	assert_string_equal(between.story[H2_RELAY_SERVER].at, "POST0 /b x-tenant=2\nwell\n");
	assert_string_equal(between.story[H2_RELAY_CLIENT].at, "503  retry-after=1\ndata 2\nwell\n200  x-tenant=2\nwell\n");
	between_close(&between);
}

/* ---- hostile peers ---- */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS "\0\0\0\4\0\0\0\0\0"

static void ignore_frame(void *self, enum h2_relay_side from, const struct h2_relay_frame *frame, struct view wire)
{
	(void)self;
	(void)from;
	(void)frame;
	(void)wire;
}

static void ignore_data(void *self, enum h2_relay_side from, struct view wire, struct view content, bool last)
{
	(void)self;
	(void)from;
	(void)wire;
	(void)content;
	(void)last;
}

static void what_is_no_http2_ends_the_connection(void **state)
{
	static const struct h2_relay_events nothing = {ignore_frame, ignore_data};
	static const struct {
		struct view bytes;
		const char *error; /* NULL: it is taken */
	} rows[] = {
		{VIEW(PREFACE SETTINGS), NULL},
		{VIEW("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), "does not begin"},
		{VIEW(PREFACE "\0\0\2\1\4\0\0\0\1\x82\x87"), NULL},
		{VIEW(PREFACE "\0\0\2\1\4\0\0\0\0\x82\x87"), "header frame"},     /* of no stream */
		{VIEW(PREFACE "\0\0\1\1\4\0\0\0\1\xff"), "header block"},         /* a number that does not end */
		{VIEW(PREFACE "\0\0\1\1\4\0\0\0\1\xfe"), "header block"},         /* remembers nothing of that number */
		{VIEW(PREFACE "\0\0\1\1\0\0\0\0\1\x82" SETTINGS), "interrupted"}, /* a block that is not over */
		{VIEW(PREFACE "\0\0\1\1\0\0\0\0\1\x82\0\0\1\x9\4\0\0\0\3\x87"), "interrupted"},
		{VIEW(PREFACE "\0\0\1\1\0\0\0\0\1\x82\0\0\1\x9\4\0\0\0\1\x87"), NULL},
		{VIEW(PREFACE "\0\0\1\x9\4\0\0\0\1\x87"), "interrupted"}, /* one that never began */
		{VIEW(PREFACE "\0\0\3\1\xc\0\0\0\1\x9\x82\x87"), "padding"},
		{VIEW(PREFACE "\0\0\3\1\xc\0\0\0\1\1\x82\x87"), NULL},
		{VIEW(PREFACE "\0\0\4\1\x24\0\0\0\1\0\0\0\0"), "header frame"}, /* a priority that is cut */
		{VIEW(PREFACE "\0\0\4\5\4\0\0\0\1\0\0\0\2"), "header frame"},   /* a client promises nothing */
		{VIEW(PREFACE "\0\0\2\0\0\0\0\0\0ab"), "data where"},
		{VIEW(PREFACE "\0\0\0\0\x8\0\0\0\1"), "data where"}, /* padded, with no room to say so */
		{VIEW(PREFACE "\0\0\2\0\x8\0\0\0\1\2a"), "padding"},
		{VIEW(PREFACE "\0\0\3\0\x8\0\0\0\1\2aa"), NULL},
		{VIEW(PREFACE "\0\0\3\3\0\0\0\0\1\0\0\0"), "reset"},
		{VIEW(PREFACE "\1\0\1\4\0\0\0\0\0"), "a frame of 65537 bytes"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t step = 1; step < 4096; step += 4000) {
			struct h2_relay *relay = h2_relay_new(&nothing, NULL);
			struct err err = {0};
			int result = 0;

			for (size_t at = 0; at < rows[i].bytes.length && !result; at += step) {
				size_t left = rows[i].bytes.length - at;

				result = h2_relay_feed(relay, H2_RELAY_CLIENT,
						       view_make(rows[i].bytes.at + at, left < step ? left : step), &err);
			}
			if (rows[i].error ? !result || !strstr(err.text, rows[i].error) : result)
				fail_msg("row %zu: %d %s", i, result, err.text);
			h2_relay_free(relay);
		}
}

static void a_header_section_has_its_limits(void **state)
{
	static const struct h2_relay_events nothing = {ignore_frame, ignore_data};
	struct h2_relay *relay = h2_relay_new(&nothing, NULL);
	AUTO_BUF bytes = buf_new(BUF_MAX_DEFAULT);
	struct err err = {0};

	(void)state;
	/* One large field is remembered, and named again and again: few bytes, much text. */
	buf_add(&bytes, PREFACE "\0\x03\xfd\1\0\0\0\0\1", sizeof(PREFACE) - 1 + 9);
	buf_add(&bytes, "\x40\1x\x7f\xe9\6", 6);
	for (size_t i = 0; i < 1000; i++)
		buf_add_char(&bytes, 'v');
	for (size_t i = 0; i < 15; i++)
		buf_add_char(&bytes, (char)0xbe);
	assert_int_equal(h2_relay_feed(relay, H2_RELAY_CLIENT, buf_view(&bytes), &err), 0);
	buf_clear(&bytes);
	buf_add(&bytes, "\0\x01\x2c\x9\4\0\0\0\1", 9);
	for (size_t i = 0; i < 300; i++)
		buf_add_char(&bytes, (char)0xbe);
	assert_int_equal(h2_relay_feed(relay, H2_RELAY_CLIENT, buf_view(&bytes), &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	h2_relay_free(relay);
}

static void beginnings_are_known(void **state)
{
	(void)state;
	assert_true(h2_relay_looks_more(VIEW("PRI * HTTP")));
	assert_false(h2_relay_looks_more(VIEW("PRIX")));
	assert_false(h2_relay_looks_more(VIEW(PREFACE)));
	assert_true(h2_relay_looks(VIEW(PREFACE SETTINGS)));
	assert_false(h2_relay_looks(VIEW("PRI * HTTP/1.1\r\nHost: a\r\n\r\n")));
	assert_true(h2_relay_looks_server(VIEW("\0\0\x6\4\0\0\0\0\0\0\3\0\0\0\x64")));
	assert_false(h2_relay_looks_server(VIEW("\0\0\5\4\0\0\0\0\0")));
	assert_false(h2_relay_looks_server(VIEW("+OK\r\n")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_with_trailers_pass_in_any_pieces),
		cmocka_unit_test(a_request_that_is_left_out_and_answered_in_between_harms_no_other),
		cmocka_unit_test(what_is_no_http2_ends_the_connection),
		cmocka_unit_test(a_header_section_has_its_limits),
		cmocka_unit_test(beginnings_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
