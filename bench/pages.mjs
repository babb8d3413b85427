// How long each page takes, from the navigation to the page that is whole (its data read and drawn): first with an empty cache, then as a
// person gets it who clicks through. usage: node pages.mjs http://127.0.0.1:PORT

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
	const look = () => {
		if (globalThis.whole_ms === undefined && whole())
			globalThis.whole_ms = performance.now();
		else
			requestAnimationFrame(look);
	};

	requestAnimationFrame(look);
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const browser = await launch();

/** The processor's time of the page itself, which other work on the machine does not make longer; and that of the server. */
async function timed(context, path) {
	const page = await context.newPage();
	const session = await context.newCDPSession(page);
	const ticks = serverTicks();

	await session.send('Performance.enable', {timeDomain: 'threadTicks'});
	await page.goto(base + path);
	const ms = await page.waitForFunction(() => globalThis.whole_ms).then((value) => value.jsonValue());
	const {metrics} = await session.send('Performance.getMetrics');
	await page.close();
	return {ms, page_ms: 1000 * metrics.find(({name}) => name === 'TaskDuration').value, server_ms: (serverTicks() - ticks) * 10};
}

/** utime and stime, in hundredths of a second. */
function serverTicks() {
	const words = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');

	return Number(words[11]) + Number(words[12]);
}

console.log(`${'page'.padEnd(44)}first ms   again ms  worst ms   CPU of the page  CPU of the server`);
for (const path of PAGES) {
	const context = await browser.newContext({viewport: {width: 1360, height: 900}});
	await context.addInitScript(watch);
	const first = await timed(context, path);
	const again = [];
	for (let i = 0; i < ROUNDS; i++)
		again.push(await timed(context, path));
	await context.close();
	const of = (name) => median(again.map((one) => one[name])).toFixed(0);
	console.log(`${path.padEnd(44)}${first.ms.toFixed(0).padStart(8)}${of('ms').padStart(11)}${Math.max(...again.map(({ms}) => ms)).toFixed(0).padStart(10)}${of('page_ms').padStart(18)}${of('server_ms').padStart(19)}`);
}
await browser.close();
