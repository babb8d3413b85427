// format: times, durations, sizes and words, as people read them.

import {h} from './dom.js';

// Words and numbers are put together here: the first use of Intl costs a new tab 20 ms before anything is asked for.
const UNITS = [[60_000, 1000, 'second'], [3_600_000, 60_000, 'minute'], [86_400_000, 3_600_000, 'hour'], [Infinity, 86_400_000, 'day']];
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
const two = (n) => String(n).padStart(2, '0');

/** "1,234,567.8" */
export function number(n) {
	const [whole, part] = String(n).split('.');

	return whole.replace(/\B(?=(\d{3})+$)/g, ',') + (part ? `.${part}` : '');
}

export function ago(ms, now = Date.now()) {
	const away = Math.abs(ms - now);

	if (away < 5000)
		return 'just now';
	const [, size, unit] = UNITS.find(([below]) => away < below);
	const n = Math.round(away / size);
	if (unit === 'day' && n === 1)
		return ms < now ? 'yesterday' : 'tomorrow';
	const words = `${number(n)} ${unit}${n === 1 ? '' : 's'}`;
	return ms < now ? `${words} ago` : `in ${words}`;
}

/** "23 November 2026 at 04:17:35", where the reader is */
export function exact(ms) {
	const at = new Date(ms);

	return `${at.getDate()} ${MONTHS[at.getMonth()]} ${at.getFullYear()} at ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** <time> that says "4 minutes ago", with the exact time as its title; main.js keeps it true. */
export function when(ms) {
	if (!ms)
		return null;
	return h('time', {datetime: new Date(ms).toISOString(), title: exact(ms), 'data-ms': ms}, ago(ms));
}

export function duration(ms) {
	if (ms === null || ms === undefined || ms < 0)
		return '';
	if (ms < 1000)
		return `${Math.round(ms)} ms`;
	if (ms < 60_000)
		return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
	if (ms < 3_600_000)
		return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
	return `${Math.floor(ms / 3_600_000)} h ${Math.floor((ms % 3_600_000) / 60_000)} min`;
}

/** A duration that still grows: main.js keeps it true. */
export function since(ms) {
	return h('span.tick', {'data-since': ms}, duration(Math.max(0, Date.now() - ms)));
}

/** What somebody else wrote, in one direction and without anything that is not seen: control characters and marks become dots. */
export function plain(text, lines = false) {
	const hidden = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/gu; // eslint-disable-line no-control-regex

	return String(text).replace(hidden, (character) => (lines && (character === '\n' || character === '\t') ? character : '·'));
}

export function bytes(count) {
	if (count === null || count === undefined)
		return '';
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let size = count;
	let unit = 0;

	while (size >= 1024 && unit < units.length - 1) {
		size /= 1024;
		unit++;
	}
	return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
export const short = (hash) => String(hash ?? '').slice(0, 8);
export const money = (usd) => `$${usd.toFixed(usd < 1 ? 3 : 2)}`;

/** "1.2M", "34K" */
export function compact(n) {
	const [size, letter] = [[1e12, 'T'], [1e9, 'B'], [1e6, 'M'], [1e3, 'K']].find(([least]) => n >= least * 0.99995) ?? [1, ''];

	return `${number(Number((n / size).toFixed(1)))}${letter}`;
}

export function tick(root) {
	for (const element of root.querySelectorAll('time[data-ms]'))
		element.textContent = ago(Number(element.dataset.ms));
	for (const element of root.querySelectorAll('[data-since]'))
		element.textContent = duration(Math.max(0, Date.now() - Number(element.dataset.since)));
}

const MARKS = /(`[^`]+`|\*\*[^*]+\*\*|https?:\/\/[^\s<>()"'`]+[^\s<>()"'`.,;:!?])/;

/** One line with its `code`, **strong** words and addresses of the web. */
export function inline(line) {
	return String(line ?? '').split(MARKS).map((part, i) => {
		if (i % 2 === 0)
			return part;
		if (part.startsWith('`'))
			return h('code', part.slice(1, -1));
		return part.startsWith('**') ? h('strong', part.slice(2, -2)) : h('a', {href: part, target: '_blank', rel: 'noopener'}, part);
	});
}

const isRow = (line) => /^\s*\|.*\|\s*$/.test(line);
const isItem = (line) => /^\s*[-*] /.test(line);
const cells = (line) => line.trim().slice(1, -1).split('|').map((cell) => cell.trim());

function table(lines) {
	const rows = lines.filter((line) => !/^[\s|:-]+$/.test(line)).map(cells);

	return h('table.plain', h('thead', h('tr', rows[0].map((cell) => h('th', {scope: 'col'}, inline(cell))))), h('tbody', rows.slice(1).map((row) => h('tr', row.map((cell) => h('td', inline(cell)))))));
}

function block(lines) {
	if (lines.length > 1 && lines.every(isRow))
		return table(lines);
	if (lines.every(isItem))
		return h('ul', lines.map((line) => h('li', inline(line.replace(/^\s*[-*] /, '')))));
	if (lines.length === 1 && /^#{1,4} /.test(lines[0]))
		return h('p.prose-head', lines[0].replace(/^#+ /, ''));
	return h('p', lines.map((line, i) => [i ? h('br') : null, inline(line)]));
}

/** Text of people and agents: paragraphs, lists, tables, `code` and fences; everything else stays what it is. */
export function prose(text) {
	const out = [];
	let lines = [];
	let fence = null; // {mark, lines}
	const flush = () => {
		if (lines.length)
			out.push(block(lines));
		lines = [];
	};

	for (const line of String(text ?? '').split('\n')) {
		const mark = /^\s*(```|~~~)/.exec(line)?.[1];

		if (mark && (!fence || fence.mark === mark)) {
			flush();
			if (fence)
				out.push(h('pre', fence.lines.join('\n')));
			fence = fence ? null : {mark, lines: []};
		} else if (fence) {
			fence.lines.push(line);
		} else if (!line.trim()) {
			flush();
		} else {
			const last = lines[lines.length - 1];
			if (lines.length && (isItem(line) !== isItem(last) || isRow(line) !== isRow(last) || /^#{1,4} /.test(line) || /^#{1,4} /.test(last)))
				flush();
			lines.push(line);
		}
	}
	flush();
	if (fence?.lines.length)
		out.push(h('pre', fence.lines.join('\n')));
	return h('div.prose', out);
}
