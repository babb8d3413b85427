/*
 * Databases that environments hold, one engine after another: a dump without rules is refused, one with masks becomes a snapshot that
 * holds nothing of what was there, a fork of it answers, and what is written in it is known. Needs root; an engine that is not installed
 * is skipped aloud.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/scope.h"
#include "fixture.h"
#include "sandbox/environment.h"
#include "sandbox/local/local.h"

static char state_dir[] = "/tmp/assay-data-XXXXXX";
static char *repository;
static struct git_hash first;
static struct provider provider;
static struct environments *environments;

static const struct engine_row {
	const char *name;
	const char *server;    /* there when it is installed */
	const char *settings;  /* of the blueprint */
	const char *elsewhere; /* a dump that fills database staff too */
} engines[] = {
	{"postgres", "/usr/lib/postgresql", "engine: postgres, database: shop, user: shop", "CREATE DATABASE staff;\n"},
	{"mariadb", "/usr/sbin/mariadbd", "engine: mariadb, database: shop, user: shop",
	 "CREATE DATABASE staff;\nCREATE TABLE staff.people (email varchar(60));\n"},
	{"sqlite", "/bin/sh", "engine: sqlite", NULL},
};

static const char people_sql[] =
	"CREATE TABLE users (id int PRIMARY KEY, email varchar(60) NOT NULL UNIQUE, name varchar(40), phone varchar(30), born date);\n"
	"CREATE TABLE orders (id int PRIMARY KEY, user_email varchar(60) NOT NULL, card char(16), profile text, total decimal(10,2),\n"
	"  FOREIGN KEY (user_email) REFERENCES users (email));\n"
	"INSERT INTO users VALUES (1, 'mia.secretword@acme.io', 'Mia Secretword', '+49 30 901820', '1984-02-29');\n"
	"INSERT INTO users VALUES (2, 'jo@secretword.io', 'Jo Secretword', '+49 30 901821', '1990-12-31');\n"
	"INSERT INTO users VALUES (3, 'no@secretword.io', NULL, NULL, NULL);\n"
	"INSERT INTO orders VALUES (1, 'mia.secretword@acme.io', '4539148803436467', '{\"contact\": {\"email\": \"mia.secretword@acme.io\"}, \"n\": 1.50}', 10.50);\n"
	"INSERT INTO orders VALUES (2, 'mia.secretword@acme.io', NULL, '{\"contact\": {\"email\": \"x@example.com\"}, \"n\": 2}', 0);\n"
	"INSERT INTO orders VALUES (3, 'jo@secretword.io', '4916338506082832', NULL, 99999.99);\n";

static const char masks[] = "    mask:\n"
			    "      users.email: email\n"
			    "      users.name: name\n"
			    "      users.phone: phone\n"
			    "      users.born: date\n"
			    "      orders.card: card\n"
			    "      orders.total: number\n"
			    "      orders.profile/contact/email: email\n";

static int test_mask_key(void *self, unsigned char key[32], struct err *err)
{
	(void)self;
	(void)err;
	(void)snprintf((char *)key, 32, "a key that only this test has");
	return 0;
}

static char *blueprint_text(const struct engine_row *engine, const char *mask)
{
	return text_format("version: 1\nname: shop\nservices:\n  web: {run: sleep 1000}\ndatabases:\n  db:\n    %s\n%s",
			   engine->settings, mask);
}

/* {engine: x, y: z} as lines. */
static char *settings_as_lines(const char *settings)
{
	AUTO_BUF lines = buf_new(4096);

	for (; *settings; settings++) {
		if (settings[0] == ',' && settings[1] == ' ') {
			buf_add_text(&lines, "\n    ");
			settings++;
		} else {
			buf_add_char(&lines, *settings);
		}
	}
	return buf_take(&lines);
}

static char *query(struct env_id id, const char *statement)
{
	AUTO_BUF output = buf_new((size_t)1 << 20);
	struct err err = {0};

	if (environment_query(environments, id, "db", statement, &output, &err))
		fail_msg("%s: %s", statement, err.text);
	return output.length ? buf_take(&output) : text_copy("");
}

static int snapshot_of(const char *sql, const struct engine_row *engine, const char *mask, const char *name, struct err *err)
{
	AUTO_FREE char *settings = settings_as_lines(engine->settings);
	const struct engine_row lined = {.settings = settings};
	AUTO_FREE char *text = blueprint_text(&lined, mask);
	AUTO_FREE char *path = text_format("%s/people.sql", state_dir);
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", err);
	int version = 0;

	if (!blueprint)
		fail_msg("%s", err->text);
	must(file_replace(path, view_of(sql), 0600, err), err);
	return snapshot_create(environments, name, blueprint, &(struct snapshot_source){.database = "db", .dump = path}, 1,
			       (struct progress){.report = NULL}, &version, err);
}

static int snapshot(const struct engine_row *engine, const char *mask, const char *name, struct err *err)
{
	return snapshot_of(people_sql, engine, mask, name, err);
}

static struct env_id up(const struct engine_row *engine, const char *name)
{
	AUTO_FREE char *settings = settings_as_lines(engine->settings);
	const struct engine_row lined = {.settings = settings};
	AUTO_FREE char *text = blueprint_text(&lined, "");
	struct env_id id = {{0}};
	struct err err = {0};

	must(environment_up(environments,
			    &(struct environment_spec){.repository = repository,
						       .commit = first,
						       .blueprint = text,
						       .snapshot = name,
						       .purpose = "test",
						       .no_services = true,
						       .volatile_ = true},
			    false, (struct progress){.report = NULL}, &id, &err),
	     &err);
	return id;
}

static void a_dump_without_rules_is_refused(const struct engine_row *engine)
{
	struct err err = {0};

	assert_int_equal(snapshot(engine, "    mask: {users.phone: keep}\n", "raw", &err), -1);
	if (err.kind != ERR_DENIED)
		fail_msg("%s", err.text);
	assert_non_null(strstr(err.text, "users.email holds 3 emails"));
	assert_non_null(strstr(err.text, "orders.card holds 2 cards"));
	assert_non_null(strstr(err.text, "orders.profile/contact/email: email"));
	assert_null(strstr(err.text, "users.phone"));
	assert_null(strstr(err.text, "secretword"));
	assert_null(snapshot_show(environments, "raw", &err));
	assert_int_equal(snapshot(engine, "    mask: {users.emial: email}\n", "raw", &err), -1);
	assert_non_null(strstr(err.text, "there is no column users.emial"));
	assert_int_equal(snapshot(engine, "    mask: {users.email: email, orders.user_email: name}\n", "raw", &err), -1);
	assert_non_null(strstr(err.text, "both need the same rule"));
}

static void a_dump_of_two_databases_is_refused(const struct engine_row *engine)
{
	struct err err = {0};

	if (!engine->elsewhere) {
		assert_int_equal(snapshot_of("ATTACH '/data/staff.db' AS staff;\n", engine, "", "two", &err), -1);
		assert_non_null(strstr(err.text, "not authorized"));
		return;
	}
	assert_int_equal(snapshot_of(engine->elsewhere, engine, "", "two", &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_non_null(strstr(err.text, "fills database staff too"));
}

static void nothing_of_what_was_there_is_left(struct env_id id)
{
	const char *argv[] = {
		"sh", "-c",
		"grep -rla example.com /data >/dev/null || echo the search; grep -rlaiE 'secretword|4539148803436467|901820' /data; true",
		NULL};
	AUTO_BUF output = buf_new((size_t)1 << 16);
	struct exit_status status;
	struct err err = {0};

	must(environment_exec(environments, id,
			      &(struct environment_exec){.sandbox = "db", .argv = argv, .as_root = true, .output = &output},
			      &status, &err),
	     &err);
	if (output.length)
		fail_msg("still in %.*s", (int)output.length, output.at);
}

static void what_joined_joins_and_keeps_its_form(struct env_id id)
{
	static const struct {
		const char *statement;
		const char *answer;
	} table[] = {
		{"SELECT count(*) AS n FROM users", "n\n3\n"},
		{"SELECT count(*) AS n FROM orders o JOIN users u ON u.email = o.user_email", "n\n3\n"},
		{"SELECT u.id FROM orders o JOIN users u ON u.email = o.user_email WHERE o.id = 3", "id\n2\n"},
		{"SELECT count(*) AS n FROM users WHERE email LIKE '%@example.com'", "n\n3\n"},
		{"SELECT count(*) AS n FROM users WHERE name IS NULL AND phone IS NULL AND born IS NULL", "n\n1\n"},
		{"SELECT count(*) AS n FROM users WHERE phone LIKE '+49 __ ______'", "n\n2\n"},
		{"SELECT count(*) AS n FROM orders WHERE total = 0 OR total = 10.50 OR total = 99999.99", "n\n1\n"},
		{"SELECT count(*) AS n FROM orders WHERE profile LIKE '%\"n\": 1.50}'", "n\n1\n"},
		{"SELECT count(*) AS n FROM orders o JOIN users u ON u.id = 1 AND o.profile LIKE replace('%Q%', 'Q', u.email)",
		 "n\n1\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_FREE char *answer = query(id, table[i].statement);

		if (strcmp(answer, table[i].answer) != 0)
			fail_msg("%s: %s", table[i].statement, answer);
	}
}

static void what_is_written_is_known(struct env_id id)
{
	AUTO_FREE char *inserted = query(id, "INSERT INTO users VALUES (40, 'new@example.com', 'New', NULL, '2000-01-01')");
	AUTO_FREE char *changed = query(id, "UPDATE orders SET total = 1.25 WHERE id = 2");
	AUTO_FREE char *deleted = query(id, "DELETE FROM orders WHERE id = 3");
	struct err err = {0};
	AUTO_JSON rows = environment_rows_written(environments, id, &err);
	const json_t *tables = json_member(json_member(rows, "tables"), "db");
	const json_t *user = json_array_get(json_member(tables, "users"), 0);
	const json_t *order = json_array_get(json_member(tables, "orders"), 0);
	const json_t *touched = json_member(json_member(json_member(rows, "touched"), "db"), "orders");

	if (!rows)
		fail_msg("%s", err.text);
	assert_int_equal(json_array_size(json_member(tables, "users")), 1);
	assert_int_equal(json_array_size(json_member(tables, "orders")), 1);
	assert_int_equal(json_number(json_member(user, "key"), "id", 0), 40);
	assert_string_equal(json_text(json_member(user, "row"), "email", ""), "new@example.com");
	assert_int_equal(json_number(json_member(order, "key"), "id", 0), 2);
	assert_string_equal(json_string_value(json_array_get(touched, 0)), "2");
}

/* MariaDB's tables that keep what they held. */
static void a_versioned_table_is_one(const struct engine_row *engine)
{
	static const char sql[] = "CREATE TABLE staff (id int PRIMARY KEY, email varchar(60)) WITH SYSTEM VERSIONING;\n"
				  "INSERT INTO staff VALUES (1, 'mia.secretword@acme.io');\n";
	struct err err = {0};
	struct env_id id;

	if (strcmp(engine->name, "mariadb") != 0)
		return;
	assert_int_equal(snapshot_of(sql, engine, "", "versioned", &err), -1);
	assert_non_null(strstr(err.text, "staff.email holds 1 email"));
	must(snapshot_of(sql, engine, "    mask: {staff.email: email}\n", "versioned", &err), &err);
	id = up(engine, "versioned");
	nothing_of_what_was_there_is_left(id);
	must(environment_down(environments, id, &err), &err);
}

/* What is left refers only to what is left. */
static void a_part_is_whole_in_itself(const struct engine_row *engine)
{
	static const struct {
		const char *subset;
		const char *users;
		const char *orders;
	} table[] = {
		{"      orders: id < 3 OR id IS NULL\n      users: referenced\n", "n\n1\n", "n\n2\n"},
		{"      users: id <> 1\n      orders: 100%\n", "n\n2\n", "n\n1\n"},
	};
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_FREE char *rules = text_format("    subset:\n%s%s", table[i].subset, masks);
		AUTO_FREE char *name = text_format("%s-part-%zu", engine->name, i);
		AUTO_FREE char *users = NULL;
		AUTO_FREE char *orders = NULL;
		struct env_id id;

		must(snapshot(engine, rules, name, &err), &err);
		id = up(engine, name);
		users = query(id, "SELECT count(*) AS n FROM users");
		orders = query(id, "SELECT count(*) AS n FROM orders");
		assert_string_equal(users, table[i].users);
		assert_string_equal(orders, table[i].orders);
		must(environment_down(environments, id, &err), &err);
	}
	assert_int_equal(snapshot(engine, "    subset: {orders: referenced}\n    mask: {users.email: email}\n", "part", &err), -1);
	assert_non_null(strstr(err.text, "nothing refers to orders"));
	assert_int_equal(snapshot(engine, "    subset: {nowhere: 10%}\n", "part", &err), -1);
	assert_non_null(strstr(err.text, "there is no table nowhere"));
}

static void each_engine(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(engines); i++) {
		const struct engine_row *engine = &engines[i];
		struct env_id id;
		struct err err = {0};

		if (access(engine->server, F_OK)) {
			printf("# SKIP %s is not installed\n", engine->name);
			continue;
		}
		printf("# %s\n", engine->name);
		a_dump_without_rules_is_refused(engine);
		a_dump_of_two_databases_is_refused(engine);
		must(snapshot(engine, masks, engine->name, &err), &err);
		id = up(engine, engine->name);
		nothing_of_what_was_there_is_left(id);
		what_joined_joins_and_keeps_its_form(id);
		what_is_written_is_known(id);
		must(environment_reset_data(environments, id, (struct progress){.report = NULL}, &err), &err);
		what_joined_joins_and_keeps_its_form(id);
		must(environment_down(environments, id, &err), &err);
		a_part_is_whole_in_itself(engine);
		a_versioned_table_is_one(engine);
	}
}

/* ---- Redis ---- */

static const struct engine_row redis_row = {"redis", "/usr/bin/redis-server", "engine: redis", ""};

static const char people_keys[] = "SET session:1 mia.secretword@acme.io EX 100000\n"
				  "SET greeting hello\n"
				  "HSET user:1 email mia.secretword@acme.io name Mia\n"
				  "HSET user:2 email jo@secretword.io name Jo\n"
				  "RPUSH outbox jo@secretword.io\n"
				  "SELECT 3\n"
				  "SET session:2 jo@secretword.io\n";

static const char key_masks[] = "    mask:\n"
				"      'session:*': email\n"
				"      'user:*/email': email\n"
				"      outbox: null\n";

/* A Redis file by hand (RDB 9, no checksum), with one text in it. */
static void rdb_write(const char *path, const char *key, const char *value)
{
	AUTO_BUF file = buf_new(4096);
	struct err err = {0};

	buf_add_text(&file, "REDIS0009");
	buf_add_view(&file, view_make("\xfe\0\0", 3));
	buf_add_char(&file, (char)strlen(key));
	buf_add_text(&file, key);
	buf_add_char(&file, (char)strlen(value));
	buf_add_text(&file, value);
	buf_add_view(&file, view_make("\xff\0\0\0\0\0\0\0\0", 9));
	must(file_replace(path, buf_view(&file), 0600, &err), &err);
}

static void keys_without_rules_are_refused(void)
{
	struct err err = {0};

	assert_int_equal(snapshot_of(people_keys, &redis_row, "", "keys", &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_non_null(strstr(err.text, "session:* holds 2 emails"));
	assert_non_null(strstr(err.text, "user:*/email holds 2 emails"));
	assert_non_null(strstr(err.text, "outbox holds 1 email"));
	assert_null(strstr(err.text, "secretword"));
	assert_int_equal(snapshot_of(people_keys, &redis_row, "    mask: {outbox: email}\n", "keys", &err), -1);
	assert_non_null(strstr(err.text, "mask outbox: a key is a list"));
	/* A name is not masked with its value. */
	assert_int_equal(snapshot_of("SET cart:mia@acme.io 1\n", &redis_row, "    mask: {'cart:*': text}\n", "keys", &err), -1);
	assert_non_null(strstr(err.text, "cart:* holds 1 email"));
	/* Nor looked at, where it is none. */
	assert_int_equal(snapshot_of("SET \"bin:\\xff\" mia@acme.io\n", &redis_row, "", "keys", &err), -1);
	assert_non_null(strstr(err.text, "bin:* holds 1 unreadable key"));
	assert_non_null(strstr(err.text, "{bin:*: keep}"));
}

static void keys_join_what_they_joined(struct env_id id)
{
	AUTO_FREE char *session = query(id, "GET session:1");
	AUTO_FREE char *field = query(id, "HGET user:1 email");
	AUTO_FREE char *other = query(id, "HGET user:2 email");
	AUTO_FREE char *name = query(id, "HGET user:1 name");
	AUTO_FREE char *left = query(id, "TTL session:1");
	AUTO_FREE char *outbox = query(id, "EXISTS outbox");

	assert_string_equal(session, field);
	assert_string_not_equal(field, other);
	assert_non_null(strstr(field, "@example.com"));
	assert_non_null(strstr(name, "Mia"));
	assert_true(strtol(left, NULL, 10) > 0);
	assert_int_equal(strtol(outbox, NULL, 10), 0);
}

static void redis_holds_nobody(void **state)
{
	AUTO_FREE char *path = text_format("%s/people.rdb", state_dir);
	AUTO_FREE char *text = blueprint_text(&redis_row, "    mask: {'session:*': email}\n");
	struct err err = {0};
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", &err);
	struct env_id id;
	int version = 0;

	(void)state;
	if (access(redis_row.server, F_OK)) {
		printf("# SKIP redis is not installed\n");
		return;
	}
	keys_without_rules_are_refused();
	must(snapshot_of(people_keys, &redis_row, key_masks, "keys", &err), &err);
	id = up(&redis_row, "keys");
	nothing_of_what_was_there_is_left(id);
	keys_join_what_they_joined(id);
	must(environment_down(environments, id, &err), &err);
	/* The file that was loaded is not in the snapshot either. */
	rdb_write(path, "session:9", "mia.secretword@acme.io");
	must(snapshot_create(environments, "rdb", blueprint, &(struct snapshot_source){.dump = path}, 1,
			     (struct progress){.report = NULL}, &version, &err),
	     &err);
	id = up(&redis_row, "rdb");
	nothing_of_what_was_there_is_left(id);
	must(environment_down(environments, id, &err), &err);
}

static int everything_begin(void **state)
{
	static const struct fixture_file files[] = {
		{"assay.yaml", "version: 1\nname: shop\nservices:\n  web: {run: sleep 1000}\n"},
	};
	struct err err = {0};
	const char *assay = getenv("ASSAY"); /* whose rooms have assay-sqlite */
	struct local_options local = {.state_dir = state_dir, .program = assay ? assay : fixture_self()};
	struct environments_options options = {
		.state_dir = state_dir, .preview_base = "127.0.0.1:7421", .world = world_real, .mask_key = test_mask_key};

	(void)state;
	assert_non_null(mkdtemp(state_dir));
	repository = fixture_repository(state_dir, "shop", files, ARRAY_LEN(files), &first);
	must(local_provider_open(&local, &provider, &err), &err);
	options.provider = provider;
	must(environments_open(&options, &environments, &err), &err);
	return 0;
}

static int everything_end(void **state)
{
	(void)state;
	environments_close(environments);
	local_provider_close(provider);
	free(repository);
	return fixture_remove(state_dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_engine),
		cmocka_unit_test(redis_holds_nobody),
	};

	return fixture_main(argc, argv, "data", tests, ARRAY_LEN(tests), everything_begin, everything_end);
}
