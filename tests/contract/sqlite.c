/*
 * A SQLite database in an environment: its folder is in the rooms that need it and in no other, locks hold between rooms, what is written
 * is known, and it is set back under a program that has it open. Snapshots: of a file that is in use, with full-text indexes, triggers,
 * and values of every type in any column. Needs root; the rooms are made by the binary itself (ASSAY).
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

static char state_dir[] = "/tmp/assay-sqlite-XXXXXX";
static char *repository;
static struct git_hash first;
static struct provider provider;
static struct environments *environments;

static const char *const blueprint_head = "version: 1\n"
					  "name: shop\n"
					  "services:\n"
					  "  web: {run: sleep 1000, needs: [db]}\n"
					  "  other: {run: sleep 1000}\n"
					  "databases:\n"
					  "  db:\n"
					  "    engine: sqlite\n"
					  "    path: /srv/shop/live.sqlite3\n";

static int test_mask_key(void *self, unsigned char key[32], struct err *err)
{
	(void)self;
	(void)err;
	(void)snprintf((char *)key, 32, "a key that only this test has");
	return 0;
}

static void manager_open(void)
{
	const char *assay = getenv("ASSAY");
	struct err err = {0};
	struct local_options local = {.state_dir = state_dir, .program = assay ? assay : "assay"};
	struct environments_options options = {
		.state_dir = state_dir, .preview_base = "127.0.0.1:7421", .world = world_real, .mask_key = test_mask_key};

	must(local_provider_open(&local, &provider, &err), &err);
	options.provider = provider;
	must(environments_open(&options, &environments, &err), &err);
}

static void manager_close(void)
{
	environments_close(environments);
	local_provider_close(provider);
}

static int snapshot_of(const struct snapshot_source *source, const char *rules, const char *name, struct err *err)
{
	AUTO_FREE char *text = text_format("%s%s", blueprint_head, rules);
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(text), "assay.yaml", err);
	int version = 0;

	if (!blueprint)
		fail_msg("%s", err->text);
	return snapshot_create(environments, name, blueprint, source, 1, (struct progress){.report = NULL}, &version, err);
}

static struct env_id up(const char *snapshot, bool stays)
{
	struct env_id id = {{0}};
	struct err err = {0};

	must(environment_up(environments,
			    &(struct environment_spec){.repository = repository,
						       .commit = first,
						       .blueprint = blueprint_head,
						       .snapshot = snapshot,
						       .purpose = "test",
						       .volatile_ = !stays},
			    false, (struct progress){.report = NULL}, &id, &err),
	     &err);
	return id;
}

/* What a line prints in a room; owned by the caller. */
static char *shell(struct env_id id, const char *room, const char *line)
{
	const char *argv[] = {"sh", "-c", line, NULL};
	AUTO_BUF output = buf_new((size_t)1 << 20);
	struct exit_status status;
	struct err err = {0};

	must(environment_exec(environments, id, &(struct environment_exec){.sandbox = room, .argv = argv, .output = &output},
			      &status, &err),
	     &err);
	return output.length ? buf_take(&output) : text_copy("");
}

static char *python(struct env_id id, const char *room, const char *code)
{
	AUTO_FREE char *line = text_format(
		"python3 - 2>&1 <<'EOF'\nimport sqlite3\ndb = sqlite3.connect('/srv/shop/live.sqlite3', timeout=0)\n%s\nEOF", code);

	return shell(id, room, line);
}

static char *query(struct env_id id, const char *statement)
{
	AUTO_BUF output = buf_new((size_t)1 << 20);
	struct err err = {0};

	if (environment_query(environments, id, "db", statement, &output, &err))
		fail_msg("%s: %s", statement, err.text);
	return output.length ? buf_take(&output) : text_copy("");
}

static void says(char *got, const char *wanted)
{
	AUTO_FREE char *text = got;

	if (strcmp(text, wanted) != 0)
		fail_msg("\"%s\" instead of \"%s\"", text, wanted);
}

/* A file on the host, by a program that has nothing of ours. */
static char *file_made(const char *name, const char *code)
{
	char *path = text_format("%s/%s", state_dir, name);
	AUTO_FREE char *line = text_format(
		"python3 - '%s' <<'EOF'\nimport os, sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\n%s\nEOF", path, code);

	if (system(line) != 0) /* NOLINT(cert-env33-c): of the test's own */
		fail_msg("%s", line);
	return path;
}

static void rooms_share_the_file(void **state)
{
	AUTO_FREE char *path = file_made("shop.db",
					 "db.executescript('''CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, stock INT);\n"
					 "INSERT INTO items VALUES (1, 'mug', 5);''')");
	struct err err = {0};
	struct env_id id;
	AUTO_JSON rows = NULL;
	const json_t *item;

	(void)state;
	must(snapshot_of(&(struct snapshot_source){.dump = path}, "", "shop", &err), &err);
	id = up("shop", false);
	says(shell(id, "workspace", "echo $DB_URL"), "sqlite:////srv/shop/live.sqlite3\n");
	says(shell(id, "web", "echo $DB_URL"), "sqlite:////srv/shop/live.sqlite3\n");
	says(shell(id, "other", "echo $DB_URL; ls /srv"), "\n");
	says(python(id, "web", "with db: db.execute(\"INSERT INTO items VALUES (2, 'cup', 1)\")"), "");
	says(python(id, "workspace", "print(db.execute('SELECT count(*) FROM items').fetchone()[0])"), "2\n");
	rows = environment_rows_written(environments, id, &err);
	item = json_array_get(json_member(json_member(json_member(rows, "tables"), "db"), "items"), 0);
	assert_string_equal(json_text(json_member(item, "row"), "name", ""), "cup");
	/* One room writes while another one wants to. */
	says(shell(id, "web",
		   "cd /tmp; mkfifo go; (python3 -c \"import sqlite3; db = sqlite3.connect('/srv/shop/live.sqlite3', isolation_level=None); "
		   "db.execute('BEGIN IMMEDIATE'); print('held', flush=True); open('/tmp/go').read()\" & ) | head -1"),
	     "held\n");
	says(python(id, "workspace", "try: db.execute('BEGIN IMMEDIATE')\nexcept sqlite3.OperationalError as e: print(e)"),
	     "database is locked\n");
	says(shell(id, "web", "echo > /tmp/go"), "");
	must(environment_down(environments, id, &err), &err);
}

static void it_is_set_back_under_a_program_that_has_it_open(void **state)
{
	static const char holder[] =
		"cd /tmp; rm -f go said; mkfifo go; python3 -c \"\n"
		"import sqlite3\n"
		"db = sqlite3.connect('/srv/shop/live.sqlite3', isolation_level=None)\n"
		"db.execute('PRAGMA journal_mode = WAL')\n"
		"print(db.execute('SELECT count(*) FROM items').fetchone()[0], flush=True)\n"
		"open('/tmp/go').read()\n"
		"open('/tmp/said', 'w').write(str(db.execute('SELECT group_concat(name) FROM items').fetchone()[0]))\n"
		"open('/tmp/go').read()\n"
		"\" > /tmp/out & while ! [ -s /tmp/out ]; do :; done; cat /tmp/out";
	struct err err = {0};
	struct env_id id = up("shop", true);

	(void)state;
	says(query(id, "INSERT INTO items VALUES (2, 'cup', 1), (3, 'jar', 1)"), "");
	says(shell(id, "workspace", holder), "3\n");
	must(environment_reset_data(environments, id, (struct progress){.report = NULL}, &err), &err);
	says(shell(id, "workspace", "cd /tmp; echo > go; while ! [ -s said ]; do :; done; cat said; echo > go"), "mug");
	says(query(id, "SELECT id, name FROM items"), "id\tname\n1\tmug\n");
	/* And again, and by programs that come later. */
	says(python(id, "web", "with db: db.execute(\"DELETE FROM items\")"), "");
	must(environment_reset_data(environments, id, (struct progress){.report = NULL}, &err), &err);
	says(python(id, "web", "print(db.execute('SELECT name FROM items').fetchall())"), "[('mug',)]\n");
	/* What was written stays over a restart of everything, and can be set back then, too. */
	says(query(id, "INSERT INTO items VALUES (4, 'bowl', 1)"), "");
	manager_close();
	manager_open();
	must(environment_reconcile(environments, &err), &err);
	says(python(id, "web", "print(db.execute('SELECT name FROM items').fetchall())"), "[('mug',), ('bowl',)]\n");
	must(environment_reset_data(environments, id, (struct progress){.report = NULL}, &err), &err);
	says(query(id, "SELECT name FROM items"), "name\nmug\n");
	must(environment_down(environments, id, &err), &err);
}

static void nothing_is_left_of_people(struct env_id id)
{
	says(shell(id, "workspace", "grep -rlaiE 'secretword' /srv/shop; ls /srv/shop"), "live.sqlite3\n");
}

/* What masks meet in files of SQLite: words in indexes, statistics, triggers that write, types that nobody declared. */
static void a_file_in_use_is_masked_whole(void **state)
{
	AUTO_FREE char *path = file_made(
		"people.db",
		"db.executescript('''\n"
		"PRAGMA journal_mode = WAL;\n"
		"CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT UNIQUE, note, born BLOB);\n"
		"CREATE TABLE log (what TEXT);\n"
		"CREATE TRIGGER told AFTER INSERT ON people BEGIN INSERT INTO log VALUES (new.email); END;\n"
		"CREATE TRIGGER gone AFTER DELETE ON people BEGIN INSERT INTO log VALUES (old.email); END;\n"
		"CREATE VIRTUAL TABLE words USING fts5(email, content='people', content_rowid='id');\n"
		"CREATE VIRTUAL TABLE texts USING fts5(body);\n"
		"CREATE TABLE loans (who TEXT REFERENCES people (email), n INT);\n"
		"''')\n"
		"for i in range(50):\n"
		"    db.execute('INSERT INTO people VALUES (?, ?, ?, ?)', (i, 'p%d@secretword.io' % i, [None, 7, 2.5, 'x', b'\\xff\\0'][i % 5], b'\\0\\1'))\n"
		"    db.execute('INSERT INTO texts (rowid, body) VALUES (?, ?)', (1000 + i, 'from p%d@secretword.io' % i))\n"
		"    db.execute('INSERT INTO loans VALUES (?, ?)', ('p%d@secretword.io' % i, i))\n"
		"db.execute(\"INSERT INTO words (words) VALUES ('rebuild')\")\n"
		"db.execute('DELETE FROM log')\n"
		"db.execute('CREATE INDEX by_who ON loans (who)')\n"
		"db.commit()\n"
		"db.execute('ANALYZE')\n"
		"db.commit()\n"
		"os._exit(0)"); /* the log stays */
	AUTO_FREE char *url = text_format("sqlite://%s", path);
	const struct snapshot_source source = {.url = url};
	struct err err = {0};
	struct env_id id;

	(void)state;
	assert_int_equal(snapshot_of(&source, "    mask: {people.email: email}\n", "people", &err), -1);
	assert_int_equal(err.kind, ERR_DENIED);
	assert_non_null(strstr(err.text, "texts.body holds 50 emails"));
	assert_null(strstr(err.text, "loans"));
	must(snapshot_of(&source, "    mask: {people.email: email, texts.body: text}\n", "people", &err), &err);
	id = up("people", false);
	nothing_is_left_of_people(id);
	says(query(id, "SELECT count(*) AS n FROM loans JOIN people ON who = email"), "n\n50\n");
	says(query(id, "SELECT count(*) AS n FROM log"), "n\n0\n");
	says(query(id, "SELECT group_concat(typeof(note)) AS t FROM people WHERE id < 5"), "t\nnull,integer,real,text,blob\n");
	says(query(id, "SELECT min(rowid) AS a, max(rowid) AS b FROM texts"), "a\tb\n1000\t1049\n");
	says(query(id, "SELECT count(*) AS n FROM words WHERE words MATCH 'example'"), "n\n50\n");
	/* The triggers are there, and act for programs. */
	says(python(id, "web",
		    "with db: db.execute(\"INSERT INTO people VALUES (90, 'new@example.com', NULL, NULL)\")\n"
		    "print(db.execute('SELECT what FROM log').fetchall())"),
	     "[('new@example.com',)]\n");
	must(environment_down(environments, id, &err), &err);
}

static void what_is_no_database_is_refused(void **state)
{
	AUTO_FREE char *half = file_made(
		"half.db", "db.executescript('CREATE TABLE a (b); ' + 'INSERT INTO a VALUES (zeroblob(9000));' * 20)\n"
			   "db.close()\nos.truncate(sys.argv[1], 40000)");
	AUTO_FREE char *search = file_made(
		"search.db", "db.executescript('''CREATE TABLE people (email); INSERT INTO people VALUES ('a@secretword.io');\n"
			     "CREATE VIRTUAL TABLE words USING fts5(email, content='');\n"
			     "INSERT INTO words (rowid, email) VALUES (1, 'a@secretword.io');''')");
	struct err err = {0};

	(void)state;
	assert_int_equal(snapshot_of(&(struct snapshot_source){.dump = half}, "", "half", &err), -1);
	assert_non_null(strstr(err.text, "no whole database"));
	/* An index of words that cannot be made anew keeps what was masked. */
	assert_int_equal(
		snapshot_of(&(struct snapshot_source){.dump = search}, "    mask: {people.email: email}\n", "search", &err), -1);
	assert_non_null(strstr(err.text, "words"));
	assert_int_equal(snapshot_of(&(struct snapshot_source){.url = "sqlite:shop.db"}, "", "none", &err), -1);
	assert_non_null(strstr(err.text, "sqlite:///PATH"));
	assert_int_equal(snapshot_of(&(struct snapshot_source){.url = "sqlite:///nowhere/shop.db"}, "", "none", &err), -1);
	assert_non_null(strstr(err.text, "unable to open"));
	assert_null(snapshot_show(environments, "half", &err));
}

static int everything_begin(void **state)
{
	static const struct fixture_file files[] = {{"README", "A shop.\n"}};

	(void)state;
	assert_non_null(mkdtemp(state_dir));
	repository = fixture_repository(state_dir, "shop", files, ARRAY_LEN(files), &first);
	manager_open();
	return 0;
}

static int everything_end(void **state)
{
	(void)state;
	manager_close();
	free(repository);
	return fixture_remove(state_dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rooms_share_the_file),
		cmocka_unit_test(it_is_set_back_under_a_program_that_has_it_open),
		cmocka_unit_test(a_file_in_use_is_masked_whole),
		cmocka_unit_test(what_is_no_database_is_refused),
	};

	return fixture_main(argc, argv, "sqlite", tests, ARRAY_LEN(tests), everything_begin, everything_end);
}
