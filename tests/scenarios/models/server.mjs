// A model that follows a script, in the dialects of the vendors' APIs with streaming: Anthropic Messages, OpenAI Responses (server-sent events
// and WebSocket), Gemini. It asks for one shell command, and when it has seen what came of it says that it is done. No dependencies.
// What it is told may hold directives, of which the last ones count: [[sh:NAME]] the command is `sh NAME.sh`, [[loop]] it is never done,
// [[limited:N]] the first N requests are answered 429, [[dropped:N]] the first N answers end in the middle; [[write:NAME]] Gemini is to write
// /workspace/NAME instead, with its own tool for that.
// usage: node server.mjs PORT COMMAND [KEY [CERTIFICATE_AND_KEY.pem]]     with KEY, another one is answered 401; with a certificate, over TLS
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const [port, usual, key, certificate] = process.argv.slice(2);
const SHELLS = ['Bash', 'bash', 'exec_command', 'shell_command', 'shell', 'run_shell_command'];
const THOUGHT = 'One command does it, then the tests.';
const PROMISE = 'I change the code and run the tests.';
const DONE = 'It is done; the tests pass.';
let count = 0;
let command = usual, looping = false, writes = null;
const counts = new Map();

const next = prefix => `${prefix}_${(++count).toString().padStart(8, '0')}`;
const log = (...words) => console.log(...words);

// What the directives of a request say: how its answer is to fail, if it is; the command, and whether it is ever enough. Over a WebSocket only
// what is new is told: the connection remembers the command.
function directed(asked, memory = {}) {
	const found = name => [...JSON.stringify(asked).matchAll(new RegExp(`\\[\\[${name}(?::(\\w+))?\\]\\]`, 'g'))].at(-1);
	const script = memory.script = found('sh') ?? memory.script;
	command = script ? `sh ${script[1]}.sh` : usual;
	looping = Boolean(found('loop'));
	writes = found('write')?.[1];
	for (const name of ['limited', 'dropped']) {
		const [directive, most] = found(name) ?? [];
		const before = counts.get(directive) ?? 0;
		if (!directive || before >= Number(most)) continue;
		counts.set(directive, before + 1);
		return name;
	}
	return null;
}

// What a shell tool wants: its parameters differ by program.
function shellArguments(schema) {
	const properties = schema?.properties ?? {};
	const name = properties.cmd ? 'cmd' : 'command';
	const list = properties[name]?.type === 'array';
	const given = { [name]: list ? ['sh', '-c', command] : command };
	for (const required of schema?.required ?? [])
		if (!(required in given)) given[required] = properties[required]?.type === 'boolean' ? false : 'Change and test';
	return given;
}

function keyOf(headers) {
	return headers['x-api-key'] ?? headers['x-goog-api-key'] ?? headers.authorization?.replace(/^Bearer /, '');
}

async function bodyOf(request) {
	const parts = [];
	for await (const part of request) parts.push(part);
	return Buffer.concat(parts).toString();
}

function events(response) {
	response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
	return (name, data) => response.write(`${name ? `event: ${name}\n` : ''}data: ${JSON.stringify(data)}\n\n`);
}

// Anthropic: https://docs.anthropic.com/en/api/messages-streaming
function anthropic(asked, response) {
	const last = asked.messages.at(-1);
	const seen = !looping && Array.isArray(last?.content) && last.content.some(block => block.type === 'tool_result');
	const tool = asked.tools?.find(each => SHELLS.includes(each.name));
	const usage = { input_tokens: 1234, output_tokens: 56, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 };
	const message = { id: next('msg'), type: 'message', role: 'assistant', model: asked.model, stop_sequence: null };
	const blocks = seen || !tool ? [{ type: 'text', text: DONE }] : [
		{ type: 'text', text: PROMISE },
		{ type: 'tool_use', id: next('toolu'), name: tool.name, input: shellArguments(tool.input_schema) },
	];
	const reason = blocks.at(-1).type === 'tool_use' ? 'tool_use' : 'end_turn';
	if (!asked.stream) {
		response.writeHead(200, { 'content-type': 'application/json' });
		response.end(JSON.stringify({ ...message, content: blocks, stop_reason: reason, usage }));
		return;
	}
	const send = events(response);
	send('message_start', { type: 'message_start', message: { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } } });
	blocks.forEach((block, index) => {
		const text = block.type === 'text';
		const json = JSON.stringify(block.input ?? {});
		send('content_block_start', { type: 'content_block_start', index, content_block: text ? { type: 'text', text: '' } : { ...block, input: {} } });
		for (const half of text ? [block.text] : [json.slice(0, 9), json.slice(9)])
			send('content_block_delta', { type: 'content_block_delta', index,
				delta: text ? { type: 'text_delta', text: half } : { type: 'input_json_delta', partial_json: half } });
		send('content_block_stop', { type: 'content_block_stop', index });
	});
	send('message_delta', { type: 'message_delta', delta: { stop_reason: reason, stop_sequence: null }, usage: { output_tokens: 56 } });
	send('message_stop', { type: 'message_stop' });
	response.end();
}

// OpenAI: https://platform.openai.com/docs/api-reference/responses-streaming; the same events over a WebSocket.
function* responses(asked) {
	const last = (Array.isArray(asked.input) ? asked.input : []).at(-1);
	const seen = !looping && /_output$/.test(last?.type ?? '');
	const tool = asked.tools?.find(each => SHELLS.includes(each.name));
	const response = { id: next('resp'), object: 'response', created_at: 1, status: 'in_progress', model: asked.model, output: [] };
	const usage = { input_tokens: 1234, input_tokens_details: { cached_tokens: 0 }, output_tokens: 56,
		output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 1290 };
	const output = [];
	const text = (id, said) => ({ type: 'message', id, status: 'completed', role: 'assistant', content: [{ type: 'output_text', text: said, annotations: [] }] });
	if (asked.generate !== false) {
		if (!seen) output.push({ type: 'reasoning', id: next('rs'), summary: [{ type: 'summary_text', text: THOUGHT }], content: null, encrypted_content: null });
		output.push(text(next('msg'), seen || !tool ? DONE : PROMISE));
		if (!seen && tool)
			output.push({ type: 'function_call', id: next('fc'), call_id: next('call'), name: tool.name, status: 'completed',
				arguments: JSON.stringify(shellArguments(tool.parameters)) });
	}
	yield { type: 'response.created', response };
	for (const [output_index, item] of output.entries()) {
		yield { type: 'response.output_item.added', output_index, item };
		if (item.type === 'message')
			yield { type: 'response.output_text.delta', item_id: item.id, output_index, content_index: 0, delta: item.content[0].text };
		yield { type: 'response.output_item.done', output_index, item };
	}
	yield { type: 'response.completed', response: { ...response, status: 'completed', output, usage } };
}

// Gemini: https://ai.google.dev/api/generate-content
function gemini(asked, streaming, response) {
	const seen = !looping && asked.contents?.at(-1)?.parts?.some(part => part.functionResponse);
	const tools = (asked.tools ?? []).flatMap(tool => tool.functionDeclarations ?? []);
	const writer = writes && tools.find(each => each.name === 'write_file');
	const tool = writer || tools.find(each => SHELLS.includes(each.name));
	const schema = tool?.parametersJsonSchema ?? tool?.parameters;
	const args = writer ? { file_path: `/workspace/${writes}`, content: 'Greetings.\n' } : shellArguments(schema);
	const parts = seen || !tool ? [{ text: DONE }] : [{ text: PROMISE },
		{ functionCall: { name: tool.name, args } }];
	const answer = { candidates: [{ content: { role: 'model', parts }, finishReason: 'STOP', index: 0 }],
		usageMetadata: { promptTokenCount: 1234, candidatesTokenCount: 56, totalTokenCount: 1290 }, modelVersion: 'scripted' };
	if (streaming) {
		events(response)(null, answer);
		response.end();
	} else {
		response.writeHead(200, { 'content-type': 'application/json' });
		response.end(JSON.stringify(answer));
	}
}

const DIALECTS = [
	['anthropic', /^\/v1\/messages$/, (asked, path, response) => anthropic(asked, response)],
	['openai', /^\/v1\/responses$/, (asked, path, response) => {
		const send = events(response);
		for (const event of responses(asked)) send(event.type, event);
		response.end();
	}],
	['gemini', /^\/v1beta\/models\/[^/]+:(generateContent|streamGenerateContent)$/,
		(asked, path, response) => gemini(asked, path.endsWith('streamGenerateContent'), response)],
];

async function answer(request, response) {
	const path = new URL(request.url, 'http://model').pathname;
	const body = await bodyOf(request);
	const row = DIALECTS.find(([, pattern]) => pattern.test(path));
	if (!row) {
		log('none', request.method, path);
		response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":{"message":"not here"}}');
	} else if (key && keyOf(request.headers) !== key) {
		log(row[0], '401');
		response.writeHead(401, { 'content-type': 'application/json' })
			.end('{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key","code":401,"status":"UNAUTHENTICATED"}}');
	} else {
		const asked = JSON.parse(body);
		const failure = directed(asked);
		log(row[0], request.method, path, failure ?? '');
		if (failure === 'limited')
			response.writeHead(429, { 'content-type': 'application/json' })
				.end('{"type":"error","error":{"type":"rate_limit_error","message":"slow down","code":429,"status":"RESOURCE_EXHAUSTED"}}');
		else if (failure === 'dropped') {
			const usage = { input_tokens: 1234, output_tokens: 1 };
			const message = { id: next('msg'), type: 'message', role: 'assistant', model: asked.model, content: [], stop_reason: null, stop_sequence: null, usage };
			events(response)('message_start', { type: 'message_start', message });
			response.socket.destroySoon();
		} else
			row[2](asked, path, response);
	}
}

const pem = certificate && readFileSync(certificate);
const server = pem ? https.createServer({ cert: pem, key: pem }, answer) : http.createServer(answer);

// RFC 6455, the server's half: text frames, masked ones in, no extension.
server.on('upgrade', (request, socket) => {
	const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
	const memory = {};
	let waiting = Buffer.alloc(0), message = [];
	if (!/^\/v1\/responses(\?|$)/.test(request.url) || (key && keyOf(request.headers) !== key)) {
		log('openai', 'websocket', '401');
		socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n');
		return;
	}
	log('openai', 'websocket');
	socket.on('error', () => {});
	socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`);
	const frame = (opcode, payload) => {
		const head = payload.length < 126 ? Buffer.from([0x80 | opcode, payload.length])
			: Buffer.concat([Buffer.from([0x80 | opcode, 127, 0, 0, 0, 0]), Buffer.from([payload.length >>> 24, payload.length >>> 16 & 255, payload.length >>> 8 & 255, payload.length & 255])]);
		const short = payload.length >= 126 && payload.length < 65536
			? Buffer.from([0x80 | opcode, 126, payload.length >> 8, payload.length & 255]) : head;
		socket.write(Buffer.concat([short, payload]));
	};
	socket.on('data', bytes => {
		waiting = Buffer.concat([waiting, bytes]);
		for (;;) {
			if (waiting.length < 6) return;
			const small = waiting[1] & 127;
			const at = small === 126 ? 4 : small === 127 ? 10 : 2;
			if (waiting.length < at + 4) return;
			const length = small === 126 ? waiting.readUInt16BE(2) : small === 127 ? Number(waiting.readBigUInt64BE(2)) : small;
			if (waiting.length < at + 4 + length) return;
			const mask = waiting.subarray(at, at + 4);
			const payload = Buffer.from(waiting.subarray(at + 4, at + 4 + length).map((byte, i) => byte ^ mask[i & 3]));
			const opcode = waiting[0] & 15, final = waiting[0] & 128;
			waiting = waiting.subarray(at + 4 + length);
			if (opcode === 8) { frame(8, payload); socket.end(); return; }
			if (opcode === 9) { frame(10, payload); continue; }
			if (opcode > 2) continue;
			message.push(payload);
			if (!final) continue;
			const asked = JSON.parse(Buffer.concat(message).toString());
			message = [];
			directed(asked, memory);
			log('openai', 'websocket', asked.type);
			for (const event of responses(asked)) frame(1, Buffer.from(JSON.stringify(event)));
		}
	});
});

server.listen(Number(port), '0.0.0.0', () => log('ready', server.address().port));
