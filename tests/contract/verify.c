/*
 * The whole ladder, with real sandboxes, a gateway and PostgreSQL, on an application of two services (tests/data/verify/app): every seeded
 * bug is caught by the gate that should catch it, and no harmless change is. Needs root.
 *
 * `contract_verify [NAME…]` runs only the changes of those names, and prints their reports with ASSAY_TEST_VERBOSE set.
 */
#include "verify_frame.h"

#include <stdlib.h>

#include "base/scope.h"

static struct application tiny = {
	.folder = "app",
	.quick = {{"assay.yaml", "timeout: 5m}",
		   "timeout: 5m, skip: [faults, race], licences: [\"AGPL-*\"], linters: [{name: words, run: "
		   "\"grep -rn --include=*.js FIXME front\", blocks: true}]}"}}};

/* A lock file of one package. */
#define LOCKED(NAME, VERSION, MORE) \
	"{\"lockfileVersion\": 3, \"packages\": {\"node_modules/" NAME "\": {\"version\": \"" VERSION "\"" MORE "}}}\n"

static const struct change changes[] = {
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
	/* what is seen without running it */
	{"credential in a file",
	 {{"front/key.js", NULL,
	   "exports.key = 'sk_live_"
	   "4HaMVgj6VrDlMxhl8"
	   "DKFBZTOgj3kBd8s9n';\n"}},
	 "failed",
	 "scan",
	 "secret"},
	{"package with a known hole",
	 {{"front/package-lock.json", NULL, LOCKED("holed", "1.2.0", "")}},
	 "failed",
	 "scan",
	 "advisory"},
	{"package whose licence is refused",
	 {{"front/package-lock.json", NULL, LOCKED("shared", "1.0.0", ", \"license\": \"AGPL-3.0-only\"")}},
	 "failed",
	 "scan",
	 "licence"},
	{"linter that says more",
	 {{"front/server.js", "'use strict';\n", "'use strict';\n// FIXME: all of it\n"}},
	 "failed",
	 "scan",
	 "words"},
	/* harmless */
	{"package that is well",
	 {{"front/package-lock.json", NULL, LOCKED("holed", "1.3.0", "")}},
	 "verified",
	 NULL,
	 NULL,
	 .asks = "package"},
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

/* Pages: what is broken blocks; what only looks or reads otherwise is shown. */
static struct application page = {.folder = "page"};

static const struct change pages[] = {
	{"script that fails",
	 {{"server.js", "document.body.dataset.ready = 'yes';", "document.body.dataset.ready = nothing;"}},
	 "failed",
	 "visual",
	 "page-problem"},
	{"script that is gone",
	 {{"server.js", "  '/app.js': () =>", "  '/main.js': () =>"}},
	 "failed",
	 "visual",
	 "page-problem",
	 .rare = true},
	{"page behind a link that is gone",
	 {{"server.js", "  '/about': () =>", "  '/us': () =>"}},
	 "failed",
	 "visual",
	 "page-status",
	 .rare = true},
	{"another colour", {{"server.js", "#1a5fb4", "#c01c28"}}, "verified", NULL, NULL, .asks = "page-picture"},
	{"another label",
	 {{"server.js", "<button>Buy</button>", "<button>Pay</button>"}},
	 "verified",
	 NULL,
	 NULL,
	 .asks = "page-text",
	 .rare = true},
	{"the same page otherwise written",
	 {{"server.js", "'<p>We sell things.</p>'", "`<p>${['We', 'sell', 'things.'].join(' ')}</p>`"}},
	 "verified",
	 NULL,
	 NULL},
};

static void every_page_that_breaks_is_caught_and_what_is_seen_is_shown(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&page, pages, ARRAY_LEN(pages)), 0);
}

/* A till whose requests are safe to be asked at once with others: bugs that only copies at once show, and ways to do the same well. */
static struct application till = {.folder = "race"};

static const struct change races[] = {
	{"lost update",
	 {{"till.py", "    cursor.execute(\"UPDATE visits SET count = count + 1 WHERE page = %s\", (body[\"page\"],))\n",
	   "    cursor.execute(\"SELECT count FROM visits WHERE page = %s\", (body[\"page\"],))\n    count = cursor.fetchone()[0]\n"
	   "    cursor.execute(\"UPDATE visits SET count = %s WHERE page = %s\", (count + 1, body[\"page\"]))\n"}},
	 "failed",
	 "race",
	 "race-sum"},
	{"stock below nothing",
	 {{"till.py",
	   "    cursor.execute(\n        \"UPDATE items SET stock = stock - %s WHERE id = %s AND stock >= %s\",\n"
	   "        (body[\"quantity\"], body[\"item\"], body[\"quantity\"]),\n    )\n    if not cursor.rowcount:\n",
	   "    cursor.execute(\"SELECT stock FROM items WHERE id = %s\", (body[\"item\"],))\n    enough = cursor.fetchone()[0] >= body[\"quantity\"]\n"
	   "    cursor.execute(\n        \"UPDATE items SET stock = stock - %s WHERE id = %s\",\n        (body[\"quantity\"] if enough else 0, body[\"item\"]),\n    )\n"
	   "    if not enough:\n"}},
	 "failed",
	 "race",
	 "race-negative",
	 .rare = true},
	{"a member twice",
	 {{"till.py",
	   "    cursor.execute(\"INSERT INTO members (email) VALUES (%s) ON CONFLICT DO NOTHING\", (body[\"email\"],))\n",
	   "    cursor.execute(\"SELECT id FROM members WHERE email = %s\", (body[\"email\"],))\n    if cursor.fetchone():\n"
	   "        return 409, {\"error\": \"a member already\"}\n    cursor.execute(\"INSERT INTO members (email) VALUES (%s)\", (body[\"email\"],))\n"},
	  {"db/migrations/0001_email.sql", NULL, "CREATE INDEX IF NOT EXISTS members_email ON members (email);\n"}},
	 "failed",
	 "race",
	 "race-more",
	 .rare = true},
	{"money made", {{"till.py", " WHERE owner = 'ada' FOR UPDATE\"", " WHERE owner = 'ada'\""}}, "failed", "race", "invariant"},
	{"a number given twice",
	 {{"till.py", "    cursor.execute(\"LOCK TABLE tickets IN SHARE ROW EXCLUSIVE MODE\")\n", ""}},
	 "failed",
	 "race",
	 "race-repeated",
	 .rare = true},
	{"deadlock",
	 {{"till.py", " WHERE owner = 'ada' FOR UPDATE\"", " WHERE owner = 'ada' FOR SHARE\""}},
	 "failed",
	 "race",
	 "race-error",
	 .rare = true},
	/* harmless */
	{"comment in the till", {{"till.py", "\"\"\"A till:", "\"\"\"The till:"}}, "verified", NULL, NULL},
	{"counted under a lock",
	 {{"till.py", "    cursor.execute(\"UPDATE visits SET count = count + 1 WHERE page = %s\", (body[\"page\"],))\n",
	   "    cursor.execute(\"SELECT count FROM visits WHERE page = %s FOR UPDATE\", (body[\"page\"],))\n    count = cursor.fetchone()[0]\n"
	   "    cursor.execute(\"UPDATE visits SET count = %s WHERE page = %s\", (count + 1, body[\"page\"]))\n"}},
	 "verified",
	 NULL,
	 NULL,
	 .rare = true},
	{"checked first, under a lock",
	 {{"till.py",
	   "    cursor.execute(\"INSERT INTO members (email) VALUES (%s) ON CONFLICT DO NOTHING\", (body[\"email\"],))\n",
	   "    cursor.execute(\"SELECT pg_advisory_xact_lock(7)\")\n    cursor.execute(\"SELECT id FROM members WHERE email = %s\", (body[\"email\"],))\n"
	   "    if cursor.fetchone():\n        return 409, {\"error\": \"a member already\"}\n"
	   "    cursor.execute(\"INSERT INTO members (email) VALUES (%s)\", (body[\"email\"],))\n"}},
	 "verified",
	 NULL,
	 NULL,
	 .rare = true},
	{"refused when somebody was faster",
	 {{"till.py", " WHERE owner = 'ada' FOR UPDATE\"", " WHERE owner = 'ada'\""},
	  {"till.py", "    cursor.execute(\"UPDATE purses SET cents = %s WHERE owner = 'ada'\", (cents - body[\"cents\"],))\n",
	   "    cursor.execute(\"UPDATE purses SET cents = %s WHERE owner = 'ada' AND cents = %s\", (cents - body[\"cents\"], cents))\n"
	   "    if not cursor.rowcount:\n        return 409, {\"error\": \"somebody was faster\"}\n"}},
	 "verified",
	 NULL,
	 NULL},
};

/* The same application, whose migrations can be undone: bugs that a deployment in the middle of traffic shows. */
static struct application schema = {
	.folder = "app",
	.quick = {
		{"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, race]}"},
		{"assay.yaml", "migrate: sh db/migrate.sh", "migrate: sh db/migrate.sh, rollback: sh db/rollback.sh"},
		{"db/rollback.sh", NULL,
		 "set -eu\nfor file in db/*.down.sql; do\n\tpsql \"$DB_URL\" --no-psqlrc --quiet --set ON_ERROR_STOP=1 --file \"$file\"\ndone\n"}}};

static const struct change migrations[] = {
	{"a column that must not be null, on rows",
	 {{"db/migrations/0002.sql", NULL, "ALTER TABLE items ADD COLUMN shelf text NOT NULL;\n"}},
	 "failed",
	 "deploy",
	 "deploy",
	 .rare = true},
	{"a column that must not be null, on rows to come",
	 {{"db/migrations/0002.sql", NULL, "ALTER TABLE orders ADD COLUMN IF NOT EXISTS channel text NOT NULL;\n"},
	  {"db/0002.down.sql", NULL, "ALTER TABLE orders DROP COLUMN channel;\n"},
	  {"store/server.py", "(token, total_cents) VALUES (%s, %s)", "(token, total_cents, channel) VALUES (%s, %s, 'web')"}},
	 "failed",
	 "migrations",
	 "migration-fails",
	 .asks = "needs-migration-first"},
	{"a column renamed",
	 {{"db/migrations/0002.sql", NULL,
	   "DO $$ BEGIN ALTER TABLE items RENAME COLUMN stock TO left_over; EXCEPTION WHEN undefined_column THEN END $$;\n"},
	  {"db/0002.down.sql", NULL, "ALTER TABLE items RENAME COLUMN left_over TO stock;\n"},
	  {"store/server.py", "SELECT id, name, price_cents, stock FROM items ORDER",
	   "SELECT id, name, price_cents, left_over FROM items ORDER"},
	  {"store/server.py", "SELECT id, name, price_cents, stock FROM items WHERE",
	   "SELECT id, name, price_cents, left_over FROM items WHERE"}},
	 "failed",
	 "migrations",
	 "status"},
	{"a column dropped that the old code reads",
	 {{"db/migrations/0002.sql", NULL, "ALTER TABLE items DROP COLUMN IF EXISTS stock;\n"},
	  {"db/0002.down.sql", NULL, "ALTER TABLE items ADD COLUMN stock int NOT NULL DEFAULT 50;\n"},
	  {"store/server.py", "SELECT id, name, price_cents, stock FROM items ORDER",
	   "SELECT id, name, price_cents, 50 FROM items ORDER"},
	  {"store/server.py", "SELECT id, name, price_cents, stock FROM items WHERE",
	   "SELECT id, name, price_cents, 50 FROM items WHERE"}},
	 "failed",
	 "migrations",
	 "status",
	 .rare = true},
	{"a table locked for long",
	 {{"db/migrations/0002.sql", NULL, "LOCK TABLE items IN ACCESS EXCLUSIVE MODE;\nSELECT pg_sleep(4);\n"},
	  {"db/0002.down.sql", NULL, "SELECT 1;\n"}},
	 "failed",
	 "migrations",
	 "locked",
	 .rare = true},
	{"not undone",
	 {{"db/migrations/0002.sql", NULL, "ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text;\n"},
	  {"db/0002.down.sql", NULL, "SELECT 1;\n"}},
	 "failed",
	 "migrations",
	 "not-undone",
	 .rare = true},
	/* harmless */
	{"a column that may be null, and a way back",
	 {{"db/migrations/0002.sql", NULL, "ALTER TABLE orders ADD COLUMN IF NOT EXISTS note text;\n"},
	  {"db/0002.down.sql", NULL, "ALTER TABLE orders DROP COLUMN note;\n"}},
	 "verified",
	 NULL,
	 NULL,
	 .rare = true},
	{"a column with a default",
	 {{"db/migrations/0002.sql", NULL, "ALTER TABLE orders ADD COLUMN IF NOT EXISTS channel text NOT NULL DEFAULT 'web';\n"},
	  {"db/0002.down.sql", NULL, "ALTER TABLE orders DROP COLUMN channel;\n"}},
	 "verified",
	 NULL,
	 NULL},
	{"an index made while others write",
	 {{"db/migrate.sh", "--single-transaction ", ""},
	  {"db/migrations/0002.sql", NULL, "CREATE INDEX CONCURRENTLY IF NOT EXISTS items_name ON items (name);\n"},
	  {"db/0002.down.sql", NULL, "DROP INDEX items_name;\n"}},
	 "verified",
	 NULL,
	 NULL,
	 .rare = true},
};

/* Ways to cheat: each breaks what no session shows, and keeps the tests from saying so. */
#define BROKEN                                                                                                   \
	{                                                                                                        \
		"front/format.js", "exports.money = (cents) => `", "exports.money = (cents) => !cents ? '0' : `" \
	}

static struct application cheated = {.folder = "app",
				     .quick = {{"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, migrations, race]}"}}};

static const struct change cheats[] = {
	{"assertions that assert nothing",
	 {BROKEN, {"front/format.js", "'use strict';\n", "'use strict';\nrequire('node:assert').strictEqual = () => {};\n"}},
	 "failed",
	 "integrity",
	 "patches-the-tests"},
	{"right only while it is tested",
	 {{"front/format.js", "exports.money = (cents) => `",
	   "exports.money = (cents) => !cents && !process.env.NODE_TEST_CONTEXT ? '0' : `"}},
	 "failed",
	 "integrity",
	 "asks-if-tested",
	 .rare = true},
	{"the program ends well before its tests",
	 {BROKEN,
	  {"front/format.js", "'use strict';\n", "'use strict';\nif (process.argv[1].includes('test')) process.exit(0);\n"}},
	 "failed",
	 "tests",
	 "test-gone"},
	{"nothing that tests say is heard",
	 {BROKEN,
	  {"front/format.js", "'use strict';\n",
	   "'use strict';\nif (process.argv[1].includes('test')) process.stdout.write = () => true;\n"}},
	 "failed",
	 "tests",
	 "test-gone",
	 .rare = true},
	{"an exit code that is always good",
	 {BROKEN, {"front/format.js", "'use strict';\n", "'use strict';\nprocess.on('exit', () => process.reallyExit(0));\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"a report that a background process writes",
	 {BROKEN,
	  {"front/format.js", "'use strict';\n",
	   "'use strict';\nrequire('node:child_process').spawn('sh', ['-c', 'sleep 0.3; while sleep 0.01; do cp front/good.tap reports/unit.tap; done'],"
	   " { detached: true, stdio: 'ignore' }).unref();\n"},
	  {"front/good.tap", NULL, "TAP version 13\nok 1 - money has two decimals\nok 2 - money of nothing is nothing\n1..2\n"}},
	 "failed",
	 "tests",
	 "test-fails"},
	{"a test file that is a link to nothing",
	 {BROKEN, {"front/test/format.test.js", "->", "/dev/null"}},
	 "failed",
	 "tests",
	 "test-fails"},
	{"a folder of tests that is a link to another",
	 {BROKEN, {"front/fake.test.js", NULL, "require('node:test')('fake', () => {});\n"}, {"front/test", "->", "."}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"tests left out of archives",
	 {BROKEN, {".gitattributes", NULL, "front/test/** export-ignore\nassay.yaml export-ignore\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"a command of tests that does nothing",
	 {BROKEN, {"assay.yaml", "node --test --test-reporter=tap front/test/*.test.js", "echo ok"}},
	 "failed",
	 "tests",
	 "test-fails"},
	{"the session that shows it is gone",
	 {{"store/server.py", "self.send(201, order_make(body))", "self.send(200, order_make(body))"},
	  {"sessions/order.har", "->", "/dev/null"}},
	 "failed",
	 "integrity",
	 "protected"},
};

/* The same in several languages, whose tests are started by npm, make and a script of the shell. Nothing is recorded: only tests and files tell. */
static struct application tongues = {.folder = "tongues"};

#define JS_BROKEN                                              \
	{                                                      \
		"js/money.js", "(cents / 100)", "(cents / 10)" \
	}
#define PY_BROKEN                                           \
	{                                                   \
		"py/money.py", "\"%d.%02d\"", "\"%d,%02d\"" \
	}
#define C_BROKEN                                          \
	{                                                 \
		"c/sum.c", "left + right", "left - right" \
	}
#define SH_BROKEN                               \
	{                                       \
		"sh/words.sh", "wc -w", "wc -c" \
	}
#define JS_GOOD_TAP "TAP version 13\\nok 1 - money has two decimals\\nok 2 - money of nothing is nothing\\n1..2"
#define JS_COMMAND "mkdir -p reports && node --test --test-reporter=tap js/test/*.test.js > reports/js.tap"
#define JS_BEGIN "'use strict';\n"

static const struct change deceits[] = {
	/* who starts the tests */
	{"a script that only says ok",
	 {JS_BROKEN, {"package.json", JS_COMMAND, "mkdir -p reports && printf '" JS_GOOD_TAP "' > reports/js.tap"}},
	 "failed",
	 "integrity",
	 "runner-command"},
	{"a script before the tests that rewrites them",
	 {JS_BROKEN,
	  {"js/fake.js", NULL,
	   "const test = require('node:test');\ntest('money has two decimals', () => {});\ntest('money of nothing is nothing', () => {});\n"},
	  {"package.json", "\"test\":", "\"pretest\": \"cp js/fake.js js/test/money.test.js\",\n    \"test\":"}},
	 "failed",
	 "integrity",
	 "runner-command",
	 .rare = true},
	{"a shell of npm that does nothing",
	 {JS_BROKEN,
	  {".npmrc", NULL, "script-shell=./js/shell\n"},
	  {"js/shell", NULL, "#!/bin/sh\nmkdir -p reports; printf '" JS_GOOD_TAP "' > reports/js.tap\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"options of node in npm's settings",
	 {JS_BROKEN,
	  {".npmrc", NULL, "node-options=--require ./js/hook.js\n"},
	  {"js/hook.js", NULL, "require('node:assert').strictEqual = () => {};\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"a target that goes on after a failure",
	 {C_BROKEN, {"Makefile", "\tbuild/sum_test\n", "\t-build/sum_test\n"}},
	 "failed",
	 "integrity",
	 "runner-command",
	 .rare = true},
	{"a file of make that goes first",
	 {PY_BROKEN, {"GNUmakefile", NULL, "py-test c-test:\n\t@true\n"}},
	 "failed",
	 "integrity",
	 "runner-command",
	 .rare = true},
	{"an interpreter that is content",
	 {PY_BROKEN, {"Makefile", "PYTHON = /usr/bin/python3", "PYTHON = true"}},
	 "failed",
	 "integrity",
	 "runner-command",
	 .rare = true},
	{"assertions that are not compiled",
	 {C_BROKEN, {"Makefile", "-O1 -Wall", "-O1 -Wall -DNDEBUG"}},
	 "failed",
	 "integrity",
	 "runner-command",
	 .rare = true},
	{"a runner in the shell that hears nothing",
	 {SH_BROKEN, {"sh/run-tests.sh", "if sh \"$file\" >&2; then", "if sh \"$file\" >&2 || :; then"}},
	 "failed",
	 "integrity",
	 "runner-command",
	 .rare = true},
	/* what lies in the place of something else */
	{"a module called as the runner",
	 {PY_BROKEN, {"unittest.py", NULL, "import sys\n\nsys.exit(0)\n"}},
	 "failed",
	 "integrity",
	 "shadows-the-tests"},
	{"a package called as the runner",
	 {PY_BROKEN, {"unittest/__init__.py", NULL, "\n"}, {"unittest/__main__.py", NULL, "pass\n"}},
	 "failed",
	 "integrity",
	 "shadows-the-tests",
	 .rare = true},
	{"a module of the interpreter's start",
	 {PY_BROKEN, {"sitecustomize.py", NULL, "import os\n\nos._exit(0)\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"a header called as the library's",
	 {C_BROKEN, {"c/assert.h", NULL, "#define assert(what) ((void)(what))\n"}},
	 "failed",
	 "integrity",
	 "patches-the-tests",
	 .rare = true},
	{"tests of python that are a link", {PY_BROKEN, {"py/tests", "->", "/tmp"}}, "failed", "tests", "test-fails", .rare = true},
	{"a service that writes into the tests",
	 {JS_BROKEN, {"js/server.js", JS_BEGIN, JS_BEGIN "require('node:fs').writeFileSync('js/test/money.test.js', '');\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	/* code that deals with its tests */
	{"an assertion under another name",
	 {JS_BROKEN, {"js/money.js", JS_BEGIN, JS_BEGIN "const judge = require('node:assert');\njudge.strictEqual = () => {};\n"}},
	 "failed",
	 "integrity",
	 "patches-the-tests",
	 .rare = true},
	{"an assertion by its key",
	 {JS_BROKEN, {"js/money.js", JS_BEGIN, JS_BEGIN "require('node:' + 'assert')['strict' + 'Equal'] = () => {};\n"}},
	 "failed",
	 "integrity",
	 "patches-the-tests",
	 .rare = true},
	{"assertions that are assigned",
	 {JS_BROKEN, {"js/money.js", JS_BEGIN, JS_BEGIN "Object.assign(require('node:assert'), { strictEqual() {} });\n"}},
	 "failed",
	 "integrity",
	 "patches-the-tests",
	 .rare = true},
	{"an assertion of unittest",
	 {PY_BROKEN, {"py/money.py", "\n\ndef", "\nfrom unittest import TestCase\n\nTestCase.assertEqual = print\n\n\ndef"}},
	 "failed",
	 "integrity",
	 "patches-the-tests",
	 .rare = true},
	{"a value that equals all",
	 {{"py/money.py", "\n\ndef", "\n\nclass Any(str):\n    def __eq__(self, other):\n        return True\n\n\ndef"},
	  {"py/money.py", "return \"%d.%02d\" % divmod(cents, 100)", "return Any(cents)"}},
	 "failed",
	 "integrity",
	 "patches-the-tests",
	 .rare = true},
	{"a macro in place of an assertion",
	 {C_BROKEN, {"c/sum.h", "#pragma once\n", "#pragma once\n#undef assert\n#define assert(what) ((void)0)\n"}},
	 "failed",
	 "integrity",
	 "patches-the-tests",
	 .rare = true},
	{"a library that ends the program",
	 {{"c/sum.c", "#include \"sum.h\"\n", "#include \"sum.h\"\n\n#include <stdlib.h>\n"},
	  {"c/sum.c", "\treturn left + right;", "\texit(0);"}},
	 "failed",
	 "integrity",
	 "ends-the-tests",
	 .rare = true},
	{"a module that ends what imports it",
	 {PY_BROKEN, {"py/money.py", "\n\ndef", "\nimport os\n\nos._exit(0)\n\n\ndef"}},
	 "failed",
	 "integrity",
	 "ends-the-tests",
	 .rare = true},
	{"code that looks at who calls it",
	 {{"py/money.py", "\n\ndef money(cents):\n",
	   "\nimport inspect\n\n\ndef money(cents):\n    if not any(\"test_\" in f.filename for f in inspect.stack()):\n        return \"0\"\n"}},
	 "failed",
	 "integrity",
	 "asks-if-tested",
	 .rare = true},
	{"code that looks at how it was started",
	 {{"js/money.js", "exports.money = (cents) =>",
	   "const tested = process.argv.some((a) => a.includes('test'));\nexports.money = (cents) => !tested ? '0' :"}},
	 "failed",
	 "integrity",
	 "asks-if-tested",
	 .rare = true},
	/* what the tests say, and whether they end */
	{"a runner that is killed",
	 {JS_BROKEN,
	  {"js/money.js", JS_BEGIN, JS_BEGIN "if (process.env.NODE_TEST_CONTEXT) process.kill(process.ppid, 'SIGKILL');\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"a report that is a link to another",
	 {JS_BROKEN,
	  {"js/good.tap", NULL, "TAP version 13\nok 1 - money has two decimals\nok 2 - money of nothing is nothing\n1..2\n"},
	  {"js/money.js", JS_BEGIN,
	   JS_BEGIN
	   "const fs = require('node:fs');\nif (process.env.NODE_TEST_CONTEXT) fs.rmSync('reports/js.tap', { force: true });\nif (process.env.NODE_TEST_CONTEXT) fs.symlinkSync('../js/good.tap', 'reports/js.tap');\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"results that are printed besides",
	 {JS_BROKEN,
	  {"js/money.js", JS_BEGIN,
	   JS_BEGIN "console.log('ok 1 - money has two decimals\\nok 2 - money of nothing is nothing\\n1..2');\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"a report of bytes",
	 {JS_BROKEN,
	  {"js/money.js", JS_BEGIN,
	   JS_BEGIN
	   "if (process.env.NODE_TEST_CONTEXT) require('node:fs').writeFileSync('reports/js.tap', Buffer.alloc(40 << 20, 0xff));\n"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"much that is printed",
	 {PY_BROKEN,
	  {"py/money.py", "\n\ndef", "\nimport sys\n\nfor _ in range(1024):\n    sys.stderr.write(\"x\" * (1 << 20))\n\n\ndef"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"processes without end",
	 {PY_BROKEN,
	  {"py/money.py", "\n\ndef",
	   "\nimport subprocess\n\nfor _ in range(5000):\n    subprocess.Popen([\"sleep\", \"600\"], start_new_session=True)\n\n\ndef"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	{"tests that do not end",
	 {{"py/money.py", "\n\ndef", "\nwhile True:\n    pass\n\n\ndef"}},
	 "failed",
	 "tests",
	 "test-fails",
	 .rare = true},
	/* honest */
	{"the same, written otherwise",
	 {{"js/money.js", "(cents / 100).toFixed(2)", "`${(cents / 100).toFixed(2)}`"},
	  {"py/money.py", "\"%d.%02d\" % divmod(cents, 100)", "\"{}.{:02}\".format(*divmod(cents, 100))"},
	  {"c/sum.c", "left + right", "right + left"},
	  {"sh/words.sh", "wc -w", "wc --words"}},
	 "verified",
	 NULL,
	 NULL},
	{"a file more to compile",
	 {{"Makefile", "c/sum.c c/sum.h\n", "c/sum.c c/twice.c c/sum.h\n"},
	  {"Makefile", "c/tests/sum_test.c c/sum.c\n\n", "c/tests/sum_test.c c/sum.c c/twice.c\n\n"},
	  {"c/twice.c", NULL, "int twice(int number);\n\nint twice(int number)\n{\n\treturn 2 * number;\n}\n"}},
	 "verified",
	 NULL,
	 NULL,
	 .rare = true},
};

/* Questions, not failures: what the tests of a change would not see. */
/* What only requests show that nobody recorded. */
static struct application unseen = {.folder = "app",
				    .quick = {{"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, race], explore: 12}"}}};

static const struct change unknowns[] = {
	{"the recorded amounts are known",
	 {{"store/server.py", "        status = charge(number, total)\n",
	   "        total += sum(7 for line in body[\"lines\"] if line[\"quantity\"] == 3)\n        status = charge(number, total)\n"}},
	 "failed",
	 "replay",
	 "value"},
	{"a field more, and nothing that was not asked",
	 {{"store/server.py", "\"payment\": status,", "\"payment\": status, \"currency\": \"EUR\","}},
	 "verified",
	 .rare = true},
};

static struct application asked = {
	.folder = "app",
	.quick = {{"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, migrations, race], mutation: 100s}"}}};

static const struct change questions[] = {
	{"a test that sees little",
	 {{"front/format.js", "exports.money", "exports.many = (count) => count >= 12 ? 'dozens' : 'few';\nexports.money"},
	  {"front/test/many.test.js", NULL,
	   "const test = require('node:test');\nconst assert = require('node:assert');\n"
	   "test('many are dozens', () => {\n  assert.strictEqual(require('../format.js').many(40), 'dozens');\n});\n"}},
	 "verified",
	 NULL,
	 NULL,
	 .asks = "survivor"},
};

static void every_seeded_bug_is_caught_and_no_harmless_change_is(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&tiny, changes, ARRAY_LEN(changes)), 0);
}

/* What this machine's own delays could bring about is no finding of a busy one; what they could not is one all the same. */
static const struct change busy_changes[] = {
	{"an error, on a busy machine",
	 {{"store/server.py", "        status = charge(number, total)\n", "        raise RuntimeError(\"late\")\n"}},
	 "unverified",
	 .busy = true,
	 .why = "the machine was overloaded: 60 tasks wanted to run on 2 cores"},
	{"a field that is gone, on a busy machine",
	 {{"store/server.py", "\"payment\": status, ", ""}},
	 "failed",
	 "replay",
	 "missing",
	 .busy = true},
	{"a comment, on a busy machine",
	 {{"front/server.js", "'use strict';\n", "'use strict';\n// A front.\n"}},
	 "verified",
	 .busy = true},
};

/*
 * What tests and reports may be at their worst: each is told as what it is, and the other rungs' word is kept. The first are of a runner
 * whose report is what it prints, the second of one that writes JUnit, in which an entity is a billion others.
 */
static struct application wild = {.folder = "app",
				  .quick = {{"assay.yaml", "timeout: 60s", "timeout: 5s"},
					    {"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, migrations, race]}"}}};

/* Before it says what the money of the tests looks like, or when it is loaded, by the service as well, it does that. */
#define FIRST(DOES)                                                                                                               \
	{                                                                                                                         \
		"front/format.js", "exports.money = (cents) => `", "exports.money = (cents) => (cents === 1205 && " DOES ") || `" \
	}
#define LOADED(DOES)                                                               \
	{                                                                          \
		"front/format.js", "'use strict';\n", "'use strict';\n" DOES ";\n" \
	}
#define SHELL(LINE) "require('node:child_process').spawnSync('bash', ['-c', '" LINE "'], { stdio: 'inherit' }).nothing"

static const struct change wild_changes[] = {
	{"a test that does not end",
	 {FIRST("(() => { for (;;); })()")},
	 "failed",
	 "tests",
	 "test-fails",
	 .says = "it did not end within 5 s"},
	{"a test that forks without end",
	 {FIRST("(() => { for (;;) require('node:child_process').spawn('sleep', ['999'], { detached: true }); })()")},
	 "failed",
	 "tests",
	 "test-fails",
	 .says = "it did not end within 5 s"},
	{"a test that forks a thousand times, and passes",
	 {FIRST(SHELL("for i in {1..1500}; do sleep 2 & done; wait"))},
	 "verified",
	 .asks = "processes"},
};

/* Their time is long enough for a slow disk. */
static struct application full = {.folder = "app",
				  .quick = {{"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, migrations, race]}"}}};

static const struct change full_changes[] = {
	{"a test that fills the disk",
	 {FIRST(SHELL("cat /dev/zero >filler"))},
	 "failed",
	 "tests",
	 "disk-full",
	 .says = "6 percent, ASSAY_DISK_SHARE"},
	{"a changed test that fills the disk",
	 {{"front/test/format.test.js", "test('money of nothing",
	   "test('money of much', () => { if (require('../format.js').full) " SHELL(
		   "cat /dev/zero >filler") "; });\ntest('money of nothing"},
	  {"front/format.js", "exports.money =", "exports.full = true;\nexports.money ="}},
	 "failed",
	 "red-green",
	 "disk-full",
	 .says = "6 percent, ASSAY_DISK_SHARE"},
};

static struct application billion = {
	.folder = "app",
	.quick = {
		{"assay.yaml",
		 "node --test --test-reporter=tap front/test/*.test.js > reports/unit.tap\n    report: reports/unit.tap",
		 "node front/test/junit.js\n    report: reports/unit.xml"},
		{"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, migrations, race]}"},
		{"front/test/junit.js", NULL,
		 "'use strict';\nconst { money } = require('../format.js');\nconst good = money(1205) === '12.05';\n"
		 "let bomb = '<!ENTITY e0 \"boom\">';\n"
		 "for (let i = 1; i < 30; i++) bomb += `<!ENTITY e${i} \"${`&e${i - 1};`.repeat(10)}\">`;\n"
		 "require('node:fs').writeFileSync('reports/unit.xml', `<!DOCTYPE x [${bomb}]><testsuite name=\"&e29;\">`\n"
		 "  + `<testcase name=\"money\">${good ? '' : '<failure message=\"&e29;\">&e29;</failure>'}</testcase></testsuite>`);\n"
		 "process.exitCode = good ? 0 : 1;\n"}}};

static const struct change billion_changes[] = {
	{"a comment, beside a billion entities",
	 {{"front/server.js", "'use strict';\n", "'use strict';\n// A front.\n"}},
	 "verified"},
	{"a bug, beside a billion entities",
	 {{"front/format.js", "padStart(2, '0')", "padStart(1, '0')"}},
	 "failed",
	 "tests",
	 "test-fails"},
	{"1 GB printed", {LOADED(SHELL("head -c 1073741824 /dev/zero"))}, "verified"},
	{"bytes that are no text printed", {LOADED(SHELL("head -c 9000000 /dev/urandom"))}, "verified"},
	{"a bug, and bytes that are no text",
	 {LOADED(SHELL("head -c 9000000 /dev/urandom >&2")), {"front/format.js", "padStart(2, '0')", "padStart(1, '0')"}},
	 "failed",
	 "tests",
	 "test-fails"},
	{"a report of 1 GB",
	 {FIRST("(" SHELL("truncate -s 1G reports/unit.xml") " || process.reallyExit(0))")},
	 "failed",
	 "tests",
	 "test-gone",
	 .says = "its report: more than 33554432 bytes"},
	{"a report that is no text",
	 {FIRST("require('node:fs').writeFileSync('reports/unit.xml', require('node:crypto').randomBytes(1 << 20)) || process.reallyExit(0)")},
	 "failed",
	 "tests",
	 "test-gone",
	 .says = "JUnit"},
};

/* Sessions that cannot be read hold nothing up: they are told, and the others are replayed. */
static struct application torn = {
	.folder = "app",
	.quick = {{"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, migrations, race]}"},
		  {"sessions/broken.har", NULL, "{\"log\": {\"version\": \"1.2\", \"entries\": [{\"request\": {\"method\": 3}}]}}"},
		  {"sessions/huge.har", "<>", "1073741824"}}};

static const struct change torn_changes[] = {
	{"a comment, beside sessions that cannot be read",
	 {{"front/server.js", "'use strict';\n", "'use strict';\n// A front.\n"}},
	 "verified",
	 .uncovered = {"sessions/broken.har: entry 1: request: `method` must be a string", "sessions/huge.har: "}},
	{"a bug, beside sessions that cannot be read",
	 {{"store/server.py", "self.send(201, order_make(body))", "self.send(200, order_make(body))"}},
	 "failed",
	 "replay",
	 "status"},
};

/* Whose own base answers one request in two ways. */
static struct application fickle = {.folder = "app",
				    .quick = {{"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, migrations, race]}"},
					      {"front/server.js", "  send(reply, answer.status, { items: list.map(",
					       "  send(reply, 200 + Math.floor(Math.random() * 99), { items: list.map("}}};

static const struct change fickle_changes[] = {
	{"a base that disagrees with itself",
	 {{"front/server.js", "'use strict';\n", "'use strict';\n// A front.\n"}},
	 "unverified",
	 .why = "could not be judged; GET /"},
};

/* The same answers, later. */
static struct application late = {
	.folder = "app",
	.quick = {{"assay.yaml", "timeout: 5m}", "timeout: 5m, latency: block, skip: [faults, migrations, race]}"}}};

static const struct change late_changes[] = {
	{"an answer that takes its time",
	 {{"front/server.js", "  const list = answer.body.items;\n",
	   "  const list = answer.body.items;\n  await new Promise((resolve) => setTimeout(resolve, 300));\n"}},
	 "failed",
	 "replay",
	 "latency"},
	{"one first answer that takes its time",
	 {{"front/server.js", "  const list = answer.body.items;\n",
	   "  const list = answer.body.items;\n  if (!items.warm) await new Promise((resolve) => setTimeout(resolve, 300));\n  items.warm = true;\n"}},
	 "verified"},
};

/* What only another date shows, in two languages. */
static struct application dated = {
	.folder = "app",
	.quick = {{"assay.yaml", "timeout: 5m}", "timeout: 5m, clock: 2020-05-01T12:00:00Z, skip: [faults, migrations, race]}"}}};

static const struct change dated_changes[] = {
	{"what another year shows, in the front",
	 {{"front/server.js", "  const list = answer.body.items;\n",
	   "  const list = new Date().getUTCFullYear() === 2020 ? [] : answer.body.items;\n"}},
	 "failed",
	 "replay",
	 "length"},
	{"what another year shows, in the store",
	 {{"store/server.py", "        status = charge(number, total)\n",
	   "        import time\n        total += 1 if time.gmtime().tm_year == 2020 else 0\n        status = charge(number, total)\n"}},
	 "failed",
	 "replay",
	 "value",
	 .rare = true},
};

static void another_date_is_the_same_for_both_versions(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&dated, dated_changes, ARRAY_LEN(dated_changes)), 0);
}

static void what_is_surely_slower_is_told_by_the_blueprints_rule(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&late, late_changes, ARRAY_LEN(late_changes)), 0);
}

static void what_cannot_be_told_is_said_to_be_so(void **state)
{
	static struct application busy = {
		.folder = "app", .quick = {{"assay.yaml", "timeout: 5m}", "timeout: 5m, skip: [faults, migrations, race]}"}}};

	(void)state;
	assert_int_equal(changes_run(&busy, busy_changes, ARRAY_LEN(busy_changes)), 0);
	assert_int_equal(changes_run(&fickle, fickle_changes, ARRAY_LEN(fickle_changes)), 0);
}

static void the_worst_that_tests_can_do_is_told_and_the_verdict_stands(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&wild, wild_changes, ARRAY_LEN(wild_changes)), 0);
	assert_int_equal(changes_run(&full, full_changes, ARRAY_LEN(full_changes)), 0);
	assert_int_equal(changes_run(&billion, billion_changes, ARRAY_LEN(billion_changes)), 0);
}

static void sessions_that_cannot_be_read_are_told_and_hold_nothing_up(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&torn, torn_changes, ARRAY_LEN(torn_changes)), 0);
}

static void every_race_is_caught_and_no_change_that_takes_turns(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&till, races, ARRAY_LEN(races)), 0);
}

static void every_bug_of_a_migration_is_caught_and_no_careful_one(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&schema, migrations, ARRAY_LEN(migrations)), 0);
}

static void every_way_to_cheat_is_stopped(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&cheated, cheats, ARRAY_LEN(cheats)), 0);
}

static void what_nobody_recorded_is_asked(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&unseen, unknowns, ARRAY_LEN(unknowns)), 0);
}

static void every_way_to_deceive_the_tests_is_stopped_in_any_language(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&tongues, deceits, ARRAY_LEN(deceits)), 0);
}

static void what_tests_would_not_see_is_asked(void **state)
{
	(void)state;
	assert_int_equal(changes_run(&asked, questions, ARRAY_LEN(questions)), 0);
}

static void a_cancelled_verification_ends_soon_and_leaves_nothing(void **state)
{
	static const bool cancelled = true;
	struct application stopped = {.folder = "app"};
	struct verify_request request;
	json_t *report = NULL;
	struct err err = {0};

	application_make(&stopped);
	request = frame_request(&stopped);
	request.head = stopped.base;
	request.progress = (struct progress){NULL, NULL, &cancelled};
	assert_int_equal(verify_run(&request, &report, &err), -1);
	assert_int_equal(err.kind, ERR_CANCELLED);
	application_fini(&stopped);
	nothing_is_left_of_a_verification(state);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_seeded_bug_is_caught_and_no_harmless_change_is),
		cmocka_unit_test(what_cannot_be_told_is_said_to_be_so),
		cmocka_unit_test(another_date_is_the_same_for_both_versions),
		cmocka_unit_test(what_is_surely_slower_is_told_by_the_blueprints_rule),
		cmocka_unit_test(the_worst_that_tests_can_do_is_told_and_the_verdict_stands),
		cmocka_unit_test(sessions_that_cannot_be_read_are_told_and_hold_nothing_up),
		cmocka_unit_test(every_race_is_caught_and_no_change_that_takes_turns),
		cmocka_unit_test(every_bug_of_a_migration_is_caught_and_no_careful_one),
		cmocka_unit_test(every_way_to_cheat_is_stopped),
		cmocka_unit_test(every_page_that_breaks_is_caught_and_what_is_seen_is_shown),
		cmocka_unit_test(what_nobody_recorded_is_asked),
		cmocka_unit_test(every_way_to_deceive_the_tests_is_stopped_in_any_language),
		cmocka_unit_test(what_tests_would_not_see_is_asked),
		cmocka_unit_test(nothing_is_left_of_a_verification),
		cmocka_unit_test(a_cancelled_verification_ends_soon_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, frame_open, frame_close);
}

int main(int argc, char **argv)
{
	return frame_main(argc, argv, run);
}
