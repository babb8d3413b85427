/*
 * The whole ladder, with real sandboxes, a gateway and PostgreSQL, on an application of two services (tests/data/verify/app): every seeded
 * bug is caught by the gate that should catch it, and no harmless change is. Needs root.
 *
 * `contract_verify [NAME…]` runs only the changes of those names, and prints their reports with ASSAY_TEST_VERBOSE set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/scope.h"
#include "gateway/gateway.h"
#include "net/socket.h"
#include "programs/serve_gateway.h"
#include "sandbox/local/keeper.h"
#include "sandbox/local/local.h"
#include "verify/record.h"
#include "verify/verify.h"

#define SKIPPED 77

static char state_dir[] = "/tmp/assay-verify-XXXXXX";
static char *origin;
static char *repository;
static char *preview;
static struct git_hash base;
static struct git_hash base_quick; /* the same, but that its blueprint leaves the faults out */
static struct provider provider;
static struct serve_gateway *gateway;
static struct environments *environments;
static char **wanted;
static int wanted_count;

struct edit {
	const char *file;
	const char *find; /* NULL: the file is new, or replaced as a whole; "" with text NULL: it is removed */
	const char *replace;
};

static const struct change {
	const char *name;
	struct edit edits[3];
	const char *verdict;
	const char *gate; /* of the worst finding; NULL: none blocks */
	const char *kind;
	bool faults; /* judged by that gate, too */
} changes[] = {
	/* bugs at the seams, which no unit test of the application sees */
	{"status",
	 {{"store/server.py", "self.send(201, order_make(body))", "self.send(200, order_make(body))"}},
	 "failed",
	 "replay",
	 "status"},
	{"field type",
	 {{"store/server.py", "\"total_cents\": total, \"payment\"", "\"total_cents\": str(total), \"payment\""}},
	 "failed",
	 "replay",
	 "type"},
	{"field missing", {{"store/server.py", "\"payment\": status, ", ""}}, "failed", "replay", "missing"},
	{"header dropped", {{"front/server.js", "{ 'x-request-id': id, ", "{ "}}, "failed", "replay", "header-lost"},
	{"N+1",
	 {{"front/server.js", "  const list = answer.body.items;\n",
	   "  const list = [];\n  for (const one of answer.body.items) list.push((await store('GET', `/items/${one.id}`, id)).body);\n"
	   "  for (const one of answer.body.items) await store('GET', `/items/${one.id}`, id);\n"}},
	 "failed",
	 "replay",
	 "many-calls"},
	{"row written twice",
	 {{"store/server.py", "        status = charge(number, total)\n",
	   "            cursor.execute(\"INSERT INTO order_lines VALUES (%s, %s, %s)\", (number, line[\"item\"], line[\"quantity\"]))\n"
	   "        status = charge(number, total)\n"}},
	 "failed",
	 "replay",
	 "rows"},
	{"row not written",
	 {{"store/server.py", "        for line in body[\"lines\"]:\n", "        for line in body[\"lines\"][:1]:\n"}},
	 "failed",
	 "replay",
	 "rows"},
	{"row deleted",
	 {{"store/server.py", "        status = charge(number, total)\n",
	   "            cursor.execute(\"DELETE FROM items WHERE id = 499\")\n        status = charge(number, total)\n"}},
	 "failed",
	 "replay",
	 "rows-deleted"},
	{"outbound body", {{"store/server.py", "\"amount_cents\": cents", "\"amount\": cents"}}, "failed", "replay", "missing"},
	{"paid twice",
	 {{"store/server.py", "status = charge(number, total)", "charge(number, total)\n        status = charge(number, total)"}},
	 "failed",
	 "replay",
	 "outside-count"},
	{"idempotency key lost",
	 {{"store/server.py", ", \"idempotency-key\": \"order-%d\" % order_id", ""}},
	 "failed",
	 "replay",
	 "header-lost"},
	{"cookie attribute", {{"front/server.js", "; Path=/; HttpOnly", "; Path=/"}}, "failed", "replay", "missing"},
	{"parameter lost", {{"front/server.js", "'/items?limit=3'", "'/items'"}}, "failed", "replay", "query-lost"},
	{"value format lost", {{"store/server.py", "row[2].isoformat()", "str(row[2].date())"}}, "failed", "replay", "format"},
	{"list cut",
	 {{"store/server.py", "for r in cursor.fetchall()]", "for r in cursor.fetchall()[1:]]"}},
	 "failed",
	 "replay",
	 "element"},
	{"secret leaks",
	 {{"front/server.js", "send(reply, answer.status, answer.body);\n}\n",
	   "send(reply, answer.status, { ...answer.body, token: token[1] });\n}\n"}},
	 "failed",
	 "replay",
	 "added"},
	{"secret in the log",
	 {{"front/server.js", "  sessions.set(token, name);", "  sessions.set(token, name);\n  console.log('session', token);"}},
	 "failed",
	 "replay",
	 "log-secret"},
	{"error that nobody is told of",
	 {{"store/server.py", "def items(limit):\n",
	   "def items(limit):\n    try:\n        {}[\"cache\"]\n    except KeyError as problem:\n"
	   "        print(\"error: cache\", repr(problem), flush=True)\n"}},
	 "failed",
	 "replay",
	 "log-error"},
	/* bugs that only broken seams show */
	{"failure hidden",
	 {{"store/server.py", "        status = charge(number, total)\n",
	   "        try:\n            status = charge(number, total)\n        except OSError:\n            status = \"paid\"\n"}},
	 "failed",
	 "faults",
	 "status",
	 true},
	{"no patience of its own", {{"store/server.py", "timeout=1)", "timeout=600)"}}, "failed", "faults", "patience", true},
	{"an order stays though it was not paid",
	 {{"store/server.py", "        status = charge(number, total)\n",
	   "        db.commit()\n        status = charge(number, total)\n"}},
	 "failed",
	 "faults",
	 "rows",
	 true},
	{"paid twice when the answer is lost",
	 {{"store/server.py", "def items(limit):",
	   "def pay(number, total):\n    try:\n        return charge(number, total)\n    except OSError:\n"
	   "        return charge(number + 1000000, total)\n\n\ndef items(limit):"},
	  {"store/server.py", "        status = charge(number, total)\n", "        status = pay(number, total)\n"}},
	 "failed",
	 "faults",
	 "doubled",
	 true},
	{"one failure ends the front",
	 {{"front/server.js", "    send(reply, 502, { error: String(problem.message) });", "    process.exit(1);"}},
	 "failed",
	 "faults",
	 "status",
	 true},
	/* bugs that the other rungs see */
	{"migration fails",
	 {{"db/migrations/0002_bad.sql", NULL, "ALTER TABLE nothing ADD COLUMN x int;\n"}},
	 "failed",
	 "deploy",
	 "deploy"},
	{"service does not start",
	 {{"front/server.js", "'use strict';\nconst http", "'use strict';\nthrow new Error('no');\nconst http"}},
	 "failed",
	 "deploy",
	 "deploy"},
	{"unit test broken", {{"front/format.js", "padStart(2, '0')", "padStart(1, '0')"}}, "failed", "tests", "test-fails"},
	{"expectation changed with the code",
	 {{"front/format.js", "padStart(2, '0')", "padStart(1, '0')"},
	  {"front/test/format.test.js", "'12.05'", "'12.5'"},
	  {"front/test/format.test.js", "'0.00'", "'0.0'"}},
	 "failed",
	 "tests",
	 "test-fails"},
	{"new test fails",
	 {{"front/test/new.test.js", NULL,
	   "const test = require('node:test');\ntest('new', () => { throw new Error('red'); });\n"}},
	 "failed",
	 "red-green",
	 "not-green"},
	{"test removed",
	 {{"front/test/format.test.js",
	   "\ntest('money of nothing is nothing', () => {\n  assert.strictEqual(money(0), '0.00');\n});\n", ""}},
	 "failed",
	 "integrity",
	 "removed"},
	{"test skipped",
	 {{"front/test/format.test.js", "test('money of", "test.skip('money of"}},
	 "failed",
	 "integrity",
	 "skipped"},
	{"session edited", {{"sessions/order.har", "session-0", "session-9"}}, "failed", "integrity", "protected"},
	/* harmless */
	{"payment tried again with the same key",
	 {{"store/server.py", "def items(limit):",
	   "def pay(number, total):\n    try:\n        return charge(number, total)\n    except OSError:\n"
	   "        return charge(number, total)\n\n\ndef items(limit):"},
	  {"store/server.py", "        status = charge(number, total)\n", "        status = pay(number, total)\n"}},
	 "verified",
	 NULL,
	 NULL,
	 true},
	{"a real number that JavaScript writes as an integer",
	 {{"store/server.py", "\"price_cents\": r[2]", "\"price_cents\": r[2] / 1"}},
	 "verified",
	 NULL,
	 NULL},
	{"comment", {{"front/server.js", "'use strict';\n", "'use strict';\n// A front.\n"}}, "verified", NULL, NULL},
	{"field added",
	 {{"store/server.py", "\"payment\": status, ", "\"payment\": status, \"currency\": \"EUR\", "}},
	 "verified",
	 NULL,
	 NULL,
	 true},
	{"keys in another order",
	 {{"store/server.py", "{\"id\": row[0], \"total_cents\": row[1], \"created_at\"",
	   "{\"total_cents\": row[1], \"id\": row[0], \"created_at\""}},
	 "verified",
	 NULL,
	 NULL},
	{"query reworded",
	 {{"store/server.py", "SELECT id, name, price_cents, stock FROM items ORDER BY id LIMIT %s",
	   "SELECT i.id, i.name, i.price_cents, i.stock FROM items i WHERE i.id > 0 ORDER BY i.id LIMIT %s"}},
	 "verified",
	 NULL,
	 NULL,
	 true},
	{"index added",
	 {{"db/migrations/0002_stock.sql", NULL, "CREATE INDEX IF NOT EXISTS items_stock ON items (stock);\n"}},
	 "verified",
	 NULL,
	 NULL},
	{"column added",
	 {{"db/migrations/0002_note.sql", NULL, "ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text;\n"}},
	 "verified",
	 NULL,
	 NULL},
	{"header added",
	 {{"front/server.js", "'cache-control': 'no-store'", "'cache-control': 'no-store', 'x-frame-options': 'DENY'"}},
	 "verified",
	 NULL,
	 NULL},
	{"refactored",
	 {{"front/server.js", "const list = answer.body.items;\n  send(reply, answer.status, { items: list.map((item) =>",
	   "const priced = answer.body.items;\n  send(reply, answer.status, { items: priced.map((item) =>"}},
	 "verified",
	 NULL,
	 NULL},
	{"feature with a test",
	 {{"front/format.js", "exports.money", "exports.euro = (cents) => `EUR ${exports.money(cents)}`;\nexports.money"},
	  {"front/test/euro.test.js", NULL,
	   "const test = require('node:test');\nconst assert = require('node:assert');\nconst format = require('../format.js');\n"
	   "test('euro names the currency', () => {\n  assert.strictEqual(typeof format.euro, 'function');\n"
	   "  assert.strictEqual(format.euro(5), 'EUR 0.05');\n});\n"}},
	 "verified",
	 NULL,
	 NULL},
	{"log line added",
	 {{"store/server.py", "def items(limit):\n", "def items(limit):\n    print(\"items\", limit, flush=True)\n"}},
	 "verified",
	 NULL,
	 NULL,
	 true},
};

static void must(int result, const struct err *err)
{
	if (result) {
		printf("Bail out! %s\n", err->text);
		fail_msg("%s", err->text);
	}
}

static void host_git(const char *const *args)
{
	const char *argv[16] = {"git", "-c", "user.name=t", "-c", "user.email=t@t"};
	struct err err = {0};
	size_t count = 5;

	for (; *args; args++)
		argv[count++] = *args;
	must(process_run(&(struct process_spec){.argv = argv, .dir = origin}, NULL, &err), &err);
}

static void edit_apply(const struct edit *edit)
{
	AUTO_FREE char *path = text_format("%s/%s", origin, edit->file);
	AUTO_BUF text = buf_new((size_t)1 << 20);
	AUTO_BUF made = buf_new((size_t)1 << 20);
	struct err err = {0};
	ptrdiff_t at;

	if (!edit->find) {
		must(file_replace(path, view_of(edit->replace), 0644, &err), &err);
		return;
	}
	must(file_read(path, &text, &err), &err);
	at = view_find(buf_view(&text), view_of(edit->find));
	if (at < 0)
		fail_msg("%s does not have `%s`", edit->file, edit->find);
	buf_add(&made, text.at, (size_t)at);
	buf_add_text(&made, edit->replace);
	buf_add_text(&made, text.at + at + strlen(edit->find));
	must(file_replace(path, buf_view(&made), 0644, &err), &err);
}

static void repository_make(void)
{
	const char *from = getenv("ASSAY_SOURCE_ROOT");
	AUTO_FREE char *app = text_format("%s/tests/data/verify/app", from ? from : ".");
	struct err err = {0};

	origin = text_format("%s/origin", state_dir);
	must(process_run(&(struct process_spec){.argv = (const char *const[]){"cp", "-r", app, origin, NULL}}, NULL, &err), &err);
	host_git((const char *const[]){"init", "-q", "-b", "main", NULL});
	host_git((const char *const[]){"add", "-A", NULL});
	host_git((const char *const[]){"commit", "-qm", "base", NULL});
	repository = text_format("%s/repos/tiny.git", state_dir);
	must(git_repository_make(repository, &err), &err);
	must(git_fetch_local(repository, origin, "main", "refs/heads/main", &base, &err), &err);
	host_git((const char *const[]){"checkout", "-q", "-b", "quick", NULL});
	edit_apply(&(struct edit){"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults]}"});
	host_git((const char *const[]){"commit", "-qam", "quick", NULL});
	must(git_fetch_local(repository, origin, "quick", "refs/heads/quick", &base_quick, &err), &err);
}

static struct git_hash change_commit(const struct change *change)
{
	struct git_hash commit;
	struct err err = {0};

	host_git((const char *const[]){"checkout", "-q", "-B", "change", change->faults ? "main" : "quick", NULL});
	for (size_t i = 0; i < ARRAY_LEN(change->edits) && change->edits[i].file; i++)
		edit_apply(&change->edits[i]);
	host_git((const char *const[]){"add", "-A", NULL});
	host_git((const char *const[]){"commit", "-qm", change->name, NULL});
	must(git_fetch_local(repository, origin, "change", "refs/heads/change", &commit, &err), &err);
	return commit;
}

static void report_step(void *self, const char *step, const char *detail, int64_t ms)
{
	(void)self;
	if (ms >= 0 && getenv("ASSAY_TEST_VERBOSE"))
		printf("#     %-40s %6lld ms %s\n", step, (long long)ms, detail ? detail : "");
}

static json_t *change_verify(const struct change *change)
{
	AUTO_FREE char *artefacts = text_format("%s/artefacts", state_dir);
	AUTO_FREE char *cache = text_format("%s/cache", state_dir);
	struct verify_request request = {.cache_dir = cache,
					 .environments = environments,
					 .repository = repository,
					 .base = change->faults ? base : base_quick,
					 .artefacts_dir = artefacts,
					 .attempt = 1,
					 .attempts = 1,
					 .progress = {report_step, NULL, NULL},
					 .world = world_real};
	json_t *report = NULL;
	struct err err = {0};

	request.head = change_commit(change);
	must(verify_run(&request, &report, &err), &err);
	return report;
}

/* Does the outcome agree with the row? Says what it was. */
static bool change_judge(const struct change *change, const json_t *report)
{
	const json_t *worst = json_array_get(json_member(report, "findings"), 0);
	const json_t *findings = json_member(report, "findings");
	bool good = strcmp(json_text(report, "verdict", ""), change->verdict) == 0;

	for (size_t i = 0; i < json_array_size(findings); i++)
		if (strcmp(json_text(json_array_get(findings, i), "severity", ""), "block") == 0) {
			worst = json_array_get(findings, i);
			break;
		}
	if (good && change->gate) {
		bool found = false;

		for (size_t i = 0; i < json_array_size(findings); i++) {
			const json_t *finding = json_array_get(findings, i);

			found = found || (strcmp(json_text(finding, "severity", ""), "block") == 0 &&
					  strcmp(json_text(finding, "gate", ""), change->gate) == 0 &&
					  strcmp(json_text(finding, "kind", ""), change->kind) == 0);
		}
		good = found;
	}
	printf("# %s %-34s %-10s %6lld ms  %s\n", good ? "good" : "BAD ", change->name, json_text(report, "verdict", ""),
	       (long long)json_number(report, "ms", 0),
	       change->gate || !good ? json_text(worst, "title", json_text(report, "reason", "")) : "");
	if (!good || getenv("ASSAY_TEST_VERBOSE")) {
		AUTO_BUF text = buf_new((size_t)16 << 20);

		if (getenv("ASSAY_TEST_REPORT"))
			json_format_pretty(&text, report);
		else
			verify_feedback(&text, report);
		printf("%s\n", text.at);
	}
	(void)fflush(stdout);
	return good;
}

static bool is_wanted(const char *name)
{
	for (int i = 0; i < wanted_count; i++)
		if (strcmp(wanted[i], name) == 0)
			return true;
	return wanted_count == 0;
}

static void every_seeded_bug_is_caught_and_no_harmless_change_is(void **state)
{
	int bugs = 0, caught = 0, harmless = 0, alarms = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		AUTO_JSON report = NULL;
		bool good;

		if (!is_wanted(changes[i].name))
			continue;
		report = change_verify(&changes[i]);
		good = change_judge(&changes[i], report);
		if (changes[i].gate) {
			bugs++;
			caught += good;
		} else {
			harmless++;
			alarms += !good;
		}
	}
	printf("# caught %d of %d seeded bugs; %d false alarms in %d harmless changes\n", caught, bugs, alarms, harmless);
	assert_int_equal(caught, bugs);
	assert_int_equal(alarms, 0);
}

static void nothing_is_left_of_a_verification(void **state)
{
	struct err err = {0};
	AUTO_JSON list = environment_list(environments, &err);

	(void)state;
	assert_int_equal(json_array_size(list), 0);
}

static void a_cancelled_verification_ends_soon_and_leaves_nothing(void **state)
{
	static const bool cancelled = true;
	AUTO_FREE char *artefacts = text_format("%s/artefacts", state_dir);
	const struct verify_request request = {.environments = environments,
					       .repository = repository,
					       .base = base,
					       .head = base,
					       .artefacts_dir = artefacts,
					       .attempt = 1,
					       .attempts = 1,
					       .progress = {NULL, NULL, &cancelled},
					       .world = world_real};
	json_t *report = NULL;
	struct err err = {0};

	assert_int_equal(verify_run(&request, &report, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	nothing_is_left_of_a_verification(state);
}

static int all_open(void **state)
{
	AUTO_FREE char *tools = NULL;
	struct local_options local = {.state_dir = state_dir, .runtime = getenv("ASSAY_RUNTIME")};
	struct environments_options options = {.state_dir = state_dir, .world = world_real};
	struct err err = {0};
	int fd = -1;

	(void)state;
	if (!mkdtemp(state_dir))
		return -1;
	tools = text_format("%s/tools", state_dir);
	must(file_make_dirs(tools, 0711, &err), &err);
	(void)chmod(state_dir, 0711);
	must(socket_listen_tcp("127.0.0.1:0", &fd, &err), &err);
	preview = text_format("127.0.0.1:%d", socket_port(fd));
	(void)close(fd);
	must(local_provider_open(&local, &provider, &err), &err);
	must(serve_gateway_open(preview, NULL, tools, "tool.sock", NULL, NULL, NULL, &gateway, &err), &err);
	options.provider = provider;
	options.gateway = serve_gateway_link(gateway);
	options.preview_base = preview;
	must(environments_open(&options, &environments, &err), &err);
	must(serve_gateway_watch(gateway, environments, &err), &err);
	repository_make();
	return 0;
}

static int all_close(void **state)
{
	(void)state;
	serve_gateway_unwatch(gateway);
	environments_close(environments);
	serve_gateway_close(gateway);
	local_provider_close(provider);
	free(origin);
	free(repository);
	free(preview);
	return getenv("ASSAY_TEST_KEEP") ? 0 : file_remove_tree(state_dir, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_seeded_bug_is_caught_and_no_harmless_change_is),
		cmocka_unit_test(nothing_is_left_of_a_verification),
		cmocka_unit_test(a_cancelled_verification_ends_soon_and_leaves_nothing),
	};

	if (argc > 1 && strcmp(argv[1], "keeper") == 0)
		return keeper_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "gateway") == 0)
		return gateway_main(argc - 1, argv + 1);
	if (getuid() != 0) {
		printf("contract verify: skipped: needs root\n");
		return SKIPPED;
	}
	log_init("contract-verify", LOG_LEVEL_WARN);
	wanted = argv + 1;
	wanted_count = argc - 1;
	return cmocka_run_group_tests(tests, all_open, all_close);
}
