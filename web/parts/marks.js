// marks: the small drawings and words that say how something stands. A state is never told by colour alone: each has its own shape.

import {h, svg} from '../dom.js';

const STROKES = {
	pulse: 'M1.5 8h3l2-5 3 10 2-5h3',
	issue: 'M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 6.9a1.1 1.1 0 1 0 0 2.2 1.1 1.1 0 0 0 0-2.2',
	pull: 'M4 5.5v5M4 5.5a1.75 1.75 0 1 0 0-3.5 1.75 1.75 0 0 0 0 3.5M4 14a1.75 1.75 0 1 0 0-3.5A1.75 1.75 0 0 0 4 14M12 14a1.75 1.75 0 1 0 0-3.5 1.75 1.75 0 0 0 0 3.5M12 10.500V6a2 2 0 0 0-2-2H7.500M9.500 2 7.500 4l2 2',
	box: 'M8 1.700 14 5v6l-6 3.300L2 11V5zM2 5l6 3.300L14 5M8 8.300v6',
	layers: 'M8 1.800 14.500 5 8 8.200 1.500 5zM1.500 8 8 11.200 14.500 8M1.500 11 8 14.200 14.500 11',
	health: 'M8 14C3.500 10.800 1.500 8.400 1.500 5.700A3.400 3.400 0 0 1 8 4.300a3.400 3.400 0 0 1 6.500 1.400C14.500 8.400 12.500 10.800 8 14',
	check: 'M3 8.500 6.500 12 13 4.500',
	cross: 'M4 4l8 8M12 4l-8 8',
	question: 'M5.800 6a2.200 2.200 0 1 1 3.300 1.900c-.8.5-1.100.9-1.100 1.700M8 12.200v.1',
	wave: 'M1.500 8c1.600-3 3.200-3 4.800 0s3.200 3 4.800 0 2.600-2.400 3.400-1.500',
	dash: 'M4 8h8',
	snow: 'M8 1.500v13M2.400 4.700l11.200 6.600M13.600 4.700 2.400 11.300M6.300 2.600 8 4.200l1.700-1.600M6.300 13.400 8 11.800l1.700 1.600',
	pin: 'M9.500 1.800 14.200 6.500 11 8l-3 3.500-3.500-3.500L8 5zM5.500 10.500 2 14',
	external: 'M6.500 3H3v10h10V9.500M9 2.500h4.500V7M13.500 2.500 7.500 8.500',
	arrow: 'M3 8h10M9 4l4 4-4 4',
	thought: 'M3 3.500h10v7H7.500L4.500 13v-2.500H3z',
	tool: 'M5 4 2 8l3 4M11 4l3 4-3 4',
	person: 'M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6M2.500 14c.5-3 2.600-4.300 5.500-4.300s5 1.300 5.500 4.300',
	flag: 'M3.500 14.500v-12h8l-1.500 3 1.500 3h-8',
	seal: 'M8 1.500 13.500 4v4c0 3.300-2.300 5.400-5.500 6.500C4.800 13.400 2.500 11.300 2.500 8V4zM5.500 8l1.900 1.900 3.300-3.700',
	download: 'M8 2v8M4.500 6.800 8 10.300l3.500-3.500M2.500 13.500h11',
	clock: 'M8 1.800a6.200 6.200 0 1 0 0 12.400A6.200 6.200 0 0 0 8 1.800M8 4.500V8l2.500 1.500',
	plus: 'M8 3v10M3 8h10',
	pause: 'M5.500 3v10M10.500 3v10',
	runs: 'M2 3.500h3.500v9H2zM6.300 3.500h3.500v5.500H6.300zM10.500 3.500H14v7.500h-3.500z',
	gear: 'M8 5.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5M8 1.500v2M8 12.500v2M1.500 8h2M12.500 8h2M3.400 3.400l1.400 1.400M11.200 11.200l1.400 1.400M12.600 3.400l-1.400 1.400M4.800 11.200l-1.400 1.400',
	theme: 'M8 1.800a6.200 6.200 0 1 0 0 12.400zM8 1.800a6.200 6.200 0 0 1 0 12.400',
	terminal: 'M1.800 3h12.400v10H1.800zM4.500 6l2 2-2 2M8.500 10.500h3',
	power: 'M8 1.800v6M4.500 4a5.500 5.500 0 1 0 7 0',
	swap: 'M2.500 5.500h10M9.500 2.500l3 3-3 3M13.500 10.500h-10M6.500 7.500l-3 3 3 3',
	out: 'M2.500 3v10M5.500 8h8M10 4.500 13.500 8 10 11.500',
};

export function icon(name, label) {
	return svg('svg', {class: `icon icon-${name}`, viewBox: '0 0 16 16', 'aria-hidden': label ? null : 'true', role: label ? 'img' : null, 'aria-label': label},
		svg('path', {d: STROKES[name]}));
}

const SPINNER = () => svg('svg', {class: 'icon spin', viewBox: '0 0 16 16', 'aria-hidden': 'true'}, svg('circle', {cx: 8, cy: 8, r: 6, 'stroke-dasharray': '26 12'}));

/** tone: ok, bad, unsure, busy, calm */
const RUN_STATES = {
	queued: ['calm', 'Queued'], claim: ['busy', 'Claiming'], fork: ['busy', 'Forking'], turn: ['busy', 'Agent at work'], verify: ['busy', 'Verifying'],
	publish: ['busy', 'Publishing'], review: ['wait', 'Waits for review'], close: ['busy', 'Closing'], done: ['ok', 'Done'], failed: ['bad', 'Failed'], stopped: ['calm', 'Stopped'],
};
const ISSUE_STATES = {open: ['calm', 'Open'], working: ['busy', 'Agent at work'], review: ['wait', 'In review'], done: ['ok', 'Done'], closed: ['calm', 'Closed']};
const ENVIRONMENT_STATES = {starting: ['busy', 'Starting'], ready: ['ok', 'Ready'], running: ['ok', 'Running'], frozen: ['cold', 'Frozen'], failed: ['bad', 'Failed'], stopped: ['calm', 'Stopped'], exited: ['bad', 'Exited']};
const HOLD_STATES = {open: ['wait', 'Waits'], approved: ['ok', 'Approved'], denied: ['bad', 'Denied'], expired: ['calm', 'Nobody answered'], cancelled: ['calm', 'The client left'], kill: ['bad', 'Stopped'], gone: ['calm', 'Gone'], lost: ['calm', 'Lost in a restart']};
const REQUEST_STATES = {open: ['busy', 'Under way'], waits: ['wait', 'Waits'], refused: ['bad', 'Refused'], ended: ['ok', 'Sent']};
const PULL_STATES = {open: ['wait', 'Open'], merged: ['ok', 'Merged'], closed: ['calm', 'Closed']};

function chip([tone, word]) {
	return h(`span.chip.${tone}`, tone === 'busy' ? SPINNER() : h('span.dot', {'aria-hidden': 'true'}), word);
}

export const runState = (state) => chip(RUN_STATES[state] ?? ['calm', state]);
export const runBusy = (state) => RUN_STATES[state]?.[0] === 'busy' || state === 'queued';
export const runEnded = (state) => ['done', 'failed', 'stopped'].includes(state);
export const issueState = (state) => chip(ISSUE_STATES[state] ?? ['calm', state]);
export const holdState = (state) => chip(HOLD_STATES[state] ?? ['calm', state]);
/** A request that left, or did not; an answer's status takes the word's place. */
export const requestState = (state, status) => chip([REQUEST_STATES[state][0], state === 'ended' && status ? String(status) : REQUEST_STATES[state][1]]);
export const environmentState = (state) => chip(ENVIRONMENT_STATES[state] ?? ['calm', state]);
export const pullState = (pull) => (pull.draft && pull.state === 'open' ? chip(['draft', 'Draft']) : chip(PULL_STATES[pull.state] ?? ['calm', pull.state]));

export const VERDICTS = {
	verified: {word: 'Verified', icon: 'check', says: 'Everything that was checked holds.'},
	failed: {word: 'Failed', icon: 'cross', says: 'Something that worked does not work any more.'},
	unverified: {word: 'Unverified', icon: 'question', says: 'We could not tell. This is neither a pass nor a failure.'},
};

/** The three have three shapes: a filled round, a filled square, a dashed ring. */
export function verdictMark(verdict, size = '') {
	const row = VERDICTS[verdict];

	return row ? h(`span.mark.${verdict}${size ? `.${size}` : ''}`, {role: 'img', 'aria-label': row.word}, icon(row.icon)) : null;
}

export function verdict(verdictName) {
	const row = VERDICTS[verdictName];

	return row ? h(`span.verdict.${verdictName}`, verdictMark(verdictName), row.word) : null;
}

const MARKS = {
	pass: ['ok', 'check', 'passed'], done: ['ok', 'check', 'done'], ok: ['ok', 'check', 'ok'], completed: ['ok', 'check', 'done'],
	fail: ['bad', 'cross', 'failed'], failed: ['bad', 'cross', 'failed'], missing: ['bad', 'cross', 'missing'],
	unstable: ['unsure', 'wave', 'unstable'], warn: ['unsure', 'flag', 'warning'], skipped: ['calm', 'dash', 'skipped'], waiting: ['wait', 'clock', 'waiting'],
	pending: ['calm', null, 'to do'],
};

export function mark(status) {
	if (status === 'running' || status === 'in_progress')
		return h('span.tick-mark.busy', {role: 'img', 'aria-label': 'running'}, SPINNER());
	const [tone, name, word] = MARKS[status] ?? ['calm', 'dash', status];

	return h(`span.tick-mark.${tone}`, {role: 'img', 'aria-label': word}, name ? icon(name) : null);
}
