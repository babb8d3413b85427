// The pages on the real server: an agent works on a tiny application, and a person does everything by clicking. Needs root and ASSAY.

import assert from 'node:assert/strict';
import {execFileSync, spawnSync} from 'node:child_process';
import {cpSync, existsSync, mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';

import {becomes, launch, missing, open, settled, sound} from './browser.mjs';

const ASSAY = process.env.ASSAY ?? '';
const TINY = join(import.meta.dirname, '../scenarios/tiny');

async function whyNot() {
	if (process.getuid() !== 0)
		return 'needs root: sandboxes with limits';
	return existsSync(ASSAY) ? missing() : 'ASSAY does not say where the binary is';
}
const skip = (await whyNot()) ?? false;

let browser;
let work;
let base;

const assay = (...args) => execFileSync(ASSAY, args, {encoding: 'utf8', cwd: join(work, 'tiny'), env: {...process.env, ASSAY_STATE: join(work, 'state')}, stdio: ['ignore', 'pipe', 'pipe']});
const git = (...args) => execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], {cwd: join(work, 'tiny')});

before(async () => {
	if (skip)
		return;
	work = mkdtempSync(join(tmpdir(), 'assay-browser-'));
	cpSync(TINY, join(work, 'tiny'), {recursive: true});
	git('init', '--quiet', '--initial-branch', 'main');
	git('add', '--all');
	git('commit', '--quiet', '--message', 'as it is');
	base = assay('serve', '--background', '--listen', '127.0.0.1:0', '--preview', '127.0.0.1:0').trim();
	assay('repo', 'put');
	browser = await launch();
});
after(async () => {
	await browser?.close();
	if (!work)
		return;
	spawnSync(ASSAY, ['serve', '--stop'], {env: {...process.env, ASSAY_STATE: join(work, 'state')}});
	rmSync(work, {recursive: true, force: true});
});

const issueState = () => JSON.parse(assay('issue', 'show', '1', '--json')).state;
const LONG = {timeout: 90_000};

test('from an issue to a merge, by clicking', {skip, timeout: 300_000}, async (t) => {
	const page = await open(browser);
	let preview;

	await t.test('an issue is written and an agent gets it', async () => {
		await page.goto(`${base}/issues/new`);
		await settled(page);
		await page.getByLabel('What should be different').fill('Say hello louder <img src=x onerror="window.pwned=1">');
		await page.getByLabel('More about it').fill('With an exclamation mark.');
		await page.getByRole('button', {name: 'Give to an agent'}).click();
		await page.waitForURL('**/runs/r*');
	});

	await t.test('its work appears as it happens', async () => {
		await page.getByText('A thought in').waitFor(LONG);
		await page.getByRole('heading', {name: 'Gates'}).waitFor(LONG);
		await page.getByRole('link', {name: 'Pull request 1'}).first().waitFor(LONG);
		await page.shot('real-run');
		await sound(page);
	});

	await t.test('the pull request says what was proven, and its signature is valid', async () => {
		await page.getByRole('link', {name: 'Pull request 1'}).first().click();
		await page.getByRole('region', {name: 'Verdict: Verified'}).waitFor(LONG);
		await becomes(() => page.locator('.signature').textContent(), /valid/);
		await becomes(() => page.locator('.diff').textContent(), /hello!/);
		await page.shot('real-pull');
		await sound(page);
	});

	await t.test('the preview answers, and cannot act on the dashboard', async () => {
		const [other] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', {name: 'Open the live preview'}).click()]);

		await other.waitForLoadState();
		preview = other.url();
		await becomes(async () => (await other.textContent('body')).trim(), 'hello!');
		const tried = await other.evaluate(async (to) => {
			const tries = {};
			for (const [name, path, options] of [['list', '/api/v1/runs', {}], ['token', '/session.json', {}], ['change', '/api/v1/issues/1/close', {method: 'POST', body: '{}'}], ['blind', '/api/v1/issues/1/close', {method: 'POST', mode: 'no-cors', body: '{}'}]])
				try {
					const answer = await fetch(to + path, options);
					tries[name] = answer.type === 'opaque' ? 'opaque' : answer.status;
				} catch {
					tries[name] = 'refused';
				}
			return tries;
		}, base);
		assert.deepEqual(tried, {list: 'refused', token: 'refused', change: 'refused', blind: 'refused'});
		await becomes(issueState, 'review'); // nobody closed it
		await other.close();
	});

	await t.test('a review wakes the agent, and what it does is verified again', async () => {
		await page.locator('#review').fill('Louder still');
		await page.getByRole('button', {name: 'Request changes'}).click();
		await page.locator('.comment', {hasText: 'Louder still'}).waitFor();
		await page.getByText('hello!!').first().waitFor(LONG);
		await page.getByRole('region', {name: 'Verdict: Verified'}).waitFor(LONG);
		await becomes(issueState, 'review');
	});

	await t.test('the environment can be looked into', async () => {
		await page.getByRole('link', {name: 'Environment', exact: true}).first().click();
		await page.getByRole('region', {name: 'Seam graph'}).waitFor();
		await becomes(() => page.getByRole('region', {name: 'Seam graph'}).locator('> svg').getAttribute('aria-label'), /preview calls web/);
		await page.getByRole('button', {name: 'Freeze'}).click();
		await page.getByRole('button', {name: 'Thaw'}).waitFor();
		await page.shot('real-environment');
		await page.getByRole('button', {name: 'Thaw'}).click();
		await page.getByRole('button', {name: 'Freeze'}).waitFor();
		await page.getByRole('link', {name: 'Shell', exact: true}).click();
		await page.getByRole('button', {name: 'Open a shell'}).click();
		await page.getByText('Open in workspace.').waitFor(LONG);
		await page.keyboard.type('echo $((6*7)) in $(pwd | wc -c)\n');
		await page.locator('.screen').getByText(/^42 in \d+/).waitFor(LONG);
		await page.shot('real-shell');
		await page.keyboard.type('exit 3\n');
		await page.getByText('Ended: exit 3.').waitFor(LONG);
		await sound(page);
		await page.goBack();
		await page.getByRole('button', {name: 'Freeze'}).click();
		await page.getByRole('button', {name: 'Thaw'}).waitFor();
		const visitor = await page.context().newPage();
		await visitor.goto(preview); // thaws it
		await becomes(async () => (await visitor.textContent('body')).trim(), 'hello!!');
		await visitor.close();
		await page.getByRole('button', {name: 'Freeze'}).waitFor();
		await sound(page);
	});

	await t.test('it is merged, and cleaned up', async () => {
		await page.goto(`${base}/pulls/1`);
		await page.getByRole('button', {name: 'Merge', exact: true}).click();
		await page.getByRole('dialog').getByRole('button', {name: 'Merge'}).click();
		await page.locator('.chip', {hasText: 'Merged'}).waitFor(LONG);
		await page.goto(`${base}/issues`);
		await page.locator('.chip', {hasText: 'Done'}).waitFor(LONG);
		await page.goto(`${base}/environments`);
		await page.getByText('No environment is alive').waitFor(LONG);
	});

	await t.test('every other page is sound', async () => {
		for (const path of ['/', '/runs', '/runs?view=table', '/pulls', '/pulls/1', '/holds', '/egress', '/egress?view=policy', '/ledger', '/settings', '/snapshots', '/machine', '/issues/1']) {
			await page.goto(base + path);
			await settled(page);
			await page.shot(`real${path.replaceAll(/\W/g, '-')}`);
			await sound(page);
		}
	});
});

test('who comes from elsewhere signs in with a token', {skip, timeout: 120_000}, async () => {
	const elsewhere = mkdtempSync(join(tmpdir(), 'assay-signin-'));
	const env = {...process.env, ASSAY_STATE: join(elsewhere, 'state')};
	const run = (...args) => execFileSync(ASSAY, args, {encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'pipe']}).trim();

	try {
		const guarded = execFileSync(ASSAY, ['serve', '--background', '--listen', '127.0.0.1:0', '--preview', '127.0.0.1:0'], {encoding: 'utf8', env: {...env, ASSAY_SIGN_IN: 'true'}}).trim();
		const page = await open(browser);

		await page.goto(`${guarded}/environments`);
		await page.getByRole('heading', {name: 'Sign in'}).waitFor();
		await sound(page);
		await page.getByLabel('Token', {exact: true}).fill(run('token', 'create', 'ann', '--role', 'developer'));
		await page.keyboard.press('Enter');
		await page.getByText('No environment is alive').waitFor();
		await page.getByText('ann developer').waitFor();
		await page.shot('real-signed-in');
		await sound(page);
		await page.reload();
		await page.getByText('No environment is alive').waitFor();
		await page.getByRole('button', {name: 'Sign out'}).click();
		await page.getByRole('heading', {name: 'Sign in'}).waitFor();
		await page.getByLabel('Token', {exact: true}).fill('assay_0000');
		await page.getByRole('button', {name: 'Sign in'}).click();
		await page.getByText('none of this server').waitFor();
		await page.context().close();
	} finally {
		spawnSync(ASSAY, ['serve', '--stop'], {env});
		rmSync(elsewhere, {recursive: true, force: true});
	}
});
