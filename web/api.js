// api: requests to `assay serve`, and its streams of events.

const BASE = '/api/v1';
let session = null;

export class ApiError extends Error {
	constructor(kind, message) {
		super(message);
		this.kind = kind;
	}
}

async function token() {
	return (await who()).token;
}

/** Who the server takes us for: {token, name, role, signed_in}. */
export async function who() {
	session ??= fetch('/session.json');
	try {
		const answer = (await session).clone();

		if (answer.ok)
			return await answer.json();
		session = null;
		throw await refusal(answer);
	} catch (error) {
		session = null;
		throw error instanceof ApiError ? error : new ApiError('retry', 'The server does not answer: start it with `assay serve`.');
	}
}

/** Shows a token once; from then on the browser's cookie says who we are. */
export async function signIn(secret) {
	const answer = await fetch('/signin', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({token: secret})});

	if (!answer.ok)
		throw new ApiError('denied', (await answer.json()).detail);
	session = null;
}

export async function signOut() {
	await fetch('/signout', {method: 'POST'});
	session = null;
}

async function refusal(answer) {
	try {
		const {kind, detail} = await answer.json();

		if (answer.status === 401)
			dispatchEvent(new Event('assay:unknown'));
		return new ApiError(kind, detail);
	} catch {
		return new ApiError('broken', `The server answered ${answer.status}.`);
	}
}

async function request(method, path, body) {
	const headers = {};
	let answer;

	if (method !== 'GET')
		headers['X-Assay-Token'] = await token();
	if (body !== undefined)
		headers['Content-Type'] = 'application/json';
	try {
		answer = await fetch(BASE + path, {method, headers, body: body === undefined ? undefined : JSON.stringify(body)});
	} catch {
		throw new ApiError('retry', 'The server does not answer: start it with `assay serve`.');
	}
	if (answer.status === 403)
		session = null; // the server was started again: its token is new
	if (!answer.ok)
		throw await refusal(answer);
	return answer;
}

export const get = async (path) => (await request('GET', path)).json();

/** All items of a list, which comes in pages. */
export async function items(path) {
	let page = await get(path);
	const all = page.items;

	while (page.next) {
		page = await get(`${path}${path.includes('?') ? '&' : '?'}after=${encodeURIComponent(page.next)}`);
		all.push(...page.items);
	}
	return all;
}

/** A text that goes on: `tell` gets each part as it comes, until the server ends or `signal` stops it. */
export async function lines(path, signal, tell) {
	const answer = await fetch(BASE + path, {signal});

	if (!answer.ok)
		throw await refusal(answer);
	for await (const part of answer.body.pipeThrough(new TextDecoderStream()))
		tell(part);
}

export const text = async (path) => (await request('GET', path)).text();
export const post = async (path, body = {}) => (await request('POST', path, body)).json();
export const remove = async (path) => (await request('DELETE', path)).json();
export const address = (path) => BASE + path;

/** As get, but null when there is none. */
export async function find(path, how = get) {
	try {
		return await how(path);
	} catch (error) {
		if (error.kind === 'not_found')
			return null;
		throw error;
	}
}

/** A WebSocket: a browser lets a page put no header on it, so the token goes with the protocols. */
export async function socket(path, protocol) {
	return new WebSocket(`${location.origin.replace(/^http/, 'ws')}${BASE}${path}`, [protocol, `token.${await token()}`]);
}

/** A POST whose answer is server-sent events: calls progress(data) for each step and returns what `done` carried. */
export async function work(path, body, progress) {
	const answer = await request('POST', path, body);
	let rest = '';
	let done;

	for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
		const blocks = (rest + chunk).split('\n\n');

		rest = blocks.pop();
		for (const block of blocks) {
			const {event, data} = parseBlock(block);

			if (event === 'progress')
				progress?.(data);
			if (event === 'error')
				throw new ApiError(data.kind, data.detail);
			if (event === 'done')
				done = data;
		}
	}
	if (done === undefined)
		throw new ApiError('retry', 'The server went away before the work was done.');
	return done;
}

function parseBlock(block) {
	let event = 'message';
	const data = [];

	for (const line of block.split('\n')) {
		if (line.startsWith('event:'))
			event = line.slice(6).trim();
		if (line.startsWith('data:'))
			data.push(line.slice(5).replace(/^ /, ''));
	}
	return {event, data: data.length ? JSON.parse(data.join('\n')) : {}};
}

/**
 * Follows a stream while the page is visible: a browser allows six connections a server, and hidden pages must not use them up.
 * `path(after)` gives the address; `types` are the events; `event(type, data)` is called for each; `alive(bool)` when it changes.
 */
export function follow({path, types, event, alive}) {
	let source = null;
	let after = 0;

	const open = () => {
		if (source || document.hidden)
			return;
		source = new EventSource(BASE + path(after));
		source.onopen = () => alive?.(true);
		source.onerror = () => {
			alive?.(false);
			if (source?.readyState === EventSource.CLOSED) {
				source = null;
				setTimeout(open, 2000);
			}
		};
		for (const type of types)
			source.addEventListener(type, (message) => {
				if (typeof message.data !== 'string')
					return; // the connection's own `error`
				after = Number(message.lastEventId) || after;
				event(type, JSON.parse(message.data));
			});
	};
	const close = () => {
		source?.close();
		source = null;
	};
	const turn = () => (document.hidden ? close() : open());

	document.addEventListener('visibilitychange', turn);
	open();
	return () => {
		document.removeEventListener('visibilitychange', turn);
		close();
	};
}
