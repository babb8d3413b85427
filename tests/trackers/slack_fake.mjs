/*
 * A workspace of Slack for tests: Web API, events over HTTP (what it signs has to pass @slack/bolt's own check) and Socket Mode. Messages are checked against
 * Slack's rules for blocks and text. usage: node slack_fake.mjs SIGNING_SECRET BOT_TOKEN APP_TOKEN; prints its address, the API is below /api.
 *
 * What a test does with it: POST /_/hook {url} (then events come over HTTP, "" for Socket Mode again), /_/say {text, thread, mention, by, channel_type}, /_/press
 * {ts, action}, /_/stopped {thread}, each with {"delivery", "times", "secret", "age_s"}; /_/socket {what: "refresh|drop"}; /_/fault {operation, kind, count}.
 */
import assert from 'node:assert/strict';
import {createHmac, randomUUID} from 'node:crypto';
import {createRequire} from 'node:module';
import {WebSocketServer} from 'ws';
import {answer, deliver, fault_take, log, serve, wrong} from './fake.mjs';

const {verifySlackRequest} = createRequire(import.meta.url)('@slack/bolt');
const [secret, botToken, appToken] = process.argv.slice(2);
const team = 'T0ACME', self = 'U0ASSAY', channel = 'C0SHOP', app = 'A0ASSAY';
const messages = [], files = [], sockets = new Set(), waiting = new Map(), acknowledged = [];
let base = '', hook = '', next = 1795284071;

const ts_make = () => `${next++}.000100`;

/* ---- what messages have to be: docs.slack.dev/reference/block-kit ---- */

/* Nothing that acts but a mention of a person and a link, and those only as Slack writes them. */
function text_check(text, max) {
	assert(typeof text === 'string' && text.length > 0 && text.length <= max, `a text of ${text?.length} characters`);
	for (const [, inner] of text.matchAll(/<([^>]*)>?/g))
		assert(/^(@U\w+|https?:\/\/[^|<>\s]+(\|[^<>|]+)?)$/.test(inner), `<${inner}> in ${text}`);
}

const plain_check = (object, max) => assert(object.type === 'plain_text' && object.text.length > 0 && object.text.length <= max, 'a plain text');
const keys_check = (object, keys) => Object.keys(object).forEach(key => assert(keys.includes(key), `${object.type} has no ${key}`));
const block_checks = {
	section: block => { keys_check(block, ['type', 'text']); assert.equal(block.text.type, 'mrkdwn'); text_check(block.text.text, 3000); },
	context: block => { keys_check(block, ['type', 'elements']); assert(block.elements.length <= 10); block.elements.forEach(each => text_check(each.text, 3000)); },
	actions: block => {
		keys_check(block, ['type', 'elements']);
		assert(block.elements.length > 0 && block.elements.length <= 25);
		for (const each of block.elements) {
			keys_check(each, ['type', 'action_id', 'text', 'value', 'style']);
			plain_check(each.text, 75);
			assert(each.type === 'button' && each.value.length <= 2000 && [undefined, 'primary', 'danger'].includes(each.style));
		}
		assert.equal(new Set(block.elements.map(each => each.action_id)).size, block.elements.length, 'an action_id twice');
	},
	plan: block => {
		keys_check(block, ['type', 'title', 'tasks']);
		assert(typeof block.title === 'string');
		for (const task of block.tasks) {
			keys_check(task, ['type', 'task_id', 'title', 'status']);
			assert(task.type === 'task_card' && task.task_id && task.title && ['pending', 'in_progress', 'complete', 'error'].includes(task.status));
		}
	},
};

function message_check({channel: where, text, blocks, metadata}) {
	assert.equal(where, channel);
	text_check(text, 40000);
	assert(Array.isArray(blocks) && blocks.length <= 50);
	for (const block of blocks)
		(block_checks[block.type] ?? assert.fail(`no block ${block.type}`))(block);
	if (metadata)
		assert(metadata.event_type && typeof metadata.event_payload === 'object');
}

/* ---- the Web API ---- */

const methods = {
	'auth.test': () => ({url: 'https://acme.slack.com/', team: 'Acme', user: 'assay', team_id: team, user_id: self, bot_id: 'B0ASSAY', is_enterprise_install: false}),
	'chat.postMessage': asked => {
		message_check(asked);
		assert(asked.thread_ts, 'not in a thread');
		const message = {type: 'message', user: self, bot_id: 'B0ASSAY', app_id: app, team, ts: ts_make(), at: Date.now(), ...asked};
		messages.push(message);
		return {channel, ts: message.ts, message};
	},
	'chat.update': asked => {
		message_check(asked);
		const message = messages.find(each => each.ts === asked.ts && each.user === self);
		if (!message)
			return {error: 'message_not_found'};
		Object.assign(message, asked, {edits: (message.edits ?? 0) + 1});
		return {channel, ts: message.ts, text: message.text};
	},
	'conversations.replies': asked => ({messages: messages.filter(each => each.ts === asked.ts || each.thread_ts === asked.ts)
		.map(({metadata, ...each}) => ({...each, ...(asked.include_all_metadata === 'true' && {metadata})})), has_more: false}),
	'chat.getPermalink': asked => ({channel, permalink: `https://acme.slack.com/archives/${channel}/p${asked.message_ts.replace('.', '')}`}),
	'files.getUploadURLExternal': asked => {
		assert(/^[\w.-]+$/.test(asked.filename) && +asked.length > 0, 'a file without a name or bytes');
		const file = {id: `F${next++}`, name: asked.filename, length: +asked.length, upload_url: `${base}/upload/v1/${randomUUID()}`};
		files.push(file);
		return {upload_url: file.upload_url, file_id: file.id};
	},
	'files.completeUploadExternal': asked => {
		assert.deepEqual(Object.keys(asked).sort(), ['channel_id', 'files', 'initial_comment', 'thread_ts']);
		assert(asked.channel_id === channel && asked.files.length > 0);
		text_check(asked.initial_comment, 4000);
		const shared = asked.files.map(({id, title}) => ({...files.find(each => each.id === id && each.bytes), title}));
		if (shared.some(each => !each.id))
			return {error: 'file_not_found'};
		messages.push({type: 'message', subtype: 'file_share', user: self, bot_id: 'B0ASSAY', team, ts: ts_make(), at: Date.now(), thread_ts: asked.thread_ts,
			text: asked.initial_comment, files: shared.map(({id, name, title}) => ({id, name, title, mimetype: 'image/png'}))});
		return {files: shared.map(({id, title}) => ({id, title}))};
	},
	'apps.connections.open': () => ({url: `${base.replace('http', 'ws')}/link/?ticket=${randomUUID()}&app_id=${app}`}),
};

const errors = {
	429: [429, {ok: false, error: 'ratelimited'}, {'Retry-After': '1'}],
	ratelimited: [200, {ok: false, error: 'ratelimited'}],
	internal: [200, {ok: false, error: 'internal_error'}],
	500: [500, 'Internal Server Error', {'Content-Type': 'text/plain'}],
	html: [502, '<html><body>502 Bad Gateway</body></html>', {'Content-Type': 'text/html'}],
	blocks: [200, {ok: false, error: 'invalid_blocks', response_metadata: {messages: ['[ERROR] unsupported type: plan']}}],
};

/* JSON, as we send it, or the form that Slack's own client sends. */
function asked_read(type, body, query) {
	if (type?.startsWith('application/json'))
		return JSON.parse(body);
	const form = Object.fromEntries(body ? new URLSearchParams(body) : query);
	for (const key of ['blocks', 'metadata'])
		form[key] &&= JSON.parse(form[key]);
	return form;
}

/* The place says who may: nobody tells it a token. */
function upload({path, headers, bytes}, response) {
	const file = files.find(each => each.upload_url === base + path), kind = fault_take('upload');
	assert(file && !headers.authorization && bytes.length === file.length, 'no upload');
	if (kind)
		return answer(response, ...errors[kind]);
	file.bytes = bytes.toString('base64');
	response.writeHead(200, {'Content-Type': 'text/plain'}).end(`OK - ${bytes.length}`);
}

function api({path, query, headers, body}, response) {
	const method = path.replace('/api/', ''), kind = fault_take(method), is_open = method === 'apps.connections.open';
	log.push({operation: method, fault: kind, at: Date.now()});
	assert(methods[method], 'no such method');
	if (headers.authorization !== `Bearer ${is_open ? appToken : botToken}`)
		return answer(response, 200, {ok: false, error: 'invalid_auth'});
	if (kind && kind !== 'lost')
		return answer(response, ...errors[kind]);
	const said = methods[method](asked_read(headers['content-type'], body, query));
	if (kind === 'lost') /* it happened, and nobody hears of it */
		return response.destroy();
	answer(response, 200, {ok: !said.error, ...said}, {'X-OAuth-Scopes': 'app_mentions:read,chat:write,channels:history,im:history'});
}

/* ---- Socket Mode ---- */

function envelope_send(envelope) {
	const [socket] = [...sockets].slice(-1);
	waiting.set(envelope.envelope_id, envelope);
	socket?.send(JSON.stringify(envelope));
}

function socket_begin(socket) {
	sockets.add(socket);
	socket.on('close', () => sockets.delete(socket));
	socket.on('message', data => {
		const {envelope_id} = JSON.parse(data);
		assert(waiting.delete(envelope_id) || acknowledged.includes(envelope_id));
		acknowledged.push(envelope_id);
	});
	socket.send(JSON.stringify({type: 'hello', num_connections: sockets.size, connection_info: {app_id: app}, debug_info: {host: 'applink-1', build_number: 1,
		approximate_connection_time: 18060}}));
	for (const envelope of waiting.values()) /* what nobody acknowledged comes again */
		socket.send(JSON.stringify({...envelope, retry_attempt: 1, retry_reason: 'timeout'}));
}

/* ---- events ---- */

const by_name = {alice: {user: 'U0ALICE', team}, stranger: {user: 'U0OTHER', team, user_team: 'T0OTHER', source_team: 'T0OTHER'}, self: {user: self, team},
	bot: {user: 'U0BOT', bot_id: 'B0OTHER', team}};

async function send(payload, {times = 1, secret: other, age_s = 0} = {}) {
	const is_event = payload.type === 'event_callback' || payload.type === 'url_verification';
	if (!hook) {
		for (let i = 0; i < times; i++)
			envelope_send({envelope_id: randomUUID(), type: is_event ? 'events_api' : 'interactive', accepts_response_payload: !is_event, payload});
		return {};
	}
	const body = is_event ? JSON.stringify(payload) : `payload=${encodeURIComponent(JSON.stringify(payload)).replaceAll('%20', '+')}`;
	const stamp = String(Math.floor(Date.now() / 1000) - age_s);
	const headers = {'Content-Type': is_event ? 'application/json' : 'application/x-www-form-urlencoded', 'X-Slack-Request-Timestamp': stamp,
		'X-Slack-Signature': `v0=${createHmac('sha256', other ?? secret).update(`v0:${stamp}:${body}`).digest('hex')}`, 'User-Agent': 'Slackbot 1.0'};
	if (!other && age_s < 300)
		verifySlackRequest({signingSecret: secret, body, headers: {'x-slack-signature': headers['X-Slack-Signature'], 'x-slack-request-timestamp': Number(stamp)}});
	return deliver(hook, body, headers, {times});
}

const callback = (event, id) => ({token: 'unused', team_id: team, api_app_id: app, type: 'event_callback', event_id: id ?? `Ev${randomUUID().slice(0, 8)}`, event_time: next, event,
	authorizations: [{enterprise_id: null, team_id: team, user_id: self, is_bot: true, is_enterprise_install: false}], is_ext_shared_channel: false});

const actions = {
	hook: ({url}) => { hook = url; },
	/* A mention comes as two events. */
	say: async ({text, thread, mention = true, by = 'alice', channel_type = 'channel', ...how}) => {
		const ts = ts_make(), message = {type: 'message', ...by_name[by], text: mention ? `<@${self}> ${text}` : text, ts, channel, event_ts: ts, channel_type,
			...(thread && {thread_ts: thread})};
		messages.push(message);
		const sent = await send(callback(message), how);
		return {ts, ...sent, ...(mention && await send(callback({...message, type: 'app_mention'}), how))};
	},
	press: ({ts, action, by = 'alice', ...how}) => {
		const message = messages.find(each => each.ts === ts), button = message.blocks.flatMap(each => each.elements ?? []).find(each => each.action_id === action);
		assert(button, `no button ${action}`);
		return send({type: 'block_actions', user: {id: by_name[by].user, username: by, name: by, team_id: team}, api_app_id: app, token: 'unused', trigger_id: randomUUID(),
			container: {type: 'message', message_ts: ts, channel_id: channel, is_ephemeral: false, thread_ts: message.thread_ts}, team: {id: team, domain: 'acme'},
			channel: {id: channel, name: 'shop'}, message, response_url: 'https://hooks.slack.com/actions/x', actions: [{...button, block_id: 'b', action_ts: ts_make()}]}, how);
	},
	stopped: ({thread, ...how}) => send(callback({type: 'agent_session_stopped', channel, user: 'U0ALICE', thread_ts: thread, streaming_message_ts: [], event_ts: ts_make()}), how),
	verify: how => send({token: 'unused', challenge: 'c4a11e46e', type: 'url_verification'}, how),
	socket: ({what}) => {
		for (const socket of sockets)
			if (what === 'refresh') {
				socket.send(JSON.stringify({type: 'disconnect', reason: 'refresh_requested', debug_info: {host: 'applink-1'}}));
				setTimeout(() => socket.close(), 2000);
			} else {
				socket.terminate();
			}
	},
};

const state = () => ({messages, files, sockets: sockets.size, waiting: waiting.size, acknowledged: acknowledged.length});

serve((request, response) => request.path.startsWith('/upload/') ? upload(request, response) : api(request, response), actions, state, (url, server) => {
	base = url;
	new WebSocketServer({server, path: '/link/'}).on('connection', socket_begin);
});
