/* Frames of PostgreSQL, MySQL and Redis, as a hostile server may send them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "data/mysql_wire.h"
#include "data/postgres_wire.h"
#include "data/redis_wire.h"

static void redis_replies_are_taken_whole_or_not_at_all(void **state)
{
	static const struct {
		const char *bytes;
		int whole;
		const char *json; /* in an array, so that scalars can be compared */
		bool is_error;
	} rows[] = {
		{"+OK\r\n", 1, "[\"OK\"]", false},
		{"-ERR no\r\n", 1, "[\"ERR no\"]", true},
		{":-42\r\n", 1, "[-42]", false},
		{"$3\r\nabc\r\n", 1, "[\"abc\"]", false},
		{"$0\r\n\r\n", 1, "[\"\"]", false},
		{"$-1\r\n", 1, "[null]", false},
		{"*-1\r\n", 1, "[null]", false},
		{"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n", 1, "[[1,[\"x\"]]]", false},
		{"*0\r\n", 1, "[[]]", false},
		{"", 0, NULL, false},
		{"+OK", 0, NULL, false},
		{"$3\r\nab", 0, NULL, false},
		{"*2\r\n:1\r\n", 0, NULL, false},
		{"$3\r\nabcd\r\n", -1, NULL, false},
		{"$-2\r\n", -1, NULL, false},
		{"$99999999999\r\n", -1, NULL, false},
		{"*99999999999\r\n", -1, NULL, false},
		{":x\r\n", -1, NULL, false},
		{"+OK\n", -1, NULL, false},
		{"hello\r\n", -1, NULL, false},
		{"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
		 -1, NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct view in = view_of(rows[i].bytes);
		AUTO_JSON reply = NULL;
		bool is_error = false;
		int whole = redis_reply_take(&in, &reply, &is_error, NULL);

		if (whole != rows[i].whole)
			fail_msg("%s: %d", rows[i].bytes, whole);
		assert_int_equal(in.length, whole == 1 ? 0 : strlen(rows[i].bytes));
		if (whole == 1) {
			AUTO_JSON list = json_pack("[O]", reply);
			AUTO_BUF text = buf_new(256);

			json_format(&text, list);
			assert_string_equal(text.at, rows[i].json);
			assert_int_equal(is_error, rows[i].is_error);
		}
	}
}

static void messages_of_postgres_wait_for_all_of_their_bytes(void **state)
{
	struct view in = VIEW("Z\0\0\0\5IZ\0\0\0");
	struct view body;
	char type;

	(void)state;
	assert_int_equal(postgres_message_take(&in, &type, &body, NULL), 1);
	assert_int_equal(type, 'Z');
	assert_true(view_is(body, "I"));
	assert_int_equal(postgres_message_take(&in, &type, &body, NULL), 0);
	assert_int_equal(in.length, 4);
	in = VIEW("Z\0\0\0\3");
	assert_int_equal(postgres_message_take(&in, &type, &body, NULL), -1);
	in = VIEW("HTTP/1.1 400");
	assert_int_equal(postgres_message_take(&in, &type, &body, NULL), -1);
}

static void rows_of_postgres_must_add_up(void **state)
{
	static const struct {
		struct view body;
		const char *json; /* NULL: refused */
	} rows[] = {
		{{"\0\2\0\0\0\1a\xff\xff\xff\xff", 11}, "[\"a\",null]"},
		{{"\0\0", 2}, "[]"},
		{{"\0", 1}, NULL},
		{{"\0\1", 2}, NULL},
		{{"\0\1\0\0\0\5ab", 8}, NULL},
		{{"\0\1\0\0\0\1ab", 8}, NULL},
		{{"\xff\xff\0\0\0\1", 6}, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_JSON row = postgres_row_parse(rows[i].body, NULL);
		AUTO_BUF text = buf_new(256);

		if (row)
			json_format(&text, row);
		if (rows[i].json)
			assert_string_equal(text.at, rows[i].json);
		else
			assert_null(row);
	}
}

static void a_server_that_starts_is_asked_again_later(void **state)
{
	static const char starting[] = "E\0\0\0\x1fSFATAL\0C57P03\0Mnot yet\0\0\0\0";
	AUTO_CLOSE int ours = -1;
	AUTO_CLOSE int theirs = -1;
	struct err err = {0};
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ours = ends[0];
	theirs = ends[1];
	assert_int_equal(file_write_fd(theirs, view_make(starting, 32), &err), 0);
	{
		AUTO_WIRE wire = wire_new(ours, 1000, 4096);

		assert_int_equal(postgres_wire_start(&wire, "u", "d", &err), -1);
	}
	assert_int_equal(err.kind, ERR_RETRY);
	assert_string_equal(err.text, "not yet");
}

static void a_server_that_says_nothing_is_left_at_the_deadline(void **state)
{
	AUTO_CLOSE int ours = -1;
	AUTO_CLOSE int theirs = -1;
	struct err err = {0};
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ours = ends[0];
	theirs = ends[1];
	{
		AUTO_WIRE wire = wire_new(ours, 20, 4096);

		assert_null(redis_wire_command(&wire, (const char *const[]){"PING"}, 1, &err));
	}
	assert_int_equal(err.kind, ERR_RETRY);
}

static void packets_of_mysql_are_taken_whole_or_not_at_all(void **state)
{
	static const char two[] = "\x05\0\0\1\3abc\xfb\1\0\0\2\0";
	struct view in = view_make(two, sizeof(two) - 1);
	struct view body;
	struct view message;
	unsigned code;
	uint8_t number;
	AUTO_JSON row = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(mysql_packet_take(&in, &number, &body, &err), 1);
	assert_int_equal(number, 1);
	row = mysql_row_parse(body, 2, &err);
	assert_string_equal(json_string_value(json_array_get(row, 0)), "abc");
	assert_true(json_is_null(json_array_get(row, 1)));
	assert_null(mysql_row_parse(body, 1, &err));
	assert_null(mysql_row_parse(body, 3, &err));
	assert_null(mysql_row_parse(VIEW("\x05"
					 "ab"),
				    1, &err));
	assert_int_equal(mysql_packet_take(&in, &number, &body, &err), 1);
	assert_int_equal(mysql_packet_take(&in, &number, &body, &err), 0);
	in = VIEW("\xff\xff\xff\0");
	assert_int_equal(mysql_packet_take(&in, &number, &body, &err), -1);
	mysql_error_parse(VIEW("\xff\x19\x04#42000Unknown database"), &code, &message);
	assert_int_equal(code, 1049);
	assert_true(view_is(message, "Unknown database"));
	mysql_error_parse(VIEW("\xff"), &code, &message);
	assert_int_equal(code, 0);
}

static void a_server_of_mysql_is_talked_to(void **state)
{
	/* Its greeting, its leave, and an answer of one column with one row. */
	static const char bytes[] = "\x0b\0\0\0\x0a"
				    "5.5.5\0\1\0\0\0"
				    "\7\0\0\2\0\0\0\2\0\0\0"
				    "\1\0\0\1\1"
				    "\3\0\0\2"
				    "def"
				    "\5\0\0\3\xfe\0\0\2\0"
				    "\3\0\0\4\2"
				    "42"
				    "\5\0\0\5\xfe\0\0\2\0";
	int pair[2];
	AUTO_JSON rows = json_array();
	struct err err = {0};

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	{
		AUTO_WIRE wire = wire_new(pair[0], 5000, (size_t)1 << 20);

		assert_int_equal(write(pair[1], bytes, sizeof(bytes) - 1), sizeof(bytes) - 1);
		if (mysql_wire_start(&wire, "shop", &err) || mysql_wire_query(&wire, "SELECT 42", rows, 10, NULL, &err))
			fail_msg("%s", err.text);
		assert_string_equal(json_string_value(json_array_get(json_array_get(rows, 0), 0)), "42");
	}
	(void)close(pair[0]);
	(void)close(pair[1]);
}

#define BODY(literal)                          \
	{                                      \
		(literal), sizeof(literal) - 1 \
	}

static void an_error_of_mysql_tells_no_values(void **state)
{
	static const struct {
		struct view body;
		const char *text;
	} table[] = {
		{BODY("\xff\x26\x04#23000Duplicate entry 'mia@acme.io' for key"), "error 1062: Duplicate entry"},
		{BODY("\xff\x1e\x04#42S22Unknown column 'nmae' in 'where clause'"),
		 "error 1054: Unknown column 'nmae' in 'where clause'"},
		{BODY("\xff\x10\x04#08004Too many connections"), "error 1040: Too many connections"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const char head[4] = {(char)table[i].body.length, 0, 0, 0};
		struct err err = {0};
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		{
			AUTO_WIRE wire = wire_new(pair[0], 5000, (size_t)1 << 20);

			assert_int_equal(file_write_fd(pair[1], view_make(head, sizeof(head)), &err), 0);
			assert_int_equal(file_write_fd(pair[1], table[i].body, &err), 0);
			assert_int_equal(mysql_wire_query(&wire, "SELECT 1", NULL, 0, NULL, &err), -1);
		}
		assert_string_equal(err.text, table[i].text);
		(void)close(pair[0]);
		(void)close(pair[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_mysql_are_taken_whole_or_not_at_all),
		cmocka_unit_test(a_server_of_mysql_is_talked_to),
		cmocka_unit_test(an_error_of_mysql_tells_no_values),
		cmocka_unit_test(redis_replies_are_taken_whole_or_not_at_all),
		cmocka_unit_test(messages_of_postgres_wait_for_all_of_their_bytes),
		cmocka_unit_test(rows_of_postgres_must_add_up),
		cmocka_unit_test(a_server_that_starts_is_asked_again_later),
		cmocka_unit_test(a_server_that_says_nothing_is_left_at_the_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
