// timeline: the events of a run as a story: a chapter for each step, in it what the agent thought and did, what started, what was found.

import {h} from '../dom.js';
import {duration, inline, prose, when} from '../format.js';
import {link, outside} from './controls.js';
import {finding, ladder} from './evidence.js';
import {icon, mark, VERDICTS, verdictMark} from './marks.js';

const TITLES = {claim: 'Claim', fork: 'Fork an environment', turn: 'The agent works', verify: 'Verify', publish: 'Publish', review: 'Review', close: 'Close and clean up'};

/** Events in order -> chapters {key, name, status, ms, detail, time_ms, items}. */
export function chapters(events) {
	const list = [];
	let open = null;
	const start = (name, event) => {
		open = {key: `chapter ${event.seq}`, name, status: 'running', ms: null, detail: '', time_ms: event.time_ms, items: []};
		list.push(open);
	};

	for (const event of events) {
		if (event.type === 'step') {
			if (!open || open.name !== event.name || event.status === 'running' && open.status !== 'running')
				start(event.name, event);
			Object.assign(open, {status: event.status, ms: event.ms ?? open.ms, detail: event.detail || open.detail});
		} else if (event.type !== 'state') {
			if (!open)
				start('claim', event);
			open.items.push(event);
		}
	}
	return list.map((chapter) => ({...chapter, items: gather(chapter.items)}));
}

// Neighbours that belong together become one item: an action with its observation, services that start, gates of one ladder.
function gather(events) {
	const items = [];
	const actions = new Map();

	for (const event of events) {
		const last = items[items.length - 1];
		const kind = event.type === 'agent' ? event.kind : event.type;

		if (kind === 'observation' && actions.has(event.id)) {
			actions.get(event.id).observation = event;
		} else if (kind === 'service' || kind === 'gate') {
			if (last?.kind !== kind)
				items.push({kind, seq: event.seq, rows: [event]});
			else
				upsert(last.rows, event, kind === 'gate' ? 'name' : 'step');
		} else if (kind !== 'plan' && !(kind === 'start')) {
			const item = {kind, seq: event.seq, event};
			if (kind === 'action' && event.id !== undefined)
				actions.set(event.id, item);
			items.push(item);
		}
	}
	return items;
}

function upsert(rows, event, key) {
	const at = rows.findIndex((row) => row[key] === event[key]);

	if (at < 0)
		rows.push(event);
	else
		rows[at] = event;
}

function action({event, observation, seq}) {
	const title = event.title || event.tool || 'action';
	const more = (event.detail && event.detail !== title) || observation?.text;
	const state = observation ? (observation.ok === false ? 'fail' : 'done') : 'running';
	const head = [mark(state), h('span.tool', event.tool ?? ''), h('code.title', title)];

	if (!more)
		return h('div.action', {'data-key': `e${seq}`}, head);
	return h('details.action', {'data-key': `e${seq}`}, h('summary', head),
		h('div.inner', event.detail && event.detail !== title ? h('pre', event.detail) : null, observation?.text ? h('pre.observation', observation.text) : null));
}

function services({rows, seq}) {
	return h('ul.services', {'data-key': `e${seq}`}, rows.map((row) => h('li', mark(row.ms === null || row.ms < 0 ? 'running' : 'done'), h('span.name', row.step), row.detail ? h('span.hint', row.detail) : null, h('span.ms', duration(row.ms)))));
}

function verdictLine({event, seq}) {
	return h(`div.verdict-line.${event.verdict}`, {'data-key': `e${seq}`}, verdictMark(event.verdict), h('div', h('strong', VERDICTS[event.verdict]?.word ?? event.verdict), event.reason ? h('p', inline(event.reason)) : null));
}

function bubble({event, seq}, who, name) {
	return h(`div.bubble.${who}`, {'data-key': `e${seq}`}, h('div.who', icon(who === 'agent' ? 'thought' : 'person'), name, h('span.hint', when(event.time_ms))), prose(event.text));
}

const VIEWS = {
	thought: ({event, seq}) => h('div.thought', {'data-key': `e${seq}`}, prose(event.text)),
	action,
	observation: ({event, seq}) => h('details.action', {'data-key': `e${seq}`}, h('summary', mark(event.ok === false ? 'fail' : 'done'), h('code.title', 'answer')), h('pre.observation', event.text ?? '')),
	service: services,
	gate: ({rows, seq}) => h('div', {'data-key': `e${seq}`}, ladder(rows)),
	finding: ({event, seq}) => h('div', {'data-key': `e${seq}`}, finding(event, false)),
	verdict: verdictLine,
	message: (item) => (item.event.type === 'agent' ? bubble(item, 'agent', 'Agent') : bubble(item, 'person', item.event.author ?? 'You')),
	end: ({event, seq}) => (event.ok === false ? h('p.wrong', {'data-key': `e${seq}`}, icon('cross'), `The turn ended with an error: ${event.text || event.error || 'no reason given'}`) : null),
	pull: ({event, seq}) => h('p.fact', {'data-key': `e${seq}`}, icon('pull'), link(`/pulls/${event.number}`, `Pull request ${event.number}`)),
	preview: ({event, seq}) => h('p.fact', {'data-key': `e${seq}`}, icon('external'), 'Preview: ', outside(event.url, event.url)),
	note: ({event, seq}) => h('p.fact', {'data-key': `e${seq}`}, icon('dash'), event.text),
	error: ({event, seq}) => h('p.wrong', {'data-key': `e${seq}`}, icon('cross'), event.message),
};

export function timeline(events) {
	return h('ol.timeline', chapters(events).map((chapter) => h(`li.chapter.${chapter.status}`, {'data-key': chapter.key},
		h('div.chapter-head', mark(chapter.status), h('h3', TITLES[chapter.name] ?? chapter.name), chapter.detail ? h('span.hint', chapter.detail) : null, h('span.ms', duration(chapter.ms), h('span.hint', when(chapter.time_ms)))),
		h('div.chapter-body', chapter.items.map((item) => VIEWS[item.kind]?.(item) ?? null)))));
}

/** The plan as the run has it, a checklist. */
export function checklist(plan) {
	return h('ol.checklist', plan.map((row) => h(`li.${row.state}`, mark(row.state), h('span', inline(row.text)))));
}
