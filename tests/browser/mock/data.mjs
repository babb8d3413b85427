// Data in exactly the shapes of doc/api.md: what a busy afternoon looks like. Texts from outside carry attempts to be markup.

import {createHash, generateKeyPairSync, sign} from 'node:crypto';

const now = Date.now();
const minutes = (n) => now - n * 60_000;
const seconds = (n) => now - n * 1000;
const hash = (text) => createHash('sha1').update(text).digest('hex');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

export const EVIL = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>';

const BASE = hash('base');
const HEAD = hash('head');

const steps = (...rows) => rows.map(([name, status, attempt, from, to, detail]) => ({
	name, status, attempt, started_ms: seconds(from), ended_ms: to === null ? null : seconds(to), detail: detail ?? '',
}));

const PLAN = ['Read the catalogue and who uses its prices', 'Add `price_text` with a thousands separator', 'Show it on the product page and in the cart',
	'Write a test for four-digit prices'];
const plan = (...states) => PLAN.map((text, i) => ({text, state: states[i]}));
const usage = {input_tokens: 184_223, output_tokens: 9_412, cost_usd: 0.4127, turns: 2, agent_ms: 74_800};

export const runs = [
	{id: 'r7q2mzk4d1w', repository: 'shop', issue: 4, title: 'Cart: keep the quantity when a product is added twice', state: 'turn',
		state_since_ms: seconds(48), base: BASE, head: null, environment: 'e3hm0x8v2ta', pull: null, preview: 'http://e3hm0x8v2ta.localhost:7421/',
		verdict: null, agent: 'claude', attempt: 1, attempts: 4, created_ms: seconds(52), ended_ms: null, error: null,
		plan: [{text: 'Find where a line is added to the cart', state: 'completed'}, {text: 'Merge lines of the same product', state: 'in_progress'},
			{text: 'Cover it with a test', state: 'pending'}],
		usage: {input_tokens: 41_002, output_tokens: 2_110, cost_usd: 0.0913, turns: 1, agent_ms: 44_000},
		steps: steps(['claim', 'done', 1, 52, 51.9], ['fork', 'done', 1, 51.9, 51.3, '7 sandboxes, PostgreSQL 15, Redis'], ['turn', 'running', 1, 48, null, 'attempt 1 of 4'])},
	{id: 'r1b9xw3c6fe', repository: 'shop', issue: 1, title: 'Show prices over 1,000 with a thousands separator', state: 'review',
		state_since_ms: minutes(6), base: BASE, head: HEAD, environment: 'e5v1n7k2pqd', pull: 1, preview: 'http://e5v1n7k2pqd.localhost:7421/',
		verdict: 'verified', agent: 'claude', attempt: 2, attempts: 4, created_ms: minutes(9), ended_ms: null, error: null,
		plan: plan('completed', 'completed', 'completed', 'completed'), usage,
		steps: steps(['claim', 'done', 1, 540, 539.9, 'issue 1'], ['fork', 'done', 1, 539.9, 539.2, '7 sandboxes, PostgreSQL 15, Redis'],
			['turn', 'done', 1, 539.2, 496, '3 files changed'], ['verify', 'done', 1, 496, 474, 'failed: 2 findings'],
			['turn', 'done', 2, 474, 442, '4 files changed'], ['verify', 'done', 2, 442, 382, 'verified'],
			['publish', 'done', 2, 382, 381.6, 'pull request 1'], ['review', 'waiting', 2, 381.6, null, 'for a person'])},
	{id: 'r9d4tj5y8ka', repository: 'shop', issue: 2, title: `Search: a misspelt word should still find "Pine" ${EVIL}`, state: 'review',
		state_since_ms: minutes(31), base: BASE, head: hash('head2'), environment: 'e8w6c4r1mzb', pull: 2, preview: 'http://e8w6c4r1mzb.localhost:7421/',
		verdict: 'failed', agent: 'command', attempt: 4, attempts: 4, created_ms: minutes(44), ended_ms: null, error: null, plan: [],
		declarations: [{match: 'GET /api/products* body.price', by: 'the agent', because: `the issue asks for prices as people read them ${EVIL}`, state: 'proposed', time_ms: minutes(32)}],
		usage: {input_tokens: 512_331, output_tokens: 31_871, cost_usd: 1.92, turns: 4, agent_ms: 402_000},
		steps: steps(['claim', 'done', 1, 2640, 2639.8], ['fork', 'done', 1, 2639.8, 2639], ['turn', 'done', 1, 2639, 2450], ['verify', 'failed', 1, 2450, 2420],
			['turn', 'done', 2, 2420, 2300], ['verify', 'failed', 2, 2300, 2270], ['turn', 'done', 3, 2270, 2130], ['verify', 'failed', 3, 2130, 2100],
			['turn', 'done', 4, 2100, 1900], ['verify', 'failed', 4, 1900, 1870, 'the same findings twice'], ['publish', 'done', 4, 1870, 1869, 'draft 2'],
			['review', 'waiting', 4, 1869, null])},
	{id: 'r4p8hs2n0vc', repository: 'shop', issue: 3, title: 'Orders: answer 409 when the stock ran out', state: 'review',
		state_since_ms: minutes(64), base: BASE, head: hash('head3'), environment: 'e2k9f5j7xwh', pull: 3, preview: null, verdict: 'unverified', agent: 'codex',
		attempt: 1, attempts: 4, created_ms: minutes(70), ended_ms: null, error: null, plan: [],
		usage: {input_tokens: 90_120, output_tokens: 4_005, cost_usd: 0.21, turns: 1, agent_ms: 96_000},
		steps: steps(['claim', 'done', 1, 4200, 4199.8], ['fork', 'done', 1, 4199.8, 4199], ['turn', 'done', 1, 4199, 4100],
			['verify', 'done', 1, 4100, 3850, 'base and base again disagreed'], ['publish', 'done', 1, 3850, 3849], ['review', 'waiting', 1, 3849, null])},
	{id: 'r0c3gz6q9sm', repository: 'shop', issue: 5, title: 'Footer: say when the shop opens', state: 'done', state_since_ms: minutes(180), base: BASE,
		head: hash('head5'), environment: null, pull: 4, preview: null, verdict: 'verified', agent: 'claude', attempt: 1, attempts: 4,
		created_ms: minutes(195), ended_ms: minutes(180), error: null, plan: [],
		usage: {input_tokens: 22_119, output_tokens: 1_030, cost_usd: 0.05, turns: 1, agent_ms: 31_000},
		steps: steps(['claim', 'done', 1, 11700, 11699], ['fork', 'done', 1, 11699, 11698], ['turn', 'done', 1, 11698, 11667], ['verify', 'done', 1, 11667, 11630],
			['publish', 'done', 1, 11630, 11629], ['review', 'done', 1, 11629, 10802], ['close', 'done', 1, 10802, 10800])},
	{id: 'r6y5vb1t7dk', repository: 'billing', issue: 6, title: 'Invoices as PDF', state: 'failed', state_since_ms: minutes(320), base: hash('billing'),
		head: null, environment: 'e1z8q3g5bns', pull: null, preview: null, verdict: null, agent: 'claude', attempt: 1, attempts: 4, created_ms: minutes(322),
		ended_ms: minutes(320), error: 'fork: service api: it is not ready after 20 s: the last lines of its log: Error: Cannot find module \'pdfkit\'', plan: [],
		usage: {input_tokens: 0, output_tokens: 0, cost_usd: 0, turns: 0, agent_ms: 0},
		steps: steps(['claim', 'done', 1, 19320, 19319.8], ['fork', 'failed', 1, 19319.8, 19299, 'service api is not ready after 20 s'])},
];

export const issues = [
	{number: 7, repository: 'shop', title: 'Product page: show how many are left', body: 'When fewer than five are in stock, say so:\n\n- `Only 3 left` above the button\n- nothing when there are more',
		state: 'open', created_ms: minutes(3), comments: [], run: null, pull: null},
	{number: 4, repository: 'shop', title: 'Cart: keep the quantity when a product is added twice', body: 'Adding the same product twice makes two lines. It should be one line with quantity 2.',
		state: 'working', created_ms: minutes(2), comments: [], run: 'r7q2mzk4d1w', pull: null},
	{number: 3, repository: 'shop', title: 'Orders: answer 409 when the stock ran out', body: 'Now it is a 500.', state: 'review', created_ms: minutes(72), comments: [], run: 'r4p8hs2n0vc', pull: 3},
	{number: 2, repository: 'shop', title: `Search: a misspelt word should still find "Pine" ${EVIL}`, body: `People type "pime".\n${EVIL}`, state: 'review', created_ms: minutes(45),
		attachments: [{name: 'seen on the till.log', digest: 'abababababababababababababababababababababababababababababababab', bytes: 1834, author: 'ines', time_ms: minutes(70)}], comments: [{author: `mallory ${EVIL}`, text: `See ${EVIL} and [a link](javascript:window.pwned=1)`, time_ms: minutes(40)}], run: 'r9d4tj5y8ka', pull: 2},
	{number: 1, repository: 'shop', title: 'Show prices over 1,000 with a thousands separator',
		body: 'A table for 1249.00 is hard to read.\n\nPlease write `1,249.00`:\n\n- on the product page\n- in the cart\n\nThe API may get a new field, but nothing that uses it may break.', state: 'review', created_ms: minutes(10),
		attachments: [{name: 'seen on the till.log', digest: 'abababababababababababababababababababababababababababababababab', bytes: 1834, author: 'ines', time_ms: minutes(70)}], comments: [{author: 'ines', text: 'The order mails too, if it is easy.', time_ms: minutes(9.5)}], run: 'r1b9xw3c6fe', pull: 1},
	{number: 6, repository: 'billing', title: 'Invoices as PDF', body: 'As an attachment.', state: 'open', created_ms: minutes(330), comments: [], run: 'r6y5vb1t7dk', pull: null},
	{number: 5, repository: 'shop', title: 'Footer: say when the shop opens', body: 'Mon to Fri, 9 to 17.', state: 'done', created_ms: minutes(200), comments: [], run: 'r0c3gz6q9sm', pull: 4},
];

const reviewOf = (author, kind, text, ago) => ({author, kind, text, time_ms: minutes(ago)});
const pull = (number, run, more) => ({number, repository: run.repository, title: run.title, draft: run.verdict !== 'verified', state: 'open', base: run.base, head: run.head,
	branch: `assay/${run.id}`, run: run.id, issue: run.issue, verdict: run.verdict, environment: run.environment, preview: run.preview, created_ms: run.state_since_ms,
	merged: null, reviews: [], ...more});

export const pulls = [
	pull(1, runs[1], {body: 'Adds `price_text` beside `price` in the catalogue\'s answers and shows it on the product page and in the cart.\n\nNo field that existed was changed: `price` stays a number, because pricing and orders calculate with it.\n\nCloses issue 1.',
		reviews: [reviewOf('ines', 'comment', 'Does the order mail use it too?', 4), reviewOf('claude', 'comment', 'Not yet: the mail is made by `worker`, which reads `price` from the order. I left it alone.', 3.2)]}),
	pull(2, runs[2], {body: `**Draft: verification failed.**\n\nSearch now uses trigrams. ${EVIL}`}),
	pull(3, runs[3], {body: 'Answers 409 with the product that ran out.'}),
	pull(4, runs[4], {body: 'Adds the opening hours.', state: 'merged', draft: false, merged: hash('merged'), created_ms: minutes(193), reviews: [reviewOf('ines', 'approve', 'Good.', 181)]}),
];

const gate = (name, title, status, ms, counts, findings = [], reason = '') => ({name, title, status, ms, counts, findings, reason});
const LADDER = {deploy: 'Deploys and migrates', tests: 'Original tests on the new code', 'red-green': 'New tests fail before and pass after', integrity: 'Tests and CI are intact',
	replay: 'Recorded traffic, replayed'};

export const findings = [
	{id: 'f-3fa91c07be52', gate: 'replay', severity: 'block', title: 'POST /api/orders: status 201 became 502',
		request: {method: 'POST', url: 'http://front/api/orders', body: '{"lines":[{"product":"oak-table","quantity":1}],"request_id":"5f0c"}'},
		expected: {status: 201, body: {order: {id: 200017, state: 'placed', total: 124900, lines: [{product: 'oak-table', quantity: 1, price: 124900}]}}},
		got: {status: 502, body: {error: 'pricing answered 400'}},
		expected_tree: [{edge: 'preview > front', call: 'POST /api/orders', status: 201}, {edge: 'front > orders', call: 'POST /orders', status: 201}, {edge: 'orders > catalog', call: 'GET /products/oak-table', status: 200},
			{edge: 'orders > pricing', call: 'POST /quote', status: 200}, {edge: 'orders > bank.example', call: 'POST /v1/pay', status: 200}, {edge: 'orders > db', call: 'INSERT INTO orders', status: 0}],
		got_tree: [{edge: 'preview > front', call: 'POST /api/orders', status: 502}, {edge: 'front > orders', call: 'POST /orders', status: 502}, {edge: 'orders > catalog', call: 'GET /products/oak-table', status: 200},
			{edge: 'orders > pricing', call: 'POST /quote', status: 400}],
		file: 'catalog/present.py', line: 14, detail: 'catalog answers `price` as the text "1,249.00"; pricing expects a whole number of cents and refuses the quote.',
		reproduce: 'assay-env http POST http://front/api/orders \'{"lines":[{"product":"oak-table","quantity":1}],"request_id":"5f0c"}\''},
	{id: 'f-b07714ad90e1', gate: 'replay', severity: 'block', title: 'GET /api/products/oak-table: body.price number became text',
		request: {method: 'GET', url: 'http://front/api/products/oak-table', body: null}, expected: {id: 'oak-table', name: 'Oak table', price: 124900, stock: 7},
		got: {id: 'oak-table', name: 'Oak table', price: '1,249.00', stock: 7}, expected_tree: [], got_tree: [], file: null, line: 0, detail: '',
		reproduce: 'assay-env http GET http://front/api/products/oak-table'},
	{id: 'f-55c2e8aa1093', gate: 'integrity', severity: 'warn', title: `A test was skipped: search finds misspelt words ${EVIL}`, request: null, expected: null, got: null, expected_tree: [], got_tree: [],
		file: 'front/test/search.test.js', line: 31, detail: 'it.skip(…) was added; on base this test runs.', reproduce: 'git diff HEAD~1 -- front/test/search.test.js'},
];

const report = (verdict, run, gates, found, more = {}) => ({verdict, base: run.base, head: run.head, base_tree: hash('tree a'), head_tree: hash('tree b'), repository: run.repository,
	snapshot: {name: 'shop', version: 3, digest: sha256('shop/3')}, blueprint_digest: sha256('assay.yaml'), tool: {version: '0.1.0'}, topology: 'full', started_ms: run.state_since_ms - 60_000, ms: 60_200,
	attempt: run.attempt, attempts: run.attempts, gates, findings: found, noise: [{endpoint: 'POST /api/orders', path: 'body.order.id', class: 'number range'}, {endpoint: 'POST /api/orders', path: 'body.order.created', class: 'timestamp'},
		{endpoint: 'GET /', path: 'header set-cookie', class: 'hex, 32'}],
	not_covered: ['service worker: no exchange of the sessions reaches its report at midnight', 'front/src/refused.js: no test and no replayed request ran these 7 changed lines', 'faults at seams, races and mutants: these gates do not exist yet'],
	artefacts: [{name: 'tests-head.xml', digest: sha256('a'), bytes: 18_233}, {name: 'replay-head.jsonl', digest: sha256('b'), bytes: 2_481_102}, {name: 'replay-base.jsonl', digest: sha256('c'), bytes: 2_480_001}], ...more});

export const reports = {
	[runs[1].id]: report('verified', runs[1], [gate('deploy', LADDER.deploy, 'pass', 4210, {services: 5, migrations: 2}), gate('tests', LADDER.tests, 'pass', 9300, {tests: 128, passed: 128}),
		gate('red-green', LADDER['red-green'], 'pass', 12_400, {new: 3, red: 3, green: 3, repeats: 3}), gate('integrity', LADDER.integrity, 'pass', 210, {files: 4}),
		gate('replay', LADDER.replay, 'pass', 31_900, {exchanges: 81, compared: 243, noise: 3})], [], {reason: '128 tests, 3 new ones red before and green after, and 81 recorded requests answered as before.'}),
	[runs[2].id]: report('failed', runs[2], [gate('deploy', LADDER.deploy, 'pass', 4400, {services: 5, migrations: 2}), gate('tests', LADDER.tests, 'pass', 9100, {tests: 128, passed: 128}),
		gate('red-green', LADDER['red-green'], 'unstable', 14_000, {new: 2, red: 1, green: 2}, [], 'search ranks the nearest word first: green on base in 1 of 3 turns'), gate('integrity', LADDER.integrity, 'fail', 190, {files: 3}, ['f-55c2e8aa1093']),
		gate('replay', LADDER.replay, 'fail', 30_100, {exchanges: 81, compared: 243, noise: 3}, ['f-3fa91c07be52', 'f-b07714ad90e1'])], findings,
	{reason: 'Checkout is broken: POST /api/orders answers 502 instead of 201, in both fresh environments.'}),
	[runs[3].id]: report('unverified', runs[3], [gate('deploy', LADDER.deploy, 'pass', 4100, {services: 5}), gate('tests', LADDER.tests, 'pass', 9800, {tests: 128, passed: 128}),
		gate('red-green', LADDER['red-green'], 'skipped', 0, {}, [], 'the change adds no test'), gate('integrity', LADDER.integrity, 'pass', 180, {files: 1}),
		gate('replay', LADDER.replay, 'unstable', 61_000, {exchanges: 81, compared: 240}, [], 'base and base again answered GET /api/reports/daily differently: 200, 504')], [],
	{reason: 'The two runs of the unchanged code disagreed with each other, so nothing can be said about the change.'}),
};

reports[runs[4].id] = {...reports[runs[1].id], base: runs[4].base, head: runs[4].head, attempt: 1};

const {publicKey, privateKey} = generateKeyPairSync('ed25519');
export const key = publicKey.export({type: 'spki', format: 'pem'});
const keyId = sha256(publicKey.export({type: 'spki', format: 'der'}));

export function recordOf(run) {
	const statement = {_type: 'https://in-toto.io/Statement/v1', subject: [{name: run.repository, digest: {gitCommit: run.head, gitTree: hash('tree b')}}],
		predicateType: 'https://assay.dev/verification/v1', predicate: {...reports[run.id], previous: sha256('before')}};
	const body = Buffer.from(JSON.stringify(statement));
	const type = 'application/vnd.in-toto+json';
	const pae = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${body.length} `), body]);

	return {payloadType: type, payload: body.toString('base64'), signatures: [{keyid: keyId, sig: sign(null, pae, privateKey).toString('base64')}]};
}

export const diffs = {
	1: `diff --git a/catalog/present.py b/catalog/present.py
index 3b18e51..8f1c2aa 100644
--- a/catalog/present.py
+++ b/catalog/present.py
@@ -8,9 +8,15 @@ from . import store
 
 
 def product(row):
-    return {"id": row.id, "name": row.name, "price": row.price, "stock": row.stock}
+    return {"id": row.id, "name": row.name, "price": row.price, "price_text": money(row.price), "stock": row.stock}
+
+
+def money(cents):
+    """1249.00 as people write it: 1,249.00"""
+    return f"{cents / 100:,.2f}"
 
 
 def page(rows, total):
     return {"items": [product(row) for row in rows], "total": total}
+
diff --git a/catalog/test/test_present.py b/catalog/test/test_present.py
index 91aa2b0..44de1c9 100644
--- a/catalog/test/test_present.py
+++ b/catalog/test/test_present.py
@@ -21,3 +21,9 @@ class Present(unittest.TestCase):
     def test_a_product_has_its_stock(self):
         self.assertEqual(present.product(OAK)["stock"], 7)
 
+    def test_four_digit_prices_have_a_separator(self):
+        self.assertEqual(present.product(OAK)["price_text"], "1,249.00")
+
+    def test_the_price_stays_a_number(self):
+        self.assertEqual(present.product(OAK)["price"], 124900)
+
diff --git a/front/public/app.js b/front/public/app.js
index 5d41402..7215ee9 100644
--- a/front/public/app.js
+++ b/front/public/app.js
@@ -44,7 +44,7 @@ function productCard(product) {
 	const card = element('article', 'card');
 	card.append(picture(product));
 	card.append(element('h3', '', product.name));
-	card.append(element('p', 'price', format.cents(product.price)));
+	card.append(element('p', 'price', product.price_text ?? format.cents(product.price)));
 	return card;
 }
 
@@ -91,6 +91,6 @@ function cartLine(line) {
 	const row = element('tr');
 	row.append(element('td', '', line.name));
 	row.append(element('td', 'number', String(line.quantity)));
-	row.append(element('td', 'number', format.cents(line.price * line.quantity)));
+	row.append(element('td', 'number', format.money(line.price * line.quantity)));
 	return row;
 }
diff --git a/front/public/old-icon.png b/front/public/old-icon.png
deleted file mode 100644
index c4ca423..0000000
Binary files a/front/public/old-icon.png and /dev/null differ
`,
	2: `diff --git a/front/src/search.js b/front/src/search.js
new file mode 100644
index 0000000..1111111
--- /dev/null
+++ b/front/src/search.js
@@ -0,0 +1,3 @@
+// ${EVIL}
+export const banner = '${EVIL}';
+export function search(word) { return fetch('/api/search?q=' + word); }
\\ No newline at end of file
diff --git a/front/package-lock.json b/front/package-lock.json
index 2222222..3333333 100644
--- a/front/package-lock.json
+++ b/front/package-lock.json
@@ -1,2 +1,902 @@
 {
${Array.from({length: 900}, (_, i) => `+  "package-${i}": {"version": "1.${i}.0"},`).join('\n')}
 }
`,
	3: `diff --git a/orders/checkout.py b/orders/checkout.py
index 1..2 100644
--- a/orders/checkout.py
+++ b/orders/checkout.py
@@ -12,4 +12,5 @@ def place(order):
     for line in order.lines:
-        store.take(line.product, line.quantity)
+        if not store.take(line.product, line.quantity):
+            raise Refused(409, line.product)
     return order
`,
	4: '',
};

export const changes = {
	1: [{path: 'catalog/present.py', status: 'M', added: 7, removed: 1, mode: '100644'}, {path: 'catalog/test/test_present.py', status: 'M', added: 6, removed: 0, mode: '100644'},
		{path: 'front/public/app.js', status: 'M', added: 2, removed: 2, mode: '100644'}, {path: 'front/public/old-icon.png', status: 'D', added: 0, removed: 0, mode: '100644'}],
	2: [{path: 'front/package-lock.json', status: 'M', added: 900, removed: 0, mode: '100644'}, {path: 'front/src/search.js', status: 'A', added: 3, removed: 0, mode: '100644'}],
	3: [{path: 'orders/checkout.py', status: 'M', added: 2, removed: 1, mode: '100644'}],
	4: [],
};

const box = (name, kind, state, ready_ms, more = {}) => ({name, kind, state, port: {front: 8080, catalog: 8001, pricing: 8002, orders: 8003, db: 5432, cache: 6379}[name] ?? 0, restarts: 0, ready_ms, memory_bytes: 41_943_040,
	cpu_ms: 812, ...more});
const SHOP = () => [box('front', 'service', 'ready', 118), box('catalog', 'service', 'ready', 141), box('pricing', 'service', 'ready', 22, {memory_bytes: 3_145_728}), box('orders', 'service', 'ready', 163),
	box('worker', 'worker', 'running', null), box('db', 'database', 'ready', 96, {memory_bytes: 96_468_992}), box('cache', 'database', 'ready', 31, {memory_bytes: 9_437_184}), box('workspace', 'workspace', 'running', null)];
const environment = (id, name, purpose, state, run, more = {}) => ({id, name, purpose, owner: run?.id ?? '', state, repository: run?.repository ?? 'shop', commit: run?.head ?? BASE, snapshot: 'shop/3', created_ms: run?.created_ms ?? minutes(12),
	expires_ms: now + 23.6 * 3_600_000, pinned: false, preview: `http://${id}.localhost:7421/`, sandboxes: SHOP(), ...more});

export const environments = [
	environment('e3hm0x8v2ta', 'shop', 'work', 'ready', runs[0]),
	environment('e5v1n7k2pqd', 'shop', 'preview', 'ready', runs[1]),
	environment('e8w6c4r1mzb', 'shop', 'work', 'frozen', runs[2], {pinned: true}),
	environment('e2k9f5j7xwh', 'shop', 'work', 'ready', runs[3], {preview: null}),
	environment('e1z8q3g5bns', 'billing', 'work', 'failed', runs[5], {error: `start api: not ready after 20 s: Error: Cannot find module 'pdfkit' ${EVIL}`, preview: null, snapshot: null,
		sandboxes: [box('api', 'service', 'failed', null, {restarts: 3, exit: 'exit 1', port: 3000}), box('db', 'database', 'ready', 101), box('workspace', 'workspace', 'running', null)]}),
];

const exchange = (seq, from, to, method, url, status, dt_us, more = {}) => ({seq, from, to, proto: 'http', phase: 'serve', t0_ms: seconds(200 - seq), dt_us,
	request: {method, url, headers: [['accept', 'application/json'], ['host', to]], body: more.sent ?? '', body_bytes: (more.sent ?? '').length, cut: false},
	response: {status, headers: [['content-type', 'application/json']], body: more.answer ?? '{}', body_bytes: 2, cut: false}, ...(more.error ? {error: more.error} : {})});
const command = (seq, from, to, proto, text, dt_us) => ({seq, from, to, proto, phase: 'serve', t0_ms: seconds(200 - seq), dt_us, request: {command: text.split(' ')[0], statement: text}, response: {}});

export const exchanges = [];
for (let i = 0; i < 14; i++) {
	const at = i * 9;
	exchanges.push(exchange(at + 1, 'preview', 'front', 'GET', `/api/products/oak-table?n=${i}`, 200, 8120 + i * 90, {answer: '{"id":"oak-table","name":"Oak table","price":124900,"price_text":"1,249.00","stock":7}'}),
		exchange(at + 2, 'front', 'catalog', 'GET', '/products/oak-table', 200, 4100 + i * 11), command(at + 3, 'catalog', 'db', 'postgres', 'SELECT id, name, price, stock FROM products WHERE id = $1', 912));
	if (i % 3 === 0)
		exchanges.push(exchange(at + 4, 'preview', 'front', 'POST', '/api/orders', 201, 21_400, {sent: '{"lines":[{"product":"oak-table","quantity":1}]}', answer: '{"order":{"id":200017,"state":"placed"}}'}),
			exchange(at + 5, 'front', 'orders', 'POST', '/orders', 201, 18_200), exchange(at + 6, 'orders', 'pricing', 'POST', '/quote', i === 6 ? 503 : 200, 640, i === 6 ? {answer: EVIL} : {}),
			exchange(at + 7, 'orders', 'bank.example', 'POST', '/v1/pay', 200, 1800), command(at + 8, 'orders', 'db', 'postgres', 'INSERT INTO orders (customer, total) VALUES ($1, $2)', 1401),
			command(at + 9, 'worker', 'cache', 'redis', 'XREADGROUP GROUP worker w1 STREAMS orders >', 210));
	if (i % 4 === 0)
		exchanges.push(command(at + 9, 'front', 'cache', 'redis', 'GET session:9f31', 120));
}

export const snapshots = [
	{name: 'shop', version: 3, digest: sha256('shop/3'), created_ms: minutes(60 * 20), bytes: 61_220_000, databases: [{name: 'db', engine: 'postgres', version: '15'}, {name: 'cache', engine: 'redis', version: '7'}], used_by: 4},
	{name: 'shop', version: 2, digest: sha256('shop/2'), created_ms: minutes(60 * 24 * 9), bytes: 58_100_000, databases: [{name: 'db', engine: 'postgres', version: '15'}, {name: 'cache', engine: 'redis', version: '7'}], used_by: 0},
	{name: 'billing', version: 1, digest: sha256('billing/1'), created_ms: minutes(60 * 24 * 2), bytes: 8_100_000, databases: [{name: 'db', engine: 'postgres', version: '15'}], used_by: 1},
];

export const doctor = [
	{name: 'user namespaces', status: 'ok', what: 'unprivileged, id maps work', how: ''},
	{name: 'cgroup', status: 'warn', what: 'v1 and hybrid: the freezer of v1 is used, memory.high is absent', how: 'boot with systemd.unified_cgroup_hierarchy=1'},
	{name: 'postgresql', status: 'ok', what: '15.14', how: ''},
	{name: 'redis', status: 'ok', what: '7.0.15', how: ''},
	{name: 'pool', status: 'ok', what: '/var/lib/assay/pool: xfs with reflink, 61 GiB free', how: ''},
	{name: 'skopeo', status: 'missing', what: 'OCI images cannot be fetched', how: 'apt install skopeo umoci'},
];

export const repositories = [{name: 'billing', head: hash('billing'), branch: 'main', path: '/var/lib/assay/repos/billing.git'}, {name: 'shop', head: BASE, branch: 'main', path: '/var/lib/assay/repos/shop.git'}];

export const status = {version: '0.1.0', pages: 'http://127.0.0.1:7420', pid: 4242, state_dir: '/var/lib/assay', preview_base: '127.0.0.1:7421', started_ms: minutes(240), idle: false, runs: 4, environments: 5};

function story() {
	const list = [];
	let at = seconds(540);
	const say = (after, event) => list.push({seq: list.length + 1, time_ms: at += after, ...event});
	const step = (name, status, ms, detail = '') => say(20, {type: 'step', name, status, detail, ms});
	const agent = (after, kind, more) => say(after, {type: 'agent', kind, ...more});
	const forked = [['clone db', 'shop/3', 14], ['clone cache', 'shop/3', 3], ['start db', 'postgres 15', 96], ['start cache', 'redis 7', 31], ['migrate db', '2 migrations', 88], ['build pricing', 'make -C pricing', 210], ['ready catalog', 'GET /healthz', 141],
		['ready pricing', 'GET /healthz', 22], ['ready orders', 'GET /healthz', 163], ['ready front', 'GET /healthz', 118]];
	const gates = (replay) => {
		for (const [name, title] of Object.entries(LADDER)) {
			say(100, {type: 'gate', name, status: 'running', detail: title});
			for (const part of ['base', 'head'])
				say(500, {type: 'service', step: `${name}: ${part}: start db`, detail: '', ms: 301}, {type: 'service', step: `${name}: ${part}: start front`, detail: '', ms: 120});
		}
		for (const [name, title] of Object.entries(LADDER))
			say(4000, {type: 'gate', name, title, status: name === 'replay' ? replay : 'pass', ms: {deploy: 4210, tests: 9300, 'red-green': 12_400, integrity: 210, replay: 31_900}[name], detail: name === 'replay' ? '81 exchanges' : ''});
	};

	say(0, {type: 'state', state: 'claim'});
	step('claim', 'done', 90, 'issue 1');
	say(10, {type: 'state', state: 'fork'});
	for (const [name, detail, ms] of forked)
		say(ms / 2, {type: 'service', step: name, detail, ms});
	step('fork', 'done', 700, '7 sandboxes');
	say(5, {type: 'preview', url: 'http://e5v1n7k2pqd.localhost:7421/'});
	say(5, {type: 'state', state: 'turn'});
	agent(300, 'start', {session: 'f31a', model: 'claude-sonnet'});
	agent(1200, 'plan', {items: plan('in_progress', 'pending', 'pending', 'pending')});
	agent(900, 'thought', {text: 'The price is made in `catalog/present.py`. Let me look at who reads it before I change anything.'});
	agent(600, 'action', {id: 'a1', tool: 'Bash', title: 'grep -rn "price" --include=*.py --include=*.js .', detail: 'grep -rn "price" --include=*.py --include=*.js .'});
	agent(400, 'observation', {id: 'a1', ok: true, text: 'catalog/present.py:11:    return {"id": row.id, "name": row.name, "price": row.price}\nfront/public/app.js:47:	card.append(element(\'p\', \'price\', format.cents(product.price)));\norders/checkout.py:31:    quote = pricing.quote(lines)'});
	agent(700, 'plan', {items: plan('completed', 'in_progress', 'pending', 'pending')});
	agent(1500, 'action', {id: 'a2', tool: 'Edit', title: 'catalog/present.py', detail: '-    return {"price": row.price}\n+    return {"price": money(row.price)}'});
	agent(200, 'observation', {id: 'a2', ok: true, text: 'The file was changed.'});
	agent(800, 'action', {id: 'a3', tool: 'Bash', title: 'assay-env deploy catalog', detail: 'assay-env deploy catalog'});
	agent(400, 'observation', {id: 'a3', ok: true, text: 'ready catalog 138 ms'});
	agent(800, 'action', {id: 'a4', tool: 'Bash', title: 'assay-env test', detail: 'assay-env test'});
	agent(6000, 'observation', {id: 'a4', ok: true, text: 'unit: 131 passed'});
	agent(300, 'plan', {items: plan('completed', 'completed', 'completed', 'completed')});
	agent(500, 'message', {text: 'Prices over 1,000 now have a separator. All tests pass.'});
	agent(100, 'end', {ok: true, text: '', usage: {input_tokens: 90_000, output_tokens: 4_200, cost_usd: 0.2}});
	step('turn', 'done', 43_200, '3 files changed');
	say(5, {type: 'state', state: 'verify'});
	gates('fail');
	say(10, {type: 'finding', ...findings[0]});
	say(10, {type: 'finding', ...findings[1]});
	say(10, {type: 'verdict', verdict: 'failed', reason: 'Checkout is broken: POST /api/orders answers 502 instead of 201.', attempt: 1});
	step('verify', 'done', 22_000, 'failed: POST /api/orders answers 502 instead of 201');
	say(5, {type: 'state', state: 'turn'});
	agent(300, 'start', {session: 'f31a', model: 'claude-sonnet'});
	agent(2000, 'thought', {text: 'My change made `price` a text. `pricing` calculates with it, so checkout broke, and no unit test noticed because they mock the catalogue. I will add a new field instead and leave `price` alone.'});
	agent(900, 'action', {id: 'b1', tool: 'Edit', title: 'catalog/present.py', detail: '-    return {"price": money(row.price)}\n+    return {"price": row.price, "price_text": money(row.price)}'});
	agent(200, 'observation', {id: 'b1', ok: true, text: 'The file was changed.'});
	agent(900, 'action', {id: 'b2', tool: 'Bash', title: 'assay-env http POST http://front/api/orders', detail: 'assay-env http POST http://front/api/orders \'{"lines":[…]}\''});
	agent(300, 'observation', {id: 'b2', ok: true, text: '201 Created\n{"order":{"id":200018,"state":"placed","total":124900}}'});
	agent(700, 'action', {id: 'b3', tool: 'Bash', title: `echo '${EVIL}'`, detail: EVIL});
	agent(100, 'observation', {id: 'b3', ok: false, text: `exit 1\n${EVIL}`});
	agent(900, 'message', {text: 'The API keeps `price` as a number and gets `price_text` beside it. Checkout works again.'});
	agent(100, 'end', {ok: true, text: '', usage: {input_tokens: 94_223, output_tokens: 5_212, cost_usd: 0.2127}});
	step('turn', 'done', 32_000, '4 files changed');
	say(5, {type: 'state', state: 'verify'});
	gates('pass');
	say(10, {type: 'verdict', verdict: 'verified', reason: '128 tests, 3 new ones red before and green after, and 81 recorded requests answered as before.', attempt: 2});
	step('verify', 'done', 60_200, 'verified: 5 of 5 gates passed');
	say(5, {type: 'state', state: 'publish'});
	say(10, {type: 'pull', number: 1, url: 'http://127.0.0.1:7420/pulls/1'});
	step('publish', 'done', 400, 'pull request 1');
	say(5, {type: 'state', state: 'review'});
	step('review', 'waiting', null, 'for a person');
	say(9000, {type: 'message', author: 'ines', text: 'Does the order mail use it too?'});
	return list;
}

function working() {
	const list = [];
	let at = seconds(52);
	const say = (after, event) => list.push({seq: list.length + 1, time_ms: at += after, ...event});

	say(0, {type: 'state', state: 'claim'});
	say(0, {type: 'state', state: 'fork'});
	for (const [name, ms] of [['clone db', 13], ['ready catalog', 139], ['ready front', 116]])
		say(ms, {type: 'service', step: name, detail: '', ms});
	say(10, {type: 'step', name: 'fork', status: 'done', detail: '7 sandboxes', ms: 600});
	say(10, {type: 'state', state: 'turn'});
	say(900, {type: 'agent', kind: 'start', session: 'c2', model: 'claude-sonnet'});
	say(900, {type: 'agent', kind: 'plan', items: runs[0].plan});
	say(900, {type: 'agent', kind: 'thought', text: `The cart keeps a list of lines; adding pushes always. ${EVIL}`});
	say(900, {type: 'agent', kind: 'action', id: 'x1', tool: 'Read', title: 'front/src/cart.js', detail: 'front/src/cart.js'});
	return list;
}

export const events = {[runs[1].id]: story(), [runs[0].id]: working()};
export const logs = [
	'front    | 2026-11-21T19:30:00.118Z listening on 8080', 'catalog  | 19:30:00 listening on 8001', 'pricing  | ready', 'orders   | 19:30:00 listening on 8003',
	'worker   | group worker of stream orders: waiting', 'front    | GET /api/products/oak-table 200 8 ms', `catalog  | ${EVIL}`, 'orders   | placed 200017 total=124900', 'worker   | order 200017: stock oak-table 7 -> 6',
].join('\n') + '\n';

const hold = {
	id: 'hq7w2mzk4d', status: 'open', env: 'e5v1n7k2pqd', sandbox: 'workspace', run: 'r1b9xw3c6fe', agent: 'claude', action: 'Bash: gh pr create', method: 'POST', url: 'https://api.github.com:443/repos/acme/shop/pulls',
	host: 'api.github.com', port: 443, path: '/repos/acme/shop/pulls', query: '', rule: 'policy:pulls', why: 'pull requests are opened by people', body_bytes: 1834, body_start: '{"title": "Show prices with a separator",\n "head": "assay/r1b9xw3c6fe"}',
	digest: '5f2b9c1e8d7a60431122334455667788990011223344556677889900aabbccdd', asked_ms: Date.now() - 20_000, deadline_ms: Date.now() + 580_000, remember: true,
};
export const holds = [hold,
	{...hold, id: 'hhostile22', rule: 'dlp:aws-key', why: 'a secret is in its body', url: 'https://evil.test:443/\u202e<script>alert(1)</script>\u001b[31m', host: 'evil.test', body_start: '<img src=x onerror=alert(2)>\u001b[2J\u202egnp.exe', run: '', remember: false},
	{...hold, id: 'hover33333', status: 'denied', answered_ms: Date.now() - 3_600_000, because: 'not today', scope: 'once', by: 'you'}];
const sent = {writer: 'gateway', env: 'e5v1n7k2pqd', run: 'r1b9xw3c6fe', sandbox: 'workspace', agent: 'claude', port: 443};
const before = (seconds) => ({time_ms: Date.now() - seconds * 1000, time: new Date(Date.now() - seconds * 1000).toISOString()});
export const ledger = [
	{...sent, ...before(3), id: 9, sequence: 9, kind: 'intent', request: 'q7', host: 'api.anthropic.com', method: 'POST', path: '/v1/messages', rule: 'rule:1'},
	{...sent, ...before(20), id: 8, sequence: 8, kind: 'outcome', request: 'q6', host: 'api.anthropic.com', method: 'POST', path: '/v1/messages', rule: 'rule:1', status: 200, sent_bytes: 48213, received_bytes: 9120, duration_us: 2210400},
	{...sent, ...before(22), id: 7, sequence: 7, kind: 'release', request: 'q6', host: 'api.anthropic.com', rule: 'anthropic', actor: 'vault'},
	{...sent, ...before(22), id: 6, sequence: 6, kind: 'intent', request: 'q6', host: 'api.anthropic.com', method: 'POST', path: '/v1/messages', rule: 'rule:1'},
	{...sent, ...before(60), id: 5, sequence: 5, kind: 'outcome', request: 'q5', host: 'registry.npmjs.org', method: 'GET', path: '/left-pad', rule: 'rule:2', status: 200, sent_bytes: 220, received_bytes: 41200, duration_us: 84000},
	{...sent, ...before(60), id: 4, sequence: 4, kind: 'intent', request: 'q5', host: 'registry.npmjs.org', method: 'GET', path: '/left-pad', rule: 'rule:2'},
	{...sent, ...before(90), id: 3, sequence: 3, kind: 'verdict', request: 'q4', host: 'evil.test', method: 'POST', path: '/\u202e<img src=x onerror=alert(1)>', rule: 'default', detail: 'no rule allows it\u001b[2J'},
	{...sent, ...before(95), id: 2, sequence: 2, kind: 'finding', request: 'q3', host: 'paste.test', method: 'POST', path: '/new', rule: 'dlp:aws-key', detail: 'body, byte 118'},
	{writer: 'serve', ...before(4000), id: 1, sequence: 2, kind: 'policy', actor: 'serve', detail: 'the server starts, version 0.1.0'}];
export const policy = {path: '/etc/assay/policy.yaml', rules: 2, ceiling: true, passthrough: false, loaded_ms: Date.now() - 3_600_000, policy: {rules: [{host: 'api.anthropic.com', action: 'allow'}, {host: '*.internal.example', action: 'deny', method: 'POST', path: '/admin/**'}]}};
export const chain = {ok: true, key_id: 'a'.repeat(64), writers: [{writer: 'gateway', segments: 1, rows: 8, heads: 2, breaks: 0, notes: 0, unsigned: 0, chain: 'c'.repeat(64), said: []}, {writer: 'serve', segments: 1, rows: 1, heads: 1, breaks: 0, notes: 0, unsigned: 0, chain: 'd'.repeat(64), said: []}]};
export const kills = [{env: 'e1z8q3g5bns', because: 'it wrote to a customer', by: 'you', at_ms: Date.now() - 600_000}];
export const policyText = 'ceiling: true\nrules:\n  - {host: api.anthropic.com, action: allow}\n  - {host: "*.internal.example", methods: [POST], paths: [/admin/**], action: deny}\n';
/** Who decides here is only a word: hosts of the draft are allowed. */
export const judge = (url, draft = policyText) => {
	const host = new URL(url).hostname;
	const named = draft.includes(host);

	return {action: named ? 'allow' : 'deny', rule: named ? 'organisation-1' : 'default-deny', why: named ? '' : `no rule allows ${host}`, remedy: named ? '' : 'name it in assay.yaml', rules: [{id: 'organisation-1', layer: 'organisation', host: 'api.anthropic.com', action: 'allow', fits: named, ...(named ? {} : {not: 'another host'})}]};
};
export const budget = {spent_usd: 0.3981, budget_usd: 5, calls: 14, input: 180_000, output: 9_000, cache_read: 0, cache_write: 0, estimated: false, models: {}, prices: {path: null, as_of: '2026-11-01', note: ''}};
export const pictures = [{id: 'b'.repeat(32), name: 'cart, with a price over 1,000', bytes: 48_213, time_ms: Date.now() - 300_000, source: 'agent', type: 'image/png'}, {id: 'c'.repeat(32), name: `/products/${'oak-table-'.repeat(12)}`, bytes: 1_250_000, time_ms: Date.now() - 400_000, source: 'agent', type: 'image/png'},
	{id: 'd'.repeat(32), name: 'e2e: test-results/checkout/video.webm', bytes: 820_000, time_ms: Date.now() - 100_000, source: 'verify', type: 'video/webm'},
	{id: 'e'.repeat(32), name: '/cart, after', bytes: 51_200, time_ms: Date.now() - 100_000, source: 'verify', type: 'image/png'},
	{id: 'f'.repeat(32), name: '/cart, before', bytes: 50_900, time_ms: Date.now() - 100_000, source: 'verify', type: 'image/png'}];
export const agents = [{name: 'claude', resumes: true, installed: ['2.1.3'], measured: '2.1.3', key: 'ANTHROPIC_API_KEY'}, {name: 'codex', resumes: true, installed: [], measured: '0.9', key: 'OPENAI_API_KEY'}, {name: 'command', resumes: false, installed: []}];
export const tokens = [{name: `ci ${EVIL}`, role: 'developer', created_ms: Date.now() - 86_400_000, ends_ms: Date.now() + 86_400_000 * 60, used_ms: Date.now() - 3_600_000}, {name: 'look', role: 'viewer', created_ms: Date.now(), ends_ms: Date.now() + 86_400_000, used_ms: null}];
export const webhooks = [{id: 'w1', url: `https://example.com/hooks?${EVIL}`, on: ['run', 'pull'], created_ms: Date.now() - 86_400_000, told_ms: Date.now() - 60_000, said: '200', waiting: 0}];
export const connections = [{id: 'c1', kind: 'linear', name: 'acme', base: null, configuration: {}, secrets: ['token'], state: 'ready', error: null, created_ms: Date.now() - 86_400_000, hook: '/hooks/c1'}, {id: 'c2', kind: 'github', name: `shop ${EVIL}`, base: 'https://github.example', configuration: {}, secrets: [], state: 'broken', error: `401 ${EVIL}`, created_ms: Date.now(), hook: '/hooks/c2'}];
export const secrets = [{name: 'anthropic', for: ['POST api.anthropic.com/v1/*'], in: 'header x-api-key', require: true, set_ms: Date.now() - 86_400_000}];
