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

const reading = new Map(); // fold -> AbortController: a page that is drawn again keeps its folds, and what they read goes on

function end(fold) {
	reading.get(fold)?.abort();
	reading.delete(fold);
}

function begin(fold) {
	end(fold);
	reading.set(fold, new AbortController());
	return reading.get(fold);
}

addEventListener('assay:moved', () => [...reading.keys()].forEach(end));

async function fill(fold, environment) {
	const box = fold.querySelector('pre');
	const {signal} = begin(fold);
	const words = await text(address(fold, environment)).then((all) => (all.trim() ? plain(all, true) : 'Nothing was written yet.'), (error) => error.message);

	if (signal.aborted)
		return; // something else was asked for meanwhile
	box.textContent = words;
	box.scrollTop = box.scrollHeight;
}

async function follow(fold, environment) {
	const box = fold.querySelector('pre');
	const mine = begin(fold);

	box.textContent = '';
	try {
		await lines(address(fold, environment, {follow: 1}), mine.signal, (words) => box.isConnected ? add(box, words) : mine.abort());
	} catch (error) {
		if (!mine.signal.aborted)
			add(box, `\n${error.message}\n`);
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
	const read = (event) => {
		const fold = event.currentTarget.closest('details');

		return fold.querySelector('input').checked ? follow(fold, environment) : fill(fold, environment);
	};
	const toggle = (event) => event.currentTarget.isConnected && (event.currentTarget.open ? read(event) : end(event.currentTarget));
	const choice = sandboxes.length ? h('select', {'aria-label': 'Whose log', on: {change: read}}, h('option', {value: ''}, 'everything'), sandboxes.map((name) => h('option', {value: name}, name))) : h('span.hint', `last ${LINES} lines`);

	return h('details.fold.card.pad', {'data-key': `logs ${environment}`, open, on: {toggle}}, h('summary', 'Logs'),
		h('div', {'data-mine': true}, h('div.row', choice, h('label.check', h('input', {type: 'checkbox', on: {change: read}}), 'follow'), h('button.button.quiet', {type: 'button', on: {click: read}}, 'Read again')), h('pre.log', {tabindex: 0, role: 'log', 'aria-label': 'Log'})));
}
