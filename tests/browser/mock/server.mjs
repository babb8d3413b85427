// A server that answers as doc/api.md says, from tests/browser/mock/data.mjs: what the pages are made and tested against without
// anything else of Assay. `node server.mjs [PORT|/SOCKET] [--empty]` prints its address.

import {createServer} from 'node:http';
import {readFile} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {extname, join, normalize} from 'node:path';

import * as data from './data.mjs';
import {shell} from './shell.mjs';

const WEB = fileURLToPath(new URL('../../../web', import.meta.url));
const TYPES = {'.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml'};
const CSP = "default-src 'self'; frame-src http://*.localhost:7421; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

class Refused extends Error {
	constructor(status, kind, message) {
		super(message);
		Object.assign(this, {status, kind});
	}
}

const missing = (what) => new Refused(404, 'not_found', `${what}: there is none`);
const one = (list, test, what) => list.find(test) ?? (() => { throw missing(what); })();

/** The same with every text that somebody else may have written made hostile: markup, marks that turn lines around, and no blank for long. */
const KEPT = new Set(['id', 'state', 'status', 'kind', 'run', 'env', 'environment', 'base', 'head', 'merged', 'preview', 'verdict', 'type', 'repository', 'agent', 'digest', 'proto', 'severity', 'purpose', 'owner', 'race', 'branch', 'created', 'from', 'to', 'commit', 'writer', 'request', 'role', 'on', 'hash', 'engine', 'path_of', 'reason_kind', 'edge', 'url']);
const HOSTILE = `${data.EVIL} \u202egnp.exe\u2066 ${'x'.repeat(400)}`;

function spoil(value, name = '') {
	if (typeof value === 'string')
		return KEPT.has(name) ? value : value + HOSTILE;
	if (Array.isArray(value))
		return value.map((one) => (typeof one === 'string' ? one : spoil(one, name)));
	return value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, spoil(one, key)])) : value;
}

/** A list as the API cuts it: ?state=&repository=&agent=&text=&asks=&limit=&after=. */
function listPage(list, query, groups, key) {
	const states = (query.get('state') ?? '').split(',').flatMap((state) => groups[state] ?? [state]).filter(Boolean);
	const text = (query.get('text') ?? '').toLowerCase();
	const limit = Number(query.get('limit') ?? 100);
	const found = list.filter((one) => (!states.length || states.includes(one.state)) && (!query.get('repository') || one.repository === query.get('repository')) && (!query.get('agent') || one.agent === query.get('agent')) && (!query.get('asks') || one.question)
		&& `${one.title} ${one.id ?? one.branch ?? ''}`.toLowerCase().includes(text));
	const from = query.get('after') ? found.findIndex((one) => String(one[key]) === query.get('after')) + 1 : 0;
	const items = found.slice(from, from + limit);

	return {items, ...(from + limit < found.length ? {next: String(items.at(-1)[key])} : {}), ...(query.get('states') ? {states: list.reduce((all, {state}) => ({...all, [state]: (all[state] ?? 0) + 1}), {})} : {})};
}
const RUN_GROUPS = {active: ['queued', 'claim', 'fork', 'turn', 'verify', 'publish', 'review', 'close'], over: ['done', 'failed', 'stopped']};

/** empty: a machine on which nothing happened yet; socket: listens there instead, and wants no token, as the command line's socket. */
export async function mockServer({port = 0, empty = false, socket = null, hostile = false} = {}) {
	const world = (hostile ? spoil : structuredClone)({runs: data.runs, issues: data.issues, pulls: data.pulls, environments: data.environments, snapshots: data.snapshots, holds: data.holds, kills: data.kills, ledger: data.ledger, events: data.events, repositories: data.repositories, webhooks: data.webhooks, connections: data.connections});
	const listeners = new Set();
	const calls = [];

	if (empty)
		for (const list of ['runs', 'issues', 'pulls', 'environments', 'snapshots', 'repositories', 'holds', 'kills', 'ledger', 'webhooks', 'connections'])
			world[list] = [];

	const emit = (channel, type, body, seq) => {
		for (const listener of listeners)
			if (listener.channel === channel)
				listener.answer.write(`${seq ? `id: ${seq}\n` : ''}event: ${type}\ndata: ${JSON.stringify(body)}\n\n`);
	};
	const addEvent = (id, event) => {
		const list = world.events[id] ??= [];
		const full = {seq: list.length + 1, time_ms: Date.now(), ...event};

		list.push(full);
		emit(`run ${id}`, full.type, full, full.seq);
	};
	const changed = (kind, body) => emit('all', kind, body);
	const run = (id) => one(world.runs, (r) => r.id === id, `run ${id}`);
	const issue = (n) => one(world.issues, (i) => i.number === Number(n), `issue ${n}`);
	const pull = (n) => one(world.pulls, (p) => p.number === Number(n), `pull request ${n}`);
	const environment = (id) => one(world.environments, (e) => e.id === id || e.name === id, `environment ${id}`);
	const answerHold = (id, status, body) => {
		const hold = one(world.holds, (h) => h.id === id, `hold ${id}`);

		if (hold.status !== 'open')
			throw new Refused(409, 'conflict', `${id} is over: ${hold.status}`);
		changed('hold', {open: world.holds.filter((h) => h.status === 'open').length});
		return Object.assign(hold, {status, answered_ms: Date.now(), by: 'you', scope: body.for ?? 'once'});
	};
	const setState = (r, state) => {
		Object.assign(r, {state, state_since_ms: Date.now()});
		addEvent(r.id, {type: 'state', state});
		changed('run', {id: r.id, state});
		return r;
	};
	const stream = (answer, channel, first = '') => {
		const listener = {answer, channel};

		answer.writeHead(200, {'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store'});
		answer.write(`: hello\n\n${first}`);
		listeners.add(listener);
		answer.on('close', () => listeners.delete(listener));
		return STREAMED;
	};
	const work = (answer, steps, done) => {
		answer.writeHead(200, {'Content-Type': 'text/event-stream'});
		for (const step of steps)
			answer.write(`event: progress\ndata: ${JSON.stringify({step, detail: '', ms: 12})}\n\n`);
		answer.end(`event: done\ndata: ${JSON.stringify(done)}\n\n`);
		return STREAMED;
	};
	const STREAMED = Symbol('streamed');
	const plain = (body, type = 'text/plain; charset=utf-8') => ({plain: body, type});
	const envState = (e, state) => {
		e.state = state;
		changed('environment', {id: e.id, state});
		return e;
	};

	const routes = [
		['GET', '/status', () => data.status],
		['GET', '/doctor', () => ({items: data.doctor})],
		['GET', '/holds', ({query}) => ({items: world.holds.filter((hold) => query.get('all') || hold.status === 'open')})],
		['POST', '/holds/:id/approve', ({id, body}) => answerHold(id, 'approved', body)],
		['POST', '/holds/:id/deny', ({id, body}) => answerHold(id, 'denied', body)],
		['GET', '/ledger', ({query}) => ({items: world.ledger.filter((row) => row.id > Number(query.get('after') ?? 0) && ['run', 'env', 'host', 'rule', 'kind'].every((name) => !query.get(name) || row[name] === query.get(name)))})],
		['POST', '/ledger/verify', () => data.chain],
		['GET', '/policy', () => (empty ? {...data.policy, path: null, policy: null, rules: 0} : data.policy)],
		['POST', '/policy/reload', () => data.policy],
		['GET', '/policy/text', () => { if (empty) throw missing('a policy'); return plain(data.policyText); }],
		['POST', '/policy', ({body}) => { if (!body.text.includes('rules:')) throw new Refused(400, 'invalid', 'policy.yaml:1:1: a policy has rules'); return data.policy; }],
		['POST', '/policy/judge', ({body}) => ({items: body.requests.map(({url}) => data.judge(url, body.text))})],
		['GET', '/ledger/heads', () => ({items: ['gateway 8', 'serve 1']})],
		['GET', '/agents', () => ({items: data.agents})],
		['GET', '/tokens', () => ({items: data.tokens})],
		['GET', '/webhooks', () => ({items: world.webhooks})],
		['POST', '/webhooks', ({body}) => { world.webhooks.push({id: 'w2', url: body.url, on: body.on, created_ms: Date.now(), told_ms: null, said: null, waiting: 0}); return {id: 'w2', url: body.url, secret: 'whsec_bW9jaw=='}; }],
		['DELETE', '/webhooks/:id', ({id}) => { world.webhooks = world.webhooks.filter((hook) => hook.id !== id); return {}; }],
		['GET', '/connections', () => ({items: world.connections})],
		['DELETE', '/connections/:id', ({id}) => { world.connections = world.connections.filter((one) => one.id !== id); return {}; }],
		['GET', '/secrets', () => ({items: data.secrets})],
		['GET', '/kills', () => ({items: world.kills})],
		['POST', '/kill', ({body}) => {
			const env = body.all ? '' : body.env;
			world.kills = world.kills.filter((kill) => kill.env !== env);
			if (!body.undo)
				world.kills.push({env, because: body.because ?? '', by: 'you', at_ms: Date.now()});
			changed('hold', {open: 1});
			return {env, killed: !body.undo, by_kernel: false, ms: 1};
		}],
		['GET', '/repositories', () => ({items: world.repositories})],
		['POST', '/repositories', ({body}) => ({name: body.name ?? 'shop', commit: data.repositories[1].head})],
		['GET', '/runs', ({query}) => listPage(world.runs, query, RUN_GROUPS, 'id')],
		['GET', '/runs/:id/budget', ({id}) => ({...data.budget, run: run(id).id})],
		['GET', '/runs/:id/pictures', ({id}) => ({items: run(id).pull ? (hostile ? spoil(data.pictures) : data.pictures) : []})],
		['GET', '/runs/:id/diff', ({id}) => { const text = data.diffs[run(id).pull]; if (!text) throw missing(`a change of run ${id}`); return plain(text); }],
		['GET', '/runs/:id', ({id}) => run(id)],
		['POST', '/runs', ({body}) => {
			const from = body.issue ? issue(body.issue) : null;
			const made = {...structuredClone(data.runs[0]), id: 'rnew0000001', repository: body.repository, issue: body.issue ?? 99, title: from?.title ?? body.title, state: 'queued', steps: [], plan: [], created_ms: Date.now(), environment: null, preview: null};
			world.runs.unshift(made);
			if (from)
				Object.assign(from, {state: 'working', run: made.id});
			changed('run', {id: made.id, state: 'queued'});
			return made;
		}],
		['GET', '/runs/:id/events', ({id, query, answer}) => {
			const list = (world.events[run(id).id] ?? []).filter((e) => e.seq > Number(query.get('after') ?? 0));
			if (!query.get('follow'))
				return {items: list};
			return stream(answer, `run ${id}`, list.map((e) => `id: ${e.seq}\nevent: ${e.type}\ndata: ${JSON.stringify(e)}\n\n`).join(''));
		}],
		['POST', '/runs/:id/message', ({id, body}) => { addEvent(run(id).id, {type: 'message', author: body.author ?? 'you', text: body.text}); return {}; }],
		['POST', '/runs/:id/declarations', ({id, body}) => { const one = run(id); one.declarations = [...(one.declarations ?? []).filter((row) => row.match !== body.difference), {match: body.difference, by: 'you', because: body.because ?? '', state: 'declared', time_ms: Date.now()}]; changed('run', {id, state: one.state}); return one; }],
		['DELETE', '/runs/:id/declarations', ({id, query}) => { const one = run(id); one.declarations = one.declarations.filter((row) => row.match !== query.get('difference')); changed('run', {id, state: one.state}); return one; }],
		['POST', '/runs/:id/stop', ({id}) => setState(run(id), 'stopped')],
		['POST', '/runs/:id/retry', ({id}) => setState(run(id), 'queued')],
		['GET', '/runs/:id/record', ({id}) => { if (!data.reports[id]) throw missing(`a record of run ${id}`); return plain(JSON.stringify(data.recordOf(run(id))), 'application/vnd.dsse+json'); }],
		['GET', '/runs/:id/report', ({id}) => (hostile ? spoil(data.reports[id]) : data.reports[id]) ?? (() => { throw missing(`a report of run ${id}`); })()],
		['GET', '/issues', ({query}) => listPage(world.issues, query, {active: ['open', 'working', 'review']}, 'number')],
		['GET', '/issues/:n', ({n}) => issue(n)],
		['POST', '/issues', ({body}) => {
			if (!body.title?.trim())
				throw new Refused(400, 'invalid', 'title: expected a line of text');
			const made = {number: 8, repository: body.repository, title: body.title, body: body.body ?? '', state: 'open', created_ms: Date.now(), comments: [], run: null, pull: null};
			world.issues.unshift(made);
			changed('issue', {number: 8, state: 'open'});
			return made;
		}],
		['POST', '/issues/:n/comments', ({n, body}) => { issue(n).comments.push({author: 'you', text: body.text, time_ms: Date.now()}); changed('issue', {number: Number(n)}); return issue(n); }],
		['DELETE', '/issues/:n/attachments/:name', ({n, name}) => { issue(n).attachments = issue(n).attachments.filter((file) => file.name !== decodeURIComponent(name)); return {}; }],
		['POST', '/issues/:n/close', ({n}) => Object.assign(issue(n), {state: 'closed'})],
		['POST', '/issues/:n/reopen', ({n}) => Object.assign(issue(n), {state: 'open'})],
		['GET', '/pulls', ({query}) => listPage(world.pulls, query, {}, 'number')],
		['GET', '/pulls/:n', ({n}) => pull(n)],
		['GET', '/pulls/:n/diff', ({n}) => plain(data.diffs[pull(n).number] ?? '')],
		['GET', '/pulls/:n/changes', ({n}) => ({items: data.changes[pull(n).number] ?? []})],
		['POST', '/pulls/:n/review', ({n, body}) => { pull(n).reviews.push({author: 'you', kind: body.kind, text: body.text, time_ms: Date.now()}); changed('pull', {number: Number(n)}); return pull(n); }],
		['POST', '/pulls/:n/merge', ({n, body}) => {
			if (pull(n).verdict !== 'verified' && !body.force)
				throw new Refused(409, 'conflict', `pull request ${n} is not verified`);
			return Object.assign(pull(n), {state: 'merged', merged: 'a'.repeat(40)});
		}],
		['POST', '/pulls/:n/close', ({n}) => Object.assign(pull(n), {state: 'closed'})],
		['GET', '/environments', () => ({items: world.environments})],
		['GET', '/environments/:id', ({id}) => environment(id)],
		['POST', '/environments', ({body, answer}) => work(answer, ['clone db', 'start db', 'ready front'], {...structuredClone(data.environments[0]), id: 'enew0000001', repository: body.repository, owner: ''})],
		['POST', '/environments/:id/fork', ({id, answer}) => work(answer, ['freeze', 'clone db', 'ready front'], {...environment(id), id: 'efork000001'})],
		['POST', '/environments/:id/reset-data', ({id, answer}) => work(answer, ['stop db', 'clone db', 'start db'], environment(id))],
		['POST', '/environments/:id/freeze', ({id}) => envState(environment(id), 'frozen')],
		['POST', '/environments/:id/thaw', ({id}) => envState(environment(id), 'ready')],
		['POST', '/environments/:id/pin', ({id}) => Object.assign(environment(id), {pinned: true})],
		['POST', '/environments/:id/unpin', ({id}) => Object.assign(environment(id), {pinned: false})],
		['POST', '/environments/:id/extend', ({id, body}) => Object.assign(environment(id), {expires_ms: Date.now() + body.grace_ms})],
		['DELETE', '/environments/:id', ({id}) => { world.environments = world.environments.filter((e) => e !== environment(id)); changed('environment', {id, state: 'gone'}); return {}; }],
		['GET', '/environments/:id/logs', ({id, query}) => { environment(id); const only = query.get('sandbox'); return plain(data.logs.split('\n').filter((l) => !only || l.startsWith(only)).join('\n')); }],
		['GET', '/environments/:id/exchanges', ({id}) => { environment(id); return {items: hostile ? spoil(data.exchanges) : data.exchanges}; }],
		['POST', '/environments/:id/session', ({id}) => { environment(id); return {log: {version: '1.2', creator: {name: 'assay', version: '0.1.0'}, entries: []}}; }],
		['GET', '/snapshots', () => ({items: world.snapshots})],
		['DELETE', '/snapshots/:name/:version', ({name, version}) => { world.snapshots = world.snapshots.filter((s) => s.name !== name || s.version !== Number(version)); return {}; }],
		['GET', '/records/key', () => plain(data.key, 'application/x-pem-file')],
		['GET', '/events', ({answer}) => stream(answer, 'all')],
	].map(([method, pattern, handler]) => ({method, handler, expression: new RegExp(`^${pattern.replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`)}));

	const api = async (request, answer, url) => {
		const path = url.pathname.slice('/api/v1'.length);
		const row = routes.find((r) => r.method === request.method && r.expression.test(path));
		let text = '';

		if (!row)
			throw missing(`${request.method} ${path}`);
		if (request.method !== 'GET' && !socket && request.headers['x-assay-token'] !== 'mock')
			throw new Refused(403, 'denied', 'X-Assay-Token is missing or wrong');
		for await (const chunk of request)
			text += chunk;
		const body = text ? JSON.parse(text) : {};
		calls.push({method: request.method, path, body});
		return row.handler({...row.expression.exec(path).groups, body, query: url.searchParams, answer});
	};
	const page = async (answer, path) => {
		const picture = /^\/pictures\/\w+$/.test(path);
		const file = picture ? '/icon.svg' : extname(path) ? normalize(path) : '/index.html';

		try {
			const bytes = await readFile(join(WEB, file));
			answer.writeHead(200, {'Content-Type': TYPES[extname(file)], 'Content-Security-Policy': CSP, 'X-Content-Type-Options': 'nosniff', 'X-Frame-Options': 'DENY', 'Cache-Control': 'no-store'});
			answer.end(bytes);
		} catch {
			throw missing(path);
		}
	};
	/** A shell that says who it is and repeats what it is told, in colours. */
	const terminal = (request, socket_) => {
		const url = new URL(request.url, 'http://mock');
		const offered = (request.headers['sec-websocket-protocol'] ?? '').split(/, */);

		if (!/^\/api\/v1\/environments\/[^/]+\/terminal$/.test(url.pathname) || !offered.includes('token.mock'))
			return socket_.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
		calls.push({method: 'UPGRADE', path: url.pathname, body: Object.fromEntries(url.searchParams)});
		shell(request, socket_, url.searchParams.get('sandbox'));
	};
	const server = createServer(async (request, answer) => {
		const url = new URL(request.url, 'http://mock');

		try {
			if (url.pathname === '/session.json')
				return void answer.writeHead(200, {'Content-Type': 'application/json'}).end('{"token":"mock"}');
			if (!url.pathname.startsWith('/api/v1/'))
				return await page(answer, url.pathname);
			const result = await api(request, answer, url);
			if (result === STREAMED)
				return;
			if (result.plain !== undefined)
				return void answer.writeHead(200, {'Content-Type': result.type}).end(result.plain);
			answer.writeHead(200, {'Content-Type': 'application/json'}).end(JSON.stringify(result));
		} catch (error) {
			answer.writeHead(error.status ?? 500, {'Content-Type': 'application/problem+json'}).end(JSON.stringify({kind: error.kind ?? 'broken', detail: error.message}));
		}
	});

	/** As if it had died: nobody is answered any more, until it is there again. */
	let isAway = false;
	const away = (yes) => {
		isAway = yes;
		if (yes)
			server.closeAllConnections();
	};

	server.on('connection', (socket_) => isAway && socket_.destroy());
	server.on('upgrade', terminal);
	await new Promise((resolve) => server.listen(...(socket ? [socket] : [port, '127.0.0.1']), resolve));
	return {
		base: socket ?? `http://127.0.0.1:${server.address().port}`, calls, world, addEvent, changed, away,
		close: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }),
	};
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const where = process.argv[2] ?? '0';
	const server = await mockServer({...(where.startsWith('/') ? {socket: where} : {port: Number(where)}), empty: process.argv.includes('--empty')});
	console.log(server.base);
}
