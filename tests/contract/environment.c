/*
 * Environments, from a small repository with a service, PostgreSQL and Redis: up, deploy, query, exec, export, fork, freeze, reset,
 * crash, down. Needs root; without a gateway, so services do not reach each other here.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"
#include "fixture.h"
#include "net/link.h"
#include "sandbox/environment.h"
#include "sandbox/local/local.h"

#define WAIT_MS ((int64_t)120000) /* for what takes a moment where nobody else works */

static char state_dir[] = "/tmp/assay-environment-XXXXXX";
static char *repository;
static struct git_hash first;
static struct provider provider;
static struct environments *environments;
static struct env_id shop;

static const char blueprint_text[] = "version: 1\n"
				     "name: tiny\n"
				     "services:\n"
				     "  web:\n"
				     "    build: cp greeting.txt built.txt\n"
				     "    run: exec node web.js\n"
				     "    port: 8080\n"
				     "    ready: /healthz\n"
				     "    needs: [db, cache]\n"
				     "  api:\n"
				     "    run: exec node web.js\n"
				     "    port: 8081\n"
				     "    ready: tcp\n"
				     "    replicas: 2\n"
				     "  worker:\n"
				     "    run: [node, worker.js]\n"
				     "    env: {OTEL_SERVICE_NAME: jobs, OTEL_EXPORTER_OTLP_PROTOCOL: http/json}\n"
				     "databases:\n"
				     "  db:\n"
				     "    engine: postgres\n"
				     "    database: tiny\n"
				     "    user: tiny\n"
				     "    seed: seed.sql\n"
				     "  cache: {engine: redis}\n"
				     "queues:\n"
				     "  jobs: {engine: redis, database: cache, stream: jobs, group: worker}\n"
				     "preview: {service: web}\n";

static const struct fixture_file files[] = {
	{"assay.yaml", blueprint_text},
	{"greeting.txt", "hello one\n"},
	{".gitignore", "built.txt\n"},
	{"seed.sql", "CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL);\n"
		     "INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 1000) n;\n"},
	{"web.js", "const fs = require('fs');\n"
		   "console.log('web starts, pid', process.pid, 'env', process.env.ASSAY_ENV ? 'set' : 'missing');\n"
		   "require('http').createServer((request, reply) => {\n"
		   "  if (request.url === '/crash') process.exit(3);\n"
		   "  reply.end(request.url === '/healthz' ? 'ok' : fs.readFileSync('built.txt'));\n"
		   "}).listen(Number(process.env.PORT), '127.0.0.1');\n"},
	{"worker.js", "console.log('worker up', process.env.DB_URL, process.env.CACHE_URL);\nsetInterval(() => {}, 1000);\n"},
};

static bool warm;

/* The end of the service `bad` is told at the second question: the first one came a moment before it. */
static struct {
	bool on, held;
	uint32_t process;
	struct exit_status status;
} late_end;

static int wait_late(void *self, struct env_id env, const char *name, uint32_t process, int64_t timeout_ms,
		     struct exit_status *status, struct err *err)
{
	if (!late_end.on || strcmp(name, "bad") != 0)
		return provider.ops->program_wait(self, env, name, process, timeout_ms, status, err);
	if (!late_end.held || late_end.process != process) {
		if (provider.ops->program_wait(self, env, name, process, timeout_ms, &late_end.status, err))
			return -1;
		late_end.held = true;
		late_end.process = process;
		return err_set(err, ERR_RETRY, "it has not ended yet");
	}
	late_end.held = false;
	*status = late_end.status;
	return 0;
}

static void manager_open(void)
{
	static struct provider_ops ops;
	struct err err = {0};
	struct local_options local = {.state_dir = state_dir, .program = fixture_self(), .runtime = getenv("ASSAY_RUNTIME")};
	struct environments_options options = {
		.state_dir = state_dir, .preview_base = "127.0.0.1:7421", .world = world_real, .warm = warm};

	must(local_provider_open(&local, &provider, &err), &err);
	ops = *provider.ops;
	ops.program_wait = wait_late;
	options.provider = (struct provider){&ops, provider.self};
	must(environments_open(&options, &environments, &err), &err);
}

static void manager_close(void)
{
	environments_close(environments);
	local_provider_close(provider);
}

static void report(void *self, const char *step, const char *detail, int64_t ms)
{
	(void)self;
	(void)detail;
	if (ms >= 0)
		printf("#   %-28s %lld ms\n", step, (long long)ms);
}

static const struct progress progress = {.report = report};

static int64_t now_ms(void)
{
	return world_elapsed_ms(world_real);
}

static char *run(struct env_id id, const char *sandbox, const char *line)
{
	const char *argv[] = {"sh", "-c", line, NULL};
	struct buf output = buf_new((size_t)1 << 20);
	struct exit_status status;
	struct err err = {0};

	must(environment_exec(environments, id,
			      &(struct environment_exec){.sandbox = sandbox, .argv = argv, .timeout_ms = 20000, .output = &output},
			      &status, &err),
	     &err);
	if (status.reason != EXIT_CODE || status.code)
		fail_msg("%s: %d %d: %s", line, status.reason, status.code, output.length ? output.at : "");
	return output.length ? buf_take(&output) : text_copy("");
}

static char *query(struct env_id id, const char *database, const char *statement)
{
	struct buf output = buf_new((size_t)1 << 20);
	struct err err = {0};

	must(environment_query(environments, id, database, statement, &output, &err), &err);
	return output.length ? buf_take(&output) : text_copy("");
}

static struct env_id up(const struct environment_spec *spec)
{
	struct env_id id = {{0}};
	struct err err = {0};
	int64_t began_ms = now_ms();

	must(environment_up(environments, spec, false, progress, &id, &err), &err);
	printf("# up: %lld ms\n", (long long)(now_ms() - began_ms));
	return id;
}

static void the_first_environment_builds_its_checkout_and_snapshot(void **state)
{
	struct err err = {0};
	AUTO_JSON shown = NULL;
	AUTO_JSON snapshots = NULL;

	(void)state;
	shop = up(&(struct environment_spec){.repository = repository, .commit = first, .purpose = "test"});
	shown = environment_show(environments, shop, &err);
	assert_non_null(shown);
	assert_string_equal(json_text(shown, "state", ""), "ready");
	assert_string_equal(json_text(shown, "snapshot", ""), "tiny/1");
	assert_int_equal(json_array_size(json_member(shown, "sandboxes")), 7);
	snapshots = snapshot_list(environments, &err);
	assert_int_equal(json_array_size(snapshots), 1);
	assert_int_equal(json_number(json_array_get(snapshots, 0), "used_by", 0), 1);
	assert_int_equal(snapshot_remove(environments, "tiny/1", &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
}

static void the_second_one_is_up_in_a_moment_and_gone_at_once(void **state)
{
	int64_t best_up_ms = INT64_MAX;
	int64_t best_down_ms = INT64_MAX;
	struct err err = {0};

	(void)state;
	for (int i = 0; i < 3; i++) {
		int64_t began_ms = now_ms();
		struct env_id id = up(&(struct environment_spec){.repository = repository, .commit = first, .purpose = "test"});
		int64_t up_ms = now_ms() - began_ms;

		began_ms = now_ms();
		must(environment_down(environments, id, &err), &err);
		if (now_ms() - began_ms < best_down_ms)
			best_down_ms = now_ms() - began_ms;
		if (up_ms < best_up_ms)
			best_up_ms = up_ms;
		assert_null(environment_show(environments, id, &err));
	}
	printf("# best of 3: up %lld ms, down %lld ms\n", (long long)best_up_ms, (long long)best_down_ms);
}

/* Between its end and the next one's start: that is told of every environment there is. */
static void a_gateway_that_has_just_ended_stops_no_environment(void **state)
{
	struct environment_spec spec = {.repository = repository, .commit = first, .purpose = "test"};
	struct link_spec gateway = {.peer = LINK_GATEWAY};
	struct err err = {0};
	struct link *link;
	struct env_id id;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	gateway.fd = ends[0];
	link = link_on_thread(&gateway, &err);
	assert_non_null(link);
	(void)close(ends[1]);
	must(environments_gateway_reset(environments, link, &err), &err);
	id = up(&spec);
	/* What only it could do is not done by nobody. */
	assert_int_equal(environment_phase(environments, id, "replay-1", &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	must(environments_gateway_reset(environments, NULL, &err), &err);
	assert_int_equal(environment_phase(environments, id, "replay-1", &err), -1);
	assert_int_equal(environment_quiet(environments, id, 1000, &err), -1);
	assert_int_equal(err.kind, ERR_RETRY);
	must(environment_down(environments, id, &err), &err);
	link_free(link);
}

static void databases_answer_and_what_was_written_since_deploy_is_known(void **state)
{
	struct err err = {0};
	AUTO_FREE char *count = query(shop, "db", "SELECT count(*) AS n FROM items");
	AUTO_FREE char *none = NULL;
	AUTO_FREE char *set = NULL;
	AUTO_FREE char *listed = NULL;
	AUTO_JSON before = environment_rows_written(environments, shop, &err);
	AUTO_JSON after = NULL;
	const json_t *row;

	(void)state;
	assert_string_equal(count, "n\n1000\n");
	assert_int_equal(json_object_size(json_member(json_member(json_member(before, "tables"), "db"), "items")), 0);
	none = query(shop, "db", "UPDATE items SET name = 'changed' WHERE id = 7; INSERT INTO items VALUES (2000, 'new')");
	set = query(shop, "cache", "SET greeting 'hello you'");
	assert_string_equal(set, "OK\n");
	listed = query(shop, "cache", "ZADD ranks 1 a 2 b");
	after = environment_rows_written(environments, shop, &err);
	assert_non_null(after);
	assert_int_equal(json_array_size(json_member(json_member(json_member(after, "tables"), "db"), "items")), 2);
	row = json_array_get(json_member(json_member(json_member(after, "tables"), "db"), "items"), 0);
	assert_int_equal(json_number(json_member(row, "key"), "id", 0), 7);
	assert_string_equal(json_text(json_member(row, "row"), "name", ""), "changed");
	row = json_member(json_member(json_member(after, "redis"), "cache"), "greeting");
	assert_string_equal(json_text(row, "type", ""), "string");
	assert_string_equal(json_text(row, "value", ""), "hello you");
	row = json_member(json_member(json_member(after, "redis"), "cache"), "ranks");
	assert_int_equal(json_array_size(json_member(row, "value")), 4);
}

static void what_is_deleted_in_a_volatile_one_is_counted(void **state)
{
	struct env_id id = up(&(struct environment_spec){
		.repository = repository, .commit = first, .purpose = "test", .volatile_ = true, .no_services = true});
	AUTO_FREE char *none = query(id, "db",
				     "INSERT INTO items VALUES (3000, 'new'); UPDATE items SET name = 'x' WHERE id = 7;"
				     "DELETE FROM items WHERE id IN (8, 9, 3000)");
	struct err err = {0};
	AUTO_JSON written = environment_rows_written(environments, id, &err);
	const json_t *touched = json_member(json_member(json_member(written, "touched"), "db"), "items");

	(void)state;
	assert_non_null(written);
	assert_int_equal(json_array_size(json_member(json_member(json_member(written, "tables"), "db"), "items")), 1);
	assert_string_equal(json_string_value(json_array_get(touched, 0)), "3"); /* one changed, two gone */
	must(environment_down(environments, id, &err), &err);
}

/* What of a large table was written, and how many of its old rows are gone: "written touched". */
static void large_is(struct env_id id, const char *expected)
{
	struct err err = {0};
	AUTO_JSON rows = environment_rows_written(environments, id, &err);
	const json_t *touched = json_member(json_member(json_member(rows, "touched"), "db"), "large");
	AUTO_FREE char *got = NULL;

	if (!rows)
		fail_msg("%s", err.text);
	got = text_format("%zu %s", json_array_size(json_member(json_member(json_member(rows, "tables"), "db"), "large")),
			  touched ? json_string_value(json_array_get(touched, 0)) : "0");
	assert_string_equal(got, expected);
}

/* How often the server has read the table whole, as it says itself. */
static int64_t large_scans(struct env_id id)
{
	AUTO_FREE char *answer = query(id, "db", "SELECT seq_scan AS n FROM pg_stat_user_tables WHERE relname = 'large'");

	assert_int_equal(strncmp(answer, "n\n", 2), 0);
	return atoll(answer + 2);
}

/* A table that nobody writes to is not read, as its files tell; one that somebody writes to is, however it is written. */
static void a_large_table_is_read_when_its_files_say_that_it_was_written(void **state)
{
	static const struct {
		const char *statement;
		const char *expected;
	} steps[] = {
		{"UPDATE large SET body = 'x' WHERE id = 1999", "1 1"},
		{"DELETE FROM large WHERE id = 3", "1 2"},
		{"INSERT INTO large VALUES (9000, 'new')", "2 2"},
		{"VACUUM FULL large", "2 2"},
		{"TRUNCATE large", "0 2000"},
	};
	AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(blueprint_text), "assay.yaml", NULL);
	AUTO_FREE char *seed = text_format("%s/large.sql", state_dir);
	const struct snapshot_source source = {.seed = seed};
	struct err err = {0};
	int64_t scans[2];

	(void)state;
	must(file_replace(seed,
			  VIEW("CREATE TABLE large (id int PRIMARY KEY, body text); ALTER TABLE large ALTER body SET STORAGE PLAIN;"
			       "INSERT INTO large SELECT g, repeat('b', 7000) FROM generate_series(1, 2000) AS g;"),
			  0644, &err),
	     &err);
	must(snapshot_create(environments, "large", blueprint, &source, 1, progress, &(int){0}, &err), &err);
	for (time_t made = time(NULL); time(NULL) == made;) /* files tell their times in seconds */
		(void)usleep(10000);
	for (int turn = 0; turn < 2; turn++) { /* the second fork goes by what was counted in the first */
		struct env_id id = up(&(struct environment_spec){.repository = repository,
								 .commit = first,
								 .purpose = "test",
								 .snapshot = "large/1",
								 .volatile_ = true,
								 .no_services = true});

		scans[turn] = large_scans(id);
		large_is(id, "0 0");
		assert_int_equal(large_scans(id), scans[turn]);
		for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
			AUTO_FREE char *answer = query(id, "db", steps[i].statement);

			large_is(id, steps[i].expected);
		}
		must(environment_down(environments, id, &err), &err);
	}
	assert_true(scans[1] < scans[0]);
	must(snapshot_remove(environments, "large/1", &err), &err);
}

static void a_wrong_statement_is_an_error_that_says_what_the_database_said(void **state)
{
	AUTO_BUF output = buf_new(4096);
	struct err err = {0};

	(void)state;
	assert_int_equal(environment_query(environments, shop, "db", "SELECT nothing", &output, &err), -1);
	assert_non_null(strstr(err.text, "nothing"));
	assert_int_equal(environment_query(environments, shop, "web", "SELECT 1", &output, &err), -1);
	assert_int_equal(err.kind, ERR_INVALID);
}

#define TELLING "echo $OTEL_SERVICE_NAME $OTEL_EXPORTER_OTLP_PROTOCOL $OTEL_EXPORTER_OTLP_ENDPOINT"

static void a_program_gets_the_standard_variables_and_its_end_is_told(void **state)
{
	const char *argv[] = {"sh", "-c", "cat; echo oops >&2; exit 7", NULL};
	const char *slow[] = {"sleep", "30", NULL};
	AUTO_FREE char *web = run(shop, "web", TELLING);
	AUTO_FREE char *worker = run(shop, "worker", TELLING);
	AUTO_FREE char *nobody = run(shop, "workspace", TELLING);
	AUTO_FREE char *variables = run(shop, "workspace", "echo $ASSAY_ENV $ASSAY_SERVICE $DB_URL $CACHE_URL $(id -u) $PWD $HOME");
	AUTO_FREE char *expected = NULL;
	AUTO_BUF output = buf_new(4096);
	AUTO_BUF errors = buf_new(4096);
	struct exit_status status;
	struct err err = {0};

	(void)state;
	expected = text_format("%s workspace postgres://tiny@db:5432/tiny redis://cache:6379 1000 /workspace /home/assay\n",
			       shop.text);
	assert_string_equal(variables, expected);
	assert_string_equal(web, "web http/protobuf http://telemetry.assay.internal:4318\n");
	assert_string_equal(worker, "jobs http/json http://telemetry.assay.internal:4318\n"); /* the blueprint's go before ours */
	assert_string_equal(nobody, "\n");
	must(environment_exec(
		     environments, shop,
		     &(struct environment_exec){
			     .sandbox = "workspace", .argv = argv, .input = VIEW("in\n"), .output = &output, .errors = &errors},
		     &status, &err),
	     &err);
	assert_int_equal(status.code, 7);
	assert_string_equal(output.at, "in\n");
	assert_string_equal(errors.at, "oops\n");
	assert_int_equal(environment_exec(environments, shop,
					  &(struct environment_exec){.sandbox = "workspace", .argv = slow, .timeout_ms = 200},
					  &status, &err),
			 -1);
	assert_int_equal(err.kind, ERR_LIMIT);
}

static char *fetch(struct env_id id, const char *sandbox, const char *port, const char *path)
{
	AUTO_FREE char *line = text_format("curl -sS http://127.0.0.1:%s%s", port, path);

	return run(id, sandbox, line);
}

static void an_edit_shows_after_a_deploy_of_one_service(void **state)
{
	AUTO_FREE char *before = fetch(shop, "web", "8080", "/");
	AUTO_FREE char *edit = run(shop, "workspace", "echo hello two > greeting.txt");
	AUTO_FREE char *still = fetch(shop, "web", "8080", "/");
	AUTO_FREE char *after = NULL;
	struct err err = {0};
	int64_t began_ms = now_ms();

	(void)state;
	must(environment_deploy(environments, shop, "web", progress, &err), &err);
	printf("# deploy of one service: %lld ms\n", (long long)(now_ms() - began_ms));
	after = fetch(shop, "web", "8080", "/");
	assert_string_equal(before, "hello one\n");
	assert_string_equal(still, "hello one\n");
	assert_string_equal(after, "hello two\n");
	assert_int_equal(environment_deploy(environments, shop, "nobody", progress, &err), -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void logs_are_kept_by_sandbox_and_together(void **state)
{
	AUTO_BUF web = buf_new((size_t)1 << 20);
	AUTO_BUF all = buf_new((size_t)1 << 20);
	AUTO_BUF more = buf_new((size_t)1 << 20);
	int64_t from = -1;
	struct err err = {0};

	(void)state;
	must(environment_logs(environments, shop, "web", 1, &from, &web, &err), &err);
	assert_non_null(strstr(web.at, "web starts"));
	must(environment_logs(environments, shop, NULL, 100, NULL, &all, &err), &err);
	assert_non_null(strstr(all.at, "worker     | worker up postgres://tiny@db:5432/tiny"));
	must(environment_logs(environments, shop, "web", 0, &from, &more, &err), &err);
	assert_int_equal(more.length, 0);
}

static void the_work_comes_out_as_a_commit_on_the_base(void **state)
{
	struct git_hash head;
	struct git_hash again;
	AUTO_BUF text = buf_new(4096);
	AUTO_JSON changes = NULL;
	AUTO_FREE char *commit = NULL;
	AUTO_FREE char *cleaned = NULL;
	struct err err = {0};
	int64_t began_ms = now_ms();

	(void)state;
	must(environment_export(environments, shop, &first, "refs/assay/work", "say two\n", &head, &err), &err);
	printf("# export: %lld ms\n", (long long)(now_ms() - began_ms));
	assert_string_not_equal(head.text, first.text);
	changes = git_changes(repository, &first, &head, &err);
	assert_int_equal(json_array_size(changes), 1); /* what is ignored stays behind */
	must(git_file_read(repository, &head, "greeting.txt", &text, &err), &err);
	assert_string_equal(text.at, "hello two\n");
	commit = run(
		shop, "workspace",
		"git commit -qam own && echo three > new.txt && mkdir __pycache__ && echo x > __pycache__/y.pyc && git rev-parse HEAD");
	must(environment_export(environments, shop, &first, "refs/assay/work", "more", &again, &err), &err);
	buf_clear(&text);
	must(git_file_read(repository, &again, "new.txt", &text, &err), &err);
	assert_int_equal(git_file_read(repository, &again, "__pycache__/y.pyc", &text, &err), -1); /* a cache is no work */
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	cleaned = run(shop, "workspace", "rm -r __pycache__");
	must(git_run(repository,
		     (const char *const[]){"merge-base", "--is-ancestor", (char *)view_copy(view_trim(view_of(commit))), again.text,
					   NULL},
		     NULL, NULL, &err),
	     &err);
}

/* A commit on the host that has one more file and another greeting than `base`. */
static struct git_hash commit_of_others(const struct git_hash *base, const char *file, const char *text)
{
	AUTO_BUF out = buf_new(65536);
	AUTO_BUF entries = buf_new(65536);
	struct git_hash made;
	struct err err = {0};
	struct view rest;
	struct view line;

	must(git_run(repository, (const char *const[]){"hash-object", "-w", "--stdin", NULL},
		     &(struct process_spec){.input = view_of(text), .output = &out}, NULL, &err),
	     &err);
	must(git_hash_parse(view_trim(buf_view(&out)), &made, &err), &err);
	buf_clear(&out);
	must(git_run(repository, (const char *const[]){"ls-tree", base->text, NULL}, &(struct process_spec){.output = &out}, NULL,
		     &err),
	     &err);
	for (rest = buf_view(&out); rest.length;) {
		line = view_cut(rest, '\n', &rest);
		if (line.length && !view_ends(line, view_of(file)))
			buf_add_format(&entries, "%.*s\n", (int)line.length, line.at);
	}
	buf_add_format(&entries, "100644 blob %s\t%s\n", made.text, file);
	buf_clear(&out);
	must(git_run(repository, (const char *const[]){"mktree", NULL},
		     &(struct process_spec){.input = buf_view(&entries), .output = &out}, NULL, &err),
	     &err);
	must(git_hash_parse(view_trim(buf_view(&out)), &made, &err), &err);
	buf_clear(&out);
	must(git_run(repository, (const char *const[]){"commit-tree", made.text, "-p", base->text, "-m", "theirs", NULL},
		     &(struct process_spec){.output = &out}, NULL, &err),
	     &err);
	must(git_hash_parse(view_trim(buf_view(&out)), &made, &err), &err);
	return made;
}

static void what_others_committed_comes_into_the_work_tree(void **state)
{
	struct git_hash head;
	struct git_hash more;
	struct git_hash clash;
	struct git_hash after;
	struct err err = {0};

	(void)state;
	must(environment_export(environments, shop, &first, "refs/assay/work", "before\n", &head, &err), &err);
	more = commit_of_others(&head, "theirs.txt", "from others\n");
	AUTO_FREE char *mine = run(shop, "workspace", "git tag before && echo mine >mine.txt");
	for (int i = 0; i < 2; i++) /* again is once */
		must(environment_import(environments, shop, &head, &more, &err), &err);
	AUTO_FREE char *seen = run(shop, "workspace", "cat theirs.txt mine.txt && git rev-parse HEAD && git status --short");
	assert_non_null(strstr(seen, "from others\nmine\n"));
	assert_non_null(strstr(seen, more.text));     /* its branch went forward */
	assert_null(strstr(seen, " theirs.txt"));     /* it is no change of its own */
	assert_non_null(strstr(seen, "?? mine.txt")); /* and what was, still is */
	must(environment_export(environments, shop, &more, "refs/assay/work", "after\n", &after, &err), &err);
	assert_string_not_equal(after.text, more.text);
	must(git_run(repository, (const char *const[]){"merge-base", "--is-ancestor", more.text, after.text, NULL}, NULL, NULL,
		     &err),
	     &err);
	/* What is ignored here and has a history of its own here is kept, too. */
	AUTO_FREE char *own = run(
		shop, "workspace",
		"mkdir -p .git/info && echo 'sealed.*' >>.git/info/exclude && "
		"git -c user.name=a -c user.email=a@a.test commit -q --allow-empty -m own && git check-ignore sealed.txt");
	assert_string_equal(own, "sealed.txt\n");
	more = commit_of_others(&after, "sealed.txt", "sealed\n");
	must(environment_import(environments, shop, &after, &more, &err), &err);
	must(environment_export(environments, shop, &more, "refs/assay/work", "after\n", &after, &err), &err);
	AUTO_FREE char *sealed = text_format("%s:sealed.txt", after.text);
	must(git_run(repository, (const char *const[]){"cat-file", "-e", sealed, NULL}, NULL, NULL, &err), &err);
	clash = commit_of_others(&after, "mine.txt", "theirs\n");
	AUTO_FREE char *changed = run(shop, "workspace", "echo changed >mine.txt");
	assert_int_equal(environment_import(environments, shop, &after, &clash, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_non_null(strstr(err.text, "mine.txt"));
	AUTO_FREE char *left = run(
		shop, "workspace",
		"cat mine.txt && rm mine.txt theirs.txt sealed.txt .git/info/exclude && git reset -q before && git tag -d before >/dev/null");
	assert_string_equal(left, "changed\n"); /* nothing was done */
}

/* As after a kill -9 while it wrote a file: what git had noted is there, and half of the file. */
static void cut_off(const struct git_hash *of, const struct git_hash *from)
{
	AUTO_FREE char *script = text_format(
		"git update-ref refs/assay/joining/of %s && git update-ref refs/assay/joining/from '%s^{tree}' && "
		"git update-ref refs/assay/joining/to '%s^{tree}' && git reset -q before && "
		"printf 'from ot' >theirs.txt && rm -f other.txt && echo cut",
		of->text, from->text, of->text);
	AUTO_FREE char *said = run(shop, "workspace", script);

	assert_string_equal(said, "cut\n");
}

static void what_was_cut_off_on_its_way_in_is_finished(void **state)
{
	struct git_hash head;
	struct git_hash more;
	struct git_hash other;
	struct git_hash clash;
	struct err err = {0};

	(void)state;
	AUTO_FREE char *mine = run(shop, "workspace", "git tag before && echo mine >mine.txt && echo tagged");
	assert_string_equal(mine, "tagged\n");
	must(environment_export(environments, shop, &first, "refs/assay/work", "before\n", &head, &err), &err);
	more = commit_of_others(&head, "theirs.txt", "from others\n");
	must(environment_import(environments, shop, &head, &more, &err), &err);
	cut_off(&more, &head);
	must(environment_import(environments, shop, &head, &more, &err), &err);
	AUTO_FREE char *whole = run(shop, "workspace", "cat theirs.txt mine.txt; git for-each-ref refs/assay/joining");
	assert_string_equal(whole, "from others\nmine\n");
	/* It was taken back meanwhile, and something else comes: nothing of it stays. */
	other = commit_of_others(&head, "other.txt", "other\n");
	cut_off(&more, &head);
	must(environment_import(environments, shop, &head, &other, &err), &err);
	AUTO_FREE char *gone = run(shop, "workspace",
				   "cat other.txt mine.txt; ls | grep theirs.txt; git for-each-ref refs/assay/joining");
	assert_string_equal(gone, "other\nmine\n");
	/* A clash writes nothing, and leaves no word of what was cut off before it. */
	clash = commit_of_others(&head, "mine.txt", "theirs\n");
	cut_off(&more, &head);
	AUTO_FREE char *changed = run(shop, "workspace", "echo changed >mine.txt && cat mine.txt");
	assert_string_equal(changed, "changed\n");
	assert_int_equal(environment_import(environments, shop, &head, &clash, &err), -1);
	assert_int_equal(err.kind, ERR_CONFLICT);
	AUTO_FREE char *left = run(shop, "workspace",
				   "cat mine.txt; git for-each-ref refs/assay/joining; ls | grep theirs.txt; "
				   "rm mine.txt && git reset -q before && git tag -d before >/dev/null");
	assert_string_equal(left, "changed\n");
}

/* The agent committed it itself, so that it is in the history of its branch. */
static void what_others_took_back_goes_from_the_work_tree_and_its_history(void **state)
{
	struct git_hash before;
	struct git_hash taken;
	struct git_hash after;
	struct err err = {0};
	int status = 0;

	(void)state;
	must(environment_export(environments, shop, &first, "refs/assay/work", "before\n", &before, &err), &err);
	AUTO_FREE char *made = run(
		shop, "workspace",
		"git tag before && git reset -q && echo taken >taken.txt && git add taken.txt && "
		"git -c user.name=a -c user.email=a@a.test commit -q -m taken && echo mine >mine.txt && cat taken.txt");
	assert_string_equal(made, "taken\n");
	must(environment_export(environments, shop, &before, "refs/assay/work", "taken\n", &taken, &err), &err);
	for (int i = 0; i < 2; i++) /* again is once */
		must(environment_import(environments, shop, &taken, &before, &err), &err);
	AUTO_FREE char *left = run(shop, "workspace", "ls; git rev-parse HEAD");
	assert_null(strstr(left, "taken.txt"));
	assert_non_null(strstr(left, before.text));
	AUTO_FREE char *worked = run(shop, "workspace", "echo more >more.txt && git status --short");
	assert_non_null(strstr(worked, "?? more.txt"));
	must(environment_export(environments, shop, &before, "refs/assay/work", "after\n", &after, &err), &err);
	must(git_run(repository, (const char *const[]){"merge-base", "--is-ancestor", taken.text, after.text, NULL}, NULL, &status,
		     &err),
	     &err);
	assert_int_not_equal(status, 0);
	AUTO_FREE char *clean = run(shop, "workspace", "rm -f more.txt mine.txt && git reset -q before && git tag -d before");
	assert_non_null(clean);
}

static void a_crashed_service_is_started_again(void **state)
{
	AUTO_FREE char *crash = run(shop, "web", "curl -s http://127.0.0.1:8080/crash || true");
	int64_t deadline_ms = now_ms() + WAIT_MS;
	int64_t restarts = 0;
	bool ready = false;

	(void)state;
	while (!ready && now_ms() < deadline_ms) {
		AUTO_JSON shown = environment_show(environments, shop, NULL);
		json_t *sandbox;
		size_t index;

		json_array_foreach(json_member(shown, "sandboxes"), index, sandbox) {
			if (strcmp(json_text(sandbox, "name", ""), "web") != 0)
				continue;
			restarts = json_number(sandbox, "restarts", 0);
			ready = restarts && strcmp(json_text(sandbox, "state", ""), "ready") == 0;
		}
		(void)usleep(20000);
	}
	assert_true(ready);
	assert_int_equal(restarts, 1);
}

static void it_is_quiet_once_its_queue_is_empty(void **state)
{
	AUTO_FREE char *added = query(shop, "cache", "XADD jobs '*' a 1");
	AUTO_FREE char *gone = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(environment_quiet(environments, shop, 200, &err), -1);
	assert_int_equal(err.kind, ERR_LIMIT);
	gone = query(shop, "cache", "DEL jobs");
	must(environment_quiet(environments, shop, 2000, &err), &err);
}

/* No call of theirs is under way, no message waits: they only compute, and may begin one when they are done. */
static void it_is_not_quiet_while_its_programs_compute(void **state)
{
	AUTO_FREE char *begun = run(
		shop, "workspace",
		"setsid sh -c 'i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; echo done >late.txt' </dev/null >/dev/null 2>&1 &");
	AUTO_FREE char *late = NULL;
	struct err err = {0};

	(void)state;
	must(environment_quiet(environments, shop, 20000, &err), &err);
	late = run(shop, "workspace", "cat late.txt; rm -f late.txt");
	if (provider_env_activity(provider, shop) == ACTIVITY_UNKNOWN) {
		printf("# who computes cannot be seen here\n");
		skip();
	}
	assert_string_equal(late, "done\n");
}

/* One that always does is not waited for each time. */
static void who_never_rests_is_not_waited_for(void **state)
{
	AUTO_FREE char *begun = run(
		shop, "workspace",
		"echo $$ >never.pid; setsid sh -c 'echo $$ >never.pid; while :; do :; done' </dev/null >/dev/null 2>&1 &");
	AUTO_FREE char *ended = NULL;
	struct err err = {0};
	int64_t began_ms;

	(void)state;
	for (int i = 0; i < 3; i++)
		must(environment_quiet(environments, shop, 20000, &err), &err);
	began_ms = now_ms();
	for (int i = 0; i < 20; i++)
		must(environment_quiet(environments, shop, 20000, &err), &err);
	assert_true(now_ms() - began_ms < 20 * 500);
	ended = run(shop, "workspace", "kill -9 $(cat never.pid); rm -f never.pid; echo ended");
	assert_string_equal(ended, "ended\n");
}

static void frozen_it_stands_still_and_a_question_wakes_it(void **state)
{
	struct err err = {0};
	AUTO_JSON frozen = NULL;
	AUTO_FREE char *value = NULL;
	int64_t began_ms;

	(void)state;
	must(environment_freeze(environments, shop, true, &err), &err);
	frozen = environment_show(environments, shop, &err);
	assert_string_equal(json_text(frozen, "state", ""), "frozen");
	began_ms = now_ms();
	value = query(shop, "cache", "GET greeting");
	printf("# thaw and a query: %lld ms\n", (long long)(now_ms() - began_ms));
	assert_string_equal(value, "hello you\n");
}

static void a_fork_has_the_data_and_the_work_and_its_own_future(void **state)
{
	struct env_id fork = {{0}};
	struct err err = {0};
	AUTO_FREE char *rows = NULL;
	AUTO_FREE char *value = NULL;
	AUTO_FREE char *edited = NULL;
	AUTO_FREE char *changed = NULL;
	AUTO_FREE char *kept = NULL;
	int64_t began_ms = now_ms();

	(void)state;
	must(environment_fork(environments, shop, progress, &fork, &err), &err);
	printf("# fork: %lld ms\n", (long long)(now_ms() - began_ms));
	rows = query(fork, "db", "SELECT name FROM items WHERE id IN (7, 2000) ORDER BY id");
	assert_string_equal(rows, "name\nchanged\nnew\n");
	value = query(fork, "cache", "GET greeting");
	assert_string_equal(value, "hello you\n");
	edited = run(fork, "workspace", "cat new.txt; git status --porcelain");
	assert_string_equal(edited, "three\n?? new.txt\n");
	changed = query(fork, "cache", "SET greeting other");
	kept = query(shop, "cache", "GET greeting");
	assert_string_equal(kept, "hello you\n");
	must(environment_down(environments, fork, &err), &err);
}

static void its_data_can_be_made_fresh_again(void **state)
{
	struct err err = {0};
	AUTO_FREE char *count = NULL;
	AUTO_FREE char *value = NULL;
	int64_t began_ms = now_ms();

	(void)state;
	must(environment_reset_data(environments, shop, progress, &err), &err);
	printf("# reset data: %lld ms\n", (long long)(now_ms() - began_ms));
	count = query(shop, "db", "SELECT count(*) AS n FROM items WHERE name = 'changed' OR id = 2000");
	assert_string_equal(count, "n\n0\n");
	value = query(shop, "cache", "DBSIZE");
	assert_string_equal(value, "0\n");
}

static void after_a_crash_of_the_keeper_it_comes_back_with_its_data(void **state)
{
	AUTO_FREE char *written = query(shop, "db", "INSERT INTO items VALUES (3000, 'kept')");
	AUTO_FREE char *set = query(shop, "cache", "SET kept yes");
	AUTO_FREE char *row = NULL;
	AUTO_FREE char *value = NULL;
	int64_t deadline_ms = now_ms() + WAIT_MS;
	int64_t began_ms;
	struct err err = {0};

	(void)state;
	assert_int_equal(kill(local_provider_keeper(provider), SIGKILL), 0);
	began_ms = now_ms();
	for (;;) {
		AUTO_BUF output = buf_new(4096);

		if (environment_query(environments, shop, "db", "SELECT name FROM items WHERE id = 3000", &output, &err) == 0 &&
		    output.length) {
			row = buf_take(&output);
			break;
		}
		if (now_ms() > deadline_ms)
			fail_msg("%s", err.text);
		(void)usleep(50000);
	}
	printf("# back after a crash of the keeper: %lld ms\n", (long long)(now_ms() - began_ms));
	assert_string_equal(row, "name\nkept\n");
	value = query(shop, "cache", "GET kept");
	assert_string_equal(value, "yes\n");
}

static void a_sandbox_whose_first_process_is_killed_is_made_again(void **state)
{
	static const char *const sandboxes[] = {"workspace", "web", "db"};
	int64_t deadline_ms = now_ms() + WAIT_MS;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sandboxes); i++) {
		AUTO_FREE char *line = text_format(
			"for p in /proc/[0-9]*; do grep -qs assay-init $p/comm && grep -qs '/%s/%s$' $p/cgroup"
			" && kill -9 ${p#/proc/}; done; true",
			shop.text, sandboxes[i]);
		const char *const argv[] = {"sh", "-c", line, NULL};
		bool back = false;
		struct err err = {0};

		must(process_run(&(struct process_spec){.argv = argv}, NULL, &err), &err);
		while (!back) {
			AUTO_BUF output = buf_new(4096);
			struct exit_status status = {0};
			struct environment_exec exec = {.sandbox = sandboxes[i],
							.argv = (const char *const[]){"true", NULL},
							.timeout_ms = 5000,
							.output = &output};

			back = environment_exec(environments, shop, &exec, &status, &err) == 0 && status.reason == EXIT_CODE;
			if (!back && now_ms() > deadline_ms)
				fail_msg("%s: %s", sandboxes[i], err.text);
			(void)usleep(50000);
		}
	}
	for (;;) {
		AUTO_BUF output = buf_new(4096);
		struct err err = {0};

		if (environment_query(environments, shop, "db", "SELECT name FROM items WHERE id = 3000", &output, &err) == 0) {
			assert_string_equal(output.at, "name\nkept\n");
			return;
		}
		if (now_ms() > deadline_ms)
			fail_msg("%s", err.text);
		(void)usleep(50000);
	}
}

static void after_a_restart_of_everything_it_comes_back_too(void **state)
{
	struct err err = {0};
	struct env_id again;
	AUTO_FREE char *row = NULL;
	AUTO_FREE char *value = NULL;

	(void)state;
	manager_close();
	manager_open();
	must(environment_reconcile(environments, &err), &err);
	must(environment_find(environments, "tiny", &again, &err), &err);
	assert_string_equal(again.text, shop.text);
	row = query(shop, "db", "SELECT name FROM items WHERE id = 3000");
	assert_string_equal(row, "name\nkept\n");
	value = query(shop, "cache", "GET kept");
	assert_string_equal(value, "yes\n");
}

/* Does nothing of it move? */
static bool stands_still(struct env_id id)
{
	AUTO_JSON exists = provider_env_list(provider, NULL);
	json_t *there;
	size_t index;

	json_array_foreach(exists, index, there)
		if (strcmp(json_text(there, "env", ""), id.text) == 0)
			return json_flag(there, "frozen", false);
	return false;
}

static void a_service_that_does_not_start_is_told_with_its_last_words(void **state)
{
	static const char broken[] = "version: 1\nname: broken\nservices:\n  web: {run: 'echo the reason; exit 4', port: 1234}\n";
	struct env_id id;
	struct err err = {0};
	AUTO_JSON shown = NULL;
	AUTO_FREE char *seen = NULL;

	(void)state;
	assert_int_equal(environment_up(environments,
					&(struct environment_spec){.repository = repository, .commit = first, .blueprint = broken},
					true, progress, &id, &err),
			 -1);
	assert_non_null(strstr(err.text, "web"));
	assert_non_null(strstr(err.text, "exit 4"));
	assert_non_null(strstr(err.text, "the reason"));
	shown = environment_show(environments, id, &err);
	assert_string_equal(json_text(shown, "state", ""), "failed");
	/* It is kept as it is at that moment, until somebody looks. */
	assert_true(stands_still(id));
	seen = run(id, "workspace", "echo seen");
	assert_string_equal(seen, "seen\n");
	assert_false(stands_still(id));
	must(environment_down(environments, id, &err), &err);
}

/* What it would log as an error of its own. */
static void who_asks_whether_a_service_is_ready_hears_it_out(void **state)
{
	static const char slow[] =
		"version: 1\nname: slow\nservices:\n  web:\n    port: 8080\n    ready: /healthz\n    run: |\n"
		"      exec node -e \"const end = (failed) => require('fs').appendFileSync('/tmp/ends', failed + ' ');\n"
		"      require('http').createServer((request, reply) => {\n"
		"        request.socket.on('close', end);\n"
		"        reply.write('first');\n"
		"        setTimeout(() => reply.write('second'), 30);\n"
		"        setTimeout(() => reply.end('third'), 60);\n"
		"      }).listen(8080, '127.0.0.1')\"\n";
	struct env_id id;
	struct err err = {0};
	AUTO_FREE char *failed = NULL;

	(void)state;
	must(environment_up(environments, &(struct environment_spec){.repository = repository, .commit = first, .blueprint = slow},
			    true, progress, &id, &err),
	     &err);
	failed = run(id, "web", "while ! [ -s /tmp/ends ]; do :; done; cat /tmp/ends");
	assert_string_equal(failed, "false ");
	must(environment_down(environments, id, &err), &err);
}

static void a_service_is_waited_for_as_long_as_its_blueprint_says(void **state)
{
	static const char late[] =
		"version: 1\nname: late\nservices:\n  web: {run: exec sleep 1000, port: 1234, ready_timeout: 300ms}\n";
	struct env_id id;
	struct err err = {0};

	(void)state;
	assert_int_equal(environment_up(environments,
					&(struct environment_spec){.repository = repository, .commit = first, .blueprint = late},
					false, progress, &id, &err),
			 -1);
	assert_non_null(strstr(err.text, "web was not ready after 0 s"));
}

static void dependencies_are_installed_once_for_commits_that_share_a_lock_file(void **state)
{
	static const char with_setup[] =
		"version: 1\nname: deps\nservices:\n  web: {run: 'exec node web.js', port: 8080, ready: tcp}\n"
		"workspace:\n  setup: ['mkdir -p modules', 'date +%s.%N > modules/when']\n  lock: [seed.sql]\n";
	AUTO_FREE char *dir = text_format("%s/origin", state_dir);
	AUTO_FREE char *file = text_format("%s/other.txt", dir);
	AUTO_FREE char *before = NULL;
	AUTO_FREE char *after = NULL;
	AUTO_FREE char *tracked = NULL;
	struct git_hash second;
	struct env_id id;
	struct err err = {0};

	(void)state;
	id = up(&(struct environment_spec){.repository = repository, .commit = first, .blueprint = with_setup});
	before = run(id, "workspace", "cat modules/when; ls; git status --porcelain");
	must(environment_down(environments, id, &err), &err);
	must(file_replace(file, VIEW("more\n"), 0644, &err), &err);
	host_git(dir, (const char *const[]){"rm", "-q", "greeting.txt", NULL});
	host_git(dir, (const char *const[]){"add", "-A", NULL});
	host_git(dir, (const char *const[]){"commit", "-qm", "second", NULL});
	must(git_fetch_local(repository, dir, "main", "refs/heads/main", &second, &err), &err);
	id = up(&(struct environment_spec){.repository = repository, .commit = second, .blueprint = with_setup});
	after = run(id, "workspace", "cat modules/when");
	assert_int_equal(strncmp(before, after, strlen(after)), 0);
	assert_non_null(strstr(before, "greeting.txt"));
	tracked = run(id, "workspace", "ls; git log --oneline | wc -l; git status --porcelain");
	assert_null(strstr(tracked, "greeting.txt"));
	assert_non_null(strstr(tracked, "other.txt"));
	assert_non_null(strstr(tracked, "\n2\n"));
	assert_non_null(strstr(tracked, "?? modules/"));
	must(environment_down(environments, id, &err), &err);
}

/* Of an environment whose service `bad` ends again and again. */
static void given_up_await(struct env_id id)
{
	int64_t deadline_ms = now_ms() + WAIT_MS;
	struct err err = {0};
	bool given_up = false;

	while (!given_up && now_ms() < deadline_ms) {
		AUTO_JSON shown = environment_show(environments, id, &err);
		const json_t *bad = json_array_get(json_member(shown, "sandboxes"), 1);

		given_up = strcmp(json_text(bad, "state", ""), "failed") == 0;
		if (given_up) {
			assert_string_equal(json_text(bad, "exit", ""), "exit 5");
			assert_int_equal(json_number(bad, "restarts", 0), 5);
		}
		(void)usleep(50000);
	}
	assert_true(given_up);
	must(environment_down(environments, id, &err), &err);
}

static void a_program_that_crashes_again_and_again_is_given_up(void **state)
{
	static const char looping[] = "version: 1\nname: loop\nservices:\n  bad: {run: 'sleep 0.05; echo dying; exit 5'}\n";

	(void)state;
	given_up_await(up(&(struct environment_spec){.repository = repository, .commit = first, .blueprint = looping}));
}

/* It was seen running, and had ended when it was asked whether it is ready. */
static void who_ends_between_two_looks_is_started_again_too(void **state)
{
	static const char looping[] = "version: 1\nname: late\nservices:\n  bad: {run: 'sleep 0.05; exit 5'}\n";

	(void)state;
	late_end.on = true;
	given_up_await(up(&(struct environment_spec){.repository = repository, .commit = first, .blueprint = looping}));
	late_end.on = false;
}

static void snapshots_are_made_of_seeds_and_dumps_and_can_be_removed(void **state)
{
	AUTO_BLUEPRINT blueprint = NULL;
	AUTO_FREE char *seed = text_format("%s/more.sql", state_dir);
	struct snapshot_source source = {.seed = seed};
	struct err err = {0};
	AUTO_JSON shown = NULL;
	struct env_id id;
	AUTO_FREE char *row = NULL;
	int version = 0;

	(void)state;
	blueprint = blueprint_parse(view_of(blueprint_text), "assay.yaml", &err);
	assert_non_null(blueprint);
	must(file_replace(seed, VIEW("CREATE TABLE lonely (id int PRIMARY KEY); INSERT INTO lonely VALUES (42);"), 0644, &err),
	     &err);
	must(snapshot_create(environments, "second", blueprint, &source, 1, progress, &version, &err), &err);
	assert_int_equal(version, 1);
	shown = snapshot_show(environments, "second", &err);
	assert_int_equal(json_array_size(json_member(shown, "databases")), 2);
	id = up(&(struct environment_spec){.repository = repository, .commit = first, .snapshot = "second/1", .no_services = true});
	row = query(id, "db", "SELECT id FROM lonely");
	assert_string_equal(row, "id\n42\n");
	assert_int_equal(snapshot_remove(environments, "second/1", &err), -1);
	must(environment_down(environments, id, &err), &err);
	must(snapshot_remove(environments, "second/1", &err), &err);
	assert_null(snapshot_show(environments, "second", &err));
	assert_int_equal(snapshot_create(environments, "second", blueprint, &(struct snapshot_source){.seed = "/nowhere.sql"}, 1,
					 progress, &version, &err),
			 -1);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

/* Bytes that a program in a sandbox prints, as a file on the host. */
static char *dump(struct env_id id, const char *sandbox, const char *line, const char *name)
{
	const char *argv[] = {"sh", "-c", line, NULL};
	char *path = text_format("%s/%s", state_dir, name);
	AUTO_BUF output = buf_new((size_t)64 << 20);
	AUTO_BUF errors = buf_new((size_t)1 << 20);
	struct exit_status status;
	struct err err = {0};

	must(environment_exec(environments, id,
			      &(struct environment_exec){.sandbox = sandbox, .argv = argv, .output = &output, .errors = &errors},
			      &status, &err),
	     &err);
	assert_int_equal(status.code, 0);
	must(file_replace(path, buf_view(&output), 0600, &err), &err);
	return path;
}

static void dumps_of_both_engines_become_a_snapshot(void **state)
{
	AUTO_FREE char *greeting = query(shop, "cache", "SET greeting 'from the dump'");
	AUTO_FREE char *postgres = dump(shop, "db", "/usr/lib/postgresql/*/bin/pg_dump -Fc -h 127.0.0.1 -U tiny tiny", "tiny.dump");
	AUTO_FREE char *redis = dump(shop, "cache", "redis-cli --rdb /tmp/x.rdb >/dev/null && cat /tmp/x.rdb", "cache.rdb");
	const struct snapshot_source sources[] = {{.dump = postgres}, {.dump = redis}};
	AUTO_BLUEPRINT blueprint = NULL;
	AUTO_FREE char *count = NULL;
	AUTO_FREE char *value = NULL;
	struct env_id id;
	struct err err = {0};
	int version = 0;

	(void)state;
	blueprint = blueprint_parse(view_of(blueprint_text), "assay.yaml", &err);
	assert_non_null(blueprint);
	must(snapshot_create(environments, "dumped", blueprint, sources, 2, progress, &version, &err), &err);
	id = up(&(struct environment_spec){.repository = repository, .commit = first, .snapshot = "dumped", .no_services = true});
	count = query(id, "db", "SELECT count(*) AS n FROM items");
	assert_string_equal(count, "n\n1001\n");
	value = query(id, "cache", "GET greeting");
	assert_string_equal(value, "from the dump\n");
	must(environment_down(environments, id, &err), &err);
}

static void a_running_server_becomes_a_snapshot(void **state)
{
	const char *server[] = {"redis-server", "--port", "16399", "--bind", "127.0.0.1", "--save", "", "--dir", state_dir, NULL};
	const char *set[] = {"redis-cli", "-p", "16399", "SET", "running", "yes", NULL};
	const int fds[] = {0, 1, 1};
	AUTO_BLUEPRINT blueprint = NULL;
	AUTO_FREE char *value = NULL;
	AUTO_JSON shown = NULL;
	int64_t deadline_ms = now_ms() + WAIT_MS;
	struct snapshot_source source = {.url = "redis://user:secret@127.0.0.1:16399"};
	struct env_id id;
	struct err err = {0};
	int version = 0;
	int status = 1;
	int server_fd;
	pid_t server_pid;

	(void)state;
	must(process_start(server, NULL, fds, 3, &server_pid, &server_fd, &err), &err);
	while (status && now_ms() < deadline_ms)
		if (process_run(&(struct process_spec){.argv = set}, &status, &err))
			break;
	blueprint = blueprint_parse(view_of(blueprint_text), "assay.yaml", &err);
	assert_int_equal(snapshot_create(environments, "running", blueprint, &source, 1, progress, &version, &err), -1);
	source.url = "redis://127.0.0.1:16399";
	must(snapshot_create(environments, "running", blueprint, &source, 1, progress, &version, &err), &err);
	assert_int_equal(kill(server_pid, SIGTERM), 0);
	(void)!process_wait(server_fd, 5000, &status, &err);
	(void)close(server_fd);
	shown = snapshot_show(environments, "running", &err);
	for (size_t i = 0; i < 2; i++) {
		const json_t *database = json_array_get(json_member(shown, "databases"), i);
		bool read = strcmp(json_text(database, "name", ""), "cache") == 0;

		assert_string_equal(json_text(database, "source", ""), read ? "redis://127.0.0.1:16399" : "empty");
	}
	id = up(&(struct environment_spec){.repository = repository, .commit = first, .snapshot = "running", .no_services = true});
	value = query(id, "cache", "GET running");
	assert_string_equal(value, "yes\n");
	must(environment_down(environments, id, &err), &err);
}

/* Until the provider has that many environments. */
static void environments_await(size_t count)
{
	int64_t deadline_ms = now_ms() + WAIT_MS;
	size_t there = 0;

	while (there != count && now_ms() < deadline_ms) {
		AUTO_JSON exists = provider_env_list(provider, NULL);

		there = json_array_size(exists);
		(void)usleep(20000);
	}
	assert_int_equal(there, count);
	(void)usleep(500000); /* the last one's servers */
}

static void from_a_warm_pool_it_is_up_even_sooner_with_data_of_its_own(void **state)
{
	struct env_id ids[3];
	struct err err = {0};
	int64_t best_ms = INT64_MAX;

	(void)state;
	manager_close();
	warm = true;
	manager_open();
	must(environment_reconcile(environments, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		int64_t began_ms = now_ms();
		AUTO_FREE char *rows = NULL;
		AUTO_FREE char *written = NULL;

		ids[i] = up(&(struct environment_spec){.repository = repository, .commit = first, .purpose = "test"});
		if (i && now_ms() - began_ms < best_ms)
			best_ms = now_ms() - began_ms;
		rows = query(ids[i], "db", "SELECT count(*) AS n FROM items WHERE id > 1000");
		assert_string_equal(rows, "n\n0\n");
		written = query(ids[i], "db", "INSERT INTO items VALUES (4000, 'mine')");
		environments_await(i + 4); /* the shop, these, a set of databases, and the next whole one */
	}
	printf("# from the warm pool: %lld ms\n", (long long)best_ms);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		must(environment_down(environments, ids[i], &err), &err);
	manager_close();
	warm = false;
	manager_open();
	must(environment_reconcile(environments, &err), &err);
}

static void nothing_is_left_after_down(void **state)
{
	struct err err = {0};
	AUTO_JSON exists = NULL;
	AUTO_JSON list = NULL;

	(void)state;
	must(environment_down(environments, shop, &err), &err);
	exists = provider_env_list(provider, &err);
	assert_int_equal(json_array_size(exists), 0);
	list = environment_list(environments, &err);
	assert_int_equal(json_array_size(list), 0);
}

static int everything_begin(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(state_dir));
	repository = fixture_repository(state_dir, "tiny", files, ARRAY_LEN(files), &first);
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
		cmocka_unit_test(the_first_environment_builds_its_checkout_and_snapshot),
		cmocka_unit_test(the_second_one_is_up_in_a_moment_and_gone_at_once),
		cmocka_unit_test(databases_answer_and_what_was_written_since_deploy_is_known),
		cmocka_unit_test(what_is_deleted_in_a_volatile_one_is_counted),
		cmocka_unit_test(a_large_table_is_read_when_its_files_say_that_it_was_written),
		cmocka_unit_test(a_wrong_statement_is_an_error_that_says_what_the_database_said),
		cmocka_unit_test(a_program_gets_the_standard_variables_and_its_end_is_told),
		cmocka_unit_test(an_edit_shows_after_a_deploy_of_one_service),
		cmocka_unit_test(logs_are_kept_by_sandbox_and_together),
		cmocka_unit_test(the_work_comes_out_as_a_commit_on_the_base),
		cmocka_unit_test(what_others_committed_comes_into_the_work_tree),
		cmocka_unit_test(what_was_cut_off_on_its_way_in_is_finished),
		cmocka_unit_test(what_others_took_back_goes_from_the_work_tree_and_its_history),
		cmocka_unit_test(a_crashed_service_is_started_again),
		cmocka_unit_test(it_is_quiet_once_its_queue_is_empty),
		cmocka_unit_test(it_is_not_quiet_while_its_programs_compute),
		cmocka_unit_test(who_never_rests_is_not_waited_for),
		cmocka_unit_test(frozen_it_stands_still_and_a_question_wakes_it),
		cmocka_unit_test(a_fork_has_the_data_and_the_work_and_its_own_future),
		cmocka_unit_test(its_data_can_be_made_fresh_again),
		cmocka_unit_test(after_a_crash_of_the_keeper_it_comes_back_with_its_data),
		cmocka_unit_test(a_sandbox_whose_first_process_is_killed_is_made_again),
		cmocka_unit_test(after_a_restart_of_everything_it_comes_back_too),
		cmocka_unit_test(a_service_that_does_not_start_is_told_with_its_last_words),
		cmocka_unit_test(who_asks_whether_a_service_is_ready_hears_it_out),
		cmocka_unit_test(a_service_is_waited_for_as_long_as_its_blueprint_says),
		cmocka_unit_test(dependencies_are_installed_once_for_commits_that_share_a_lock_file),
		cmocka_unit_test(a_program_that_crashes_again_and_again_is_given_up),
		cmocka_unit_test(who_ends_between_two_looks_is_started_again_too),
		cmocka_unit_test(snapshots_are_made_of_seeds_and_dumps_and_can_be_removed),
		cmocka_unit_test(dumps_of_both_engines_become_a_snapshot),
		cmocka_unit_test(a_running_server_becomes_a_snapshot),
		cmocka_unit_test(from_a_warm_pool_it_is_up_even_sooner_with_data_of_its_own),
		cmocka_unit_test(a_gateway_that_has_just_ended_stops_no_environment),
		cmocka_unit_test(nothing_is_left_after_down),
	};

	return fixture_main(argc, argv, "environment", tests, ARRAY_LEN(tests), everything_begin, everything_end);
}
