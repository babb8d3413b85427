// evidence: gates as a ladder, findings with what was expected beside what came, call trees with their first difference.

import {h} from '../dom.js';
import {count, duration, inline, number, plain, prose} from '../format.js';
import {button, command, composer, toast} from './controls.js';
import {align, inside} from './difference.js';
import {mark} from './marks.js';

const COUNT_WORDS = {passed: 'passed', failed: 'failed', services: 'services', migrations: 'migrations'};

function countsText(counts) {
	return Object.entries(counts ?? {}).map(([name, n]) => `${number(n)} ${COUNT_WORDS[name] ?? name.replaceAll('_', ' ')}`).join(' · ');
}

/** gates: [{name, title, status, ms, counts?, reason?, detail?}] */
export function ladder(gates) {
	return h('ol.ladder', gates.map((gate) => h(`li.${gate.status}`, {'data-key': `gate ${gate.name}`}, mark(gate.status),
		h('div', h('div.line', h('span.name', gate.title ?? gate.name), gate.ms && gate.status !== 'skipped' ? h('span.ms', duration(gate.ms)) : null),
			h('div.detail', gate.status === 'pass' || gate.status === 'running' ? null : h('strong', {class: gate.status}, gate.status), gate.reason || gate.detail ? h('span', inline(gate.reason || gate.detail)) : null,
				countsText(gate.counts) ? h('span', countsText(gate.counts)) : null)))));
}

function pretty(value) {
	if (value === null || value === undefined)
		return ['(nothing)'];
	if (typeof value === 'string')
		return value.split('\n');
	return JSON.stringify(value, null, 2).split('\n');
}

function side(line, parts) {
	if (line === undefined)
		return h('span.gap', '');
	return parts ? h('span', parts[0], h('mark', parts[1]), parts[2]) : h('span', line);
}

/** Two values as text, side by side; lines that differ are marked, and in them the part that differs. */
export function beside(expected, got, of) {
	const left = pretty(expected);
	const right = pretty(got);
	const rows = align(left, right).map((row) => {
		const a = row.left === null ? undefined : left[row.left];
		const b = row.right === null ? undefined : right[row.right];
		const same = a === b;
		const parts = !same && a !== undefined && b !== undefined ? inside(a, b) : null;

		return h(`tr${same ? '' : '.differs'}`, h('td.expected', side(a, parts?.[0])), h('td.got', side(b, parts?.[1])));
	});

	return h('div.scroll', {tabindex: 0, role: 'region', 'aria-label': `Expected and got: ${of}`}, h('table.beside', h('thead', h('tr', h('th', {scope: 'col'}, 'Expected (base)'), h('th', {scope: 'col'}, 'Got (head)'))), h('tbody', rows)));
}

const ends = (call) => String(call.edge ?? '').split(' > ');

// Calls come in the order in which they began (a caller before what it calls) or ended (after it). Whose child a call is follows from
// the edges; both become callers first, with a depth.
function nested(calls) {
	if (calls.every((call) => Number.isInteger(call.depth)))
		return calls;
	const parentAt = (at, step) => {
		for (let i = at + step; i >= 0 && i < calls.length; i += step)
			if (ends(calls[i])[1] === ends(calls[at])[0])
				return i;
		return -1;
	};
	const ways = [-1, 1].map((step) => calls.map((_, at) => parentAt(at, step)));
	const found = ways.map((parents) => parents.filter((parent) => parent >= 0).length);
	const parents = found[1] > found[0] ? ways[1] : ways[0];
	const rows = [];
	const visit = (parent, depth) => calls.forEach((call, at) => {
		if (parents[at] === parent) {
			rows.push({...call, depth});
			visit(at, depth + 1);
		}
	});

	visit(-1, 0);
	return rows;
}

const bad = (status) => status >= 400;

function tree(title, calls, first) {
	return h('div.tree', h('h3.small-head', title), h('ol', calls.map((call, i) => h('li', {class: [`depth-${Math.min(6, call.depth)}`, i === first ? 'first' : ''].join(' ').trim()}, h('span.edge', call.edge), h('span.call', {title: call.call}, call.call),
		call.status ? h('span.code', {class: bad(call.status) ? 'bad' : 'ok'}, call.status) : null, i === first ? h('span.hint', 'first difference') : null)),
		calls.length <= first ? h('li.first.absent', 'no further call', h('span.hint', 'first difference')) : null));
}

/** The calls of one request on both sides. The deepest difference tells more than the outermost one, so it is the one marked. */
function trees(expectedCalls, gotCalls) {
	if (!expectedCalls.length && !gotCalls.length)
		return null;
	const expected = nested(expectedCalls);
	const got = nested(gotCalls);
	const text = (call) => (call ? `${call.edge} ${call.call} ${call.status}` : '');
	const differing = Array.from({length: Math.max(expected.length, got.length)}, (_, i) => i).filter((i) => text(expected[i]) !== text(got[i]));

	if (!differing.length)
		return null;
	const first = differing.filter((i) => got[i] && expected[i]).sort((a, b) => got[b].depth - got[a].depth)[0] ?? differing[0];

	return h('div.trees', tree('Calls on base', expected, first), tree('Calls on head', got, first));
}

/** What the application said of itself on both sides; whoever writes it is judged, so it stands apart from what was seen. */
function said(expectedWords, gotWords) {
	const words = (title, list) => h('div.tree', h('h3.small-head', title), h('ol', list.map((word) => h('li', h('span.edge', word.service), h('span.call', {title: word.text}, plain(word.text)),
		word.failed ? h('span.code.bad', 'failed') : null, word.ms === undefined ? null : h('span.hint', `${word.ms} ms`)))));

	return expectedWords.length || gotWords.length ? h('div.trees', words('Said by the application on base', expectedWords), words('Said by the application on head', gotWords)) : null;
}

const SEVERITY = {block: 'blocks', warn: 'warning', info: 'note'};

/** What a person may do about a finding that blocks: say that it is meant. `declare(difference, because)` sends it. */
function meant(row, declare) {
	return composer({id: `meant-${row.id}`, label: 'Is this meant? Say why', hint: 'It is kept in the signed record. The change is verified again, and does not fail by this.',
		buttons: [{label: 'It is meant', send: async (because) => { await declare(row.id, because); toast('Declared: it is verified again.'); }}]});
}

/** declare: as for meant(); absent where nothing is verified any more */
export function finding(row, open = true, declare = null) {
	const has = row.expected !== null && row.expected !== undefined || row.got !== null && row.got !== undefined;

	return h(`details.finding.${row.severity}`, {open, 'data-key': `finding ${row.id}`},
		h('summary', h('span.severity', row.declared ? 'meant' : SEVERITY[row.severity] ?? row.severity), h('span.title', plain(row.title)), h('span.hint', row.gate)),
		h('div.finding-body',
			row.declared ? h('p.quiet', `Declared by ${row.declared.by}${row.declared.because ? `: ${plain(row.declared.because)}` : ''}`) : null,
			row.detail ? prose(row.detail) : null,
			row.file ? h('p.quiet', 'In ', h('code', row.line ? `${row.file}:${row.line}` : row.file)) : null,
			row.request ? h('div.request', h('h3.small-head', 'Request'), h('pre', `${row.request.method} ${row.request.url}${row.request.body ? `\n\n${row.request.body}` : ''}`)) : null,
			has ? beside(row.expected, row.got, plain(row.title)) : null,
			trees(row.expected_tree ?? [], row.got_tree ?? []),
			said(row.expected_said ?? [], row.got_said ?? []),
			row.reproduce ? h('div.reproduce', h('h3.small-head', 'See it yourself, in a shell of the environment'), command(row.reproduce)) : null,
			h('p.hint', 'id ', h('code', row.id)),
			declare && row.severity === 'block' ? meant(row, declare) : null));
}

/** declarations: [{match, by, because, state}]; actions: {declare(difference, because), undo(difference)}, or null */
export function declared(declarations, actions) {
	const row = (one) => h('li', {'data-key': `declared ${one.match}`}, h('code', one.match), ' ', h('span.hint', `${one.state} by ${one.by}`), one.because ? prose(one.because) : null,
		actions ? h('div.row', one.state === 'proposed' ? button('It is meant', () => actions.declare(one.match, one.because), {kind: 'primary', key: `declare ${one.match}`}) : null, button('Take back', () => actions.undo(one.match), {kind: 'quiet', key: `undo ${one.match}`})) : null);

	return declarations?.length ? h('section.card.pad', {'data-key': 'declared'}, h('h2', 'Differences that are meant'), h('ul.checklist', declarations.map(row))) : null;
}

export function notCovered(report) {
	if (!report.not_covered?.length)
		return null;
	return h('section.card.uncovered', {'aria-labelledby': 'uncovered'}, h('h2', {id: 'uncovered'}, 'What was not covered'),
		h('p.quiet', 'Nobody looked at these. A verdict says nothing about them.'), h('ul', report.not_covered.map((line) => h('li', inline(line)))));
}

export function noise(report) {
	if (!report.noise?.length)
		return null;
	return h('details.fold', {'data-key': 'noise'}, h('summary', count(report.noise.length, 'field'), ' vary by themselves'),
		h('p.quiet', 'The unchanged code, run twice, gave different values here. They were compared by their kind instead.'),
		h('table.plain', h('thead', h('tr', ['Endpoint', 'Field', 'Kind'].map((word) => h('th', {scope: 'col'}, word)))),
			h('tbody', report.noise.map((row) => h('tr', h('td', h('code', row.endpoint)), h('td', h('code', row.path)), h('td', row.class))))));
}
