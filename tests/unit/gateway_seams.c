/* PostgreSQL and Redis read along: scripted conversations, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
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

static void postgres_tell(void *self, const struct postgres_done *done)
{
	buf_add_format(self, "%s|%s|%s|%s\n", done->command, done->statement ? done->statement : "-",
		       done->complete ? done->complete : "-", done->error ? done->error : "-");
}

static void redis_tell(void *self, const struct redis_done *done)
{
	buf_add_format(self, "%s|%.*s|%s|%s\n", done->command, (int)done->statement.length,
		       done->statement.at ? done->statement.at : "", done->complete ? done->complete : "-",
		       done->error ? done->error : "-");
}

#define STARTUP "\0\0\0\x09\0\3\0\0\0"
#define READY "Z\0\0\0\5I"

struct conversation {
	const struct turn *turns; /* until who == 0 */
	const char *told;
};

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
	for (size_t i = 0; i < ARRAY_LEN(postgres_rows); i++) {
		for (size_t step = 1; step < 4096; step += 4000) {
			AUTO_BUF told = buf_new(4096);
			struct postgres *postgres = postgres_new(postgres_tell, &told);

			for (const struct turn *turn = postgres_rows[i].turns; turn->who; turn++) {
				for (size_t at = 0; at < turn->bytes.length; at += step) {
					size_t left = turn->bytes.length - at;
					struct view piece = view_make(turn->bytes.at + at, left < step ? left : step);

					(turn->who == 'c' ? postgres_client : postgres_server)(postgres, piece, 0);
				}
				if (postgres_in_flight(postgres) != turn->in_flight)
					fail_msg("row %zu, turn %td: %zu in flight", i, turn - postgres_rows[i].turns,
						 postgres_in_flight(postgres));
			}
			assert_string_equal(told.at ? told.at : "", postgres_rows[i].told);
			postgres_free(postgres, NULL, 0);
		}
	}
}

static void a_statement_without_an_answer_is_told_as_failed(void **state)
{
	AUTO_BUF told = buf_new(4096);
	struct postgres *postgres = postgres_new(postgres_tell, &told);

	(void)state;
	postgres_client(postgres, view_make(STARTUP "Q\0\0\0\x0dSELECT 1\0", 9 + 14), 0);
	postgres_free(postgres, "reset", 0);
	assert_string_equal(told.at, "query|SELECT 1|-|reset\n");
}

static void a_long_statement_is_cut_and_a_broken_frame_makes_blind(void **state)
{
	AUTO_BUF told = buf_new(65536);
	AUTO_BUF bytes = buf_new(65536);
	struct postgres *postgres = postgres_new(postgres_tell, &told);

	(void)state;
	buf_add(&bytes, STARTUP "Q\0\0\x50\4", 9 + 5);
	for (int i = 0; i < 0x5000; i++)
		buf_add_char(&bytes, 'x');
	postgres_client(postgres, buf_view(&bytes), 0);
	postgres_server(postgres, view_make("C\0\0\0\6X\0" READY, 13), 0);
	assert_in_range(told.length, POSTGRES_STATEMENT_KEPT_MAX, POSTGRES_STATEMENT_KEPT_MAX + 400);
	postgres_client(postgres, view_make("Q\0\0\0\0", 5), 0);
	postgres_client(postgres, view_make("Q\0\0\0\x0dSELECT 1\0", 14), 0);
	assert_int_equal(postgres_in_flight(postgres), 0);
	postgres_free(postgres, "end", 0);
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
	{'c', BYTES("PING\r\nSUBSCRIBE a\r\nPING\r\n"), 0},
	{'s', BYTES("+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"), 0},
	{0},
};

static const struct conversation redis_rows[] = {
	{commands,
	 "SET|set k v\r\nv2|status|-\nPING|PING|status|-\nGET|GET k|null|-\nEXEC|EXEC|array|-\nGET|get|-|ERR no\nAUTH||-|WRONGPASS x\n"},
	{blocking, "XREADGROUP|XREADGROUP GROUP g c block 0 STREAMS|null|-\nPING|PING|status|-\n"},
	{resp3, "HELLO||map|-\nGET|GET a|value|-\nGET|GET b|null|-\nGET|GET c|boolean|-\n"},
	{subscribed, ""},
};

static void commands_of_redis_are_told_when_their_reply_came(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(redis_rows); i++) {
		for (size_t step = 1; step < 4096; step += 4000) {
			AUTO_BUF told = buf_new(4096);
			struct redis *redis = redis_new(redis_tell, &told);

			for (const struct turn *turn = redis_rows[i].turns; turn->who; turn++) {
				for (size_t at = 0; at < turn->bytes.length; at += step) {
					size_t left = turn->bytes.length - at;
					struct view piece = view_make(turn->bytes.at + at, left < step ? left : step);

					(turn->who == 'c' ? redis_client : redis_server)(redis, piece, 0);
				}
				if (redis_in_flight(redis) != turn->in_flight)
					fail_msg("row %zu, turn %td: %zu in flight", i, turn - redis_rows[i].turns,
						 redis_in_flight(redis));
			}
			assert_string_equal(told.at ? told.at : "", redis_rows[i].told);
			redis_free(redis, NULL, 0);
		}
	}
}

static void broken_frames_of_redis_make_blind(void **state)
{
	static const char *const rows[] = {"*x\r\n", "*1\r\n:1\r\n", "*1\r\n$-2\r\n", "*99999999999\r\n"};
	static const char *const replies[] = {"?\r\n", "$x\r\n", "*1\r\n*1\r\n\r\n", "$?\r\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF told = buf_new(4096);
		struct redis *redis = redis_new(redis_tell, &told);

		redis_client(redis, view_of(rows[i]), 0);
		redis_client(redis, VIEW("PING\r\n"), 0);
		assert_int_equal(redis_in_flight(redis), 0);
		redis_free(redis, "end", 0);
		redis = redis_new(redis_tell, &told);
		redis_client(redis, VIEW("PING\r\n"), 0);
		redis_server(redis, view_of(replies[i]), 0);
		assert_int_equal(redis_in_flight(redis), 0);
		redis_free(redis, "end", 0);
		assert_int_equal(told.length, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_of_postgres_are_told_when_they_end),
		cmocka_unit_test(a_statement_without_an_answer_is_told_as_failed),
		cmocka_unit_test(a_long_statement_is_cut_and_a_broken_frame_makes_blind),
		cmocka_unit_test(commands_of_redis_are_told_when_their_reply_came),
		cmocka_unit_test(broken_frames_of_redis_make_blind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
