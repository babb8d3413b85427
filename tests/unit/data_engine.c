/* What engines give to run, and how files are recognised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "data/engine.h"

static struct database shop = {.name = (char[]){"db"}, .database = (char[]){"shop"}, .user = (char[]){"own er"}};

static void files_are_recognised_by_their_first_bytes_and_names(void **state)
{
	static const struct {
		enum engine_kind kind;
		const char *head;
		const char *name;
		int form; /* -1: refused */
	} rows[] = {
		{ENGINE_POSTGRES, "CREATE TABLE", "seed.sql", FORM_SQL},
		{ENGINE_POSTGRES, "", "empty", FORM_SQL},
		{ENGINE_POSTGRES, "\x1f\x8b\x08", "seed", FORM_SQL_GZIP},
		{ENGINE_POSTGRES, "?", "seed.sql.gz", FORM_SQL_GZIP},
		{ENGINE_POSTGRES, "PGDMP\x01", "shop.dump", FORM_PGDUMP},
		{ENGINE_POSTGRES, "REDIS0010", "dump.rdb", -1},
		{ENGINE_REDIS, "REDIS0010", "x", FORM_RDB},
		{ENGINE_SQLITE, "SQLite format 3", "shop.db", FORM_SQLITE},
		{ENGINE_SQLITE, "CREATE TABLE", "shop.sql", FORM_SQL},
		{ENGINE_SQLITE, "PGDMP", "shop.dump", -1},
		{ENGINE_SQLITE, "REDIS0010", "x", -1},
		{ENGINE_POSTGRES, "SQLite format 3", "shop.db", -1},
		{ENGINE_REDIS, "SQLite format 3", "shop.db", -1},
		{ENGINE_REDIS, "SET a 1", "seed.redis", FORM_COMMANDS},
		{ENGINE_REDIS, "PGDMP", "x", -1},
		{ENGINE_REDIS, "\x1f\x8b", "x", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum engine_form form = FORM_SQL;
		struct err err = {0};
		int got = engine_form_detect(rows[i].kind, view_of(rows[i].head), rows[i].name, &form, &err);

		assert_int_equal(got ? -1 : (int)form, rows[i].form);
	}
}

static void a_url_names_the_database_and_escapes_what_it_must(void **state)
{
	struct engine_target target = {&engine_postgres, &shop, 15};
	AUTO_BUF out = buf_new(256);

	(void)state;
	engine_postgres.url(&target, &out);
	assert_string_equal(out.at, "postgres://own%20er@db:5432/shop");
}

static void a_statement_for_redis_is_split_as_its_client_splits_lines(void **state)
{
	static const struct {
		const char *statement;
		const char *words[5];
	} rows[] = {
		{"GET a", {"GET", "a"}},
		{"  SET  k   'a b' ", {"SET", "k", "a b"}},
		{"SET k \"a \\\"b\\\"\"", {"SET", "k", "a \"b\""}},
		{"SET k ''", {"SET", "k", ""}},
		{"SET k a'b c'd", {"SET", "k", "ab cd"}},
		{"", {NULL}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct engine_target target = {&engine_redis, &shop, 7};
		AUTO_ENGINE_PROGRAM program = {.count = 0};
		size_t at = 4; /* redis-cli -e -p 6379 */

		engine_redis.client(&target, rows[i].statement, &program);
		for (size_t word = 0; rows[i].words[word]; word++)
			assert_string_equal(program.argv[at++], rows[i].words[word]);
		assert_null(program.argv[at]);
	}
}

static void only_a_cluster_that_was_shut_down_counts_as_clean(void **state)
{
	(void)state;
	assert_true(engine_postgres.inspect_clean(VIEW("a: b\nDatabase cluster state:               shut down\nc: d\n")));
	assert_false(engine_postgres.inspect_clean(VIEW("Database cluster state:               in production\n")));
	assert_false(engine_postgres.inspect_clean(VIEW("Database cluster state:               shut down in recovery\n")));
	assert_false(engine_postgres.inspect_clean(VIEW("")));
}

static void a_version_that_is_not_installed_is_named_with_its_package(void **state)
{
	struct err err = {0};
	int version = 0;

	(void)state;
	assert_int_equal(engine_postgres.version(4, &version, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "postgresql-4"));
}

static void a_url_of_another_engine_is_refused(void **state)
{
	struct engine_target postgres = {&engine_postgres, &shop, 15};
	struct engine_target redis = {&engine_redis, &shop, 7};
	AUTO_ENGINE_PROGRAM program = {.count = 0};
	enum engine_form form;

	(void)state;
	assert_int_equal(engine_postgres.dumper(&postgres, "redis://x", &program, &form, NULL), -1);
	assert_int_equal(engine_redis.dumper(&redis, "--version", &program, &form, NULL), -1);
	assert_int_equal(program.count, 0);
}

/* A server of NATS that said all of it beforehand. */
static void what_nats_does_not_list_is_not_taken_for_nothing(void **state)
{
	static const char stream[] = "{\"total\":1,\"streams\":[{\"config\":{\"name\":\"s\"},\"state\":{\"messages\":9,"
				     "\"first_seq\":%s,\"last_seq\":%s}}]}";
	AUTO_FREE char *endless = text_format(stream, "9223372036854775800", "9223372036854775807");
	AUTO_FREE char *backwards = text_format(stream, "9", "-9223372036854775807");
	AUTO_FREE char *one = text_format(stream, "1", "1");
	const struct {
		const char *answers[2];
		enum err_kind waiting;
		enum err_kind rows;
		bool cut;
	} table[] = {
		{{"{\"total\":0,\"streams\":[]}"}, ERR_NONE, ERR_NONE, false},
		{{"{\"total\":2,\"streams\":[]}"}, ERR_LIMIT, ERR_NONE, true},
		{{"{\"error\":{\"code\":503,\"description\":\"not now\"}}"}, ERR_RETRY, ERR_RETRY, false},
		{{one, "{\"total\":300,\"consumers\":[]}"}, ERR_LIMIT, ERR_NONE, false},
		{{one, "{\"error\":{\"code\":404}}"}, ERR_RETRY, ERR_NONE, false}, /* a message that is gone is nothing */
		{{endless, "{\"consumers\":[]}"}, ERR_NONE, ERR_BROKEN, false},
		{{backwards, "{\"consumers\":[]}"}, ERR_NONE, ERR_NONE, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		for (int rows = 0; rows < 2; rows++) {
			const struct engine_target target = {&engine_nats, &shop, 2};
			AUTO_BUF said = buf_new(65536);
			AUTO_FREE char *which = NULL;
			AUTO_JSON read = NULL;
			AUTO_CLOSE int ours = -1;
			AUTO_CLOSE int theirs = -1;
			struct err err = {0};
			int64_t count;
			int ends[2];

			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
			ours = ends[0];
			theirs = ends[1];
			buf_add_text(&said, "INFO {}\r\nPONG\r\n");
			for (size_t k = 0; k < 2 && table[i].answers[k]; k++)
				buf_add_format(&said, "MSG _INBOX.assay 1 %zu\r\n%s\r\n", strlen(table[i].answers[k]),
					       table[i].answers[k]);
			assert_int_equal(file_write_fd(theirs, buf_view(&said), &err), 0);
			if (rows)
				read = engine_nats.rows(&target, ours, NULL, &err);
			else
				(void)!engine_nats.waiting(&target, ours, NULL, &count, &which, &err);
			if (err.kind != (rows ? table[i].rows : table[i].waiting))
				fail_msg("%zu: %d %s", i, err.kind, err.text);
			if (rows && read)
				assert_int_equal(json_flag(read, "cut", false), table[i].cut);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_recognised_by_their_first_bytes_and_names),
		cmocka_unit_test(a_url_names_the_database_and_escapes_what_it_must),
		cmocka_unit_test(a_statement_for_redis_is_split_as_its_client_splits_lines),
		cmocka_unit_test(only_a_cluster_that_was_shut_down_counts_as_clean),
		cmocka_unit_test(a_version_that_is_not_installed_is_named_with_its_package),
		cmocka_unit_test(a_url_of_another_engine_is_refused),
		cmocka_unit_test(what_nats_does_not_list_is_not_taken_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
