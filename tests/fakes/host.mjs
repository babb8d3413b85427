// What every fake of a code host is made of: bare repositories served over smart HTTP (git http-backend), answers that are lost or wrong on purpose,
// webhooks, a door for what people do there. Shares no code with the product.
import {spawn, execFileSync} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {createServer, request} from 'node:http';
import {formOf} from './form.mjs';

export const folder = process.argv[2];
export const wrong = [], calls = [];
const injected = [];
let next = 1000;
export const id = () => ++next;
export const now = () => new Date().toISOString().replace(/\.\d+Z/, 'Z');
export const there = (name) => existsSync(`${folder}/${name}.git`);
export const git = (name, ...args) => execFileSync('git', ['--git-dir', `${folder}/${name}.git`, ...args], {encoding: 'utf8'}).trim();
const hashes = new Set(), bases = new Map();
// Branches are read from their files, and a commit that was there stays: git is asked for the rest.
export function sha(name, ref) {
	if (hashes.has(ref)) return ref;
	try {
		const file = `${folder}/${name}.git/${ref}`, found = ref.startsWith('refs/') && existsSync(file) ? readFileSync(file, 'utf8').trim() : git(name, 'rev-parse', '--verify', '--quiet', ref);
		if (found === ref) hashes.add(ref);
		return found;
	} catch { return ''; }
}
export function mergeBase(name, one, other) {
	const key = `${name} ${one} ${other}`;
	if (!bases.has(key)) bases.set(key, git(name, 'merge-base', one, other));
	return bases.get(key);
}
// {match, kind, times, skip}: the first `skip` that match are let through. clear: forget the others; left: how many were not met.
export const inject = (row) => { if (row.clear) injected.length = 0; if (row.match) injected.push(row); return {left: injected.filter((one) => one.times > 0).length}; };
export function injection(line) {
	const found = injected.find((row) => row.times > 0 && new RegExp(row.match).test(line));
	if (!found || (found.skip ?? 0) > 0) { if (found) found.skip--; return undefined; }
	found.times--;
	return found.kind;
}
export const html = (status) => ({status, headers: {'content-type': 'text/html'}, raw: '<html><body><h1>502 Bad Gateway</h1></body></html>'});

// A merge commit of two branches, without a work tree.
export function merged(name, into, from) {
	const tree = git(name, 'merge-tree', '--write-tree', into, from).split('\n')[0];
	return git(name, '-c', 'user.name=x', '-c', 'user.email=x@x', 'commit-tree', tree, '-p', into, '-p', from, '-m', 'merge');
}

// done(status) when the receiver answered; headers say whose it is.
export function send(url, headers, body, done = () => {}) {
	const out = request(url, {method: 'POST', headers: {'content-type': 'application/json', ...headers, 'content-length': body.length}}, (answer) => { answer.resume(); done(answer.statusCode); });
	out.on('error', () => {});
	out.end(body);
}

// allowed(user, password, name, push); pushed(name) afterwards.
function backend(req, res, url, host) {
	const name = /^\/(.+?)\.git\//.exec(url.pathname)[1], push = url.search.includes('receive-pack') || url.pathname.endsWith('receive-pack');
	const line = `GIT ${push ? 'push' : 'fetch'} ${req.method}`, kind = injection(line);
	if (push && req.method === 'POST') calls.push(line);
	if (kind === 'git503') return res.writeHead(503).end('try later');
	if (kind === 'git401') return res.writeHead(401, {'www-authenticate': 'Basic realm="git"'}).end();
	if (kind === 'git403') return res.writeHead(403).end('this branch is protected');
	const [user, password] = Buffer.from(/^Basic (.+)$/.exec(req.headers.authorization ?? '')?.[1] ?? '', 'base64').toString().split(/:(.*)/s);
	if (!host.allowed(user, password, name, push)) return res.writeHead(401, {'www-authenticate': 'Basic realm="git"'}).end();
	const child = spawn('git', ['-c', 'http.receivepack=true', '-c', 'uploadpack.allowAnySHA1InWant=true', 'http-backend'], {env: {PATH: process.env.PATH, GIT_PROJECT_ROOT: folder, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: url.pathname, QUERY_STRING: url.search.slice(1), REQUEST_METHOD: req.method, CONTENT_TYPE: req.headers['content-type'] ?? '', HTTP_CONTENT_ENCODING: req.headers['content-encoding'] ?? '', HTTP_GIT_PROTOCOL: req.headers['git-protocol'] ?? '', REMOTE_USER: 'assay', GIT_CONFIG_COUNT: '2', GIT_CONFIG_KEY_0: 'safe.directory', GIT_CONFIG_VALUE_0: '*', GIT_CONFIG_KEY_1: 'http.receivepack', GIT_CONFIG_VALUE_1: 'true'}});
	const parts = [];
	req.pipe(child.stdin);
	child.stdout.on('data', (d) => parts.push(d));
	child.on('close', () => {
		const all = Buffer.concat(parts), end = all.indexOf('\r\n\r\n'), headers = {};
		let status = 200;
		for (const row of all.subarray(0, end).toString().split('\r\n')) {
			const [key, ...value] = row.split(': ');
			if (key === 'Status') status = parseInt(value[0]);
			else headers[key] = value.join(': ');
		}
		if (kind === 'lost') return req.socket.destroy();
		res.writeHead(status, headers).end(all.subarray(end + 4));
		if (push && req.method === 'POST') host.pushed(name);
	});
}

// With UNTIL_STDIN_ENDS it lives no longer than who started it.
if (process.env.UNTIL_STDIN_ENDS) process.stdin.on('end', () => process.exit()).resume();

// rest(req, url, body) answers {status, body or raw, headers, lost}; acts are what people do there: POST /_/WHAT; state() is what there is.
export function serve(host, listening) {
	let base = '';
	const server = createServer((req, res) => {
		const url = new URL(req.url, base), parts = [];
		if (/\.git\//.test(url.pathname)) return backend(req, res, url, host);
		req.on('data', (d) => parts.push(d)).on('end', () => {
			let answer;
			try {
				const form = formOf(req.headers['content-type'], Buffer.concat(parts)), text = form ? '' : Buffer.concat(parts).toString(), body = form ?? (text ? JSON.parse(text) : undefined);
				if (url.pathname === '/_/state') answer = {status: 200, body: {...host.state(), calls, wrong}};
				else if (url.pathname.startsWith('/_/')) { const done = host.acts[url.pathname.slice(3)](body ?? {}); answer = {status: 200, ...(done.raw === undefined ? {body: done} : done)}; }
				else answer = host.rest(req, url, body);
			} catch (error) {
				wrong.push(`${req.method} ${req.url}: ${error.stack}`);
				answer = {status: 500, body: {message: String(error.stack)}};
			}
			if (answer.lost) return req.socket.destroy();
			const raw = answer.raw ?? (answer.body === undefined ? '' : JSON.stringify(answer.body));
			res.writeHead(answer.status, {'content-type': 'application/json; charset=utf-8', ...answer.headers}).end(raw);
		});
	});
	server.listen(0, '127.0.0.1', () => {
		base = `http://127.0.0.1:${server.address().port}`;
		listening(base);
		console.log(server.address().port);
	});
}
