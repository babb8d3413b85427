// How long each page takes, from the navigation to the page that is whole (its data read and drawn): with an empty cache; in a new tab, for which
// the browser starts a process; and in the tab where another page of ours was. usage: node pages.mjs http://127.0.0.1:PORT

import {readFileSync} from 'node:fs';

import {launch, missing} from '../tests/browser/browser.mjs';

const ROUNDS = 10;
const [base] = process.argv.slice(2);
const why = await missing();

if (why) {
	console.error(`skipped: ${why}`);
	process.exit(77);
}
const {pid} = await (await fetch(`${base}/api/v1/status`)).json();
const {items: [run]} = await (await fetch(`${base}/api/v1/runs?limit=1`)).json();
const {items: [pull]} = await (await fetch(`${base}/api/v1/pulls?limit=1`)).json();
const PAGES = ['/', '/runs', '/runs?view=table', '/runs?view=table&state=failed', '/runs?view=table&text=nowhere', `/runs/${run.id}`, '/issues', '/pulls', ...(pull ? [`/pulls/${pull.number}`] : []), '/environments', '/holds', '/egress', '/ledger', '/settings'];

/** In the page: when what it shows is whole for the first time. */
function watch() {
	const whole = () => document.querySelector('main h1, main .empty, main .trouble') && !document.querySelector('main[aria-busy]');

	globalThis.whole = new Promise((tell) => {
		const look = () => (whole() ? tell(performance.now()) : requestAnimationFrame(look));

		requestAnimationFrame(look);
	});
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const browser = await launch();

/**
 * The processor's time of the page itself, which other work on the machine does not make longer; and that of the server. We ask by the protocol's own
 * call: playwright's would first put 7,000 lines of its own into the page that is being timed.
 */
async function timed(page, path) {
	const session = await page.context().newCDPSession(page);
	const ticks = serverTicks();
	const spent = async () => 1000 * (await session.send('Performance.getMetrics')).metrics.find(({name}) => name === 'TaskDuration').value;

	await session.send('Performance.enable', {timeDomain: 'threadTicks'});
	const before = await spent();
	await page.goto(base + path, {waitUntil: 'commit'});
	const {result: {value: ms}} = await session.send('Runtime.evaluate', {expression: 'globalThis.whole', awaitPromise: true, returnByValue: true});
	const after = await spent();
	await session.detach();
	return {ms, page_ms: after < before ? after : after - before, server_ms: (serverTicks() - ticks) * 10};
}

/** utime and stime, in hundredths of a second. */
function serverTicks() {
	const words = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');

	return Number(words[11]) + Number(words[12]);
}

const columns = ['empty ms', 'new tab ms', 'worst ms', 'same tab ms', 'worst ms', 'CPU of the page', 'CPU of the server'];

console.log('page'.padEnd(40) + columns.map((name) => name.padStart(name.length + 2)).join(''));
for (const path of PAGES) {
	const context = await browser.newContext({viewport: {width: 1360, height: 900}});
	await context.addInitScript(watch);
	const inNewTab = async () => {
		const page = await context.newPage();
		const one = await timed(page, path);

		await page.close();
		return one;
	};
	const empty = await inNewTab();
	const news = [];
	const sames = [];

	for (let i = 0; i < ROUNDS; i++)
		news.push(await inNewTab());
	const page = await context.newPage();
	for (let i = 0; i < ROUNDS; i++) {
		await timed(page, path === '/settings' ? '/holds' : '/settings');
		await page.waitForLoadState('networkidle', {timeout: 500}).catch(() => {}); // the stream of events stays
		sames.push(await timed(page, path));
	}
	await context.close();
	const all = (list, name) => list.map((one) => one[name]);
	const values = [empty.ms, median(all(news, 'ms')), Math.max(...all(news, 'ms')), median(all(sames, 'ms')), Math.max(...all(sames, 'ms')), median(all(news, 'page_ms')), median(all(news, 'server_ms'))];
	console.log(path.padEnd(40) + values.map((value, i) => value.toFixed(0).padStart(columns[i].length + 2)).join(''));
}
await browser.close();
