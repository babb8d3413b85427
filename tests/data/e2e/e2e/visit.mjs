// A visit of the page, by Playwright: a picture, and a recording that Chromium makes of what it showed.
import {mkdir, writeFile} from 'node:fs/promises';
import {chromium} from '../vendor/playwright-core/index.mjs';

const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({executablePath: process.env.CHROME_BIN ?? '/usr/bin/chromium', args: flags});
const page = await browser.newPage({viewport: {width: 640, height: 400}});
const frames = [];
const shoot = async () => frames.push((await page.screenshot()).toString('base64'));

async function record(pictures) {
	const canvas = document.body.appendChild(Object.assign(document.createElement('canvas'), {width: 640, height: 400}));
	const recorder = new MediaRecorder(canvas.captureStream(25), {mimeType: 'video/webm'});
	const chunks = [];

	recorder.ondataavailable = ({data}) => chunks.push(data);
	recorder.start();
	for (const picture of pictures) {
		const image = Object.assign(new Image(), {src: `data:image/png;base64,${picture}`});

		await image.decode();
		for (let i = 0; i < 10; i++) {
			canvas.getContext('2d').drawImage(image, 0, 0);
			await new Promise(requestAnimationFrame);
		}
	}
	recorder.stop();
	await new Promise((done) => recorder.addEventListener('stop', done));
	return btoa(Array.from(new Uint8Array(await new Blob(chunks).arrayBuffer()), (byte) => String.fromCharCode(byte)).join(''));
}

await page.goto(process.env.ASSAY_PREVIEW_URL);
await shoot();
await page.click('button');
await shoot();
const heading = await page.textContent('h1');
await mkdir('results/pages', {recursive: true});
await page.screenshot({path: 'results/pages/knocked.png'});
const blank = await browser.newPage();
await writeFile('results/visit.webm', Buffer.from(await blank.evaluate(record, frames), 'base64'));
await writeFile('results/notes.txt', `heading: ${heading}\n`);
await writeFile('results/e2e.tap', `TAP version 13\n1..1\n${heading === 'Welcome' ? 'ok' : 'not ok'} 1 - who knocks is welcome\n`);
await browser.close();
process.exit(heading === 'Welcome' ? 0 : 1);
