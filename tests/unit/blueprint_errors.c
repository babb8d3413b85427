/* Wrong blueprints, each with the one line it gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/scope.h"
#include "blueprint/blueprint.h"

#define HEAD "version: 1\nname: shop\n"
#define ONE HEAD "services:\n  front:\n    run: x\n" /* 5 lines; what follows is line 6 */
#define DATABASES "databases:\n  db: {engine: postgres}\n  cache: {engine: redis}\n"

/* clang-format off */
static const struct {
	const char *text;
	const char *line; /* after "assay.yaml:" */
} rows[] = {
	/* the text */
	{"", "1:1: needs `version`: 1, the version of this format"},
	{"# only a comment\n", "1:1: needs `version`: 1, the version of this format"},
	{"hello\n", "1:1: expected a mapping, found `hello`"},
	{"- a\n- b\n", "1:1: expected a mapping, found a list"},
	{ONE "\tport: 80\n", "6:1: not YAML: a tab indents here: use spaces"},
	{ONE "    env: {A: b\n", "7:1: not YAML: did not find expected ',' or '}', while parsing a flow mapping"},
	{ONE "    ready: exec: test -f x\n", "6:16: not YAML: mapping values are not allowed in this context"},
	{ONE "    run: y\n", "6:5: the key `run` is here for the second time"},
	{ONE "  front:\n    run: y\n", "6:3: the key `front` is here for the second time"},
	{ONE "    dir: &a front\n", "6:10: anchors (&) are not allowed here: write the value where it is used"},
	{ONE "    dir: *a\n", "6:10: aliases (*) are not allowed here: write the value itself, or quote a text that begins with *"},
	{ONE "    dir: !!str x\n", "6:10: tags (!) are not allowed here"},
	{ONE "    dir: \"a\\0b\"\n", "6:10: a text with a NUL character"},
	{ONE "    [a]: x\n", "6:5: a key must be a plain text"},
	{ONE "---\nversion: 1\n", "6:1: a second document begins here: expected one"},
	{"a: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n", "1:36: nested more than 32 deep"},
	/* the top */
	{"name: shop\n", "1:1: needs `version`: 1, the version of this format"},
	{"version: 2\n", "1:10: version: expected 1, the version of this format, found `2`"},
	{"version: one\n", "1:10: version: expected 1, the version of this format, found `one`"},
	{"version: 1\nservices: {a: {run: x}}\n", "1:1: needs `name`: lower-case letters, digits and dashes, at most 40"},
	{"version: 1\nname: My Shop\n", "2:7: name: expected lower-case letters, digits and dashes, at most 40, found `My Shop`"},
	{"version: 1\nname: a234567890123456789012345678901234567890x\n",
	 "2:7: name: expected lower-case letters, digits and dashes, at most 40, found `a234567890123456789012345678901234567890…`"},
	{HEAD, "1:1: needs `services`: a mapping of at least one service"},
	{HEAD "services: {}\n", "3:11: services: expected at least one service"},
	{HEAD "services: [front]\n", "3:11: services: expected a mapping of at least one service, found a list"},
	{HEAD "servics: {front: {run: x}}\n", "3:1: unknown key `servics`: did you mean `services`?"},
	{HEAD "banana: 1\n", "3:1: unknown key `banana`: expected one of version, name, services, databases, queues, workspace, tests, sessions, hosts, "
	 "verify, agent, egress, secrets, preview"},
	/* services */
	{ONE "    prot: 80\n", "6:5: unknown key `prot` in services.front: did you mean `port`?"},
	{ONE "    enviroment: {}\n", "6:5: unknown key `enviroment` in services.front: expected one of run, dir, build, port, ready, ready_timeout, needs, env, preview, "
	 "replicas, image, restart, limits"},
	{HEAD "services:\n  front: node server.js\n", "4:10: services.front: expected a mapping, found `node server.js`"},
	{HEAD "services:\n  front:\n    port: 80\n", "4:3: services.front: needs `run`, a shell line or a list of arguments, or an `image` whose own program is run"},
	{HEAD "services:\n  front:\n", "4:3: services.front: needs `run`, a shell line or a list of arguments, or an `image` whose own program is run"},
	{HEAD "services:\n  Front: {run: x}\n", "4:3: services: expected a name of lower-case letters, digits and dashes, at most 40, found `Front`"},
	{HEAD "services:\n  -front: {run: x}\n", "4:3: services: expected a name of lower-case letters, digits and dashes, at most 40, found `-front`"},
	{HEAD "services:\n  workspace: {run: x}\n", "4:3: services: the name `workspace` is reserved"},
	{HEAD "services:\n  all: {run: x}\n", "4:3: services: the name `all` is reserved"}, /* the log of all */
	{HEAD "services:\n  localhost: {run: x}\n", "4:3: services: the name `localhost` is reserved"},
	{HEAD "services:\n  front: {run: {a: b}}\n", "4:16: services.front.run: expected a shell line, or a list of arguments, found a mapping"},
	{HEAD "services:\n  front: {run: []}\n", "4:16: services.front.run: expected a shell line, or a list of arguments, found an empty list"},
	{HEAD "services:\n  front: {run: [a, [b]]}\n", "4:20: services.front.run: expected a shell line, or a list of arguments, found a list"},
	{ONE "    port: http\n", "6:11: services.front.port: expected a number from 1 to 65535, found `http`"},
	{ONE "    port: 0\n", "6:11: services.front.port: expected a number from 1 to 65535, found `0`"},
	{ONE "    port: 65536\n", "6:11: services.front.port: expected a number from 1 to 65535, found `65536`"},
	{ONE "    port: -1\n", "6:11: services.front.port: expected a number from 1 to 65535, found `-1`"},
	{ONE "    port: \"80\"\n", "6:11: services.front.port: expected a number from 1 to 65535, found `80`"},
	{ONE "    port: [80]\n", "6:11: services.front.port: expected a number from 1 to 65535, found a list"},
	{ONE "    port: 99999999999999999999\n", "6:11: services.front.port: expected a number from 1 to 65535, found `99999999999999999999`"},
	{ONE "    port: 15001\n", "6:11: services.front.port: port 15001 is taken in every sandbox: choose another"},
	{ONE "    dir: /etc\n", "6:10: services.front.dir: expected a path inside the checkout, without `..`, found `/etc`"},
	{ONE "    dir: a/../../b\n", "6:10: services.front.dir: expected a path inside the checkout, without `..`, found `a/../../b`"},
	{ONE "    ready: maybe\n", "6:12: services.front.ready: expected a path (/healthz), `tcp`, or `exec: LINE`, found `maybe`"},
	{ONE "    ready: \"exec: \"\n", "6:12: services.front.ready: expected a path (/healthz), `tcp`, or `exec: LINE`, found `exec: `"},
	{ONE "    ready: /healthz\n", "6:12: services.front.ready: needs `port`, or `exec: LINE`"},
	{ONE "    ready: tcp\n", "6:12: services.front.ready: needs `port`, or `exec: LINE`"},
	{ONE "    needs: db\n", "6:12: services.front.needs: expected a list of services and databases, found `db`"},
	{ONE "    needs: [db]\n", "6:13: services.front.needs: `db` is no service or database"},
	{ONE "    needs: [dv]\n" DATABASES, "6:13: services.front.needs: `dv` is no service or database: did you mean `db`?"},
	{ONE "    needs: [db, cache, db]\n" DATABASES, "6:24: services.front.needs: `db` is here twice"},
	{ONE "    needs: [front]\n", "6:13: services.front.needs: `front` needs, directly or through others, `front`: a cycle"},
	{ONE "    needs: [a]\n  a: {run: x, needs: [b]}\n  b: {run: x, needs: [front]}\n",
	 "8:23: services.b.needs: `front` needs, directly or through others, `b`: a cycle"},
	{ONE "    env: [A=b]\n", "6:10: services.front.env: expected a mapping of variables to texts, found a list"},
	{ONE "    env: {A-B: c}\n", "6:11: services.front.env: expected the name of a variable: letters, digits and `_`, found `A-B`"},
	{ONE "    env: {A: [c]}\n", "6:14: services.front.env: expected a text, found a list"},
	{ONE "    env: {ASSAY_ENV: c}\n", "6:11: services.front.env: names that begin with ASSAY_ are set by assay"},
	{ONE "    preview: yes\n", "6:14: services.front.preview: expected true or false, found `yes`"},
	{ONE "    preview: true\n", "6:14: services.front.preview: needs `port`"},
	{ONE "    port: 80\n    preview: true\n  b: {run: x, port: 81, preview: true}\n", "8:34: services.b.preview: `front` is the preview already"},
	{ONE "    replicas: 1000\n", "6:15: services.front.replicas: expected a number from 1 to 32, found `1000`"},
	{ONE "    replicas: 2\n  front-2: {run: x}\n", "4:3: services.front: its replica 2 would be called `front-2`, which is taken"},
	{ONE "    image: \"a b\"\n", "6:12: services.front.image: expected an image: name:tag, or dir:/path, found `a b`"},
	{ONE "    restart: alway\n", "6:14: services.front.restart: expected always, on-failure or never, found `alway`: did you mean `always`?"},
	{ONE "    limits: {memory: 512 MB}\n", "6:22: services.front.limits.memory: expected a size from 1M: 64M, 2G, found `512 MB`"},
	{ONE "    limits: {memory: 9999999999G}\n", "6:22: services.front.limits.memory: expected a size from 1M: 64M, 2G, found `9999999999G`"},
	{ONE "    limits: {cpus: many}\n", "6:20: services.front.limits.cpus: expected a number of cores: 0.5, 1, 2, found `many`"},
	{ONE "    limits: {cpus: 0}\n", "6:20: services.front.limits.cpus: expected a number of cores: 0.5, 1, 2, found `0`"},
	{ONE "    limits: {cpu: 1}\n", "6:14: unknown key `cpu` in services.front.limits: did you mean `cpus`?"},
	/* databases and queues */
	{ONE "databases:\n  db: {engine: oracle}\n", "7:16: databases.db.engine: expected postgres, mariadb (or mysql), sqlite, redis, rabbitmq or nats, found `oracle`"},
	{ONE "databases:\n  db: {engine: postgre}\n", "7:16: databases.db.engine: expected postgres, mariadb (or mysql), sqlite, redis, rabbitmq or nats, found `postgre`: did you mean `postgres`?"},
	{ONE "databases:\n  db: {}\n", "7:3: databases.db: needs `engine`: postgres, mariadb (or mysql), sqlite, redis, rabbitmq or nats"},
	{ONE "databases:\n  db: {engine: sqlite, path: shop.db}\n",
	 "7:30: databases.db.path: expected a file in a folder of its own: /data/shop/shop.db, or below /srv, /var, /home, /opt, /app or /mnt, found `shop.db`"},
	{ONE "databases:\n  db: {engine: sqlite, path: /data/shop.db}\n",
	 "7:30: databases.db.path: expected a file in a folder of its own: /data/shop/shop.db, or below /srv, /var, /home, /opt, /app or /mnt, found `/data/shop.db`"},
	{ONE "databases:\n  db: {engine: sqlite, path: /data/../etc/passwd}\n",
	 "7:30: databases.db.path: expected a file in a folder of its own: /data/shop/shop.db, or below /srv, /var, /home, /opt, /app or /mnt, found `/data/../etc/passwd`"},
	{ONE "databases:\n  db: {engine: sqlite, user: shop}\n",
	 "7:30: databases.db.user: sqlite has none: `path` is where the file is"},
	{ONE "databases:\n  db: {engine: postgres, path: /data/a/b}\n", "7:32: databases.db.path: only sqlite is a file"},
	{ONE "databases:\n  a: {engine: sqlite, path: /data/x/a.db}\n  b: {engine: sqlite, path: /data/x/b.db}\n",
	 "8:6: databases.b: its folder /data/x is that of `a`: each file needs its own"},
	{ONE "databases:\n  front: {engine: redis}\n", "7:3: databases: `front` is the name of a service too: choose another"},
	{ONE "databases:\n  assay: {engine: redis}\n", "7:3: databases: the name `assay` is reserved"},
	{ONE "databases:\n  db: {engine: postgres, version: 15.2}\n", "7:35: databases.db.version: expected a major version: 15, found `15.2`"},
	{ONE "databases:\n  db: {engine: postgres, user: \"a b\"}\n",
	 "7:32: databases.db.user: expected letters, digits, `_` and `-`, at most 63, found `a b`"},
	{ONE "databases:\n  db: {engine: postgres, seed: ../x.sql}\n",
	 "7:32: databases.db.seed: expected a path inside the checkout, or `exec: LINE`, found `../x.sql`"},
	{ONE "databases:\n  db: {engine: postgres, snapshot: a/b}\n",
	 "7:36: databases.db.snapshot: expected the name of a snapshot, or name/version, found `a/b`"},
	{ONE "databases:\n  db: {engine: mysql, mask: {email: email}}\n",
	 "7:30: databases.db.mask: expected a column: TABLE.COLUMN, SCHEMA.TABLE.COLUMN, or TABLE.COLUMN/KEY within JSON, found `email`"},
	{ONE "databases:\n  db: {engine: mysql, mask: {a.b: e-mail}}\n",
	 "7:35: databases.db.mask: expected keep, null, fixed:TEXT, email, name, phone, token, card, address, text, number or date, found `e-mail`"},
	{ONE "databases:\n  db: {engine: redis, mask: {'user:*/': email}}\n",
	 "7:30: databases.db.mask: expected keys: PATTERN, or PATTERN/FIELD of hashes, found `user:*/`"},
	{ONE "databases:\n  db: {engine: nats, mask: {a.b: email}}\n",
	 "7:28: databases.db.mask: it has no columns: mask what a program loads into it"},
	{ONE "databases:\n  db: {engine: mysql, subset: {a: 0%}}\n",
	 "7:35: databases.db.subset: expected 10%, a condition on the table's columns, or referenced, found `0%`"},
	{ONE "databases:\n  db: {engine: redis, user: x}\n", "7:29: databases.db.user: redis has none"},
	{ONE DATABASES "queues:\n  q: {stream: x}\n", "10:3: queues.q: needs `database`: the name of a redis, rabbitmq or nats database"},
	{ONE DATABASES "queues:\n  q: {database: db}\n", "10:17: queues.q.database: `db` is not a redis, rabbitmq or nats"},
	{ONE DATABASES "queues:\n  q: {database: x}\n", "10:17: queues.q.database: `x` is not one of the databases"},
	{ONE DATABASES "queues:\n  q: {engine: kafka, database: cache}\n", "10:15: queues.q.engine: expected redis, rabbitmq or nats: what `database` is, found `kafka`"},
	/* the rest */
	{ONE "workspace: {setup: {a: b}}\n", "6:20: workspace.setup: expected a shell line, or a list of them, found a mapping"},
	{ONE "workspace: {lock: [/etc/passwd]}\n", "6:20: workspace.lock: expected a path inside the checkout, without `..`, found `/etc/passwd`"},
	{ONE "tests:\n  unit: {report: x.xml}\n", "7:3: tests.unit: needs `run`: a shell line, or a list of arguments"},
	{ONE "tests:\n  unit: {run: x, report: x.out}\n",
	 "7:26: tests.unit.report: needs `format`: junit, tap, ctrf or json, since the name does not tell"},
	{ONE "tests:\n  unit: {run: x, format: tap}\n", "7:26: tests.unit.format: needs `report`, the file"},
	{ONE "tests:\n  unit: {run: x, report: x.xml, format: xml}\n", "7:41: tests.unit.format: expected junit, tap, ctrf or json, found `xml`"},
	{ONE "tests:\n  unit: {run: x, needs: service}\n",
	 "7:25: tests.unit.needs: expected `services` or `nothing`, found `service`: did you mean `services`?"},
	{ONE "tests:\n  unit: {run: x, timeout: 2 minutes}\n",
	 "7:27: tests.unit.timeout: expected a duration: 500ms, 30s, 10m, 24h or 7d, found `2 minutes`"},
	{ONE "tests:\n  unit: {run: x, timeout: 0s}\n", "7:27: tests.unit.timeout: expected a duration: 500ms, 30s, 10m, 24h or 7d, found `0s`"},
	{ONE "sessions: sessions/*.har\n", "6:11: sessions: expected a list of paths or patterns inside the checkout, found `sessions/*.har`"},
	{ONE "sessions: [../*.har]\n", "6:12: sessions: expected a path inside the checkout, without `..`, found `../*.har`"},
	{ONE "hosts:\n  \"bank example\": {}\n", "7:3: hosts: expected the name of a host, found `bank example`"},
	{ONE "hosts:\n  10.0.0.1: {}\n", "7:3: hosts: expected the name of a host, found `10.0.0.1`"},
	{ONE "hosts:\n  front: {}\n", "7:3: hosts: `front` is the name of a service or database too"},
	{ONE "hosts:\n  assay.internal: {}\n", "7:3: hosts: the name `assay.internal` is reserved"},
	{ONE "hosts:\n  bank.example: {}\n  BANK.example: {}\n", "8:3: hosts: `bank.example` is here twice"},
	{ONE "hosts:\n  bank.example: {stub: /tmp/x}\n",
	 "7:24: hosts.bank.example.stub: expected a path inside the checkout, without `..`, found `/tmp/x`"},
	{ONE "verify: {attempts: 0}\n", "6:20: verify.attempts: expected a number from 1 to 50, found `0`"},
	{ONE "verify: {skip: [replay]}\n", "6:16: verify.skip: expected a list of gates: faults, migrations, race, visual, found a list"},
	{ONE "verify:\n  invariants:\n    - {name: a}\n", "8:7: verify.invariants: expected either `sql` or `http` of `a`"},
	{ONE "verify:\n  invariants:\n    - {name: a, sql: SELECT 1, http: /a}\n", "8:7: verify.invariants: expected either `sql` or `http` of `a`"},
	{ONE "verify:\n  invariants:\n    - {name: a, sql: SELECT 1}\n", "8:7: verify.invariants: `sql` needs a `database`: there is none that speaks SQL"},
	{ONE "verify:\n  invariants:\n    - {name: a, sql: SELECT 1, database: front}\n", "8:7: verify.invariants: `front` is not one of the databases"},
	{ONE "verify: {clock: 30d}\n", "6:17: verify.clock: expected an offset (-30d, +12h), or a moment at which it stands still (2026-05-01T12:00:00Z), found `30d`"},
	{ONE "verify: {clock: -30}\n", "6:17: verify.clock: expected an offset (-30d, +12h), or a moment at which it stands still (2026-05-01T12:00:00Z), found `-30`"},
	{ONE "verify: {clock: -0s}\n", "6:17: verify.clock: expected an offset (-30d, +12h), or a moment at which it stands still (2026-05-01T12:00:00Z), found `-0s`"},
	{ONE "verify: {clock: +40000d}\n", "6:17: verify.clock: expected an offset (-30d, +12h), or a moment at which it stands still (2026-05-01T12:00:00Z), found `+40000d`"},
	{ONE "verify: {clock: 2026-05-01}\n", "6:17: verify.clock: expected an offset (-30d, +12h), or a moment at which it stands still (2026-05-01T12:00:00Z), found `2026-05-01`"},
	{ONE "verify: {clock: 2026-05-01T12:00:00}\n", "6:17: verify.clock: expected an offset (-30d, +12h), or a moment at which it stands still (2026-05-01T12:00:00Z), found `2026-05-01T12:00:00`"},
	{ONE "verify: {clock: 2026-05-01T12:00:00Zx}\n", "6:17: verify.clock: expected an offset (-30d, +12h), or a moment at which it stands still (2026-05-01T12:00:00Z), found `2026-05-01T12:00:00Zx`"},
	{ONE "verify: {clock: soon}\n", "6:17: verify.clock: expected an offset (-30d, +12h), or a moment at which it stands still (2026-05-01T12:00:00Z), found `soon`"},
	{ONE "verify: {rules: [{match: 'POST *', as: inform}]}\n",
	 "6:26: verify.rules.match: expected a place, and what differs there: GET /api/products body.items.*, found `POST *`"},
	{ONE "verify: {rules: [{match: f-0123456789ab, as: inform}]}\n",
	 "6:26: verify.rules.match: expected a place, and what differs there: GET /api/products body.items.*, found `f-0123456789ab`"},
	{ONE "verify: {rules: [{match: GET /cart, as: ignore}]}\n",
	 "6:41: verify.rules.as: expected warn, inform or block, found `ignore`: did you mean `inform`?"},
	{ONE "verify: {latency: fast}\n", "6:19: verify.latency: expected warn, inform, block or off, found `fast`"},
	{ONE "verify: {protect: [x]}\n", "6:10: unknown key `protect` in verify: did you mean `protected`?"},
	{ONE "agent: {use: clade}\n", "6:14: agent.use: expected acp, claude, codex, command, cursor, gemini or opencode, found `clade`: did you mean `claude`?"},
	{ONE "agent: {use: command}\n", "6:14: agent.use: `command` needs `run`"},
	{ONE "agent: {candidates: 9}\n",
	 "6:21: agent.candidates: expected a number from 1 to 8, or a list of 1 to 8 agents: [claude, \"codex:MODEL\"], found `9`"},
	{ONE "agent: {candidates: []}\n",
	 "6:21: agent.candidates: expected a number from 1 to 8, or a list of 1 to 8 agents: [claude, \"codex:MODEL\"], found a list"},
	{ONE "agent: {candidates: [claude, clod]}\n", "6:30: agent.candidates: expected an agent, or AGENT:MODEL, found `clod`"},
	{ONE "agent: {candidates: [\"claude:\"]}\n", "6:22: agent.candidates: expected an agent, or AGENT:MODEL, found `claude:`"},
	{ONE "agent: {reviewers: [claude, codex, gemini, cursor]}\n",
	 "6:20: agent.reviewers: expected a list of 1 to 3 agents: [claude, \"codex:MODEL\"], found a list"},
	{ONE "agent: {reviewers: [clod]}\n", "6:21: agent.reviewers: expected an agent, or AGENT:MODEL, found `clod`"},
	{ONE "agent: {run: x, format: json}\n", "6:25: agent.format: expected text, jsonl or acp, found `json`: did you mean `jsonl`?"},
	{ONE "secrets: [a]\n", "6:10: secrets: expected a mapping of variables to names of credentials, found a list"},
	{ONE "secrets: {KEY: Bad Name}\n",
	 "6:16: secrets: expected the name of a credential, as `assay secret list` shows it, found `Bad Name`"},
	{ONE "secrets: {ASSAY_KEY: name}\n", "6:11: secrets: names that begin with ASSAY_ are set by assay"},
	{ONE "egress: [a.example]\n", "6:9: egress: expected a mapping, found a list"},
	{ONE "egress: {dlp: {rules: [{id: a, patern: x}]}}\n", "6:32: unknown key `patern` in egress.dlp.rules: did you mean `pattern`?"},
	{ONE "egress: {dlp: {rules: [{id: a, pattern: x, action: blok}]}}\n",
	 "6:52: egress.dlp.rules.action: expected block, hold, redact, log or off, found `blok`: did you mean `block`?"},
	{ONE "egress: {dlp: {rules: [{id: a, near: x}]}}\n", "6:24: dlp.rules: `near` and `value` belong together"},
	{ONE "egress: {dlp: {rules: [{id: a, entropy: 9}]}}\n", "6:41: egress.dlp.rules.entropy: expected a number from 0 to 8, found `9`"},
	{ONE "egress: {dlp: {secrets: [NOPE]}}\n", "6:26: egress.dlp.secrets: no `env` of this file sets `NOPE`"},
	{ONE "egress: {dlp: {gitleaks: ../x}}\n",
	 "6:26: egress.dlp.gitleaks: expected a path inside the checkout, without `..`, found `../x`"},
	{ONE "egress: {rules: [a.example]}\n", "6:18: egress.rules: expected a list of {host, action}, found `a.example`"},
	{ONE "egress: {rules: [{host: a.example}]}\n", "6:18: egress.rules: needs `action`: allow, deny, approve or passthrough"},
	{ONE "egress: {rules: [{host: a.example, action: allow, methods: [get]}]}\n",
	 "6:61: egress.rules.methods: expected a list of methods: GET, POST, found `get`"},
	{ONE "egress: {rules: [{host: a.example, action: allow, paths: [v1]}]}\n",
	 "6:59: egress.rules.paths: expected a list of patterns that begin with `/`: /v1/*, found `v1`"},
	{ONE "egress: {rules: [{host: a.example, action: passthrough, paths: [/v1]}]}\n",
	 "6:18: egress.rules: passthrough does not look inside: it can have no `methods` or `paths`"},
	{ONE "egress: {rules: [{host: a.example, action: allow, repositories: [x]}]}\n",
	 "6:51: unknown key `repositories` in egress.rules: expected one of id, host, port, methods, paths, agents, sandboxes, action, because"},
	{ONE "egress: {budget: 5}\n", "6:18: egress.budget: expected an amount for a run's model traffic: 5 USD, 0.50 USD, found `5`"},
	{ONE "egress: {rules: [{host: a.*, action: allow}]}\n",
	 "6:25: egress.rules.host: expected a host name, `*.name`, or `*` for any, found `a.*`"},
	{ONE "egress: {rules: [{host: \"https://a.example\", action: allow}]}\n",
	 "6:25: egress.rules.host: expected a host name, `*.name`, or `*` for any, found `https://a.example`"},
	{ONE "egress: {rules: [{host: a.example, action: permit}]}\n", "6:44: egress.rules.action: expected allow, deny, approve or passthrough, found `permit`"},
	{ONE "preview: {service: frnt}\n", "6:20: preview.service: there is no service `frnt`"},
	{ONE "preview: {service: front}\n", "6:20: preview.service: `front` has no port"},
	{ONE "preview: {path: shop}\n", "6:17: preview.path: expected a path that begins with /, found `shop`"},
	{ONE "preview: {grace: forever}\n", "6:18: preview.grace: expected a duration: 500ms, 30s, 10m, 24h or 7d, found `forever`"},
};
/* clang-format on */

static void each_wrong_blueprint_gets_its_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *expected = text_format("assay.yaml:%s", rows[i].line);
		struct err err = {0};
		AUTO_BLUEPRINT blueprint = blueprint_parse(view_of(rows[i].text), "assay.yaml", &err);

		if (blueprint)
			fail_msg("row %zu is accepted: %s", i, rows[i].text);
		assert_string_equal(err.text, expected);
	}
}

static void a_text_over_its_limit_is_told_so(void **state)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	struct err err = {0};

	(void)state;
	buf_add_text(&text, ONE);
	while (text.length <= (size_t)256 << 10)
		buf_add_text(&text, "# a line that says nothing, many times over\n");
	assert_null(blueprint_parse(buf_view(&text), "assay.yaml", &err));
	assert_int_equal(err.kind, ERR_LIMIT);
	assert_string_equal(err.text, "assay.yaml: more than 256 KiB");
}

static void too_many_values_are_a_limit(void **state)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	struct err err = {0};

	(void)state;
	buf_add_text(&text, HEAD "sessions:\n");
	for (int i = 0; i < 20001; i++)
		buf_add_text(&text, "  - a\n");
	assert_null(blueprint_parse(buf_view(&text), "assay.yaml", &err));
	assert_int_equal(err.kind, ERR_LIMIT);
}

static void too_many_services_are_refused(void **state)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	struct err err = {0};

	(void)state;
	buf_add_text(&text, HEAD "services:\n");
	for (int i = 0; i < 65; i++)
		buf_add_format(&text, "  s%d: {run: x}\n", i);
	assert_null(blueprint_parse(buf_view(&text), "assay.yaml", &err));
	assert_string_equal(err.text, "assay.yaml:4:3: services: more than 64 entries");
}

static void bytes_that_are_not_utf8_are_refused(void **state)
{
	struct err err = {0};

	(void)state;
	assert_null(blueprint_parse(VIEW("version: 1\nname: \xff\xfe\n"), "assay.yaml", &err));
	assert_non_null(strstr(err.text, "not UTF-8"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_wrong_blueprint_gets_its_line),  cmocka_unit_test(a_text_over_its_limit_is_told_so),
		cmocka_unit_test(too_many_values_are_a_limit),         cmocka_unit_test(too_many_services_are_refused),
		cmocka_unit_test(bytes_that_are_not_utf8_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
