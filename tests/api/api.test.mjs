// The API as a stranger's program sees it: a client that a public generator makes from the document drives a run to its merge, and every
// answer on the way is held against the document. Needs root and ASSAY.

import assert from 'node:assert/strict';
import {execFileSync, spawnSync} from 'node:child_process';
import {cpSync, existsSync, mkdtempSync, rmSync} from 'node:fs';
import {createServer} from 'node:http';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {setTimeout as pause} from 'node:timers/promises';

const ASSAY = process.env.ASSAY ?? '';
const HERE = import.meta.dirname;
const WAIT_MS = 120_000;

function whyNot() {
	if (process.getuid() !== 0)
		return 'needs root: sandboxes with limits';
	if (!existsSync(ASSAY))
		return 'ASSAY does not say where the binary is';
	return existsSync(join(HERE, 'node_modules/ajv')) ? null : 'the packages are not installed: npm ci in tests/api';
}
const skip = whyNot() ?? false;

let work;
let base;
let document;
let judge;
let client;
const seen = new Set();
const wrong = []; // answers that are not what the document says
const traces = []; // what the collector was sent
let collector;

const run = (program, args, options = {}) => execFileSync(program, args, {encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options});
const assay = (...args) => run(ASSAY, args, {cwd: join(work, 'tiny'), env: {...process.env, ASSAY_STATE: join(work, 'state'),
	OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.address().port}`, OTEL_BSP_SCHEDULE_DELAY: '100'}}).trim();
const git = (...args) => run('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], {cwd: join(work, 'tiny')});
const token = (name, role) => assay('token', 'create', name, '--role', role);

/** Waits until what `read` gives is enough, and gives it; the last of it otherwise. */
async function until(read, enough) {
	for (const end = Date.now() + WAIT_MS;; await pause(100)) {
		const got = await read();

		if (enough(got) || Date.now() > end)
			return got;
	}
}

/** Holds an answer against the document. */
async function makeJudge() {
	const {default: Ajv} = await import('ajv/dist/2020.js');
	const ajv = new Ajv({strict: false, allErrors: true, validateFormats: false});
	const compiled = new Map();
	const rows = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({
		operation, method: method.toUpperCase(), path: new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+')}$`), plain: !path.includes('{')})));

	ajv.addSchema({$id: 'api', components: document.components});
	const absolute = (schema) => JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"api#/components'));
	return (method, url, answer, text) => {
		const {pathname} = new URL(url);
		const fits = rows.filter((row) => row.method === method && row.path.test(pathname)).sort((a, b) => b.plain - a.plain)[0];

		assert.ok(fits, `${method} ${pathname} is not in the document`);
		seen.add(fits.operation.operationId);
		const type = answer.headers.get('content-type').split(';')[0];
		const says = answer.status === 200 ? fits.operation.responses['200'] : document.components.responses.Problem;

		assert.ok(says.content[type], `${method} ${pathname}: ${answer.status} with ${type}`);
		if (!type.endsWith('json') || type === 'application/vnd.dsse+json')
			return;
		const {schema} = says.content[type];
		if (!compiled.has(schema))
			compiled.set(schema, ajv.compile(absolute(schema)));
		const validate = compiled.get(schema);
		if (!validate(JSON.parse(text)))
			wrong.push(`${method} ${pathname}: ${ajv.errorsText(validate.errors)} in ${text.slice(0, 1000)}`);
	};
}

before(async () => {
	if (skip)
		return;
	collector = createServer(async (request, answer) => {
		let text = '';

		for await (const chunk of request)
			text += chunk;
		traces.push({url: request.url, type: request.headers['content-type'], body: JSON.parse(text)});
		answer.writeHead(200, {'content-type': 'application/json'}).end('{}');
	});
	await new Promise((resolve) => collector.listen(0, '127.0.0.1', resolve));
	work = mkdtempSync(join(tmpdir(), 'assay-api-'));
	cpSync(join(HERE, '../scenarios/tiny'), join(work, 'tiny'), {recursive: true});
	git('init', '--quiet', '--initial-branch', 'main');
	git('add', '--all');
	git('commit', '--quiet', '--message', 'as it is');
	base = assay('serve', '--background', '--listen', '127.0.0.1:0', '--preview', '127.0.0.1:0');
	assay('repo', 'put');
	document = await (await fetch(`${base}/api/v1/openapi.json`)).json();
	judge = await makeJudge();

	const plain = globalThis.fetch;
	globalThis.fetch = async (url, options = {}) => {
		const answer = await plain(url, options);

		if (String(url).startsWith(`${base}/api/`))
			judge(options.method ?? 'GET', String(url), answer, await answer.clone().text());
		return answer;
	};
});

after(() => {
	if (!work)
		return;
	spawnSync(ASSAY, ['serve', '--stop'], {env: {...process.env, ASSAY_STATE: join(work, 'state')}});
	collector.close();
	rmSync(work, {recursive: true, force: true});
});

test('the document is OpenAPI 3.1', {skip}, async () => {
	const {Validator} = await import('@seriousme/openapi-schema-validator');
	const judged = await new Validator().validate(structuredClone(document));

	assert.ok(judged.valid, JSON.stringify(judged.errors));
	assert.equal(document.openapi, '3.1.0');
});

test('a generator makes a client of it', {skip}, async () => {
	const bin = (name) => join(HERE, 'node_modules/.bin', name);
	const {writeFileSync} = await import('node:fs');

	writeFileSync(join(work, 'openapi.json'), JSON.stringify(document));
	run(bin('openapi'), ['--input', join(work, 'openapi.json'), '--output', join(work, 'client'), '--client', 'fetch', '--name', 'Assay']);
	run(bin('esbuild'), [join(work, 'client/index.ts'), '--bundle', '--platform=node', '--format=esm', `--outfile=${join(work, 'client.mjs')}`]);
	client = (await import(join(work, 'client.mjs'))).Assay;
	assert.ok(client);
});

test('the client drives a run from its text to its merge', {skip}, async () => {
	const developer = new client({BASE: base, TOKEN: token('program', 'developer')});
	const approver = new client({BASE: base, TOKEN: token('boss', 'approver')});
	const started = await developer.runs.postRuns({repository: 'tiny', title: 'Say hello louder'});
	const reaches = (...states) => until(() => developer.runs.getRunsByRun(started.id), (now) => states.includes(now.state));
	const verdicts = async () => (await developer.runs.getRunsByRunEvents(started.id, 0, 1000)).items.filter((event) => event.type === 'verdict').length;
	const reviewed = await reaches('review', 'failed');

	assert.equal(reviewed.verdict, 'verified', JSON.stringify(reviewed));
	const events = await developer.runs.getRunsByRunEvents(started.id, 0, 1000);
	assert.ok(events.items.some((event) => event.type === 'verdict' && event.verdict === 'verified'));
	assert.equal((await developer.runs.getRunsByRunReport(started.id)).verdict, 'verified');
	assert.match(JSON.stringify(await developer.runs.getRunsByRunRecord(started.id)), /payloadType/);
	assert.match(await developer.pulls.getPullsByNumberDiff(reviewed.pull), /^diff --git/);
	await developer.pulls.postPullsByNumberReview(reviewed.pull, {kind: 'comment', text: 'Louder still'});
	assert.equal(await until(verdicts, (count) => count > 1), 2);
	await reaches('review');
	await assert.rejects(developer.pulls.postPullsByNumberMerge(reviewed.pull, {}), (error) => error.status === 403 && /approver/.test(error.body.detail));
	assert.equal((await approver.pulls.postPullsByNumberMerge(reviewed.pull, {})).state, 'merged');
	assert.equal((await reaches('done')).state, 'done');
	assert.equal((await until(() => developer.issues.getIssuesByNumber(reviewed.issue), ({state}) => state === 'done')).state, 'done');
	const reviews = (await developer.pulls.getPullsByNumber(reviewed.pull)).reviews;
	assert.equal(reviews[0].author, 'program');
});

test('a collector of OpenTelemetry is told what the run did', {skip}, async () => {
	const {opentelemetry} = (await import('@opentelemetry/otlp-proto-exporter-base/build/src/generated/root.js')).default;
	const request = opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
	const spans = () => traces.flatMap(({body}) => body.resourceSpans.flatMap((one) => one.scopeSpans.flatMap((scope) => scope.spans)));
	const named = (name) => spans().filter((span) => span.name === name);

	await until(() => named('run').length && named('step close').length, Boolean);
	for (const {url, type, body} of traces) {
		const bytes = (name, value) => /^(trace|span|parentSpan)Id$/.test(name) ? Buffer.from(value, 'hex').toString('base64') : value;
		const plain = JSON.parse(JSON.stringify(body, bytes)); // OTLP's JSON has ids in hexadecimal

		assert.deepEqual([url, type], ['/v1/traces', 'application/json']);
		assert.equal(request.verify(request.fromObject(plain)), null);
		assert.deepEqual(request.toObject(request.fromObject(plain), {longs: String, bytes: String, enums: Number}), plain);
	}
	const [root] = named('run');
	const attributes = Object.fromEntries(root.attributes.map(({key, value}) => [key, Object.values(value)[0]]));
	const children = (span) => spans().filter((one) => one.parentSpanId === span.spanId && one.traceId === span.traceId).map((one) => one.name);
	const parts = (name) => named(name).flatMap(children);

	assert.equal(root.parentSpanId, undefined);
	assert.deepEqual([attributes['assay.state'], attributes['assay.verdict'], attributes['assay.repository']], ['done', 'verified', 'tiny']);
	for (const step of ['claim', 'fork', 'turn', 'verify', 'publish', 'review', 'close'])
		assert.ok(children(root).includes(`step ${step}`), step);
	assert.ok(parts('step fork').includes('environment up'));
	assert.ok(parts('step turn').includes('turn 1'));
	assert.ok(parts('step verify').includes('gate replay'));
	assert.ok(parts('gate deploy').includes('environment up'));
	assert.ok(parts('step publish').includes('deploy'));
	const [asked] = named('POST /api/v1/runs');
	assert.deepEqual([asked.kind, asked.attributes.find(({key}) => key === 'http.response.status_code').value], [2, {intValue: '200'}]);
	assert.ok(spans().every((span) => BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano)));
});

test('every list and every object is what the document says', {skip}, async () => {
	const headers = {Authorization: `Bearer ${token('reader', 'admin')}`};
	const {id} = JSON.parse(assay('env', 'up', '--name', 'looked-at', '--json'));
	const runs = await (await fetch(`${base}/api/v1/runs?limit=1`, {headers})).json();
	const values = {run: runs.items[0].id, number: '1', env: id, name: 'tiny', version: '1', hold: 'h1'};
	const queries = {get_repositories_by_name_file: '?path=assay.yaml'};

	for (const [path, {get}] of Object.entries(document.paths)) {
		if (!get || get.responses['101'] || get.operationId === 'get_events')
			continue;
		await fetch(base + path.replace(/\{([^}]+)\}/g, (_, name) => values[name]) + (queries[get.operationId] ?? ''), {headers});
	}
	for (const [path, body] of [['/ledger/verify'], [`/environments/${id}/freeze`], [`/environments/${id}/thaw`], [`/environments/${id}/pin`],
		[`/environments/${id}/unpin`], [`/environments/${id}/extend`, {grace_ms: 60000}], [`/environments/${id}/exec`, {sandbox: 'web', argv: ['true']}],
		[`/environments/${id}/session`], [`/runs/${values.run}/budget`, {usd: '5'}], ['/kill', {env: id, because: 'a test'}], ['/kill', {env: id, undo: true}],
		['/issues', {repository: 'tiny', title: 'Another'}], ['/issues/2/attachments?name=a.json', {any: 'bytes'}], ['/issues/2/comments', {text: 'x'}], ['/issues/2/close'], ['/issues/2/reopen'], ['/tokens', {name: 'a', role: 'viewer'}],
		['/policy', {text: 'rules: []\n'}], ['/policy/reload'], ['/policy/judge', {requests: [{method: 'GET', url: 'https://example.com/'}], env: id}], ['/runs/nobody/stop']])
		await fetch(`${base}/api/v1${path}`, {method: 'POST', headers, body: JSON.stringify(body ?? {})});
	await fetch(`${base}/api/v1/tokens/a`, {method: 'DELETE', headers});
	await fetch(`${base}/api/v1/environments/${id}`, {method: 'DELETE', headers});
	assert.deepEqual(wrong, []);
	assert.ok(seen.size >= 55, `${seen.size} calls were held against the document`);
});

test('what changes is told in order, signed, and again until it is taken', {skip}, async () => {
	const {Webhook} = await import('standardwebhooks');
	const headers = {Authorization: `Bearer ${token('hooks', 'admin')}`};
	const call = async (method, path, body) => (await fetch(`${base}/api/v1${path}`, {method, headers, body: body && JSON.stringify(body)})).json();
	const got = [];
	let refusals = 2;
	const receiver = createServer(async (request, answer) => {
		let text = '';

		for await (const chunk of request)
			text += chunk;
		if (refusals-- > 0)
			return void answer.writeHead(500).end();
		got.push({headers: request.headers, text});
		answer.writeHead(request.url === '/gone' ? 410 : 204).end();
	});

	await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
	try {
		const made = await call('POST', '/webhooks', {url: `http://127.0.0.1:${receiver.address().port}/here`, on: ['issue']});
		const issue = await call('POST', '/issues', {repository: 'tiny', title: 'Tell of it'});
		await call('POST', `/issues/${issue.number}/close`, {});
		await call('POST', `/issues/${issue.number}/reopen`, {});
		const hooks = async () => (await call('GET', '/webhooks')).items;
		const [listed] = await until(hooks, ([one]) => got.length >= 3 && one.waiting === 0);
		const events = got.map(({headers: had, text}) => new Webhook(made.secret).verify(text, had));
		assert.deepEqual(events.map((event) => [event.type, event.data.number, event.data.state]), [['issue.changed', issue.number, 'open'], ['issue.changed', issue.number, 'closed'], ['issue.changed', issue.number, 'open']]);
		assert.equal(new Set(got.map((one) => one.headers['webhook-id'])).size, 3);
		assert.throws(() => new Webhook(made.secret).verify(`${got[0].text} `, got[0].headers));
		assert.throws(() => new Webhook('whsec_AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=').verify(got[0].text, got[0].headers));
		assert.deepEqual([listed.id, listed.on, listed.said, listed.waiting], [made.id, ['issue'], '204', 0]);
		assert.equal(listed.secret, undefined);
		await call('DELETE', `/webhooks/${made.id}`);
		await call('POST', '/webhooks', {url: `http://127.0.0.1:${receiver.address().port}/gone`});
		await call('POST', `/issues/${issue.number}/close`, {});
		assert.deepEqual(await until(hooks, (items) => !items.length), []);
		assert.equal(got.length, 4);
	} finally {
		receiver.close();
	}
	assert.deepEqual(wrong, []);
});

test('metrics are there for who scrapes them', {skip}, async () => {
	const text = await (await fetch(`${base}/metrics`)).text();

	assert.match(text, /^assay_runs\{state="done"\} 1$/m);
	assert.match(text, /^assay_verdicts\{verdict="verified"\} 1$/m);
	assert.equal(await (await fetch(`${base}/readyz`)).text(), 'store: ok\nvault: ok\nenvironments: ok\ngateway: ok\nkeeper: ok\n');
});
