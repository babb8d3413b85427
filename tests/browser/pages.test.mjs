// Every page against the mock: it is sound, by day and by night, wide and narrow; it is live; it obeys the keyboard; nothing from
// outside becomes markup. node --test tests/browser

import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';

import {axeMissing, violations} from './axe.mjs';
import {becomes, launch, missing, open, settled, sound, until} from './browser.mjs';
import {mockServer} from './mock/server.mjs';

const why = await missing();
const skip = why ?? false;
const noAxe = await axeMissing();
const RUN = 'r1b9xw3c6fe';
const WORKING = 'r7q2mzk4d1w';
const HOSTILE = 'r9d4tj5y8ka';
const ENVIRONMENT = 'e5v1n7k2pqd';
const PAGES = {
	home: '/', runs: '/runs', 'runs-table': '/runs?view=table', 'runs-found': '/runs?view=table&state=over&text=footer', run: `/runs/${RUN}`, 'run-working': `/runs/${WORKING}`, 'run-failed': '/runs/r6y5vb1t7dk',
	'run-changes': `/runs/${RUN}?view=changes`, 'run-evidence': `/runs/${HOSTILE}?view=evidence`, 'run-pictures': `/runs/${RUN}?view=pictures`, 'run-services': `/runs/${HOSTILE}?view=services`, 'run-shell': `/runs/${WORKING}?view=shell`, 'run-record': `/runs/${RUN}?view=record`,
	issues: '/issues', issue: '/issues/1', 'issue-hostile': '/issues/2', 'issue-new': '/issues/new', pulls: '/pulls', 'pull-verified': '/pulls/1', 'pull-failed': '/pulls/2', 'pull-unverified': '/pulls/3', 'pull-merged': '/pulls/4', 'pull-changes': '/pulls/2?view=changes', 'pull-beside': '/pulls/2?view=preview',
	environments: '/environments', environment: `/environments/${ENVIRONMENT}`, 'environment-failed': '/environments/e1z8q3g5bns', 'environment-shell': `/environments/${ENVIRONMENT}/shell?sandbox=db`,
	holds: '/holds', egress: '/egress', 'egress-rules': '/egress?view=policy', ledger: '/ledger', 'ledger-filtered': '/ledger?kind=verdict', snapshots: '/snapshots', settings: '/settings', machine: '/machine',
};
/** What these pages draw after they were read: it comes by a stream, or is asked for when its fold is open. */
const STREAMED = {run: '.chapter', 'run-working': '.chapter', 'run-services': '[role=log]', environment: '[role=log]', 'environment-failed': '[role=log]'};
let browser;

before(async () => {
	if (!skip)
		browser = await launch();
});
after(() => browser?.close());

/** A mock of its own and a page on it. */
async function visit(t, path, {server: options, ...context} = {}) {
	const server = await mockServer(options);
	const page = await open(browser, context);

	t.after(async () => {
		await page.context().close();
		await server.close();
	});
	await page.goto(server.base + path);
	await settled(page);
	await until(() => called(server, 'GET', '/events').length); // it is told what happens from now on
	return {page, server};
}

const streamed = (page, name) => until(async () => !(name in STREAMED) || (await page.locator(STREAMED[name]).first().textContent()));

/** The bodies of all calls of this kind so far: what was not to happen is not among them when what came after it is. */
const called = (server, method, path) => server.calls.filter((call) => call.method === method && call.path === path).map((call) => call.body);
const focusIs = (page, attribute, value) => becomes(() => page.locator(':focus').getAttribute(attribute), value);

for (const [name, path] of Object.entries(PAGES))
	test(`${name} is sound, by day, by night, and on a telephone`, {skip}, async (t) => {
		const {page} = await visit(t, path);

		await streamed(page, name);
		for (const [look, media, width] of [['light', {colorScheme: 'light'}, 1360], ['dark', {colorScheme: 'dark'}, 1360], ['narrow', {colorScheme: 'light'}, 390]]) {
			await page.emulateMedia(media);
			await page.setViewportSize({width, height: 900});
			await page.shot(`${name}-${look}`);
			await sound(page);
			if (!noAxe)
				assert.deepEqual(await violations(page), [], look);
		}
		if (noAxe)
			t.diagnostic(`not held against axe: ${noAxe}`);
	});

for (const [name, path] of Object.entries(PAGES))
	test(`${name} shows hostile texts as texts`, {skip}, async (t) => {
		const {page} = await visit(t, path, {server: {hostile: true}});

		await streamed(page, name);
		await page.shot(`hostile-${name}`);
		await sound(page);
		assert.doesNotMatch(await page.locator('body').innerText(), /[\u202a-\u202e\u2066-\u2069]/, 'a mark turned a line around');
	});

for (const path of ['/', '/runs', '/issues', '/issues/new', '/pulls', '/environments', '/snapshots', '/egress', '/ledger', '/holds'])
	test(`${path} teaches when there is nothing`, {skip}, async (t) => {
		const {page} = await visit(t, path, {server: {empty: true}});

		await page.shot(`empty${path.replaceAll('/', '-')}`);
		await sound(page);
		assert.ok(await page.locator('.empty').isVisible());
		assert.ok(await page.locator('.empty a, .empty .command').count());
	});

test('what is absent is said in one line', {skip}, async (t) => {
	const {page, server} = await visit(t, '/pulls/99');

	await becomes(() => page.locator('.trouble p').textContent(), 'pull request 99: there is none');
	await page.goto(`${server.base}/nothing/here`);
	await page.locator('text=There is no such page').waitFor();
});

test('the three verdicts cannot be taken for each other', {skip}, async (t) => {
	const {page, server} = await visit(t, '/pulls/1');
	const looks = [];

	for (const [number, word] of [[1, 'Verified'], [2, 'Failed'], [3, 'Unverified']]) {
		await page.goto(`${server.base}/pulls/${number}`);
		const banner = page.getByRole('region', {name: `Verdict: ${word}`});
		await banner.waitFor();
		looks.push(await banner.evaluate((element) => {
			const mark = getComputedStyle(element.querySelector('.mark'));
			const own = getComputedStyle(element);
			return {icon: element.querySelector('path').getAttribute('d'), shape: `${mark.borderRadius} ${mark.borderStyle}`, color: mark.backgroundColor, border: `${own.borderLeftWidth} ${own.borderStyle}`};
		}));
	}
	for (const key of ['icon', 'shape', 'color', 'border'])
		assert.equal(new Set(looks.map((look) => look[key])).size, 3, `${key}: ${JSON.stringify(looks)}`);
});

test('a finding shows what was expected beside what came, and where the calls part', {skip}, async (t) => {
	const {page} = await visit(t, '/pulls/2');
	const finding = page.locator('.finding').first();

	assert.equal(await finding.locator('.beside .expected mark').first().textContent(), '201');
	assert.equal(await finding.locator('.beside .got mark').first().textContent(), '502');
	assert.match(await finding.locator('.tree').nth(1).locator('.first').textContent(), /orders > pricing.*400/);
	assert.match(await finding.locator('.reproduce code').textContent(), /^assay-env http POST/);
});

test('pictures of a run are seen beside each other, and open as large as they were taken', {skip}, async (t) => {
	const {page, server} = await visit(t, `/runs/${RUN}`);

	await page.locator('nav.tabs >> text=Pictures').click();
	await becomes(() => page.locator('.pictures figure').count(), 5);
	assert.deepEqual(await page.locator('.pictures figcaption strong').allTextContents().then((names) => names.slice(0, 4)),
		['/cart, before', '/cart, after', 'e2e: test-results/checkout/video.webm', 'cart, with a price over 1,000']);
	assert.equal(await page.locator('.pictures video').getAttribute('src'), `/pictures/${'d'.repeat(32)}`);
	await becomes(() => page.locator('.pictures img').first().evaluate((img) => img.complete && img.naturalWidth > 0), true);
	assert.match(await page.locator('.pictures a').first().getAttribute('href'), /^\/pictures\/f{32}$/);
	await page.goto(`${server.base}/runs/${WORKING}?view=pictures`);
	await page.locator('text=No picture was taken').waitFor();
	assert.equal(await page.locator('.empty code').textContent(), 'assay-env screenshot URL');
	await sound(page);
});

test('the diff marks what changed inside a line, and folds what is big', {skip}, async (t) => {
	const {page, server} = await visit(t, '/pulls/1');

	await becomes(() => page.locator('.file').count(), 4);
	assert.equal(await page.locator('.lines .add mark').nth(0).textContent(), 'price_text": money(row.price), "');
	await page.goto(`${server.base}/pulls/2`);
	const big = page.locator('.file', {hasText: 'package-lock.json'});
	await big.waitFor();
	assert.equal(await big.locator('tr').count(), 0);
	await big.locator('summary').click();
	await becomes(() => big.locator('tr.add').count(), 900);
	assert.equal(await page.locator('tr.note').textContent().then((text) => text.trim()), 'No newline at end of file');
	await sound(page);
});

test('the signature is checked in the page, and a changed record is called wrong', {skip}, async (t) => {
	const {page, server} = await visit(t, '/pulls/1');

	await becomes(() => page.locator('.signature').textContent(), /valid/);
	await page.route('**/record', async (route) => {
		const answer = await route.fetch();
		const envelope = await answer.json();
		const payload = JSON.parse(Buffer.from(envelope.payload, 'base64'));
		payload.predicate.verdict = 'verified!';
		await route.fulfill({json: {...envelope, payload: Buffer.from(JSON.stringify(payload)).toString('base64')}});
	});
	await page.goto(`${server.base}/pulls/1`);
	await becomes(() => page.locator('.signature').textContent(), /WRONG/);
});

test('events appear as they happen, and what a person writes and opens survives them', {skip}, async (t) => {
	const {page, server} = await visit(t, `/runs/${WORKING}`);

	await page.locator('#message').fill('half a sent');
	await page.locator('.action').first().waitFor();
	const focus = page.locator('#message');
	await focus.focus();
	server.addEvent(WORKING, {type: 'agent', kind: 'observation', id: 'x1', ok: true, text: 'the file <b>itself</b>'});
	server.addEvent(WORKING, {type: 'agent', kind: 'thought', text: 'A new thought'});
	await page.getByText('A new thought').waitFor();
	await page.locator('details.action summary').first().click();
	await page.getByText('the file <b>itself</b>').waitFor();
	server.addEvent(WORKING, {type: 'agent', kind: 'thought', text: 'Another one'});
	await page.getByText('Another one').waitFor();
	assert.ok(await page.getByText('the file <b>itself</b>').isVisible(), 'an opened fold was closed');
	assert.equal(await page.locator('#message').inputValue(), 'half a sent');
	await sound(page);
});

test('a message is sent by the keyboard', {skip}, async (t) => {
	const {page, server} = await visit(t, `/runs/${WORKING}`);

	await page.locator('#message').focus();
	await page.keyboard.type('Use the old style');
	await page.keyboard.press('Control+Enter');
	await becomes(() => called(server, 'POST', `/runs/${WORKING}/message`), [{text: 'Use the old style'}]);
	await page.locator('.bubble.person', {hasText: 'Use the old style'}).waitFor();
	await becomes(() => page.locator('#message').inputValue(), '');
});

test('a run is stopped only after a question', {skip}, async (t) => {
	const {page, server} = await visit(t, `/runs/${WORKING}`);

	await page.getByRole('button', {name: 'Stop', exact: true}).click();
	await page.getByRole('dialog').waitFor();
	await page.keyboard.press('Escape');
	await page.getByRole('dialog').waitFor({state: 'detached'});
	await page.getByRole('button', {name: 'Stop', exact: true}).click();
	await page.getByRole('button', {name: 'Stop the run'}).click();
	await page.getByRole('button', {name: 'Try again'}).click();
	await becomes(() => called(server, 'POST', `/runs/${WORKING}/retry`), [{}]);
	assert.equal(called(server, 'POST', `/runs/${WORKING}/stop`).length, 1);
});

test('a verified pull request is reviewed and merged', {skip}, async (t) => {
	const {page, server} = await visit(t, '/pulls/1');

	await page.locator('#review').fill('Strike the old price through');
	await page.getByRole('button', {name: 'Request changes'}).click();
	await page.locator('.comment.changes').waitFor();
	assert.deepEqual(called(server, 'POST', '/pulls/1/review'), [{kind: 'changes', text: 'Strike the old price through'}]);
	await page.getByRole('button', {name: 'Approve'}).click();
	await page.locator('.comment.approve').waitFor();
	await page.getByRole('button', {name: 'Merge', exact: true}).click();
	await page.getByRole('dialog').getByRole('button', {name: 'Merge'}).click();
	await page.locator('.chip', {hasText: 'Merged'}).waitFor();
	assert.deepEqual(called(server, 'POST', '/pulls/1/merge'), [{}]);
	await becomes(() => page.locator('#review').count(), 0);
	await sound(page);
});

test('merging without proof takes a second word', {skip}, async (t) => {
	const {page, server} = await visit(t, '/pulls/3');

	assert.equal(await page.getByRole('button', {name: 'Merge', exact: true}).count(), 0);
	await page.getByRole('button', {name: 'Merge anyway…'}).click();
	await page.shot('merge-anyway');
	await page.getByRole('button', {name: 'Merge without proof'}).click();
	await becomes(() => called(server, 'POST', '/pulls/3/merge'), [{force: true}]);
});

test('an issue is written and given to an agent', {skip}, async (t) => {
	const {page, server} = await visit(t, '/issues');

	await page.getByRole('link', {name: 'New issue'}).click();
	await page.getByLabel('Repository').selectOption('shop');
	await page.getByLabel('What should be different').fill('Ship to islands');
	await page.getByLabel('More about it').fill('All of them.');
	await page.getByRole('button', {name: 'Give to an agent'}).click();
	await page.waitForURL('**/runs/rnew0000001');
	assert.deepEqual(called(server, 'POST', '/issues'), [{repository: 'shop', title: 'Ship to islands', body: 'All of them.'}]);
	assert.deepEqual(called(server, 'POST', '/runs'), [{repository: 'shop', issue: 8}]);
});

test('an issue is given to an agent in two repositories at once', {skip}, async (t) => {
	const {page, server} = await visit(t, '/issues/new');

	await page.getByLabel('Repository').selectOption('shop');
	await page.getByRole('group', {name: 'Together with'}).getByLabel('billing').check();
	await page.getByLabel('What should be different').fill('Bill to islands');
	await page.getByRole('button', {name: 'Give to an agent'}).click();
	await page.waitForURL('**/runs/rnew0000001');
	assert.deepEqual(called(server, 'POST', '/runs'), [{repository: 'shop', issue: 8, repositories: ['shop', 'billing']}]);
});

test('a run of two repositories links the pull request of each', {skip}, async (t) => {
	const {page, server} = await visit(t, '/runs');
	const run = server.world.runs.find((one) => one.pull);

	run.repositories = [{repository: 'shop', base: run.base, head: run.head, pull: 1, outcome: null}, {repository: 'billing', base: run.base, head: run.head, pull: 2, outcome: null}];
	await page.goto(new URL(`/runs/${run.id}`, page.url()).href);
	await page.getByRole('link', {name: 'Pull request 1 of shop'}).waitFor();
	await page.getByRole('link', {name: 'Pull request 2 of billing'}).waitFor();
});

test('a comment on an issue appears', {skip}, async (t) => {
	const {page} = await visit(t, '/issues/1');

	await page.locator('#comment').fill('Please soon');
	await page.getByRole('button', {name: 'Comment'}).click();
	await page.locator('.comment', {hasText: 'Please soon'}).waitFor();
});

test('files of an issue are downloaded, and taken away', {skip}, async (t) => {
	const {page, server} = await visit(t, '/issues/1');
	const file = page.getByRole('link', {name: 'seen on the till.log'});

	await file.waitFor();
	assert.equal(await file.getAttribute('download'), 'seen on the till.log');
	assert.match(await file.getAttribute('href'), /\/api\/v1\/issues\/1\/attachments\/seen%20on%20the%20till\.log$/);
	await page.getByRole('button', {name: 'Take away'}).click();
	await page.getByRole('dialog').getByRole('button', {name: 'Take away'}).click();
	await file.waitFor({state: 'detached'});
	assert.equal(called(server, 'DELETE', '/issues/1/attachments/seen%20on%20the%20till.log').length, 1);
});

test('an environment is frozen, pinned, forked and taken down', {skip}, async (t) => {
	const {page, server} = await visit(t, `/environments/${ENVIRONMENT}`);

	await page.getByRole('button', {name: 'Freeze'}).click();
	await page.getByRole('button', {name: 'Thaw'}).waitFor();
	await page.getByRole('button', {name: 'Pin'}).click();
	await page.getByRole('button', {name: 'Unpin'}).waitFor();
	await page.getByRole('button', {name: 'Keep a day longer'}).click();
	await becomes(() => called(server, 'POST', `/environments/${ENVIRONMENT}/extend`), [{grace_ms: 86_400_000}]);
	await page.getByRole('button', {name: 'Take down'}).click();
	await page.getByRole('dialog').getByRole('button', {name: 'Take down'}).click();
	await page.waitForURL('**/environments');
	await page.getByRole('heading', {name: 'Environments'}).waitFor();
	await becomes(() => page.getByText(ENVIRONMENT).count(), 0);
});

test('the seam graph counts calls and marks what failed', {skip}, async (t) => {
	const {page} = await visit(t, `/environments/${ENVIRONMENT}`);
	const graph = page.getByRole('region', {name: 'Seam graph'});

	assert.match(await graph.locator('> svg').getAttribute('aria-label'), /preview calls front 19 times/);
	assert.equal(await graph.locator('.edge.bad text').textContent(), '5 · 1 failed');
	assert.equal(await graph.locator('.node').count(), 9);
	await page.locator('summary', {hasText: 'Exchanges'}).click();
	await page.locator('.exchanges summary').first().click();
	await page.shot('environment-exchanges');
	await sound(page);
});

test('logs of one service can be chosen', {skip}, async (t) => {
	const {page} = await visit(t, `/environments/${ENVIRONMENT}`);
	const log = page.getByRole('log');

	await becomes(() => log.textContent(), /pricing/);
	await page.getByLabel('Whose log').selectOption('front');
	await becomes(() => log.textContent(), /^front(?![^]*pricing)/);
	let letGo;
	await page.route(/logs\?lines=\d+$/, (route) => { letGo = () => route.continue(); });
	await page.getByLabel('Whose log').selectOption('');
	await until(() => letGo);
	await page.getByLabel('Whose log').selectOption('front');
	await becomes(() => log.textContent(), /^front/);
	const late = page.waitForResponse(/logs\?lines=\d+$/);
	await letGo();
	await (await late).finished();
	await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))));
	assert.match(await log.textContent(), /^front(?![^]*pricing)/, 'what was asked for before came over it');
});

test('the keyboard alone gets around', {skip}, async (t) => {
	const {page} = await visit(t, '/');

	await page.keyboard.press('Tab');
	await becomes(() => page.locator(':focus').textContent(), 'Skip to the content');
	await page.keyboard.press('Enter');
	await focusIs(page, 'id', 'main');
	await page.keyboard.press('Tab');
	await focusIs(page, 'href', '/issues/new');
	await page.keyboard.press('Enter');
	await page.waitForURL('**/issues/new');
	await focusIs(page, 'id', 'main');
	await page.goBack();
	await page.waitForURL((url) => url.pathname === '/');
	await page.getByRole('heading', {name: 'At work'}).waitFor();
});

test('a place in the page is gone to without drawing it again', {skip}, async (t) => {
	const {page} = await visit(t, '/pulls/1');

	await page.evaluate(() => { window.drawn = document.querySelector('.files'); });
	await page.locator('.files a').nth(2).click();
	await page.waitForURL('**#file-3');
	await page.evaluate(() => new Promise((resolve) => { addEventListener('popstate', resolve); history.back(); })); // whoever listens has heard the first, too
	assert.ok(await page.evaluate(() => window.drawn.isConnected));
});

test('a refusal of the server is shown, and the page stays', {skip}, async (t) => {
	const {page} = await visit(t, '/issues/1');

	await page.route('**/comments', (route) => route.fulfill({status: 409, json: {kind: 'conflict', detail: 'the issue was closed'}}));
	await page.locator('#comment').fill('Hello');
	await page.getByRole('button', {name: 'Comment'}).click();
	await page.getByRole('alert').filter({hasText: 'the issue was closed'}).waitFor();
	await becomes(() => page.locator('#comment').inputValue(), 'Hello');
	await sound(page, {allow: ['409']});
});

test('a server that went away is said so, and found again', {skip}, async (t) => {
	const {page, server} = await visit(t, '/');

	server.away(true);
	await page.locator('.alive.no').waitFor();
	server.world.runs[0].title = 'What nobody was told';
	server.away(false);
	await page.locator('.alive.yes').waitFor();
	await page.getByText('What nobody was told').waitFor();
});

test('a link from outside cannot carry a script', {skip}, async (t) => {
	const {page, server} = await visit(t, '/');

	server.world.pulls[0].preview = 'javascript:window.pwned=1';
	await page.goto(`${server.base}/pulls/1`);
	assert.equal(await page.getByRole('link', {name: 'Open the live preview'}).getAttribute('href'), '#');
});

test('a question is answered once, and what it shows cannot deceive', {skip}, async (t) => {
	const {page, server} = await visit(t, '/holds');
	const hostile = page.locator('[data-key="hhostile22"]').first();

	assert.equal(await hostile.locator('h3').innerText(), 'POST https://evil.test:443/·<script>alert(1)</script>·[31m');
	assert.equal(await hostile.locator('pre').innerText(), '<img src=x onerror=alert(2)>·[2J·gnp.exe');
	assert.equal(await hostile.getByRole('button', {name: 'For an hour'}).count(), 0);
	await page.locator('[data-key="hq7w2mzk4d approve run"]').click();
	await becomes(() => called(server, 'POST', '/holds/hq7w2mzk4d/approve'), [{for: 'run'}]);
	await page.getByText('1 request waits for you').waitFor();
	await page.getByRole('button', {name: 'Let it go on'}).click();
	await becomes(() => called(server, 'POST', '/kill'), [{env: 'e1z8q3g5bns', undo: true}]);
});

test('what leaves is seen by host and request, and stopped only by somebody who means it', {skip}, async (t) => {
	const {page, server} = await visit(t, '/egress');
	const rows = page.locator('section', {hasText: 'As it goes'}).locator('li');

	await becomes(() => rows.count(), 5);
	assert.match(await rows.nth(0).innerText(), /Under way[^]*POST api\.anthropic\.com\/v1\/messages/);
	assert.match(await rows.nth(3).innerText(), /Refused[^]*POST evil\.test\/·<img src=x onerror=alert\(1\)>[^]*no rule allows it·\[2J/);
	assert.match(await page.locator('.hosts li').nth(0).innerText(), /2 requests/);
	server.world.ledger.unshift({...server.world.ledger[1], id: 10, request: 'q7', status: 429});
	await page.getByText('429').waitFor();
	await page.getByRole('button', {name: 'Stop everything'}).click();
	await page.getByRole('dialog').waitFor();
	assert.deepEqual(called(server, 'POST', '/kill'), []);
	await page.getByRole('dialog').getByRole('button', {name: 'Stop everything'}).click();
	await becomes(() => called(server, 'POST', '/kill').map((kill) => kill.all), [true]);
	await page.getByRole('button', {name: 'Let everything go on'}).waitFor();
});

test('the ledger is searched by its address, and says whether it is whole', {skip}, async (t) => {
	const {page} = await visit(t, '/ledger');

	await becomes(() => page.locator('tbody tr').count(), 9);
	await page.getByLabel('Kind').selectOption('Refused');
	await page.getByRole('button', {name: 'Search'}).click();
	await page.waitForURL('**/ledger?kind=verdict');
	await becomes(() => page.locator('tbody tr').count(), 1);
	await page.locator('tbody tr').getByText('no rule allows it').waitFor();
	await page.goBack();
	await becomes(() => page.locator('tbody tr').count(), 9);
	await page.getByRole('button', {name: 'Verify the chain'}).click();
	await page.getByText('Whole: 9 rows of 2 writers').waitFor();
});

test('keys go to places and through lists, are listed by ?, and can be switched off', {skip}, async (t) => {
	const {page, server} = await visit(t, '/');
	const list = page.getByRole('dialog', {name: 'Keys'});

	await page.keyboard.press('j');
	await focusIs(page, 'href', '/holds');
	await page.keyboard.press('j');
	await page.keyboard.press('j');
	await focusIs(page, 'href', '/pulls/1');
	await page.keyboard.press('Enter');
	await page.getByRole('region', {name: 'Verdict: Verified'}).waitFor();
	await page.keyboard.press(']');
	await page.waitForURL('**/pulls/1?view=changes');
	await until(async () => { // g and r go together only when they follow each other
		await page.keyboard.type('gr');
		return page.url() === `${server.base}/runs`;
	});
	await page.getByRole('heading', {name: 'Waits for you'}).waitFor();
	await page.keyboard.press('/');
	await focusIs(page, 'id', 'f-text');
	await page.keyboard.type('gr?');
	await page.waitForURL('**/runs?text=gr%3F');
	await page.keyboard.press('Escape');
	await page.keyboard.press('?');
	await list.waitFor();
	await page.shot('keys');
	await sound(page);
	await list.getByLabel('Keys are on').uncheck();
	await page.keyboard.press('Escape');
	await list.waitFor({state: 'detached'});
	await page.keyboard.type('gh');
	await page.keyboard.press('?'); // is always heard, and after what was typed before it
	await list.waitFor();
	assert.ok(page.url().startsWith(`${server.base}/runs`));
});

test('the board has what waits first; filters are in the address and keep the focus', {skip}, async (t) => {
	const {page, server} = await visit(t, '/runs');
	const rows = page.locator('tbody tr');

	await becomes(() => page.locator('.board-column').nth(0).innerText(), /^Waits for you\s*3/);
	server.world.runs[0].question = {id: 1, state: 'open', question: 'Which of the two?', asked_ms: Date.now(), deadline_ms: Date.now() + 60_000};
	server.changed('run', {id: server.world.runs[0].id, state: 'turn'});
	await page.locator('.board-column').nth(0).getByText('Which of the two?').waitFor();
	await becomes(() => page.locator('.board-column').nth(2).locator('li').count(), 0);
	await page.getByRole('link', {name: 'Table'}).click();
	await becomes(() => rows.count(), 6);
	await page.getByLabel('Search').pressSequentially('footer');
	await page.waitForURL('**/runs?view=table&text=footer');
	await becomes(() => rows.count(), 1);
	await focusIs(page, 'id', 'f-text');
	await page.getByLabel('Search').fill('');
	await page.waitForURL('**/runs?view=table');
	await becomes(() => rows.count(), 6);
	await page.getByLabel('Repository').selectOption('billing');
	await becomes(() => rows.count(), 1);
	await page.getByRole('link', {name: 'Invoices as PDF'}).waitFor();
	await page.getByRole('navigation', {name: 'State'}).getByRole('link', {name: 'finished'}).click();
	await page.waitForURL((url) => url.searchParams.get('state') === 'over' && url.searchParams.get('repository') === 'billing');
});

test('words that are still being typed do not follow a person to another page', {skip}, async (t) => {
	const {page} = await visit(t, '/runs?view=table');

	await page.clock.install();
	await page.getByLabel('Search').fill('footer');
	await page.getByRole('navigation', {name: 'Main'}).getByRole('link', {name: 'Issues', exact: true}).click();
	await page.getByRole('heading', {name: 'Issues', exact: true}).waitFor();
	await page.clock.fastForward(5000);
	assert.equal(new URL(page.url()).search, '');
});

test('a shell is typed into, obeys nothing that it prints, and gives the keyboard back', {skip}, async (t) => {
	const {page, server} = await visit(t, `/runs/${WORKING}?view=shell`);
	const screen = page.locator('.screen');

	await page.getByText('The agent goes on while you are here').waitFor();
	await page.getByRole('button', {name: 'Open a shell'}).click();
	await screen.getByText('workspace:~$').waitFor();
	assert.equal(called(server, 'UPGRADE', '/api/v1/environments/e3hm0x8v2ta/terminal')[0].sandbox, 'workspace');
	await page.keyboard.type('hostilX');
	await page.keyboard.press('Backspace');
	await page.keyboard.type('e\n');
	await screen.getByText('<img src=x onerror="window.pwned=1">gnp.exe').waitFor();
	assert.equal(await screen.locator('.f-c1').innerText(), 'red');
	await page.shot('shell');
	await page.keyboard.press('Control+]');
	await focusIs(page, 'data-key', 'shell-open');
	await sound(page);
	if (!noAxe)
		assert.deepEqual(await violations(page), []);
	await screen.click();
	await focusIs(page, 'class', 'screen-input');
	await page.keyboard.type('exit\n');
	await page.getByText('Ended: exit 0.').waitFor();
});

test('a request is explained, a draft is tried on what was asked, and put in force', {skip}, async (t) => {
	const {page, server} = await visit(t, '/egress?view=policy');

	server.world.ledger.push({...server.world.ledger[0], id: 0.5, request: 'q0', kind: 'verdict', rule: 'default-deny', host: 'pypi.org', path: '/simple', method: 'GET'});
	await page.getByLabel('URL').fill('evil.test/x');
	await page.keyboard.press('Enter');
	await page.getByText('no rule allows evil.test').waitFor();
	assert.deepEqual(called(server, 'POST', '/policy/judge')[0].requests, [{method: 'GET', url: 'https://evil.test/x'}]);
	await page.getByRole('button', {name: 'Suggest rules'}).click();
	await page.getByText('{host: pypi.org, methods: [GET], action: allow}').waitFor();
	await page.getByLabel('Draft').fill('rules:\n  - {host: pypi.org, action: allow}\n');
	await page.getByRole('button', {name: 'Simulate'}).click();
	await page.getByRole('region', {name: 'What would change'}).getByText('GET https://pypi.org/simple').waitFor();
	await page.shot('policy-simulated');
	await page.getByRole('button', {name: 'Put in force…'}).click();
	await page.getByRole('dialog').waitFor();
	assert.deepEqual(called(server, 'POST', '/policy'), []);
	await page.getByRole('dialog').getByRole('button', {name: 'Put in force'}).click();
	await becomes(() => called(server, 'POST', '/policy').map(({text}) => text).join(), /pypi/);
	await sound(page);
});

test('a receiver is added, its secret said once, and no page makes a token', {skip}, async (t) => {
	const {page, server} = await visit(t, '/settings');

	await page.getByLabel('URL').fill('https://ci.example/hook');
	await page.getByLabel('issues').uncheck();
	await page.getByRole('button', {name: 'Add'}).click();
	await page.getByText('whsec_bW9jaw==').waitFor();
	assert.deepEqual(called(server, 'POST', '/webhooks'), [{url: 'https://ci.example/hook', on: ['run', 'pull']}]);
	await page.getByText('https://ci.example/hook').waitFor();
	assert.equal(await page.getByRole('button', {name: /^(Make|Create)/}).count(), 0);
	await sound(page);
});

test('a difference is declared to be meant, from a finding or as it was proposed, and taken back', {skip}, async (t) => {
	const {page, server} = await visit(t, `/runs/${HOSTILE}?view=evidence`);
	const list = page.locator('[data-key=declared] li');
	const finding = page.locator('[data-key="finding f-b07714ad90e1"]');
	const path = `/runs/${HOSTILE}/declarations`;

	await becomes(() => list.count(), 1);
	await list.getByRole('button', {name: 'It is meant'}).click();
	await list.getByText('declared by you').waitFor();
	await finding.getByLabel('Is this meant? Say why').fill('People read it.');
	await finding.getByRole('button', {name: 'It is meant'}).click();
	await becomes(() => list.count(), 2);
	assert.deepEqual(called(server, 'POST', path), [{difference: 'GET /api/products* body.price', because: called(server, 'POST', path)[0].because}, {difference: 'f-b07714ad90e1', because: 'People read it.'}]);
	await page.shot('declared');
	await list.filter({hasText: 'f-b07714ad90e1'}).getByRole('button', {name: 'Take back'}).click();
	await becomes(() => list.count(), 1);
	await sound(page);
	if (!noAxe)
		assert.deepEqual(await violations(page), []);
});

test('an issue begins with a template, and a text file goes into it', {skip}, async (t) => {
	const {page} = await visit(t, '/issues/new');
	const body = page.getByLabel('More about it');

	await page.getByRole('button', {name: 'Something is wrong'}).click();
	await becomes(() => body.inputValue(), /^What happens:/);
	await page.locator('#files').setInputFiles({name: 'trace.log', mimeType: 'text/plain', buffer: Buffer.from('line 1\n```\nline 2')});
	await becomes(() => body.inputValue(), /trace\.log:\n\n~~~\nline 1\n```\nline 2\n~~~/);
	await page.locator('#files').setInputFiles({name: 'a.png', mimeType: 'image/png', buffer: Buffer.from([0x89, 0x50, 0, 1])});
	await page.getByText('a.png is no text').waitFor();
	await sound(page);
});

test('a run\u2019s seams that changed are coloured, and the risk of a change is said', {skip}, async (t) => {
	const {page, server} = await visit(t, `/runs/${HOSTILE}?view=services`);

	assert.match(await page.getByRole('region', {name: 'Seam graph'}).locator('> svg').getAttribute('aria-label'), /orders calls pricing 5 times, answered otherwise than on base/);
	await page.locator('.edge.gone').first().waitFor();
	await page.goto(`${server.base}/pulls/2`);
	await page.locator('[data-key="risk"]').getByText('changes dependencies').waitFor();
});

test('light and dark are the person\u2019s choice, and what waits is in the title', {skip}, async (t) => {
	const {page} = await visit(t, '/issues');
	const theme = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
	const first = await theme();

	await becomes(() => page.title(), '(5) Issues · Assay');
	await page.getByRole('button', {name: 'Light or dark'}).click();
	await until(async () => (await theme()) !== first);
	const turned = await theme();
	await page.reload();
	await settled(page);
	await becomes(theme, turned);
});
