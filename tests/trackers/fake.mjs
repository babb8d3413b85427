/*
 * What the fakes of trackers share: what is to go wrong, what was wrong, a server that is told what to do at /_/ACTION and says at /_/state what it
 * knows. It shares nothing with the product.
 */
import {createServer} from 'node:http';
import {createServer as createSecureServer} from 'node:https';

export const faults = [], wrong = [], log = [];

/* What is to go wrong next with an operation, if anything is. */
export function fault_take(operation) {
	const found = faults.find(each => each.count > 0 && (!each.operation || each.operation === operation));
	if (found)
		found.count--;
	return found?.kind;
}

export const answer = (response, status, body, headers = {}) => response.writeHead(status, {'Content-Type': 'application/json;charset=UTF-8', ...headers})
	.end(typeof body === 'string' ? body : JSON.stringify(body));

/* Sends a webhook as often as it is told. */
export async function deliver(url, body, headers, {times = 1} = {}) {
	const statuses = [];
	for (let i = 0; i < times; i++) {
		const from = performance.now(), reply = await fetch(url, {method: 'POST', body, headers});
		statuses.push(reply.status);
		log.push({webhook: true, status: reply.status, ms: Math.round(performance.now() - from)});
	}
	return {statuses};
}

const shared = {fault: fault => { faults.push({count: 1, ...fault}); }};

/* `route` gets {method, path, query, headers, body (text), bytes} and the response; what it throws is wrong. With `tls` (as of node:https) it is HTTPS. */
export function serve(route, actions, state, begun = () => {}, tls = undefined) {
	const listener = async (request, response) => {
		const url = new URL(request.url, 'http://fake'), parts = [];
		for await (const part of request)
			parts.push(part);
		const bytes = Buffer.concat(parts), body = bytes.toString(), act = url.pathname.startsWith('/_/') && url.pathname.slice(3);
		try {
			if (act === 'state')
				answer(response, 200, {wrong, log, faults: faults.filter(each => each.count > 0), ...state()});
			else if (act)
				answer(response, 200, await (actions[act] ?? shared[act])(JSON.parse(body)) ?? {});
			else
				await route({method: request.method, path: url.pathname, query: url.searchParams, headers: request.headers, body, bytes}, response);
		} catch (error) {
			wrong.push(`${request.method} ${url.pathname}: ${error.message}`);
			if (!response.headersSent)
				answer(response, 500, {error: error.stack});
		}
	};
	const server = tls ? createSecureServer(tls, listener) : createServer(listener), scheme = tls ? 'https' : 'http';
	server.listen(0, '127.0.0.1', function () {
		begun(`${scheme}://127.0.0.1:${this.address().port}`, server);
		console.log(`${scheme}://127.0.0.1:${this.address().port}`);
	});
}
