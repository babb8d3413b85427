// logs: the last lines of an environment's services, read when the fold is opened, and as they come when somebody wants to follow.

import {h} from '../dom.js';
import {lines, text} from '../api.js';
import {plain} from '../format.js';

const LINES = 300;
const KEPT = 200_000; // characters of a log that is followed

const address = (fold, environment, more) => {
	const sandbox = fold.querySelector('select')?.value;

	return `/environments/${encodeURIComponent(environment)}/logs?${new URLSearchParams({lines: LINES, ...(sandbox ? {sandbox} : {}), ...more})}`;
};

async function fill(fold, environment) {
	const box = fold.querySelector('pre');

	try {
		const words = await text(address(fold, environment));
		box.textContent = words.trim() ? plain(words, true) : 'Nothing was written yet.';
		box.scrollTop = box.scrollHeight;
	} catch (error) {
		box.textContent = error.message;
	}
}

function add(box, words) {
	const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 4;

	box.append(plain(words, true));
	if (box.textContent.length > KEPT)
		box.textContent = box.textContent.slice(-KEPT / 2);
	if (atEnd)
		box.scrollTop = box.scrollHeight;
}

export function logsView(environment, sandboxes = [], open = false) {
	let stop = null;
	const end = () => {
		stop?.abort();
		stop = null;
	};
	const follow = async (fold) => {
		const box = fold.querySelector('pre');
		const mine = stop = new AbortController();

		box.textContent = '';
		try {
			await lines(address(fold, environment, {follow: 1}), mine.signal, (words) => box.isConnected ? add(box, words) : mine.abort());
		} catch (error) {
			if (!mine.signal.aborted)
				add(box, `\n${error.message}\n`);
		}
	};
	const read = (event) => {
		const fold = event.currentTarget.closest('details');

		end();
		return fold.querySelector('input').checked ? follow(fold) : fill(fold, environment);
	};
	const toggle = (event) => event.currentTarget.isConnected && (event.currentTarget.open ? read(event) : end());
	const choice = sandboxes.length ? h('select', {'aria-label': 'Whose log', on: {change: read}}, h('option', {value: ''}, 'everything'), sandboxes.map((name) => h('option', {value: name}, name))) : h('span.hint', `last ${LINES} lines`);

	addEventListener('assay:moved', end, {once: true});
	return h('details.fold.card.pad', {'data-key': `logs ${environment}`, open, on: {toggle}}, h('summary', 'Logs'),
		h('div', {'data-mine': true}, h('div.row', choice, h('label.check', h('input', {type: 'checkbox', on: {change: read}}), 'follow'), h('button.button.quiet', {type: 'button', on: {click: read}}, 'Read again')), h('pre.log', {tabindex: 0, role: 'log', 'aria-label': 'Log'})));
}
