/* Sessions with SQL servers whose answers are scripted, and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "data/mysql_sql.h"
#include "data/mysql_wire.h"
#include "data/sql_rows.h"

static struct database shop = {.name = (char[]){"db"}, .database = (char[]){"shop"}, .user = (char[]){"shop"}};

/* ---- a server that answers by a list of [rows, …], one a statement; then with nothing ---- */

struct script {
	json_t *answers;
	size_t at;
	size_t inserts;
};

static int scripted_query(struct sql *sql, const char *text, json_t *rows, size_t rows_max, bool *cut, struct err *err)
{
	struct script *script = sql->handle;

	(void)rows_max;
	(void)cut;
	(void)err;
	script->inserts += view_starts(view_of(text), VIEW("INSERT INTO assay_new"));
	if (rows)
		(void)json_array_extend(rows, json_array_get(script->answers, script->at));
	script->at++;
	return 0;
}

static int nothing_to_do(struct sql *sql, struct err *err)
{
	(void)sql;
	(void)err;
	return 0;
}

static const struct sql_ops scripted_ops = {.begin = nothing_to_do,
					    .end = nothing_to_do,
					    .quote = '`',
					    .as_text = "%s",
					    .insert_all = "",
					    .row_digest = "md5(",
					    .row_digest_end = ")",
					    .query = scripted_query};

static void a_row_whose_key_does_not_add_up_is_refused(void **state)
{
	static const struct {
		const char *key;
		bool good;
	} table[] = {
		{"{\"id\": 40}", true},    {"{\"id\": \"a\"}", true}, {"{}", false},
		{"{\"id\": null}", false}, {"{\"id\": [1]}", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_JSON answers = json_pack("[[[s, s, s, s, s, n, n, s, s, s, s]], [], [[s, s]]]", "", "users", "id", "int",
					      "other", "0", "1", "0", "1", table[i].key, "digest");
		struct script script = {.answers = answers};
		struct sql sql = {.ops = &scripted_ops, .handle = &script};
		AUTO_JSON mark = json_pack("{s:{s:{}}}", "tables", "users");
		AUTO_JSON rows = NULL;
		struct err err = {0};

		rows = sql_rows_since(&sql, mark, &err);
		assert_int_equal(rows != NULL, table[i].good);
		if (!table[i].good)
			assert_int_equal(err.kind, ERR_BROKEN);
	}
}

/* Columns, keys, the table's copy, assay_old, its index, assay_new, how many are no text, a page of values. */
static int column_mask(const char *no_text, json_t *page, size_t *inserts, struct err *err)
{
	static const unsigned char key[DIGEST_KEY_BYTES] = "a key for tests, of thirty-two b";
	AUTO_JSON answers = json_pack("[[[s, s, s, s, s, n, n, s, s, s, n]], [], [], [], [], [], [[s]], o]", "", "users", "note",
				      "blob", "bytes", "0", "0", "0", no_text, page);
	const struct mask_rule rule = {.column = (char[]){"users.note"}, .kind = MASK_TEXT};
	struct script script = {.answers = answers};
	struct sql sql = {.ops = &scripted_ops, .handle = &script};
	int result = sql_mask(&sql, &(struct sql_mask){key, &rule, 1, true}, err);

	*inserts = script.inserts;
	return result;
}

static void bytes_that_are_no_text_are_not_left_as_they_are(void **state)
{
	struct err err = {0};
	size_t inserts;

	(void)state;
	if (column_mask("0", json_pack("[[s, s]]", "1", "Mia"), &inserts, &err))
		fail_msg("%s", err.text);
	assert_int_equal(inserts, 1);
	assert_int_equal(column_mask("1", json_pack("[[s, s]]", "1", "Mia"), &inserts, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_non_null(strstr(err.text, "users.note: values that are no text"));
	assert_int_equal(inserts, 0);
}

static void long_values_go_in_statements_of_their_own(void **state)
{
	enum { LENGTH = 300 << 10 };
	AUTO_FREE char *value = mem_new_array(LENGTH + 1, 1);
	struct err err = {0};
	size_t inserts;

	(void)state;
	memset(value, 'x', LENGTH);
	if (column_mask("0", json_pack("[[s, s], [s, s]]", "1", value, "2", value), &inserts, &err))
		fail_msg("%s", err.text);
	assert_int_equal(inserts, 2);
}

/* ---- servers behind a socket, which said all beforehand ---- */

static void packet_add(struct buf *out, struct view body)
{
	const char head[4] = {(char)(body.length & 0xff), (char)(body.length >> 8), 0, 0};

	buf_add(out, head, sizeof(head));
	buf_add_view(out, body);
}

static void ok_add(struct buf *out)
{
	packet_add(out, VIEW("\0\0\0\2\0\0\0"));
}

/* A row at most, of texts; "" is NULL. */
static void rows_add(struct buf *out, size_t columns, const char *const *cells)
{
	AUTO_BUF row = buf_new(4096);
	const char count = (char)columns;

	packet_add(out, view_make(&count, 1));
	for (size_t i = 0; i < columns; i++)
		packet_add(out, VIEW("def"));
	packet_add(out, VIEW("\xfe\0\0\2\0"));
	for (size_t i = 0; cells && i < columns; i++) {
		buf_add_char(&row, cells[i][0] ? (char)strlen(cells[i]) : (char)0xfb);
		buf_add_text(&row, cells[i]);
	}
	if (cells)
		packet_add(out, buf_view(&row));
	packet_add(out, VIEW("\xfe\0\0\2\0"));
}

static void a_trigger_is_only_dropped_when_it_can_be_made_again(void **state)
{
	static const char *const name[] = {"before_insert"};
	static const char *const no_name[] = {""};
	static const struct {
		const char *const *name;
		const char *made[3]; /* name, mode, statement; without a name: no row */
		int result;
	} table[] = {
		{name, {"before_insert", "STRICT_TRANS_TABLES", "CREATE TRIGGER"}, 0},
		{name, {"before_insert", "", "CREATE TRIGGER"}, -1},
		{name, {"before_insert", "STRICT_TRANS_TABLES", ""}, -1},
		{name, {NULL}, -1},
		{no_name, {"before_insert", "STRICT_TRANS_TABLES", "CREATE TRIGGER"}, -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct engine_target target = {&engine_mariadb, &shop, 10};
		AUTO_BUF answers = buf_new(65536);
		AUTO_CLOSE int ours = -1;
		AUTO_CLOSE int theirs = -1;
		AUTO_SQL sql = {.ops = NULL};
		struct err err = {0};
		int ends[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		ours = ends[0];
		theirs = ends[1];
		packet_add(&answers, VIEW("\x0a"
					  "5.5.5\0\1\0\0\0"));
		for (size_t statement = 0; statement < 6; statement++) /* the leave, SET, SET, SET, USE, SET */
			ok_add(&answers);
		rows_add(&answers, 1, table[i].name);
		rows_add(&answers, 3, table[i].made[0] ? table[i].made : NULL);
		ok_add(&answers);
		assert_int_equal(file_write_fd(theirs, buf_view(&answers), &err), 0);
		if (mysql_sql_open(&target, ours, &sql, &err))
			fail_msg("%s", err.text);
		assert_int_equal(sql.ops->begin(&sql, &err), table[i].result);
		if (table[i].result)
			assert_int_equal(err.kind, ERR_BROKEN);
		assert_int_equal(json_array_size(sql.aside), table[i].result ? 0 : 1);
	}
}

/* ---- long answers ---- */

static int shorter_query(struct sql *sql, const char *text, json_t *rows, size_t rows_max, bool *cut, struct err *err)
{
	size_t *left = sql->handle;

	(void)text;
	(void)cut;
	if (rows_max > 3)
		return err_set(err, ERR_LIMIT, "too long");
	for (size_t i = 0; i < rows_max && *left; i++, (*left)--)
		(void)json_array_append_new(rows, json_pack("[s, s]", "7", "old"));
	return 0;
}

static int row_count(void *self, const char *n, const char *old, struct err *err)
{
	(void)n;
	(void)old;
	(void)err;
	++*(size_t *)self;
	return 0;
}

static void a_page_that_is_too_long_is_asked_in_parts(void **state)
{
	static const struct sql_ops ops = {.query = shorter_query};
	size_t left = 10;
	size_t count = 0;
	struct sql sql = {.ops = &ops, .handle = &left};
	struct err err = {0};

	(void)state;
	if (sql_pages(&sql, row_count, &count, NULL, &err))
		fail_msg("%s", err.text);
	assert_int_equal(count, 10);
}

/* 70 rows of 1 MiB, from another process: no socket holds so much. */
static pid_t long_answer_send(int fd)
{
	AUTO_BUF answer = buf_new((size_t)100 << 20);
	AUTO_BUF row = buf_new((size_t)2 << 20);
	const size_t length = (size_t)1 << 20;
	const char head[4] = {(char)0xfd, 0, 0, 0x10};
	pid_t child = fork();

	if (child)
		return child;
	packet_add(&answer, VIEW("\1"));
	packet_add(&answer, VIEW("def"));
	packet_add(&answer, VIEW("\xfe\0\0\2\0"));
	buf_add(&row, head, sizeof(head));
	memset(buf_reserve(&row, length), 'x', length);
	buf_commit(&row, length);
	for (int i = 0; i < 70; i++) {
		const unsigned char packet[4] = {row.length & 0xff, row.length >> 8 & 0xff, row.length >> 16 & 0xff, 0};

		buf_add(&answer, packet, sizeof(packet));
		buf_add_view(&answer, buf_view(&row));
	}
	packet_add(&answer, VIEW("\xfe\0\0\2\0"));
	_exit(file_write_fd(fd, buf_view(&answer), NULL) ? 1 : 0);
}

static void an_answer_is_kept_up_to_a_limit(void **state)
{
	(void)state;
	for (int cuts = 0; cuts < 2; cuts++) {
		AUTO_JSON rows = json_array();
		AUTO_CLOSE int ours = -1;
		AUTO_CLOSE int theirs = -1;
		struct err err = {0};
		bool cut = false;
		pid_t child;
		int ends[2];
		int result;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		ours = ends[0];
		theirs = ends[1];
		child = long_answer_send(theirs);
		assert_true(child > 0);
		{
			AUTO_WIRE wire = wire_new(ours, 60000, ENGINE_REPLY_BYTES_MAX);

			result = mysql_wire_query(&wire, "SELECT 1", rows, 1000, cuts ? &cut : NULL, &err);
		}
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_int_equal(result, cuts ? 0 : -1);
		assert_int_equal(err.kind, cuts ? ERR_NONE : ERR_LIMIT);
		assert_int_equal(cut, cuts);
		assert_in_range(json_array_size(rows), 60, 64);
	}
}

static void a_session_ends_at_its_own_limit(void **state)
{
	const struct engine_target target = {&engine_mariadb, &shop, 10};
	AUTO_CLOSE int ours = -1;
	AUTO_CLOSE int theirs = -1;
	AUTO_SQL sql = {.ops = NULL};
	struct err err = {0};
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	ours = ends[0];
	theirs = ends[1];
	assert_int_equal(mysql_sql_open_for(&target, ours, 20, &sql, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
}

static void a_servers_error_names_no_value(void **state)
{
	static const char *const rows[][2] = {
		{"users.age: invalid input syntax for type integer: \"ada@x.example\"",
		 "users.age: invalid input syntax for type integer: \"…\""},
		{"Duplicate entry 'o'hara' for key 'email'", "Duplicate entry '…' for key 'email'"},
		{"Incorrect integer value: 'it's for 'x' for column `s`.`t`.`age` at row 1",
		 "Incorrect integer value: '…' for column `s`.`t`.`age` at row 1"},
		{"Truncated incorrect DOUBLE value: 'ada'", "Truncated incorrect DOUBLE value: '…'"},
		{"invalid input value for enum mood: \"sa\"d\"", "invalid input value for enum mood: \"…\""},
		{"invalid input syntax for type integer: \"cut by us", "invalid input syntax for type integer: \"…"},
		{"duplicate key value violates unique constraint \"users_email_key\"",
		 "duplicate key value violates unique constraint \"users_email_key\""},
		{"column \"a\" does not exist", "column \"a\" does not exist"},
		{"x: \"y\"", "x: \"…\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};

		(void)err_set(&err, ERR_INVALID, "%s", rows[i][0]);
		sql_error_hide(&err);
		assert_string_equal(err.text, rows[i][1]);
	}
}

/* A text as long as an error can be. */
static void a_long_error_keeps_its_bounds(void **state)
{
	struct err err = {0};
	size_t length = sizeof(err.text) - 1;

	(void)state;
	memset(err.text, 'a', length);
	memcpy(err.text + length - 3, ": \"", 3);
	sql_error_hide(&err);
	assert_true(strlen(err.text) <= length);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_whose_key_does_not_add_up_is_refused),
		cmocka_unit_test(bytes_that_are_no_text_are_not_left_as_they_are),
		cmocka_unit_test(long_values_go_in_statements_of_their_own),
		cmocka_unit_test(a_trigger_is_only_dropped_when_it_can_be_made_again),
		cmocka_unit_test(a_page_that_is_too_long_is_asked_in_parts),
		cmocka_unit_test(a_session_ends_at_its_own_limit),
		cmocka_unit_test(an_answer_is_kept_up_to_a_limit),
		cmocka_unit_test(a_servers_error_names_no_value),
		cmocka_unit_test(a_long_error_keeps_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
