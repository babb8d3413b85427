// browser: Debian's Chromium under playwright-core, and the checks that every page must pass.

import assert from 'node:assert/strict';
import {existsSync, mkdirSync} from 'node:fs';
import {join} from 'node:path';

export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const ARTEFACTS = process.env.ASSAY_ARTEFACTS ?? join(import.meta.dirname, 'artefacts');
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const LIMIT_MS = 30_000; // for what comes at once on a machine that has nothing else to do
const PAUSE_MS = 30;

/** Why these tests cannot run here, or null. */
export async function missing() {
	if (!existsSync(CHROMIUM))
		return `${CHROMIUM} is not installed: apt install chromium`;
	try {
		await import('playwright-core');
		return null;
	} catch {
		return 'playwright-core is not installed: npm ci in tests/browser';
	}
}

/** A browser with a profile of its own. */
export async function launch() {
	const {chromium} = await import('playwright-core');

	mkdirSync(ARTEFACTS, {recursive: true});
	return chromium.launch({executablePath: CHROMIUM, args: FLAGS});
}

/** A page that remembers what went wrong in it: exceptions, refused content, failed requests. */
export async function open(browser, options = {}) {
	const context = await browser.newContext({viewport: {width: 1360, height: 900}, ...options});
	const page = await context.newPage();

	page.wrong = [];
	page.on('pageerror', (error) => page.wrong.push(error.stack));
	page.on('console', (message) => message.type() === 'error' && page.wrong.push(`${message.text()} ${message.location().url}`.trim()));
	page.shot = (name) => page.screenshot({path: join(ARTEFACTS, `${name}.png`), fullPage: true});
	return page;
}

/** Waits until `what` gives something, and gives it. */
export async function until(what) {
	for (const end = performance.now() + LIMIT_MS;;) {
		const value = await what();
		if (value)
			return value;
		assert.ok(performance.now() < end, `never: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
	}
}

/** Waits until what `read` gives is `expected`, or fits it when that is an expression; else says what it was last. */
export async function becomes(read, expected) {
	let wrong;

	await until(async () => {
		const got = await read();

		try {
			(expected instanceof RegExp ? assert.match : assert.deepEqual)(got, expected);
			return true;
		} catch (error) {
			wrong = error;
			return false;
		}
	}).catch((never) => { throw wrong ?? never; });
}

export async function settled(page) {
	await page.waitForFunction(() => document.querySelector('main h1, main .empty, main .trouble') && !document.querySelector('main[aria-busy]'));
}

/** What must hold on each page, whatever is on it. */
export async function sound(page, {allow = []} = {}) {
	const faults = await page.evaluate(inspect);

	assert.deepEqual(faults, []);
	assert.deepEqual(page.wrong.filter((text) => !allow.some((part) => text.includes(part))), []);
	assert.equal(await page.evaluate(() => window.pwned), undefined, 'text from outside became markup');
}

// Runs in the page: names, landmarks, headings, contrast, width.
function inspect() {
	const faults = [];
	const visible = (element) => element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true});
	const nameOf = (element) => (element.getAttribute('aria-label') || element.textContent || element.getAttribute('title') || '').trim();
	const brief = (element) => element.outerHTML.slice(0, 120);

	for (const element of document.querySelectorAll('a, button, summary'))
		if (visible(element) && !nameOf(element) && !element.querySelector('[aria-label]'))
			faults.push(`no name: ${brief(element)}`);
	for (const element of document.querySelectorAll('input, textarea, select'))
		if (visible(element) && !element.labels?.length && !element.getAttribute('aria-label'))
			faults.push(`no label: ${brief(element)}`);
	for (const element of document.querySelectorAll('svg[role=img], img'))
		if (!element.hasAttribute('aria-label') && !element.hasAttribute('alt'))
			faults.push(`no alternative: ${brief(element)}`);
	for (const tag of ['main', 'nav[aria-label]'])
		if (!document.querySelector(tag))
			faults.push(`no ${tag}`);
	if (document.querySelectorAll('main h1').length !== 1 && !document.querySelector('main > .empty'))
		faults.push(`${document.querySelectorAll('main h1').length} first headings`);
	if (!document.title.includes('Assay'))
		faults.push(`title: ${document.title}`);
	if (document.documentElement.scrollWidth > innerWidth + 1)
		faults.push(`wider than the window: ${document.documentElement.scrollWidth} > ${innerWidth}`);
	const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
	for (const id of ids.filter((one, i) => ids.indexOf(one) !== i))
		faults.push(`twice the id ${id}`);

	const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
	const rgba = (color) => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = color;
		canvas.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
		return [r, g, b, a / 255];
	};
	const light = ([r, g, b]) => {
		const linear = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
		return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
	};
	const behind = (element) => {
		for (let at = element; at; at = at.parentElement) {
			const style = getComputedStyle(at);
			if (style.backgroundImage !== 'none')
				return null;
			const color = rgba(style.backgroundColor);
			if (color[3] > 0.99)
				return color;
		}
		return rgba(getComputedStyle(document.body).backgroundColor);
	};
	const told = new Set();
	for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
		const element = walker.currentNode.parentElement;
		if (!walker.currentNode.data.trim() || !visible(element) || element.closest('svg, :disabled, .sr, noscript, .skip'))
			continue;
		const style = getComputedStyle(element);
		const back = behind(element);
		if (!back)
			continue;
		const fore = rgba(style.color);
		const opacity = Number(style.opacity);
		const mixed = fore.slice(0, 3).map((v, i) => v * opacity + back[i] * (1 - opacity));
		const [a, b] = [light(mixed), light(back)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		const key = `${element.className} ${style.color} on ${back}`;
		if (ratio < 4.5 && !told.has(key)) {
			told.add(key);
			faults.push(`contrast ${ratio.toFixed(2)} of "${walker.currentNode.data.trim().slice(0, 30)}" (${key})`);
		}
	}
	return faults;
}
