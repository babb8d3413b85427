/* HTTP/2: both ends against each other, and raw frames of hostile peers (gateway attack list, item 38) against one end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/scope.h"
#include "http/h2.h"

static int64_t clock_ms;

static int64_t now_ms(void)
{
	return clock_ms;
}

/* One end: what happened there, in words, and its streams. */
struct end {
	struct h2 *h2;
	struct buf story;
	struct h2_stream *last;
	size_t bytes; /* of bodies */
	bool holds;   /* does not credit what comes */
	size_t rooms;
};

static void on_head(void *self, struct h2_stream *stream, const struct h2_head *head)
{
	struct end *end = self;

	end->last = stream;
	if (head->status)
		buf_add_format(&end->story, "%u", head->status);
	else
		buf_add_format(&end->story, "%.*s %.*s %.*s", (int)head->method.length, head->method.at,
			       (int)head->authority.length, head->authority.at, (int)head->path.length, head->path.at);
	if (head->host.length)
		buf_add_format(&end->story, " host=%.*s", (int)head->host.length, head->host.at);
	for (size_t i = 0; i < head->field_count && i < 4; i++)
		buf_add_format(&end->story, " %.*s=%.*s", (int)head->fields[i].name.length, head->fields[i].name.at,
			       (int)head->fields[i].value.length, head->fields[i].value.at);
	buf_add_text(&end->story, head->end ? " end;" : ";");
}

static void on_informational(void *self, struct h2_stream *stream, unsigned status)
{
	struct end *end = self;

	(void)stream;
	buf_add_format(&end->story, "%u;", status);
}

static void on_data(void *self, struct h2_stream *stream, struct view bytes)
{
	struct end *end = self;

	end->bytes += bytes.length;
	if (bytes.length < 64)
		buf_add_view(&end->story, bytes);
	if (!end->holds)
		h2_consumed(stream, bytes.length);
}

static void on_trailers(void *self, struct h2_stream *stream, const struct h2_field *fields, size_t count)
{
	struct end *end = self;

	(void)stream;
	for (size_t i = 0; i < count; i++)
		buf_add_format(&end->story, "trailer %.*s=%.*s;", (int)fields[i].name.length, fields[i].name.at,
			       (int)fields[i].value.length, fields[i].value.at);
}

static void on_end(void *self, struct h2_stream *stream)
{
	(void)stream;
	buf_add_text(&((struct end *)self)->story, "end;");
}

static void on_room(void *self, struct h2_stream *stream)
{
	(void)stream;
	((struct end *)self)->rooms++;
}

static void on_closed(void *self, struct h2_stream *stream, const char *why)
{
	struct end *end = self;

	buf_add_format(&end->story, "closed %s;", why ? why : "well");
	if (end->last == stream)
		end->last = NULL;
}

static const struct h2_events events = {on_head, on_informational, on_data, on_trailers, on_end, on_room, on_closed};

static void end_init(struct end *end, enum h2_role role)
{
	*end = (struct end){.story = buf_new(BUF_MAX_DEFAULT)};
	end->h2 = h2_new(role, &events, end, now_ms);
}

static void end_fini(struct end *end)
{
	h2_free(end->h2);
	buf_fini(&end->story);
}

/* Carries bytes both ways, in pieces of at most `step`, until neither end has any. */
static void carry(struct end *a, struct end *b, size_t step)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (int way = 0; way < 2; way++) {
			struct end *from = way ? b : a;
			struct end *to = way ? a : b;
			AUTO_BUF bytes = buf_new(BUF_MAX_DEFAULT);

			assert_int_equal(h2_output(from->h2, &bytes, NULL), 0);
			for (size_t at = 0; at < bytes.length; at += step) {
				size_t length = bytes.length - at < step ? bytes.length - at : step;

				assert_int_equal(h2_feed(to->h2, view_make(bytes.at + at, length), NULL), 0);
			}
			moved = moved || bytes.length;
		}
	}
}

static struct h2_head request_of(const char *method, bool end, const struct h2_field *fields, size_t count)
{
	return (struct h2_head){.method = view_of(method),
				.scheme = VIEW("https"),
				.authority = VIEW("ok.test"),
				.path = VIEW("/a?b"),
				.fields = fields,
				.field_count = count,
				.content_length = -1,
				.end = end};
}

static void a_call_with_trailers_goes_through(void **state)
{
	static const struct h2_field sent[] = {{VIEW("te"), VIEW("trailers")},
					       {VIEW("cookie"), VIEW("a=1")},
					       {VIEW("x"), VIEW("y")},
					       {VIEW("cookie"), VIEW("b=2")}};
	static const struct h2_field answered[] = {{VIEW("content-type"), VIEW("application/grpc")}};
	static const struct h2_field trailers[] = {{VIEW("grpc-status"), VIEW("0")}, {VIEW("grpc-message"), VIEW("")}};
	const struct h2_head head = request_of("POST", false, sent, ARRAY_LEN(sent));

	(void)state;
	for (size_t step = 1; step < 5000; step = step * 3 + 1) {
		struct end client, server;
		struct h2_stream *stream;

		end_init(&client, H2_CLIENT);
		end_init(&server, H2_SERVER);
		carry(&client, &server, step);
		assert_true(h2_accepts(client.h2));
		stream = h2_request(client.h2, &head, NULL, NULL);
		assert_non_null(stream);
		h2_send(stream, VIEW("hello"), false);
		carry(&client, &server, step);
		assert_int_equal(h2_respond(server.last, 100, NULL, 0, false, NULL), 0);
		assert_int_equal(h2_respond(server.last, 200, answered, ARRAY_LEN(answered), false, NULL), 0);
		h2_send(server.last, VIEW("world"), false);
		carry(&client, &server, step);
		h2_send(stream, VIEW(""), true);
		h2_send_trailers(server.last, trailers, ARRAY_LEN(trailers));
		carry(&client, &server, step);
		assert_string_equal(server.story.at, "POST ok.test /a?b te=trailers x=y cookie=a=1; b=2;helloend;closed well;");
		assert_string_equal(client.story.at, "100;200 content-type=application/grpc;world"
						     "trailer grpc-status=0;trailer grpc-message=;end;closed well;");
		assert_int_equal(h2_stream_count(client.h2) + h2_stream_count(server.h2), 0);
		end_fini(&client);
		end_fini(&server);
	}
}

static void a_body_waits_until_the_reader_takes_it(void **state)
{
	const struct h2_head head = request_of("PUT", false, NULL, 0);
	AUTO_FREE char *body = mem_new(4 << 20);
	struct end client, server;
	struct h2_stream *stream;
	size_t held;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	carry(&client, &server, 65536);
	server.holds = true;
	stream = h2_request(client.h2, &head, NULL, NULL);
	h2_send(stream, view_make(body, 4 << 20), true);
	carry(&client, &server, 65536);
	held = server.bytes;
	assert_true(held > 0 && held <= H2_WINDOW_BYTES);
	assert_int_equal(h2_waiting(stream), (4 << 20) - held);
	server.holds = false;
	h2_consumed(server.last, held);
	carry(&client, &server, 65536);
	assert_int_equal(server.bytes, 4 << 20);
	assert_int_equal(client.rooms, 1);
	end_fini(&client);
	end_fini(&server);
}

static void what_a_reset_stream_left_does_not_fill_the_connection(void **state)
{
	const struct h2_head head = request_of("PUT", false, NULL, 0);
	AUTO_FREE char *body = mem_new(H2_WINDOW_BYTES);
	struct end client, server;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	carry(&client, &server, 65536);
	server.holds = true;
	for (int i = 0; i < 40; i++) {
		struct h2_stream *stream = h2_request(client.h2, &head, NULL, NULL);

		server.bytes = 0;
		h2_send(stream, view_make(body, H2_WINDOW_BYTES), false);
		carry(&client, &server, 65536);
		assert_int_equal(server.bytes, H2_WINDOW_BYTES);
		h2_reset(server.last, 8);
		carry(&client, &server, 65536);
	}
	end_fini(&client);
	end_fini(&server);
}

/* At once or with the rest, where that is short (a state that is not NULL). */
static void an_answer_that_came_early_ends_the_request(void **state)
{
	const struct h2_head head = request_of("PUT", false, NULL, 0);
	struct end client, server;
	struct h2_stream *stream;

	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	carry(&client, &server, 65536);
	stream = h2_request(client.h2, &head, NULL, NULL);
	h2_send(stream, VIEW("some of it"), false);
	carry(&client, &server, 65536);
	assert_int_equal(h2_respond(server.last, 413, NULL, 0, false, NULL), 0);
	h2_send(server.last, VIEW("large"), true);
	carry(&client, &server, 65536);
	assert_string_equal(server.story.at, "PUT ok.test /a?b;some of it");
	assert_non_null(strstr(client.story.at, "413;largeend;"));
	if (*state) {
		h2_send(stream, VIEW(" and all"), true);
	} else {
		AUTO_FREE char *more = mem_new(H2_WINDOW_BYTES);

		h2_send(stream, view_make(more, H2_WINDOW_BYTES), false);
	}
	carry(&client, &server, 65536);
	assert_string_equal(server.story.at, "PUT ok.test /a?b;some of itclosed answered before it was whole;");
	assert_non_null(strstr(client.story.at, "413;largeend;closed "));
	assert_int_equal(h2_stream_count(client.h2) + h2_stream_count(server.h2), 0);
	end_fini(&client);
	end_fini(&server);
}

/* The windows of streams are their own: the connection's is given back at once. */
static void streams_that_wait_hold_no_other_up(void **state)
{
	const struct h2_head head = request_of("PUT", false, NULL, 0);
	AUTO_FREE char *body = mem_new(H2_WINDOW_BYTES);
	struct end client, server;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	carry(&client, &server, 65536);
	server.holds = true;
	for (size_t i = 0; i < 2 * H2_CONNECTION_WINDOW_BYTES / H2_WINDOW_BYTES; i++) {
		server.bytes = 0;
		h2_send(h2_request(client.h2, &head, NULL, NULL), view_make(body, H2_WINDOW_BYTES), false);
		carry(&client, &server, 65536);
		assert_int_equal(server.bytes, H2_WINDOW_BYTES);
	}
	end_fini(&client);
	end_fini(&server);
}

static void the_end_of_the_connection_closes_what_is_open(void **state)
{
	const struct h2_head head = request_of("GET", true, NULL, 0);
	struct end client, server;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	carry(&client, &server, 65536);
	(void)h2_request(client.h2, &head, NULL, NULL);
	carry(&client, &server, 65536);
	h2_wind_down(server.h2);
	carry(&client, &server, 65536);
	assert_false(h2_accepts(client.h2));
	assert_int_equal(h2_respond(server.last, 204, NULL, 0, true, NULL), 0);
	carry(&client, &server, 65536);
	assert_string_equal(client.story.at, "204 end;end;closed well;");
	assert_true(h2_over(client.h2) && h2_over(server.h2));
	end_fini(&client);
	end_fini(&server);
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	carry(&client, &server, 65536);
	(void)h2_request(client.h2, &head, NULL, NULL);
	h2_free(client.h2);
	assert_string_equal(client.story.at, "closed the connection ended;");
	buf_fini(&client.story);
	end_fini(&server);
}

static void no_more_streams_than_the_peer_lets(void **state)
{
	const struct h2_head head = request_of("GET", true, NULL, 0);
	struct end client, server;

	(void)state;
	end_init(&client, H2_CLIENT);
	end_init(&server, H2_SERVER);
	carry(&client, &server, 65536);
	for (int i = 0; i < H2_STREAMS_MAX; i++)
		assert_non_null(h2_request(client.h2, &head, NULL, NULL));
	assert_null(h2_request(client.h2, &head, NULL, NULL));
	carry(&client, &server, 65536);
	assert_int_equal(h2_stream_count(server.h2), H2_STREAMS_MAX);
	end_fini(&client);
	end_fini(&server);
}

/* Raw frames. */

enum { DATA = 0, HEADERS = 1, PRIORITY = 2, RST = 3, SETTINGS = 4, PING = 6, WINDOW = 8, CONTINUATION = 9 };
enum { END_STREAM = 1, END_HEADERS = 4 };

static void frame_add(struct buf *out, unsigned type, unsigned flags, unsigned stream, struct view payload)
{
	for (int shift = 16; shift >= 0; shift -= 8)
		buf_add_char(out, (char)(payload.length >> shift & 0xff));
	buf_add_char(out, (char)type);
	buf_add_char(out, (char)flags);
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_char(out, (char)(stream >> shift & 0xff));
	buf_add_view(out, payload);
}

/* "name\nvalue\nname\nvalue": literals without indexing (RFC 7541 6.2.2). */
static void block_add(struct buf *out, struct view text)
{
	while (text.at && text.length) {
		struct view name = view_cut(text, '\n', &text);
		struct view value = view_cut(text, '\n', &text);

		buf_add_char(out, 0);
		buf_add_char(out, (char)name.length);
		buf_add_view(out, name);
		buf_add_char(out, (char)value.length);
		buf_add_view(out, value);
	}
}

/* The connection may end of it. */
static void feed_hostile(struct end *server, const struct buf *bytes)
{
	struct err err;

	if (h2_feed(server->h2, buf_view(bytes), &err))
		assert_true(err.text[0]);
}

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define GET ":method\nGET\n:scheme\nhttps\n:authority\nok.test\n:path\n/"
#define POST ":method\nPOST\n:scheme\nhttps\n:authority\nok.test\n:path\n/\n"
#define ROW(fields, wanted)                        \
	{                                          \
		fields, sizeof(fields) - 1, wanted \
	}

/* What one request of literal fields is told as; "" is: not at all. */
static const struct {
	const char *fields;
	size_t length;
	const char *wanted;
} heads[] = {
	ROW(GET, "GET ok.test /;"),
	ROW(GET "\nhost\nok.test", "GET ok.test / host=ok.test;"),
	ROW(GET "\nhost\nevil.test", "GET ok.test / host=evil.test;"), /* the caller compares */
	ROW(GET "\nhost\nok.test\nhost\nevil.test", ""),
	ROW(GET "\n:authority\nevil.test", ""),
	ROW(GET "\nX\ny", ""),
	ROW(GET "\n\ny", ""),
	ROW(GET "\nx\na\rb", ""),
	ROW(GET "\nx\na\0b", ""),
	ROW(GET "\nx y\nz", ""),
	ROW(GET "\nte\ngzip", ""),
	ROW(GET "\nte\ntrailers", "GET ok.test / te=trailers;"),
	ROW(GET "\nconnection\nclose", ""),
	ROW(GET "\nkeep-alive\n1", ""),
	ROW(GET "\nproxy-connection\n1", ""),
	ROW(GET "\nupgrade\nh2c", ""),
	ROW(GET "\ntransfer-encoding\nchunked", ""),
	ROW(GET "\ncontent-length\n5\ncontent-length\n6", ""),
	ROW(GET "\ncontent-length\n-1", ""),
	ROW(GET "\n:path\n/b", ""),
	ROW(GET "\nx\ny\n:method\nPUT", ""),
	ROW(GET "\n:protocol\nwebsocket", ""),
	ROW(GET "\n:status\n200", ""),
	ROW(":method\nGET\n:scheme\nhttps\n:authority\nok.test\n:path\nb", ""),
	ROW(":method\nGET\n:scheme\nhttps\n:authority\nok.test\n:path\n", ""),
	ROW(":method\nGET\n:authority\nok.test\n:path\n/", ""),
	ROW(":method\nG T\n:scheme\nhttps\n:authority\nok.test\n:path\n/", ""),
	ROW(":method\nGET\n:scheme\nhttps\n:authority\nok@test/\n:path\n/", ""),
	ROW(":method\nCONNECT\n:authority\nok.test:443", "CONNECT ok.test:443 ;"),
};

static void heads_that_two_could_read_in_two_ways_are_not_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		AUTO_BUF bytes = buf_new(BUF_MAX_DEFAULT);
		AUTO_BUF block = buf_new(BUF_MAX_DEFAULT);
		struct end server;
		struct view story;

		end_init(&server, H2_SERVER);
		buf_add_text(&bytes, PREFACE);
		frame_add(&bytes, SETTINGS, 0, 0, view_make("", 0));
		block_add(&block, view_make(heads[i].fields, heads[i].length));
		frame_add(&bytes, HEADERS, END_HEADERS, 1, buf_view(&block));
		feed_hostile(&server, &bytes);
		story = buf_view(&server.story);
		if (!view_is(story, heads[i].wanted))
			fail_msg("row %zu: wanted `%s`, got `%.*s`", i, heads[i].wanted, (int)story.length, story.at);
		end_fini(&server);
	}
}

/* Feeds a preface, then `count` times what `frame` adds. Returns whether the server gave up on the connection. */
static bool flood(struct end *server, unsigned count, void (*frame)(struct buf *bytes, unsigned i))
{
	bool over = false;

	end_init(server, H2_SERVER);
	assert_int_equal(h2_feed(server->h2, VIEW(PREFACE "\0\0\0\4\0\0\0\0\0"), NULL), 0);
	for (unsigned i = 0; i < count && !over; i++) {
		AUTO_BUF bytes = buf_new(BUF_MAX_DEFAULT);
		AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);

		frame(&bytes, i);
		over = h2_feed(server->h2, buf_view(&bytes), NULL);
		over = h2_output(server->h2, &out, NULL) || h2_over(server->h2) || over;
	}
	return over;
}

static void ping(struct buf *bytes, unsigned i)
{
	(void)i;
	frame_add(bytes, PING, 0, 0, VIEW("\0\0\0\0\0\0\0\0"));
}

static void settings(struct buf *bytes, unsigned i)
{
	(void)i;
	frame_add(bytes, SETTINGS, 0, 0, view_make("", 0));
}

static void priority(struct buf *bytes, unsigned i)
{
	(void)i;
	frame_add(bytes, PRIORITY, 0, 1, VIEW("\0\0\0\3\0"));
}

static void rapid_reset(struct buf *bytes, unsigned i)
{
	AUTO_BUF block = buf_new(BUF_MAX_DEFAULT);

	block_add(&block, VIEW(GET));
	frame_add(bytes, HEADERS, END_HEADERS | END_STREAM, i * 2 + 1, buf_view(&block));
	frame_add(bytes, RST, 0, i * 2 + 1, VIEW("\0\0\0\x8"));
}

static void continuation(struct buf *bytes, unsigned i)
{
	AUTO_BUF block = buf_new(BUF_MAX_DEFAULT);

	block_add(&block, i ? VIEW("x\ny") : VIEW(GET));
	frame_add(bytes, i ? CONTINUATION : HEADERS, 0, 1, buf_view(&block));
}

/* Each makes us reset the stream: a window that grows by nothing (RFC 9113 6.9). */
static void made_to_reset(struct buf *bytes, unsigned i)
{
	AUTO_BUF block = buf_new(BUF_MAX_DEFAULT);

	block_add(&block, VIEW(POST));
	frame_add(bytes, HEADERS, END_HEADERS, i * 2 + 1, buf_view(&block));
	frame_add(bytes, WINDOW, 0, i * 2 + 1, VIEW("\0\0\0\0"));
}

static void empty_data(struct buf *bytes, unsigned i)
{
	if (!i) {
		AUTO_BUF block = buf_new(BUF_MAX_DEFAULT);

		block_add(&block, VIEW(POST));
		frame_add(bytes, HEADERS, END_HEADERS, 1, buf_view(&block));
	}
	frame_add(bytes, DATA, 0, 1, view_make("", 0));
}

static void after_the_end(struct buf *bytes, unsigned i)
{
	if (!i) {
		AUTO_BUF block = buf_new(BUF_MAX_DEFAULT);

		block_add(&block, VIEW(POST));
		frame_add(bytes, HEADERS, END_HEADERS | END_STREAM, 1, buf_view(&block));
	}
	frame_add(bytes, DATA, 0, 1, VIEW("more"));
}

static void floods_end_the_connection(void **state)
{
	static const struct {
		const char *name;
		void (*frame)(struct buf *bytes, unsigned i);
	} floods[] = {
		{"ping", ping},
		{"settings", settings},
		{"priority", priority},
		{"reset", rapid_reset},
		{"continuation", continuation},
		{"empty data", empty_data},
		{"made to reset", made_to_reset},
	};
	struct end server;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
		if (!flood(&server, 5000, floods[i].frame))
			fail_msg("a flood of %s goes on", floods[i].name);
		end_fini(&server);
	}
}

static void a_long_quiet_life_is_no_flood(void **state)
{
	struct end server;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_false(flood(&server, 1000, ping));
		end_fini(&server);
	}
	end_init(&server, H2_SERVER);
	assert_int_equal(h2_feed(server.h2, VIEW(PREFACE "\0\0\0\4\0\0\0\0\0"), NULL), 0);
	for (int i = 0; i < 20000; i++) {
		AUTO_BUF bytes = buf_new(BUF_MAX_DEFAULT);
		AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);

		clock_ms += 10;
		ping(&bytes, 0);
		assert_int_equal(h2_feed(server.h2, buf_view(&bytes), NULL), 0);
		assert_int_equal(h2_output(server.h2, &out, NULL), 0);
	}
	end_fini(&server);
}

static void data_after_the_end_is_not_told(void **state)
{
	struct end server;

	(void)state;
	(void)flood(&server, 2, after_the_end);
	assert_null(strstr(server.story.at, "more"));
	end_fini(&server);
}

static void lengths_that_do_not_fit_are_not_whole(void **state)
{
	static const struct {
		const char *length, *body;
		bool whole;
	} cases[] = {
		{"content-length\n4", "body", true}, {"content-length\n5", "body", false}, {"content-length\n3", "body", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF bytes = buf_new(BUF_MAX_DEFAULT);
		AUTO_BUF block = buf_new(BUF_MAX_DEFAULT);
		struct end server;

		end_init(&server, H2_SERVER);
		buf_add_text(&bytes, PREFACE);
		frame_add(&bytes, SETTINGS, 0, 0, view_make("", 0));
		block_add(&block, VIEW(POST));
		block_add(&block, view_of(cases[i].length));
		frame_add(&bytes, HEADERS, END_HEADERS, 1, buf_view(&block));
		frame_add(&bytes, DATA, END_STREAM, 1, view_of(cases[i].body));
		feed_hostile(&server, &bytes);
		assert_int_equal(strstr(server.story.at, "end;") != NULL, cases[i].whole);
		end_fini(&server);
	}
}

/* An HPACK bomb: one long field put into the table once and named by its index again and again. */
static void fields_are_counted_as_they_are_read(void **state)
{
	AUTO_BUF bytes = buf_new(BUF_MAX_DEFAULT);
	AUTO_BUF block = buf_new(BUF_MAX_DEFAULT);
	char value[100];
	struct end server;

	(void)state;
	memset(value, 'v', sizeof(value));
	end_init(&server, H2_SERVER);
	buf_add_text(&bytes, PREFACE);
	frame_add(&bytes, SETTINGS, 0, 0, view_make("", 0));
	block_add(&block, VIEW(GET));
	buf_add(&block, "\x40\x01x\x64", 4);
	buf_add(&block, value, sizeof(value));
	for (int i = 0; i < 500; i++)
		buf_add_char(&block, (char)0xbe); /* index 62 */
	frame_add(&bytes, HEADERS, END_HEADERS, 1, buf_view(&block));
	feed_hostile(&server, &bytes);
	assert_int_equal(server.story.length, 0);
	end_fini(&server);
}

int main(void)
{
	static char is_short;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_with_trailers_goes_through),
		cmocka_unit_test(a_body_waits_until_the_reader_takes_it),
		cmocka_unit_test(what_a_reset_stream_left_does_not_fill_the_connection),
		cmocka_unit_test(an_answer_that_came_early_ends_the_request),
		{"an_answer_that_came_early_lets_a_short_rest_come", an_answer_that_came_early_ends_the_request, NULL, NULL,
		 &is_short},
		cmocka_unit_test(streams_that_wait_hold_no_other_up),
		cmocka_unit_test(the_end_of_the_connection_closes_what_is_open),
		cmocka_unit_test(no_more_streams_than_the_peer_lets),
		cmocka_unit_test(heads_that_two_could_read_in_two_ways_are_not_told),
		cmocka_unit_test(floods_end_the_connection),
		cmocka_unit_test(a_long_quiet_life_is_no_flood),
		cmocka_unit_test(data_after_the_end_is_not_told),
		cmocka_unit_test(lengths_that_do_not_fit_are_not_whole),
		cmocka_unit_test(fields_are_counted_as_they_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
