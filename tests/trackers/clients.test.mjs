/* The fakes of trackers, asked by the vendors' own clients: what they accept is what they would accept from the service. */
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createRequire} from 'node:module';
import {createInterface} from 'node:readline';
import test, {after} from 'node:test';
import {createCloudClient} from 'jira.js';

const require = createRequire(import.meta.url);
const {WebClient} = require('@slack/web-api'), {SocketModeClient} = require('@slack/socket-mode');
const children = [];
after(() => children.forEach(child => child.kill()));

async function fake(...args) {
	const child = spawn(process.execPath, args, {cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit']});
	children.push(child);
	return (await once(createInterface(child.stdout), 'line'))[0];
}

const post = async (url, body) => (await fetch(url, {method: 'POST', body: JSON.stringify(body)})).json();

test("Slack's clients take the fake for Slack: the Web API, and a socket that is renewed", async () => {
	const url = await fake('slack_fake.mjs', 'signing', 'xoxb-bot', 'xapp-app'), slackApiUrl = `${url}/api/`;
	const web = new WebClient('xoxb-bot', {slackApiUrl, retryConfig: {retries: 0}}), socket = new SocketModeClient({appToken: 'xapp-app', clientOptions: {slackApiUrl}});
	const events = [];
	socket.on('app_mention', async ({event, ack}) => {
		await ack();
		events.push(event);
		socket.emit('counted');
	});
	assert.equal((await web.auth.test()).team_id, 'T0ACME');
	await socket.start();
	const counted = once(socket, 'counted');
	const {ts} = await post(`${url}/_/say`, {text: 'hello'});
	await counted;
	assert.deepEqual([events[0].text, events[0].ts], ['<@U0ASSAY> hello', ts]);
	const made = await web.chat.postMessage({channel: 'C0SHOP', thread_ts: ts, text: 'hello', blocks: [{type: 'section', text: {type: 'mrkdwn', text: 'hello'}}]});
	await web.chat.update({channel: 'C0SHOP', ts: made.ts, text: 'again', blocks: []});
	assert.deepEqual((await web.conversations.replies({channel: 'C0SHOP', ts})).messages.map(each => each.text), ['<@U0ASSAY> hello', 'again']);
	const connected = once(socket, 'connected');
	await post(`${url}/_/socket`, {what: 'refresh'});
	await connected;
	await socket.disconnect();
});

test("Jira's client takes the fake for Jira", async () => {
	const host = await fake('jira_fake.mjs', 'secret', 'client', 'api-token');
	const client = createCloudClient({host, auth: {type: 'basic', email: 'assay@acme.test', apiToken: 'api-token'}});
	await post(`${host}/_/issue`, {key: 'SHOP-1', summary: 'x', description: 'y'});
	const body = {type: 'doc', version: 1, content: [{type: 'paragraph', content: [{type: 'text', text: 'hello'}]}]};
	const made = await client.issueComments.addComment({issueIdOrKey: 'SHOP-1', body});
	assert.equal((await client.issueComments.getComments({issueIdOrKey: 'SHOP-1'})).comments[0].id, made.id);
	assert((await client.issues.getTransitions({issueIdOrKey: 'SHOP-1'})).transitions.length > 0);
});
