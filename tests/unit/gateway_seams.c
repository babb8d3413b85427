/* Protocols read along: scripted conversations, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "gateway/seams/amqp.h"
#include "gateway/seams/mysql.h"
#include "gateway/seams/nats.h"
#include "gateway/seams/postgres.h"
#include "gateway/seams/redis.h"

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

/* A turn of a conversation. */
struct turn {
	char who; /* c: client, s: server */
	struct view bytes;
	size_t in_flight; /* after it */
};

/* Messages have a place and a body besides. */
static void tell(void *self, const struct reader_event *event)
{
	buf_add_format(self, "%s|%.*s|%s|%s", event->command, event->statement.length ? (int)event->statement.length : 1,
		       event->statement.length ? event->statement.at : "-", event->complete ? event->complete : "-",
		       event->error ? event->error : "-");
	if (event->place.at)
		buf_add_format(self, "|%.*s", (int)event->place.length, event->place.at);
	for (size_t i = 0; event->headers && i < event->headers->count; i++)
		buf_add_format(self, "|%s: %s", event->headers->at[i].name, event->headers->at[i].value);
	if (event->body)
		buf_add_format(self, "|%.*s%s", (int)event->body->length, event->body->at ? event->body->at : "",
			       event->body->cut ? "…" : "");
	buf_add_text(self, "\n");
}

#define STARTUP "\0\0\0\x09\0\3\0\0\0"
#define READY "Z\0\0\0\5I"

struct conversation {
	const struct turn *turns; /* until who == 0 */
	const char *told;
};

/* Whole, and byte by byte. */
static void conversations_check(const struct reader_ops *ops, const struct conversation *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t step = 1; step < 4096; step += 4000) {
			AUTO_BUF told = buf_new(8192);
			void *reader = ops->make(tell, &told);

			for (const struct turn *turn = rows[i].turns; turn->who; turn++) {
				for (size_t at = 0; at < turn->bytes.length; at += step) {
					size_t left = turn->bytes.length - at;
					struct view piece = view_make(turn->bytes.at + at, left < step ? left : step);

					(turn->who == 'c' ? ops->client : ops->server)(reader, piece, 0);
				}
				if (ops->in_flight(reader) != turn->in_flight)
					fail_msg("%s, row %zu, turn %td: %zu in flight; told:\n%s", ops->name, i,
						 turn - rows[i].turns, ops->in_flight(reader), told.at ? told.at : "");
			}
			assert_string_equal(told.at ? told.at : "", rows[i].told);
			ops->end(reader, NULL, 0);
		}
	}
}

static const struct turn simple_query[] = {
	{'c', BYTES("\0\0\0\x08\4\xd2\x16\x2f"), 0}, /* SSLRequest */
	{'s', BYTES("N"), 0},
	{'c', BYTES(STARTUP), 0},
	{'s', BYTES("R\0\0\0\x08\0\0\0\0" READY), 0},
	{'c', BYTES("Q\0\0\0\x0dSELECT 1\0"), 1},
	{'s',
	 BYTES("T\0\0\0\6\0\0D\0\0\0\x0b\0\1\0\0\0\1"
	       "1C\0\0\0\x0dSELECT 1\0"),
	 1},
	{'s', BYTES(READY), 0},
	{'c',
	 BYTES("Q\0\0\0\x08"
	       "BAD\0"),
	 1},
	{'s', BYTES("E\0\0\0\x1bSERROR\0C42601\0Msyntax\0\0" READY), 0},
	{0},
};

static const struct turn extended_query[] = {
	{'c', BYTES(STARTUP), 0},
	{'s', BYTES("R\0\0\0\x08\0\0\0\0" READY), 0},
	{'c',
	 BYTES("P\0\0\0\x18s1\0SELECT $1::int\0\0\0"
	       "B\0\0\0\x10p1\0s1\0\0\0\0\0\0\0"
	       "E\0\0\0\x0bp1\0\0\0\0\0"
	       "S\0\0\0\4"),
	 2},
	{'s',
	 BYTES("1\0\0\0\4"
	       "2\0\0\0\4"
	       "D\0\0\0\x06\0\0C\0\0\0\x0dSELECT 1\0"),
	 1},
	{'s', BYTES(READY), 0},
	/* Two executes in a pipeline; the first fails, the second is skipped. */
	{'c', BYTES("B\0\0\0\x10p1\0s1\0\0\0\0\0\0\0E\0\0\0\x0bp1\0\0\0\0\0E\0\0\0\x0bp1\0\0\0\0\0S\0\0\0\4"), 3},
	{'s',
	 BYTES("2\0\0\0\4E\0\0\0\x0f"
	       "C22012\0Mz\0\0"),
	 1},
	{'s', BYTES(READY), 0},
	{0},
};

static const struct turn encrypted[] = {
	{'c', BYTES("\0\0\0\x08\4\xd2\x16\x2f"), 0},
	{'s', BYTES("S"), 0},
	{'c', BYTES("\x16\3\1Q\0\0\0\x0dSELECT 1\0"), 0},
	{0},
};

static const struct conversation postgres_rows[] = {
	{simple_query, "query|SELECT 1|SELECT 1|-\nquery|BAD|-|42601 syntax\n"},
	{extended_query,
	 "execute|SELECT $1::int|SELECT 1|-\nexecute|SELECT $1::int|-|22012 z\nexecute|SELECT $1::int|-|skipped after an error\n"},
	{encrypted, ""},
};

static void statements_of_postgres_are_told_when_they_end(void **state)
{
	(void)state;
	conversations_check(&reader_postgres, postgres_rows, ARRAY_LEN(postgres_rows));
}

static void a_statement_without_an_answer_is_told_as_failed(void **state)
{
	AUTO_BUF told = buf_new(4096);
	void *postgres = reader_postgres.make(tell, &told);

	(void)state;
	reader_postgres.client(postgres, view_make(STARTUP "Q\0\0\0\x0dSELECT 1\0", 9 + 14), 0);
	reader_postgres.end(postgres, "reset", 0);
	assert_string_equal(told.at, "query|SELECT 1|-|reset\n");
}

static void a_long_statement_is_cut_and_a_broken_frame_makes_blind(void **state)
{
	AUTO_BUF told = buf_new(65536);
	AUTO_BUF bytes = buf_new(65536);
	void *postgres = reader_postgres.make(tell, &told);

	(void)state;
	buf_add(&bytes, STARTUP "Q\0\0\x50\4", 9 + 5);
	for (int i = 0; i < 0x5000; i++)
		buf_add_char(&bytes, 'x');
	reader_postgres.client(postgres, buf_view(&bytes), 0);
	reader_postgres.server(postgres, view_make("C\0\0\0\6X\0" READY, 13), 0);
	assert_in_range(told.length, POSTGRES_STATEMENT_KEPT_MAX, POSTGRES_STATEMENT_KEPT_MAX + 400);
	reader_postgres.client(postgres, view_make("Q\0\0\0\0", 5), 0);
	reader_postgres.client(postgres, view_make("Q\0\0\0\x0dSELECT 1\0", 14), 0);
	assert_int_equal(reader_postgres.in_flight(postgres), 0);
	reader_postgres.end(postgres, "end", 0);
}

static const struct turn commands[] = {
	{'c', BYTES("*3\r\n$3\r\nset\r\n$1\r\nk\r\n$5\r\nv\r\nv2\r\n"), 1},
	{'s', BYTES("+OK\r\n"), 0},
	{'c', BYTES("PING\r\n\r\nGET  k\r\n"), 2},
	{'s', BYTES("+PONG\r\n$-1\r\n"), 0},
	{'c', BYTES("*1\r\n$4\r\nEXEC\r\n*2\r\n$3\r\nget\r\n$0\r\n\r\n*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n"), 3},
	{'s', BYTES("*3\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n$2\r\n\r\n\r\n"), 2},
	{'s', BYTES("-ERR no\r\n-WRONGPASS x\r\n"), 0},
	{0},
};

static const struct turn blocking[] = {
	{'c', BYTES("*7\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$1\r\ng\r\n$1\r\nc\r\n$5\r\nblock\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n"),
	 0},
	{'c', BYTES("PING\r\n"), 1},
	{'s', BYTES("*-1\r\n+PONG\r\n"), 0},
	{0},
};

static const struct turn resp3[] = {
	{'c', BYTES("HELLO 3\r\nGET a\r\nGET b\r\nGET c\r\n"), 4},
	{'s', BYTES("%1\r\n+server\r\n+redis\r\n"), 3},
	{'s', BYTES(">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n"), 3},
	{'s', BYTES("|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n_\r\n#t\r\n"), 0},
	{0},
};

static const struct turn subscribed[] = {
	{'c', BYTES("PING\r\nSUBSCRIBE a\r\nPING\r\n"), 1},
	{'s', BYTES("+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"), 0},
	{0},
};

static const struct conversation redis_rows[] = {
	{commands,
	 "SET|set k v\r\nv2|status|-\nPING|PING|status|-\nGET|GET k|null|-\nEXEC|EXEC|array|-\nGET|get|-|ERR no\nAUTH|-|-|WRONGPASS x\n"},
	{blocking, "XREADGROUP|XREADGROUP GROUP g c block 0 STREAMS|null|-\nPING|PING|status|-\n"},
	{resp3, "HELLO|-|map|-\nGET|GET a|value|-\nGET|GET b|null|-\nGET|GET c|boolean|-\n"},
	{subscribed, "PING|PING|status|-\n"},
};

static void commands_of_redis_are_told_when_their_reply_came(void **state)
{
	(void)state;
	conversations_check(&reader_redis, redis_rows, ARRAY_LEN(redis_rows));
}

static void broken_frames_of_redis_make_blind(void **state)
{
	static const char *const rows[] = {"*x\r\n", "*1\r\n:1\r\n", "*1\r\n$-2\r\n", "*99999999999\r\n"};
	static const char *const replies[] = {"?\r\n", "$x\r\n", "*1\r\n*1\r\n\r\n", "$?\r\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF told = buf_new(4096);
		struct redis *redis = reader_redis.make(tell, &told);

		reader_redis.client(redis, view_of(rows[i]), 0);
		reader_redis.client(redis, VIEW("PING\r\n"), 0);
		assert_int_equal(reader_redis.in_flight(redis), 0);
		reader_redis.end(redis, "end", 0);
		redis = reader_redis.make(tell, &told);
		reader_redis.client(redis, VIEW("PING\r\n"), 0);
		reader_redis.server(redis, view_of(replies[i]), 0);
		assert_int_equal(reader_redis.in_flight(redis), 0);
		reader_redis.end(redis, "end", 0);
		assert_int_equal(told.length, 0);
	}
}

static const struct turn publishing[] = {
	{'c', BYTES("AMQP\x00\x00\x09\x01"), 0},
	{'s', BYTES("\x01\x00\x00\x00\x00\x00\x06\x00\x0a\x00\x0a\x00\x09\xce"), 0},
	{'c', BYTES("\x01\x00\x01\x00\x00\x00\x05\x00\x14\x00\x0a\x00\xce"), 0},
	{'c',
	 BYTES("\x01\x00\x01\x00\x00\x00\x12\x00"
	       "2\x00\x0a\x00\x00\x06orders\x02\x00\x00\x00\x00\xce"),
	 0},
	{'c',
	 BYTES("\x01\x00\x01\x00\x00\x00\x0f\x00<\x00(\x00\x00\x00\x06orders\x00\xce\x02\x00\x01\x00\x00\x00"
	       "E\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\xb0\x80\x10"
	       "application/json\x00\x00\x00\x1d\x0btraceparentS\x00\x00\x00\x05"
	       "00-ab\x01nI\x00\x00\x00\x03\x02\x03m-1\xce\x03\x00\x01\x00\x00\x00\x08{\"id\":1}\xce"),
	 0},
	{'c',
	 BYTES("\x01\x00\x01\x00\x00\x00\x1c\x00<\x00(\x00\x00\x06"
	       "events\x0dorder.created\x00\xce\x02\x00\x01\x00\x00\x00\x0e\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xce"),
	 0},
	{'s',
	 BYTES("\x01\x00\x01\x00\x00\x00$\x00<\x00"
	       "2\x01"
	       "8\x08NO_ROUTE\x06"
	       "events\x0dorder.created\xce\x02\x00\x01\x00\x00\x00\x0e\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xce"),
	 0},
	{'s', BYTES("\x01\x00\x01\x00\x00\x00\x0d\x00<\x00x\x00\x00\x00\x00\x00\x00\x00\x01\x00\xce"), 0},
	{'s', BYTES("\x01\x00\x01\x00\x00\x00\x1f\x00\x14\x00(\x01\x94\x14NOT_FOUND - no queue\x00\x00\x00\x00\xce"), 0},
	{0},
};

static const struct turn consuming[] = {
	{'c', BYTES("AMQP\x00\x00\x09\x01\x01\x00\x01\x00\x00\x00\x05\x00\x14\x00\x0a\x00\xce"), 0},
	{'c', BYTES("\x01\x00\x01\x00\x00\x00\x13\x00<\x00\x14\x00\x00\x06orders\x00\x00\x00\x00\x00\x00\xce"), 0},
	{'s',
	 BYTES("\x01\x00\x01\x00\x00\x00\x0a\x00<\x00\x15\x05"
	       "ctag1\xce"),
	 0},
	{'s',
	 BYTES("\x01\x00\x01\x00\x00\x00(\x00<\x00<\x05"
	       "ctag1\x00\x00\x00\x00\x00\x00\x00\x01\x00\x06"
	       "events\x0dorder.created\xce\x02\x00\x01\x00\x00\x00\x0e\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\xce\x03\x00\x01\x00\x00\x00\x03one\xce"),
	 1},
	{'s',
	 BYTES("\x01\x00\x01\x00\x00\x00(\x00<\x00<\x05"
	       "ctag1\x00\x00\x00\x00\x00\x00\x00\x02\x01\x06"
	       "events\x0dorder.created\xce\x02\x00\x01\x00\x00\x00\x0e\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\xce\x03\x00\x01\x00\x00\x00\x03two\xce\x01\x00\x01\x00\x00\x00\x1b\x00<\x00<\x05"
	       "ctag1\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x06orders\xce\x02\x00\x01\x00\x00\x00\x0e\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\xce\x03\x00\x01\x00\x00\x00\x05three\xce\x01\x00\x01\x00\x00\x00\x1b\x00<\x00<\x05"
	       "ctag1\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x06orders\xce\x02\x00\x01\x00\x00\x00\x0e\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\xce\x03\x00\x01\x00\x00\x00\x04"
	       "four\xce"),
	 4},
	{'c', BYTES("\x01\x00\x01\x00\x00\x00\x0d\x00<\x00P\x00\x00\x00\x00\x00\x00\x00\x02\x01\xce"), 2},
	{'c', BYTES("\x01\x00\x01\x00\x00\x00\x0d\x00<\x00x\x00\x00\x00\x00\x00\x00\x00\x03\x02\xce"), 1},
	{'c', BYTES("\x01\x00\x01\x00\x00\x00\x0d\x00<\x00Z\x00\x00\x00\x00\x00\x00\x00\x04\x00\xce"), 0},
	{'c',
	 BYTES("\x01\x00\x01\x00\x00\x00\x0c\x00<\x00"
	       "F\x00\x00\x04late\x01\xce"),
	 0},
	{'s',
	 BYTES("\x01\x00\x01\x00\x00\x00\x17\x00<\x00G\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x04late\x00\x00\x00\x00\xce\x02\x00\x01\x00\x00\x00\x0e\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\xce\x03\x00\x01\x00\x00\x00\x01"
	       "a\xce\x03\x00\x01\x00\x00\x00\x01"
	       "b\xce"),
	 0},
	{0},
};

static const struct turn other_version[] = {
	{'c', BYTES("AMQP\x03\x01\x00\x00"), 0},
	{'s', BYTES("AMQP\x03\x01\x00\x00"), 0},
	{0},
};

static const struct conversation amqp_rows[] = {
	{publishing,
	 "declare|orders||-\npublish|-||-|orders|content-type: application/json|traceparent: 00-ab|n: 3|delivery-mode: 2|message-id: m-1|{\"id\":1}\npublish|-||-|events/order.created|\nreturn|-|-|312 NO_ROUTE|events/order.created|\nunconfirmed|-|-|the broker refused a published message\n"
	 "close|-|-|404 NOT_FOUND - no queue\n"},
	{consuming, "consume|orders||-\n"
		    "deliver|orders||-|events/order.created|one\n"
		    "deliver|orders|redelivered|-|events/order.created|two\n"
		    "deliver|orders||-|orders|three\n"
		    "deliver|orders||-|orders|four\n"
		    "ack|orders||-|events/order.created\n"
		    "ack|orders||-|events/order.created\nrequeue|orders||-|orders\nreject|orders||-|orders\n"
		    "deliver|late||-|late|ab\n"},
	{other_version, "unread|-|not AMQP 0-9-1, or encrypted|-\n"},
};

static void messages_of_amqp_are_told_with_what_became_of_them(void **state)
{
	(void)state;
	conversations_check(&reader_amqp, amqp_rows, ARRAY_LEN(amqp_rows));
}

static void headers_count(void *self, const struct reader_event *event)
{
	size_t *counts = self;

	counts[0] += event->headers != NULL;
	counts[1] += event->headers ? event->headers->count : 0;
	counts[2] += event->body && event->body->cut;
}

/* A message with a header of 250 kB whose body is still to come. */
static void amqp_message_open(void *reader, unsigned char channel)
{
	enum { VALUE = 250000 };
	AUTO_BUF frames = buf_new(VALUE + 1024);
	const unsigned char publish[] = {1, 0, channel, 0, 0, 0, 15, 0, '<', 0, '(', 0, 0, 0, 6};
	const unsigned char header[] = {2, 0, channel, 0, (VALUE + 25) >> 16, (VALUE + 25) >> 8 & 0xff, (VALUE + 25) & 0xff};
	const unsigned char properties[] = {0, '<', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x20, 0};
	const unsigned char table[] = {0, (VALUE + 7) >> 16, (VALUE + 7) >> 8 & 0xff, (VALUE + 7) & 0xff, 1, 'n', 'S',
				       0, VALUE >> 16,       VALUE >> 8 & 0xff,       VALUE & 0xff};

	buf_add(&frames, publish, sizeof(publish));
	buf_add(&frames, "orders\0\xce", 8);
	buf_add(&frames, header, sizeof(header));
	buf_add(&frames, properties, sizeof(properties));
	buf_add(&frames, table, sizeof(table));
	for (int i = 0; i < VALUE; i++)
		buf_add_char(&frames, 'x');
	buf_add_char(&frames, (char)0xce);
	reader_amqp.client(reader, buf_view(&frames), 0);
}

static void headers_of_amqp_are_kept_up_to_what_a_connection_may(void **state)
{
	size_t counts[3] = {0};
	void *reader = reader_amqp.make(headers_count, counts);

	(void)state;
	reader_amqp.client(reader, VIEW("AMQP\x00\x00\x09\x01"), 0);
	for (int round = 0; round < 2; round++) { /* what was told makes room */
		for (unsigned char channel = 1; channel <= 20; channel++)
			amqp_message_open(reader, channel);
		for (unsigned char channel = 1; channel <= 20; channel++) {
			const unsigned char body[] = {3, 0, channel, 0, 0, 0, 1, 'x', 0xce};

			reader_amqp.client(reader, view_make(body, sizeof(body)), 0);
		}
	}
	assert_int_equal(counts[0], 40);
	assert_int_equal(counts[1], 2 * (READER_MESSAGES_KEPT_MAX / 250033));
	assert_int_equal(counts[2], 40 - counts[1]);
	reader_amqp.end(reader, NULL, 0);
}

static const struct turn streams[] = {
	{'c',
	 BYTES("*9\r\n$4\r\nXADD\r\n$1\r\ns\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$2\r\n10\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n"),
	 1},
	{'s', BYTES("$3\r\n1-1\r\n"), 0},
	{'c', BYTES("XREADGROUP GROUP g c STREAMS s >\r\n"), 1},
	{'s', BYTES("*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$3\r\n1-2\r\n*-1\r\n"), 0},
	{'c', BYTES("XACK s g 1-1 1-2\r\nXAUTOCLAIM s g c 0 0\r\n"), 2},
	{'s', BYTES(":2\r\n*3\r\n$3\r\n0-0\r\n*1\r\n*2\r\n$3\r\n1-3\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n*0\r\n"), 0},
	{0},
};

static const struct turn lists[] = {
	{'c', BYTES("LPUSH q one two\r\nBRPOP q 0\r\nRPOP q 2\r\nRPOP q\r\nLPUSH q x\r\n"), 4},
	{'s', BYTES(":2\r\n*2\r\n$1\r\nq\r\n$3\r\none\r\n*1\r\n$3\r\ntwo\r\n$-1\r\n-ERR no\r\n"), 0},
	{0},
};

static const struct turn channels[] = {
	{'c', BYTES("SUBSCRIBE news\r\nPSUBSCRIBE n*\r\n"), 0},
	{'s', BYTES("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"), 0},
	{'s', BYTES("*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nho\r\n"), 0},
	{0},
};

static const struct turn pushes[] = {
	{'c', BYTES("HELLO 3\r\nSUBSCRIBE news\r\nPUBLISH news hi\r\n"), 2},
	{'s', BYTES("%0\r\n>3\r\n+subscribe\r\n+news\r\n:1\r\n>3\r\n+message\r\n+news\r\n$2\r\nhi\r\n:1\r\n"), 0},
	{0},
};

static const struct conversation redis_message_rows[] = {
	{streams, "XADD|XADD s MAXLEN ~ 10 * a 1 b|bulk|-\npublish|-||-|s|{\"a\":\"1\"}\n"
		  "XREADGROUP|XREADGROUP GROUP g c STREAMS s >|array|-\ndeliver|-||-|s|{\"a\":\"1\"}\ndeliver|-||-|s|{}\n"
		  "XACK|XACK s g 1-1 1-2|integer|-\nack|g||-|s|\nack|g||-|s|\n"
		  "XAUTOCLAIM|XAUTOCLAIM s g c 0 0|array|-\ndeliver|-|redelivered|-|s|{\"a\":\"3\"}\n"},
	{lists,
	 "LPUSH|LPUSH q one two|integer|-\npublish|-||-|q|one\npublish|-||-|q|two\nBRPOP|BRPOP q 0|array|-\ndeliver|-||-|q|one\n"
	 "RPOP|RPOP q 2|array|-\ndeliver|-||-|q|two\nRPOP|RPOP q|null|-\nLPUSH|LPUSH q x|-|ERR no\n"},
	{channels, "deliver|-||-|news|hi\ndeliver|-||-|news|ho\n"},
	{pushes, "HELLO|-|map|-\ndeliver|-||-|news|hi\nPUBLISH|PUBLISH news hi|integer|-\npublish|-||-|news|hi\n"},
};

static void messages_of_redis_are_told_besides_commands(void **state)
{
	(void)state;
	conversations_check(&reader_redis, redis_message_rows, ARRAY_LEN(redis_message_rows));
}

/* Whoever loses it must know before it has gone on: what is told comes with the reply. */
static void an_acknowledgement_of_redis_is_known_as_soon_as_it_is_asked_for(void **state)
{
	static const struct {
		const char *bytes;
		bool acknowledges;
	} rows[] = {
		{"XREADGROUP GROUP g c STREAMS s >\r\n", false},
		{"PING\r\nXACK s g 1-1\r\nPING\r\n", true},
		{"PING\r\n", false},
		{"*4\r\n$4\r\nxack\r\n$1\r\ns\r\n$1\r\ng\r\n", false}, /* not all of it */
		{"$3\r\n1-1\r\n", true},
		{"SET XACK 1\r\n", false},
	};
	AUTO_BUF told = buf_new(4096);
	void *reader = reader_redis.make(tell, &told);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		reader_redis.client(reader, view_of(rows[i].bytes), 0);
		if (reader_redis.acknowledges(reader) != rows[i].acknowledges)
			fail_msg("row %zu", i);
	}
	reader_redis.end(reader, NULL, 0);
}

static void a_long_message_is_cut(void **state)
{
	AUTO_BUF told = buf_new(1 << 20);
	AUTO_BUF bytes = buf_new(1 << 20);
	void *reader = reader_redis.make(tell, &told);

	(void)state;
	buf_add_text(&bytes, "*3\r\n$5\r\nLPUSH\r\n$1\r\nq\r\n$100000\r\n");
	for (int i = 0; i < 100000; i++)
		buf_add_char(&bytes, 'x');
	buf_add_text(&bytes, "\r\n");
	reader_redis.client(reader, buf_view(&bytes), 0);
	reader_redis.server(reader, VIEW(":1\r\n"), 0);
	assert_non_null(strstr(told.at, "publish|-||-|q|…\n"));
	reader_redis.end(reader, NULL, 0);
}

static const struct turn mysql_queries[] = {
	{'s',
	 BYTES("0\x00\x00\x00\x0a"
	       "10.11.19-MariaDB\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
	 0},
	{'c',
	 BYTES("&\x00\x00\x01\x01\x82\x00\x00\x00\x00\x00\x01-\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00root\x00\x00"),
	 0},
	{'s', BYTES("\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"), 0},
	{'c', BYTES("\x09\x00\x00\x00\x03SELECT 1"), 1},
	{'s',
	 BYTES("\x01\x00\x00\x01\x01\x18\x00\x00\x02\x03"
	       "def\x00\x00\x00\x01"
	       "a\x01"
	       "a\x0c\x3f\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x05\x00\x00\x03\xfe\x00\x00\x02\x00\x02\x00\x00\x04\x01"
	       "1\x02\x00\x00\x05\x01"
	       "2"),
	 1},
	{'s', BYTES("\x05\x00\x00\x06\xfe\x00\x00\x02\x00"), 0},
	{'c', BYTES("\x11\x00\x00\x00\x03UPDATE t SET a=1"), 1},
	{'s', BYTES("\x07\x00\x00\x01\x00\x03\x00\x02\x00\x00\x00"), 0},
	{'c',
	 BYTES("\x04\x00\x00\x00\x03"
	       "BAD"),
	 1},
	{'s', BYTES("\x1a\x00\x00\x01\xff(\x04#42000You have an error"), 0},
	{'c', BYTES("\x01\x00\x00\x00\x0e"), 1},
	{'s', BYTES("\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"), 0},
	{'c',
	 BYTES("\x09\x00\x00\x00\x03"
	       "CALL p()"),
	 1},
	{'s',
	 BYTES("\x01\x00\x00\x01\x01\x18\x00\x00\x02\x03"
	       "def\x00\x00\x00\x01"
	       "a\x01"
	       "a\x0c\x3f\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x05\x00\x00\x03\xfe\x00\x00\x02\x00\x02\x00\x00\x04\x01"
	       "1\x05\x00\x00\x05\xfe\x00\x00\x0a\x00"),
	 1},
	{'s', BYTES("\x07\x00\x00\x06\x00\x00\x00\x02\x00\x00\x00"), 0},
	{'c', BYTES("\x17\x00\x00\x00\x03LOAD DATA LOCAL INFILE"), 1},
	{'s',
	 BYTES("\x05\x00\x00\x01\xfb"
	       "file"),
	 1},
	{'c',
	 BYTES("\x04\x00\x00\x02"
	       "data\x00\x00\x00\x03"),
	 1},
	{'s', BYTES("\x07\x00\x00\x04\x00\x01\x00\x02\x00\x00\x00"), 0},
	{'c', BYTES("\x01\x00\x00\x00\x01"), 0},
	{0},
};

static const struct turn mysql_prepared[] = {
	{'s',
	 BYTES("0\x00\x00\x00\x0a"
	       "10.11.19-MariaDB\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
	 0},
	{'c',
	 BYTES("&\x00\x00\x01\x01\x82\x00\x01\x00\x00\x00\x01-\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00root\x00\x00"),
	 0},
	{'s', BYTES("\x02\x00\x00\x02\x01\x03\x07\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00"), 0},
	{'c', BYTES("\x1a\x00\x00\x00\x16SELECT a FROM t WHERE b=\x3f"), 1},
	{'s',
	 BYTES("\x0c\x00\x00\x01\x00\x07\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00\x18\x00\x00\x02\x03"
	       "def\x00\x00\x00\x01"
	       "a\x01"
	       "a\x0c\x3f\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x18\x00\x00\x03\x03"
	       "def\x00\x00\x00\x01"
	       "a\x01"
	       "a\x0c\x3f\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00"),
	 0},
	{'c', BYTES("\x12\x00\x00\x00\x17\x07\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\x03\x00\x01\x00\x00\x00"), 1},
	{'s',
	 BYTES("\x01\x00\x00\x01\x01\x18\x00\x00\x02\x03"
	       "def\x00\x00\x00\x01"
	       "a\x01"
	       "a\x0c\x3f\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x06\x00\x00\x03\x00\x00\x01\x00\x00\x00\x07\x00\x00\x04\xfe\x00\x00\x02\x00\x00\x00"),
	 0},
	{'c', BYTES("\x05\x00\x00\x00\x19\x07\x00\x00\x00"), 0},
	{'c', BYTES("\x03\x00\x00\x00\x16NO"), 1},
	{'s', BYTES("\x0a\x00\x00\x01\xff(\x04#42000x"), 0},
	{'c', BYTES("\x0a\x00\x00\x00\x17\x07\x00\x00\x00\x00\x01\x00\x00\x00"), 1},
	{'s', BYTES("#\x00\x00\x01\xff\xdb\x04#42000Unknown prepared statement"), 0},
	{0},
};

static const struct turn mysql_pipelined[] = {
	{'s',
	 BYTES("0\x00\x00\x00\x0a"
	       "10.11.19-MariaDB\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
	 0},
	{'c',
	 BYTES("&\x00\x00\x01\x00\x82\x00\x00\x00\x00\x00\x01-\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00root\x00\x00"),
	 0},
	{'s', BYTES("\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"), 0},
	{'c', BYTES("\x09\x00\x00\x00\x16INSERT \x3f\x0a\x00\x00\x00\x17\xff\xff\xff\xff\x00\x01\x00\x00\x00"), 2},
	{'s',
	 BYTES("\x0c\x00\x00\x01\x00\x09\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x18\x00\x00\x02\x03"
	       "def\x00\x00\x00\x01"
	       "a\x01"
	       "a\x0c\x3f\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x05\x00\x00\x03\xfe\x00\x00\x02\x00"),
	 1},
	{'s', BYTES("\x07\x00\x00\x01\x00\x01\x00\x02\x00\x00\x00"), 0},
	{'c', BYTES("\x09\x00\x00\x00\x03SELECT 1"), 1},
	{'s',
	 BYTES("\x02\x00\x00\x01\x01\x00\x05\x00\x00\x02\xfe\x00\x00\x02\x00\x02\x00\x00\x03\x01"
	       "1\x05\x00\x00\x04\xfe\x00\x00\x02\x00"),
	 0},
	{0},
};

static const struct turn mysql_tls[] = {
	{'s',
	 BYTES("0\x00\x00\x00\x0a"
	       "10.11.19-MariaDB\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
	 0},
	{'c',
	 BYTES("&\x00\x00\x01\x01\x8a\x00\x00\x00\x00\x00\x01-\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00root\x00\x00"),
	 0},
	{'s', BYTES("\x16\x03\x01\x02\x00"), 0},
	{0},
};

static const struct turn mysql_compressed[] = {
	{'s',
	 BYTES("0\x00\x00\x00\x0a"
	       "10.11.19-MariaDB\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
	 0},
	{'c',
	 BYTES("&\x00\x00\x01!\x82\x00\x00\x00\x00\x00\x01-\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00root\x00\x00"),
	 0},
	{0},
};

static const struct conversation mysql_rows[] = {
	{mysql_queries,
	 "query|SELECT 1|ROWS 2|-\nquery|UPDATE t SET a=1|OK 3|-\nquery|BAD|-|1064 You have an error\nquery|CALL p()|OK 0|-\nquery|LOAD DATA LOCAL INFILE|OK 1|-\n"},
	{mysql_prepared, "execute|SELECT a FROM t WHERE b=\x3f|ROWS 1|-\nprepare|NO|-|1064 x\n"
			 "execute|-|-|1243 Unknown prepared statement\n"},
	{mysql_pipelined, "execute|INSERT \x3f|OK 1|-\nquery|SELECT 1|ROWS 1|-\n"},
	{mysql_tls, "unread|-|encrypted: the client asked for TLS|-\n"},
	{mysql_compressed, "unread|-|compressed|-\n"},
};

static void statements_of_mysql_are_told_when_they_end(void **state)
{
	(void)state;
	conversations_check(&reader_mysql, mysql_rows, ARRAY_LEN(mysql_rows));
}

static const struct turn nats_core[] = {
	{'s', BYTES("INFO {\"server_id\":\"x\"}\x0d\x0a"), 0},
	{'c', BYTES("CONNECT {\"verbose\":false}\x0d\x0aPING\x0d\x0a"), 0},
	{'s', BYTES("PONG\x0d\x0a"), 0},
	{'c',
	 BYTES("SUB orders.* workers 1\x0d\x0aPUB orders.new _INBOX.1 5\x0d\x0ahello\x0d\x0aHPUB orders.new 23 25\x0d\x0aNATS/1.0\x0d\x0a"
	       "a: b\x0d\x0a"
	       "c:d\x0d\x0a\x0d\x0ahi\x0d\x0apub e 0\x0d\x0a\x0d\x0a"),
	 0},
	{'s',
	 BYTES("MSG orders.new 1 5\x0d\x0ahello\x0d\x0aHMSG orders.new 1 12 14\x0d\x0aNATS/1.0\x0d\x0a\x0d\x0ahi\x0d\x0a+OK\x0d\x0a-ERR 'Authorization Violation'\x0d\x0a"),
	 0},
	{0},
};

static const struct turn nats_jetstream[] = {
	{'s', BYTES("INFO {}\x0d\x0a"), 0},
	{'s',
	 BYTES("MSG o.n 1 $JS.ACK.ORDERS.pricing.1.2.3.4.5 2\x0d\x0ahi\x0d\x0aMSG o.n 1 $JS.ACK.ORDERS.pricing.2.2.3.4.5 2\x0d\x0ahi\x0d\x0a"),
	 0},
	{'c',
	 BYTES("PUB $JS.ACK.ORDERS.pricing.1.2.3.4.5 4\x0d\x0a+ACK\x0d\x0aPUB $JS.ACK.ORDERS.pricing.2.2.3.4.5 4\x0d\x0a-NAK\x0d\x0aPUB $JS.ACK.ORDERS.pricing.2.2.3.4.5 0\x0d\x0a\x0d\x0aPUB $JS.ACK.ORDERS.p.1.2.3.4.5 4\x0d\x0a+WPI\x0d\x0aPUB $JS.ACK.hub.acc.ORDERS.pricing.1.2.3.4.5.tok 5\x0d\x0a+TERM\x0d\x0a"),
	 0},
	{0},
};

static const struct turn nats_tls[] = {
	{'s', BYTES("INFO {\"tls_required\":true}\x0d\x0a"), 0},
	{'c', BYTES("\x16\x03\x01\x00\x05hello"), 0},
	{0},
};

static const struct turn nats_broken[] = {
	{'c', BYTES("PUB a b c d 1\x0d\x0a"), 0},
	{0},
};

static const struct conversation nats_rows[] = {
	{nats_core,
	 "subscribe|workers||-|orders.*\npublish|-||-|orders.new|hello\npublish|-||-|orders.new|a: b|c: d|hi\npublish|-||-|e|\n"
	 "deliver|-||-|orders.new|hello\n"
	 "deliver|-||-|orders.new|hi\n"
	 "close|-|-|'Authorization Violation'\n"},
	{nats_jetstream, "deliver|ORDERS pricing||-|o.n|hi\n"
			 "deliver|ORDERS pricing|redelivered|-|o.n|hi\n"
			 "ack|ORDERS pricing||-|ORDERS\nrequeue|ORDERS pricing||-|ORDERS\n"
			 "ack|ORDERS pricing||-|ORDERS\nreject|ORDERS pricing||-|ORDERS\n"},
	{nats_tls, "unread|-|encrypted: the client speaks TLS|-\n"},
	{nats_broken, "unread|-|a broken line|-\n"},
};

static void messages_of_nats_and_jetstream_are_told(void **state)
{
	(void)state;
	conversations_check(&reader_nats, nats_rows, ARRAY_LEN(nats_rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_of_postgres_are_told_when_they_end),
		cmocka_unit_test(a_statement_without_an_answer_is_told_as_failed),
		cmocka_unit_test(a_long_statement_is_cut_and_a_broken_frame_makes_blind),
		cmocka_unit_test(commands_of_redis_are_told_when_their_reply_came),
		cmocka_unit_test(broken_frames_of_redis_make_blind),
		cmocka_unit_test(messages_of_redis_are_told_besides_commands),
		cmocka_unit_test(an_acknowledgement_of_redis_is_known_as_soon_as_it_is_asked_for),
		cmocka_unit_test(a_long_message_is_cut),
		cmocka_unit_test(statements_of_mysql_are_told_when_they_end),
		cmocka_unit_test(messages_of_nats_and_jetstream_are_told),
		cmocka_unit_test(headers_of_amqp_are_kept_up_to_what_a_connection_may),
		cmocka_unit_test(messages_of_amqp_are_told_with_what_became_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
