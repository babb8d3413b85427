// `assay mcp` under the official client of the Model Context Protocol: another agent drives a run to its review. Needs root and ASSAY.

import assert from 'node:assert/strict';
import {execFileSync, spawnSync} from 'node:child_process';
import {cpSync, existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';

const ASSAY = process.env.ASSAY ?? '';
const HERE = import.meta.dirname;

function whyNot() {
	if (process.getuid() !== 0)
		return 'needs root: sandboxes with limits';
	if (!existsSync(ASSAY))
		return 'ASSAY does not say where the binary is';
	return existsSync(join(HERE, 'node_modules/@modelcontextprotocol/sdk')) ? null : 'the packages are not installed: npm ci in tests/api';
}
const skip = whyNot() ?? false;

let work;
const env = () => ({...process.env, ASSAY_STATE: join(work, 'state')});
const run = (program, args) => execFileSync(program, args, {cwd: join(work, 'tiny'), encoding: 'utf8', env: env(), stdio: ['ignore', 'pipe', 'pipe']});
const git = (...args) => run('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args]);

async function connect(...args) {
	const {Client} = await import('@modelcontextprotocol/sdk/client/index.js');
	const {StdioClientTransport} = await import('@modelcontextprotocol/sdk/client/stdio.js');
	const client = new Client({name: 'test', version: '1'});

	await client.connect(new StdioClientTransport({command: ASSAY, args: ['mcp', ...args], env: env(), cwd: work, stderr: 'ignore'}));
	const call = async (name, given = {}, options = {}) => {
		const answer = await client.callTool({name, arguments: given}, undefined, {timeout: 200_000, ...options});
		const [{text}] = answer.content;

		return {failed: answer.isError, text, get json() {
			assert.ok(!answer.isError, text);
			return JSON.parse(text);
		}};
	};
	return {client, call};
}

before(() => {
	if (skip)
		return;
	work = mkdtempSync(join(tmpdir(), 'assay-mcp-'));
	cpSync(join(HERE, '../scenarios/tiny'), join(work, 'tiny'), {recursive: true});
	git('init', '--quiet', '--initial-branch', 'main');
	git('add', '--all');
	git('commit', '--quiet', '--message', 'as it is');
	run(ASSAY, ['serve', '--background', '--listen', '127.0.0.1:0', '--preview', '127.0.0.1:0']);
	run(ASSAY, ['repo', 'put']);
});

after(() => {
	if (!work)
		return;
	spawnSync(ASSAY, ['serve', '--stop'], {env: env()});
	rmSync(work, {recursive: true, force: true});
});

test('another agent gives an issue, waits, looks, and says what should be otherwise', {skip}, async () => {
	const {client, call} = await connect('--as', 'planner');

	assert.equal(client.getServerVersion().name, 'assay');
	const {tools} = await client.listTools();
	assert.ok(tools.every((tool) => tool.inputSchema.type === 'object' && tool.description));
	assert.ok(!tools.some((tool) => tool.name === 'merge_pull'), 'a developer is offered what is for approvers');
	assert.deepEqual((await call('list_repositories')).json.items.map((one) => one.name), ['tiny']);
	const started = (await call('start_run', {repository: 'tiny', title: 'Say hello louder'})).json;
	const told = [];
	const reviewed = (await call('wait_run', {run: started.id, seconds: 180}, {onprogress: ({message}) => told.push(message)})).json;
	assert.equal(reviewed.state, 'review', JSON.stringify(reviewed));
	assert.equal(reviewed.verdict, 'verified');
	assert.ok(told.length, 'nothing was told on the way');
	assert.equal((await call('run_report', {run: started.id})).json.verdict, 'verified');
	assert.match((await call('run_record', {run: started.id})).text, /payloadType/);
	assert.match((await call('pull_diff', {number: reviewed.pull})).text, /^diff --git/);
	assert.ok((await call('run_events', {run: started.id, limit: 5})).json.items.length === 5);
	assert.match((await call('http', {environment: reviewed.environment, path: '/'})).text, /^\d{3}\n/);
	assert.ok((await call('environment_logs', {environment: reviewed.environment, lines: 5})).failed === false);
	assert.equal((await call('attach_file', {number: reviewed.issue, name: 'a log.txt', text: 'it says no'})).json.name, 'a log.txt');
	assert.equal((await call('read_file', {number: reviewed.issue, name: 'a log.txt'})).text, 'it says no');
	assert.deepEqual((await call('show_issue', {number: reviewed.issue})).json.attachments.map((file) => file.name), ['a log.txt']);
	assert.equal((await call('detach_file', {number: reviewed.issue, name: 'a log.txt'})).failed, false);
	assert.deepEqual((await call('show_issue', {number: reviewed.issue})).json.attachments, []);
	await call('comment_issue', {number: reviewed.issue, text: 'seen'});
	assert.equal((await call('show_issue', {number: reviewed.issue})).json.comments.at(-1).author, 'planner');
	await client.close();
});

test('what is wrong is told to the model, and what is not its role is refused', {skip}, async () => {
	const {client, call} = await connect('--role', 'viewer');

	assert.match((await call('show_run')).text, /show_run needs `run`/);
	assert.match((await call('show_run', {run: 1})).text, /run: expected a text/);
	assert.match((await call('show_run', {run: 'x', why: 1})).text, /has no argument `why`/);
	assert.match((await call('show_run', {run: 'rnobody'})).text, /no run `rnobody`/);
	assert.match((await call('list_runs', {state: 'dancing'})).text, /state: there is no `dancing`/);
	assert.match((await call('start_run', {repository: 'tiny', title: 'x'})).text, /start_run is for the role developer/);
	assert.match((await call('approve_hold', {hold: 'h1'})).text, /approve_hold is for the role approver/);
	await assert.rejects(call('dance'), /no tool `dance`/);
	await client.close();
	const approver = await connect('--role', 'approver');
	const pull = (await approver.call('list_pulls', {state: 'open'})).json.items[0];
	assert.equal((await approver.call('merge_pull', {number: pull.number})).json.state, 'merged');
	assert.match((await approver.call('approve_hold', {hold: 'h1'})).text, /h1/);
	await approver.client.close();
});

test('a call can be cancelled, and others are answered meanwhile', {skip}, async () => {
	const {client, call} = await connect();
	const {id} = (await call('start_run', {repository: 'tiny', title: 'Something slow'})).json;
	const stop = new AbortController();
	const waiting = call('wait_run', {run: id, seconds: 600}, {signal: stop.signal}).catch((error) => error);

	await client.ping();
	assert.equal((await call('show_run', {run: id})).json.id, id);
	stop.abort('enough');
	await waiting;
	assert.equal((await call('stop_run', {run: id})).failed, false);
	await client.close();
});
