// axe: axe-core's rules of WCAG 2.2 A and AA, in the page. Its file is taken from node_modules and run by the browser itself: no page loads it.

import {readFile} from 'node:fs/promises';
import {createRequire} from 'node:module';

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

let source = null;

/** Why axe cannot run here, or null. */
export async function axeMissing() {
	try {
		source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
		return null;
	} catch {
		return 'axe-core is not installed: npm ci in tests/browser';
	}
}

/** What breaks a rule: ["rule: element: why"]. */
export async function violations(page) {
	await page.evaluate(`${source};0`);
	return page.evaluate(async (tags) => {
		const {violations: found} = await globalThis.axe.run(document, {runOnly: tags, resultTypes: ['violations']});
		return found.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 140)}: ${node.failureSummary.replaceAll('\n', ' ').slice(0, 240)}`));
	}, TAGS);
}
