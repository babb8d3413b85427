// logs: the last lines of an environment's services, read when the fold is opened and on request.

import {h} from '../dom.js';
import {text} from '../api.js';

const LINES = 300;

async function fill(fold, environment) {
	const box = fold.querySelector('pre');
	const sandbox = fold.querySelector('select')?.value;
	const query = new URLSearchParams({lines: LINES, ...(sandbox ? {sandbox} : {})});

	try {
		const lines = await text(`/environments/${encodeURIComponent(environment)}/logs?${query}`);
		box.textContent = lines.trim() ? lines : 'Nothing was written yet.';
		box.scrollTop = box.scrollHeight;
	} catch (error) {
		box.textContent = error.message;
	}
}

export function logsView(environment, sandboxes = [], open = false) {
	const read = (event) => fill(event.currentTarget.closest('details'), environment);
	const toggle = (event) => event.currentTarget.isConnected && event.currentTarget.open && read(event);
	const choice = sandboxes.length ? h('select', {'aria-label': 'Whose log', on: {change: read}}, h('option', {value: ''}, 'everything'), sandboxes.map((name) => h('option', {value: name}, name))) : h('span.hint', `last ${LINES} lines`);

	return h('details.fold.card.pad', {'data-key': `logs ${environment}`, open, on: {toggle}}, h('summary', 'Logs'),
		h('div', {'data-mine': true}, h('div.row.spread', choice, h('button.button.quiet', {type: 'button', on: {click: read}}, 'Read again')), h('pre.log', {tabindex: 0, role: 'log', 'aria-label': 'Log'})));
}
