/* Webhooks, as GitHub has them: what was captured, and what the tests' own GitHub sends, is accepted by the vendor's verifier and fits the vendor's description. */
import assert from 'node:assert/strict';
import {execFileSync, spawn} from 'node:child_process';
import {generateKeyPairSync} from 'node:crypto';
import {mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import test from 'node:test';
import {verify} from '@octokit/webhooks-methods';
import ajvModule from 'ajv';

const Ajv = ajvModule.default ?? ajvModule;
const description = JSON.parse(readFileSync(createRequire(import.meta.url).resolve('@octokit/openapi-webhooks/generated/api.github.com.json')));
const samples = new URL('../data/webhooks/', import.meta.url);
const fake = new URL('../fakes/github.mjs', import.meta.url).pathname;

/** What GitHub would send has every field; what the tests send has those that they need, but none that GitHub does not have, and each of its kind. */
function partial(schema) {
	if (Array.isArray(schema)) return schema.map(partial);
	if (!schema || typeof schema !== 'object') return schema;
	return Object.fromEntries(Object.entries(schema).filter(([key, value]) => key !== 'required' || !Array.isArray(value)).map(([key, value]) => [key, partial(value)]));
}
const judges = Object.fromEntries(Object.entries({whole: description, partial: partial(description)}).map(([name, document]) => [name, new Ajv({strict: false, allErrors: true, validateFormats: false}).addSchema(document, 'hooks')]));

function complaints(kind, event, body) {
	const name = [event, body.action].filter(Boolean).join('-').replaceAll('_', '-'), known = description.webhooks[name];

	assert.ok(known, `GitHub sends no ${name}`);
	const judge = judges[kind].compile({$ref: `hooks#/webhooks/${name}/post/requestBody/content/application~1json/schema`});
	return judge(body) ? '' : judges[kind].errorsText(judge.errors);
}

for (const file of readdirSync(samples).filter((name) => name.startsWith('github-')))
	test(`${file} is GitHub's`, async () => {
		const {secret, headers, body} = JSON.parse(readFileSync(new URL(file, samples)));

		assert.ok(await verify(secret, body, headers['x-hub-signature-256']));
		assert.ok(!await verify(secret, `${body} `, headers['x-hub-signature-256']));
		assert.equal(complaints('whole', headers['x-github-event'], JSON.parse(body)), '');
	});

test('the tests\' GitHub signs and speaks as GitHub does', async (t) => {
	const folder = mkdtempSync(`${tmpdir()}/assay-hub-`), work = `${folder}/work`;
	const heard = [], waits = [];
	const receiver = createServer((request, answer) => {
		const parts = [];

		request.on('data', (part) => parts.push(part)).on('end', () => {
			answer.end();
			heard.push({headers: request.headers, body: Buffer.concat(parts).toString()});
			waits.splice(0).forEach((go) => go());
		});
	});
	const git = (...args) => execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', '-c', 'init.defaultBranch=main', ...args], {encoding: 'utf8'});
	let child;

	t.after(() => { receiver.close(); child?.kill(); rmSync(folder, {recursive: true, force: true}); });
	git('init', '--quiet', work);
	git('-C', work, 'commit', '--quiet', '--allow-empty', '-m', 'one');
	git('-C', work, 'branch', 'theirs');
	git('clone', '--quiet', '--bare', work, `${folder}/acme/tiny.git`);
	writeFileSync(`${folder}/key`, generateKeyPairSync('rsa', {modulusLength: 2048}).publicKey.export({type: 'spki', format: 'pem'}));
	await new Promise((listening) => receiver.listen(0, '127.0.0.1', listening));
	child = spawn(process.execPath, [fake, folder], {env: {...process.env, APP_KEY: `${folder}/key`}, stdio: ['ignore', 'pipe', 'inherit']});
	const port = await new Promise((said, failed) => { child.stdout.once('data', (line) => said(parseInt(line))); child.once('exit', failed); });
	const act = async (name, body) => (await fetch(`http://127.0.0.1:${port}/_/${name}`, {method: 'POST', body: JSON.stringify({repository: 'acme/tiny', by: 'alice', ...body})})).json();

	await act('hook', {url: `http://127.0.0.1:${receiver.address().port}/`, secret: 'It\'s a Secret to Everybody'});
	await act('issue', {title: 'one', body: 'words'});
	await act('label', {number: 1, label: 'assay'});
	await act('comment', {number: 1, body: '/assay run'});
	await act('pull', {title: 'two', branch: 'theirs'});
	await act('review', {number: 2, state: 'changes_requested', body: 'no', lines: [{path: 'a', line: 1, body: 'why?'}]});
	await act('comment', {number: 2, body: '/assay verify'});
	await act('failure', {number: 2});
	await act('close', {number: 2});
	while (heard.length < 9) await new Promise((go) => waits.push(go));
	for (const {headers, body} of heard) {
		assert.ok(await verify('It\'s a Secret to Everybody', body, headers['x-hub-signature-256']), headers['x-github-event']);
		assert.equal(complaints('partial', headers['x-github-event'], JSON.parse(body)), '', `${headers['x-github-event']} ${body}`);
	}
	assert.notEqual(complaints('partial', 'issues', {...JSON.parse(heard[0].body), action: 'opened', issue: {number: 'one'}}), '', 'and what GitHub would not send is seen');
	assert.deepEqual([...new Set(heard.map(({headers, body}) => `${headers['x-github-event']} ${JSON.parse(body).action}`))].sort(), [
		'issue_comment created', 'issues labeled', 'issues opened', 'pull_request closed', 'pull_request opened', 'pull_request_review submitted',
		'pull_request_review_comment created', 'workflow_run completed']);
});
