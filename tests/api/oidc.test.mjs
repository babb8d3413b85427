// Signing in at a real OpenID provider (oidc-provider from npm): the whole way of a browser, and the ways to get it wrong. Needs root and ASSAY.

import assert from 'node:assert/strict';
import {execFileSync, spawnSync} from 'node:child_process';
import {existsSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {createServer, get} from 'node:http';
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
	return existsSync(join(HERE, 'node_modules/oidc-provider')) ? null : 'oidc-provider is not installed: npm ci in tests/api';
}
const skip = whyNot() ?? false;

const PEOPLE = {
	ann: {sub: 'ann', email: 'ann@example.com', email_verified: true, groups: ['platform']},
	bob: {sub: 'bob', email: 'bob@example.com', email_verified: true},
	eve: {sub: 'eve', email: 'eve@example.com', email_verified: false},
};
let work, provider, listener, issuer, base;
let answers = 'ann'; // who signs in at the provider; '' declines
const seen = [];     // requests to the token endpoint

/** The provider: who signs in is `answers`, and is asked nothing. */
async function provide() {
	const {default: Provider} = await import('oidc-provider');
	const {exportJWK, generateKeyPair} = await import('jose');
	const pairs = await Promise.all([['RS256', {modulusLength: 2048}], ['ES256', {}]].map(async ([alg, options]) => {
		const {privateKey} = await generateKeyPair(alg, {...options, extractable: true});

		return {...await exportJWK(privateKey), alg, use: 'sig', kid: alg};
	}));

	listener = createServer((request, answer) => {
		if (request.url.startsWith('/token'))
			seen.push(request.headers.authorization ?? '');
		if (request.url.startsWith('/interaction/'))
			return void interact(request, answer).catch((error) => answer.writeHead(500).end(String(error)));
		return provider.callback()(request, answer);
	});
	await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
	issuer = `http://127.0.0.1:${listener.address().port}`;
	const client = (id, more) => ({client_id: id, redirect_uris: [], response_types: ['code'], grant_types: ['authorization_code'], ...more});
	return {Provider, pairs, client};
}

async function interact(request, answer) {
	const {prompt, params, session, grantId} = await provider.interactionDetails(request, answer);
	let result = {error: 'access_denied', error_description: 'not today'};

	if (answers && prompt.name === 'login')
		result = {login: {accountId: answers}};
	else if (answers) {
		const grant = grantId ? await provider.Grant.find(grantId) : new provider.Grant({accountId: session.accountId, clientId: params.client_id});

		grant.addOIDCScope('openid email profile');
		grant.addOIDCClaims(['groups']);
		result = {consent: {grantId: await grant.save()}};
	}
	await provider.interactionFinished(request, answer, result, {mergeWithLastSubmission: true});
}

/** fetch() says of itself where it comes from; a browser's words are ours to choose here. */
const ask = (url, headers) => new Promise((resolve, reject) => {
	get(url, {headers, agent: false}, (answer) => {
		const chunks = [];

		answer.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
			const text = Buffer.concat(chunks).toString();
			const lines = new Headers();

			for (let i = 0; i < answer.rawHeaders.length; i += 2)
				lines.append(answer.rawHeaders[i], answer.rawHeaders[i + 1]);
			resolve({status: answer.statusCode, headers: lines, text: async () => text, json: async () => JSON.parse(text)});
		});
	}).on('error', reject);
});

/** A browser's cookies, and one step of it at a time. */
class Browser {
	cookies = new Map();

	async get(url, headers = {}) {
		const {host, pathname} = new URL(url);
		const cookie = [...this.cookies].filter(([key]) => key.startsWith(`${host} `)).map(([key, value]) => `${key.split(' ')[1]}=${value}`).join('; ');
		const answer = await ask(url, {...headers, ...cookie && {cookie}, 'sec-fetch-mode': pathname === '/session.json' ? 'cors' : 'navigate', 'sec-fetch-site': pathname === '/session.json' ? 'same-origin' : 'cross-site'});

		for (const line of answer.headers.getSetCookie()) {
			const [pair] = line.split(';');
			const at = pair.indexOf('=');

			this.cookies.set(`${host} ${pair.slice(0, at)}`, pair.slice(at + 1));
		}
		return answer;
	}

	/** Follows the provider's redirects to our callback's address. */
	async toCallback(url) {
		for (let i = 0; i < 20; i++) {
			const answer = await this.get(url);
			const next = answer.headers.get('location');

			assert.ok(next, `${url}: ${answer.status} ${await answer.text()}`);
			url = new URL(next, url).href;
			if (url.startsWith(`${base}/signin/oidc/callback`))
				return url;
		}
		return assert.fail('redirected for ever');
	}

	async signIn() {
		const callback = await this.toCallback(`${base}/signin/oidc`);

		return this.get(callback);
	}

	session = async () => (await this.get(`${base}/session.json`)).json();
}

function serve(variables) {
	const env = {...process.env, ASSAY_STATE: join(work, 'state'), ASSAY_OIDC_ISSUER: issuer, ASSAY_OIDC_CLIENT: 'assay',
		ASSAY_OIDC_ROLES: 'groups:platform=admin email:@example.com=developer', ...variables};

	spawnSync(ASSAY, ['serve', '--stop'], {env});
	return execFileSync(ASSAY, ['serve', '--background', '--listen', base ? new URL(base).host : '127.0.0.1:0', '--preview', '127.0.0.1:0'], {env, encoding: 'utf8'}).trim();
}

before(async () => {
	if (skip)
		return;
	work = mkdtempSync(join(tmpdir(), 'assay-oidc-'));
	writeFileSync(join(work, 'secret'), 'a secret: of/ours\n', {mode: 0o600});
	const {Provider, pairs, client} = await provide();

	base = serve({ASSAY_OIDC_SECRET_FILE: join(work, 'secret')});
	const redirect_uris = [`${base}/signin/oidc/callback`];
	provider = new Provider(issuer, {
		clients: [client('assay', {redirect_uris, client_secret: 'a secret: of/ours', id_token_signed_response_alg: 'RS256'}),
			client('public', {redirect_uris, token_endpoint_auth_method: 'none', id_token_signed_response_alg: 'ES256'})],
		jwks: {keys: pairs},
		claims: {openid: ['sub', 'groups'], email: ['email', 'email_verified'], profile: []},
		findAccount: (_, id) => ({accountId: id, claims: () => PEOPLE[id]}),
		interactions: {url: (_, interaction) => `/interaction/${interaction.uid}`},
		features: {devInteractions: {enabled: false}},
		pkce: {required: () => true},
		cookies: {keys: ['for a test']},
	});
});

after(() => {
	if (!work)
		return;
	spawnSync(ASSAY, ['serve', '--stop'], {env: {...process.env, ASSAY_STATE: join(work, 'state')}});
	listener?.close();
	rmSync(work, {recursive: true, force: true});
});

test('nobody is let in who has not signed in, though it is this machine', {skip}, async () => {
	const browser = new Browser();

	assert.deepEqual(await browser.session(), {sign_in: true, oidc: true});
	assert.equal((await browser.get(`${base}/api/v1/runs`)).status, 401);
});

test('a person signs in at the provider and is what its claims make of them', {skip}, async () => {
	const browser = new Browser();

	answers = 'ann';
	const page = await browser.signIn();

	assert.equal(page.status, 200, await page.text());
	assert.match(page.headers.getSetCookie().find((line) => line.startsWith('assay_session=')), /HttpOnly; SameSite=Strict/);
	const session = await browser.session();
	assert.deepEqual([session.name, session.role], ['ann@example.com', 'admin']);
	assert.equal((await fetch(`${base}/api/v1/tokens`, {headers: {cookie: `assay_session=${browser.cookies.get(`${new URL(base).host} assay_session`)}`}})).status, 200);
	assert.match(seen.at(-1), /^Basic /);
});

test('who has only an address there is what addresses are, and who has none that is verified is nobody', {skip}, async () => {
	const bob = new Browser();

	answers = 'bob';
	assert.equal((await bob.signIn()).status, 200);
	assert.equal((await bob.session()).role, 'developer');
	const eve = new Browser();
	answers = 'eve';
	const page = await eve.signIn();
	assert.equal(page.status, 403);
	assert.match(await page.text(), /nothing of what the provider says of you gives you a role here/);
	assert.deepEqual(await eve.session(), {sign_in: true, oidc: true});
});

test('who declines, comes from another browser, or comes twice is not let in', {skip}, async () => {
	const browser = new Browser();

	answers = '';
	const declined = await browser.signIn();
	assert.equal(declined.status, 403);
	assert.match(await declined.text(), /access_denied: not today/);
	answers = 'ann';
	const callback = await new Browser().toCallback(`${base}/signin/oidc`);
	const other = await new Browser().get(callback);
	assert.match(await other.text(), /begun in another browser/);
	const own = new Browser();
	const first = await own.toCallback(`${base}/signin/oidc`);
	const changed = new URL(first);
	changed.searchParams.set('state', '0'.repeat(64));
	assert.equal((await own.get(changed.href)).status, 403);
	const again = new Browser();
	const used = await again.toCallback(`${base}/signin/oidc`);
	const cookies = new Map(again.cookies);
	assert.equal((await again.get(used)).status, 200);
	again.cookies = cookies;
	assert.equal((await again.get(used)).status, 403);
	const mixed = new Browser();
	const wrong = new URL(await mixed.toCallback(`${base}/signin/oidc`));
	wrong.searchParams.set('iss', 'https://evil.example.com');
	assert.match(await (await mixed.get(wrong.href)).text(), /another provider/);
});

test('a session outlives the server, and signing out ends it', {skip}, async () => {
	const browser = new Browser();

	answers = 'bob';
	await browser.signIn();
	base = serve({ASSAY_OIDC_SECRET_FILE: join(work, 'secret')});
	const session = await browser.session();
	assert.equal(session.name, 'bob@example.com');
	const cookie = `assay_session=${browser.cookies.get(`${new URL(base).host} assay_session`)}`;
	await fetch(`${base}/signout`, {method: 'POST', headers: {cookie, 'x-assay-token': session.token}});
	assert.deepEqual(await browser.session(), {sign_in: true, oidc: true});
});

test('a public client signs in by PKCE alone, with tokens signed by ES256', {skip}, async () => {
	const browser = new Browser();

	base = serve({ASSAY_OIDC_CLIENT: 'public'});
	answers = 'ann';
	assert.equal((await browser.signIn()).status, 200);
	assert.equal((await browser.session()).role, 'admin');
	assert.equal(seen.at(-1), '');
});

test('a provider that is not there is said, and nobody is let in', {skip}, async () => {
	const browser = new Browser();

	base = serve({ASSAY_OIDC_ISSUER: 'http://127.0.0.1:9'});
	const page = await browser.get(`${base}/signin/oidc`);
	assert.equal(page.status, 502);
	assert.match(await page.text(), /Signing in did not work: the provider&#39;s discovery|Signing in did not work: the provider/);
});
