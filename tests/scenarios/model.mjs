// A model server that plays one scripted turn over Anthropic's Messages API, streamed: it reads words.py, adds shout() and its test, runs the
// tests and says that it is done. It checks what it is sent as the API documents it; what is wrong is a 400, as there.
// usage: node model.mjs PORT; each request that is wrong is a line on standard error
import { createServer } from 'node:http';

const KEY = 'sk-ant-test';
const BODY_MAX = 32 << 20;
const STEPS = [
	[{ text: 'I look at words.py first.' }, { tool: 'Read', input: { file_path: '/workspace/words.py' } }],
	[{
		tool: 'Edit',
		input: {
			file_path: '/workspace/words.py',
			old_string: '    return word + ", world"\n',
			new_string: '    return word + ", world"\n\n\ndef shout(word):\n    return word.upper() + "!"\n',
		},
	}],
	[{ tool: 'Write', input: { file_path: '/workspace/test/shout.py', content: 'from words import shout; assert shout("hello") == "HELLO!"\n' } }],
	[{ tool: 'Bash', input: { command: 'sh check.sh && rm -f report.tap', description: 'Run the tests' } }],
	[{ text: 'shout() is there, with its test; all tests pass.' }],
];

// wrong(request, body): why the real API would refuse this, or null.
function wrong(request, body) {
	if (request.headers['x-api-key'] !== KEY && request.headers.authorization !== `Bearer ${KEY}`) return [401, 'authentication_error', 'invalid x-api-key'];
	if (!request.headers['anthropic-version']) return [400, 'invalid_request_error', 'anthropic-version: header is required'];
	if (!/^application\/json/.test(request.headers['content-type'] ?? '')) return [400, 'invalid_request_error', 'content-type must be application/json'];
	if (typeof body?.model !== 'string' || !body.model) return [400, 'invalid_request_error', 'model: Field required'];
	if (!Number.isInteger(body.max_tokens) || body.max_tokens < 1) return [400, 'invalid_request_error', 'max_tokens: Field required'];
	if (!Array.isArray(body.messages) || !body.messages.length || body.messages[0].role !== 'user')
		return [400, 'invalid_request_error', 'messages: first message must use the user role'];
	return null;
}

function results(messages) {
	return messages.flatMap(({ content }) => Array.isArray(content) ? content : []).filter(({ type }) => type === 'tool_result').length;
}

function* blocks(step) {
	for (const [index, part] of step.entries()) {
		if (part.text !== undefined) {
			yield { type: 'content_block_start', index, content_block: { type: 'text', text: '' } };
			for (const word of part.text.split(/(?<= )/)) yield { type: 'content_block_delta', index, delta: { type: 'text_delta', text: word } };
		} else {
			const json = JSON.stringify(part.input), half = json.length >> 1;
			yield { type: 'content_block_start', index, content_block: { type: 'tool_use', id: `toolu_${process.pid}_${counter}_${index}`, name: part.tool, input: {} } };
			for (const piece of [json.slice(0, half), json.slice(half)])
				yield { type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json: piece } };
		}
		yield { type: 'content_block_stop', index };
	}
}

let counter = 0;

function* events(model, step) {
	const stop = step.some(({ tool }) => tool) ? 'tool_use' : 'end_turn';
	counter += 1;
	yield {
		type: 'message_start',
		message: {
			id: `msg_${counter}`, type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null,
			usage: { input_tokens: 1000, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 1 },
		},
	};
	yield* blocks(step);
	yield { type: 'message_delta', delta: { stop_reason: stop, stop_sequence: null }, usage: { output_tokens: 50 } };
	yield { type: 'message_stop' };
}

function answer(reply, model, step, stream) {
	if (stream) {
		reply.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
		for (const event of events(model, step)) reply.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
		return reply.end();
	}
	reply.writeHead(200, { 'content-type': 'application/json' });
	return reply.end(JSON.stringify({
		id: 'msg_0', type: 'message', role: 'assistant', model, content: [{ type: 'text', text: 'ok' }], stop_reason: 'end_turn',
		stop_sequence: null, usage: { input_tokens: 10, output_tokens: 1 },
	}));
}

function refuse(reply, [status, type, message]) {
	console.error(`refused: ${status} ${message}`);
	reply.writeHead(status, { 'content-type': 'application/json' });
	reply.end(JSON.stringify({ type: 'error', error: { type, message } }));
}

createServer((request, reply) => {
	const pieces = [];
	let bytes = 0;
	request.on('data', (piece) => {
		bytes += piece.length;
		if (bytes > BODY_MAX) request.destroy();
		else pieces.push(piece);
	});
	request.on('end', () => {
		const path = new URL(request.url, 'http://model').pathname;
		let body;
		if (path === '/healthz') return reply.end('ok');
		if (request.method !== 'POST' || path !== '/v1/messages') return refuse(reply, [404, 'not_found_error', `${request.method} ${path}`]);
		try {
			body = JSON.parse(Buffer.concat(pieces).toString());
		} catch {
			return refuse(reply, [400, 'invalid_request_error', 'the body is no JSON']);
		}
		const why = wrong(request, body);
		if (why) return refuse(reply, why);
		// Only the agent's own loop has tools; titles and the like have none.
		const step = body.tools?.some(({ name }) => name === 'Edit') ? STEPS[Math.min(results(body.messages), STEPS.length - 1)] : [{ text: 'ok' }];
		return answer(reply, body.model, step, body.stream === true);
	});
}).listen(Number(process.argv[2]), '0.0.0.0');
