// timeline: the events of a run as a story: a chapter for each step, in it what the agent thought and did, what started, what was found.

import {h} from '../dom.js';
import {compact, count, duration, inline, money, plain, prose, when} from '../format.js';
import {link, outside} from './controls.js';
import {finding, ladder} from './evidence.js';
import {icon, mark, VERDICTS, verdictMark} from './marks.js';

const TITLES = {claim: 'Claim', fork: 'Fork an environment', turn: 'The agent works', verify: 'Verify', publish: 'Publish', review: 'Review', close: 'Close and clean up'};

const CLAIM_MARK = {confirmed: 'pass', contradicted: 'fail', unknown: 'unstable'};

const STATUS_OF = {verified: 'done', failed: 'failed', unverified: 'unstable'};

/** How a step of a run ended: a verification that ended well may have found that the change did not. */
export function stepStatus(step) {
	const verdict = step.name === 'verify' && step.status === 'done' ? /^(failed|unverified)\b/.exec(step.detail ?? '')?.[1] : null;

	return verdict ? STATUS_OF[verdict] : step.status;
}

/** Events in order -> chapters {key, name, time_ms, status, ms, detail, attempt, items}. A state begins one, its step ends it. */
export function chapters(events) {
	const list = [];
	let open = null;
	const start = (name, event) => {
		open = {key: `chapter ${event.seq}`, name, status: 'running', ms: null, detail: '', time_ms: event.time_ms, attempt: list.filter((chapter) => chapter.name === name).length + 1, items: []};
		list.push(open);
	};

	for (const event of events) {
		if (event.type === 'state') {
			if (event.state in TITLES)
				start(event.state, event);
		} else if (event.type === 'step') {
			if (open?.name !== event.name)
				start(event.name, event);
			Object.assign(open, {status: event.status, ms: event.ms ?? open.ms, detail: event.detail || open.detail});
		} else {
			if (!open)
				start('claim', event);
			open.items.push(event);
		}
	}
	return list.map((chapter) => ({...chapter, status: stepStatus(chapter), items: gather(chapter.items)}));
}

const gateName = (event) => String(event.name ?? '').split(':')[0];

/** The gates among events, each as it stands last. What runs says only its title, in `detail`. */
export function gatesOf(events) {
	const gates = new Map();

	for (const event of events)
		if (event.type === 'gate') {
			const name = gateName(event);
			const before = gates.get(name);
			gates.set(name, event.status === 'running' ? {...event, name, title: event.title ?? (event.detail || before?.title || name), detail: ''} : {...before, ...event, name});
		}
	return [...gates.values()];
}

// What belongs together becomes one item: an action with its observation, services that start, the gates of a verification.
function gather(events) {
	const items = [];
	const actions = new Map();
	const gates = gatesOf(events);
	let said = null;
	let planned = null;
	const group = (kind, event) => {
		const last = items[items.length - 1];
		const open = gates.length ? items.find((item) => item.kind === kind) : last?.kind === kind ? last : null;

		if (open)
			upsert(open.rows, event);
		else
			items.push({kind, seq: event.seq, rows: [event]});
	};

	for (const event of events) {
		const kind = event.type === 'agent' ? event.kind : event.type;

		if (kind === 'observation' && actions.has(event.id)) {
			actions.get(event.id).observation = event;
			actions.delete(event.id);
		} else if (kind === 'service') {
			group('service', event);
		} else if (kind === 'gate') {
			if (!items.some((item) => item.kind === 'gates'))
				items.push({kind: 'gates', seq: event.seq, rows: gates});
		} else if (kind === 'message' && event.text === said) {
			continue; // agents say their last words twice: to us and to the tool
		} else if (kind === 'plan') {
			const step = planStep(event, planned);

			planned = step?.now ?? planned;
			if (step)
				items.push({kind, seq: event.seq, event: step});
		} else if (kind !== 'start') {
			const item = {kind, seq: event.seq, event};
			if (kind === 'action' && event.id !== undefined)
				actions.set(event.id, item);
			if (kind === 'message')
				said = event.text;
			items.push(item);
		}
	}
	return items;
}

function upsert(rows, event) {
	const at = rows.findIndex((row) => row.step === event.step);

	if (at < 0)
		rows.push(event);
	else
		rows[at] = event;
}

function action({event, observation, seq}) {
	const title = event.title || event.tool || 'action';
	const more = (event.detail && event.detail !== title) || observation?.text;
	const state = observation ? (observation.ok === false ? 'fail' : 'done') : 'running';
	const head = [mark(state), title.startsWith(`${event.tool} `) ? null : h('span.tool', event.tool ?? ''), h('code.title', title)];

	if (!more)
		return h('div.action', {'data-key': `e${seq}`}, head);
	return h('details.action', {'data-key': `e${seq}`}, h('summary', head),
		h('div.inner', event.detail && event.detail !== title ? h('pre', event.detail) : null, observation?.text ? h('pre.observation', observation.text) : null));
}

const SERVICES_OPEN = 20;

function services({rows, seq}) {
	const list = h('ul.services', rows.map((row) => h('li', mark(row.ms === null || row.ms < 0 ? 'running' : 'done'), h('span.name', {title: row.step}, row.step), row.detail ? h('span.hint', row.detail) : null, h('span.ms', duration(row.ms)))));

	if (rows.length <= SERVICES_OPEN)
		return h('div', {'data-key': `e${seq}`}, list);
	const running = rows.findLast((row) => row.ms === null || row.ms < 0);
	return h('details.fold.quiet-fold', {'data-key': `e${seq}`}, h('summary', count(rows.length, 'step'), ' in fresh environments', running ? h('span.hint', running.step) : null), list);
}

function verdictLine({event, seq}) {
	return h(`div.verdict-line.${event.verdict}`, {'data-key': `e${seq}`}, verdictMark(event.verdict), h('div', h('strong', VERDICTS[event.verdict]?.word ?? event.verdict), event.reason ? h('p', inline(event.reason)) : null));
}

function bubble({event, seq}, who, name) {
	return h(`div.bubble.${who}`, {'data-key': `e${seq}`}, h('div.who', icon(who === 'agent' ? 'thought' : 'person'), name, h('span.hint', when(event.time_ms))), prose(event.text));
}

function turnCost({usage}, seq) {
	const used = [usage?.input_tokens ? `${compact(usage.input_tokens)} tokens in, ${compact(usage.output_tokens ?? 0)} out` : '', usage?.cost_usd ? money(usage.cost_usd) : ''].filter(Boolean);

	return used.length ? h('p.fact', {'data-key': `e${seq}`}, icon('clock'), `This turn used ${used.join(', ')}.`) : null;
}

/** Where the plan stands, when that is something else than before. */
function planStep(event, before) {
	const tasks = event.items ?? event.plan ?? [];
	const now = tasks.find((task) => task.state === 'in_progress')?.text;

	return now && now !== before ? {...event, now, done: tasks.filter((task) => task.state === 'completed').length, all: tasks.length} : null;
}

const VIEWS = {
	thought: ({event, seq}) => h('div.thought', {'data-key': `e${seq}`}, prose(event.text)),
	action,
	observation: ({event, seq}) => h('details.action', {'data-key': `e${seq}`}, h('summary', mark(event.ok === false ? 'fail' : 'done'), h('code.title', 'answer')), h('pre.observation', event.text ?? '')),
	service: services,
	gates: ({rows, seq}) => h('div', {'data-key': `e${seq}`}, ladder(rows)),
	finding: ({event, seq}) => h('div', {'data-key': `e${seq}`}, finding(event, false)),
	verdict: verdictLine,
	message: (item) => (item.event.type === 'agent' ? bubble(item, 'agent', 'Agent') : bubble(item, 'person', item.event.author ?? 'You')),
	end: ({event, seq}) => (event.ok === false ? h('p.wrong', {'data-key': `e${seq}`}, icon('cross'), `The turn ended with an error: ${plain(event.text || event.error || 'no reason given')}`) : turnCost(event, seq)),
	plan: ({event, seq}) => h('p.fact.plan-step', {'data-key': `e${seq}`}, icon('flag'), h('span', `Plan, ${event.done} of ${event.all}: `, inline(event.now))),
	pull: ({event, seq}) => h('p.fact', {'data-key': `e${seq}`}, icon('pull'), link(`/pulls/${event.number}`, `Pull request ${event.number}`)),
	preview: ({event, seq}) => h('p.fact', {'data-key': `e${seq}`}, icon('external'), 'Preview: ', outside(event.url, event.url)),
	question: (item) => bubble(item, 'agent', 'The agent asks'),
	answer: (item) => bubble(item, 'person', `${item.event.by ?? 'You'}, answering`),
	declaration: ({event, seq}) => h('div', {'data-key': `e${seq}`}, h('p.hint', `${event.by}: ${{declared: 'this difference is meant', proposed: 'proposes that this difference is meant'}[event.state] ?? 'this difference is not meant after all'}`), h('p', h('code', plain(event.match)), event.because ? ` ${plain(event.because)}` : null)),
	opinion: ({event, seq}) => h('div', {'data-key': `e${seq}`}, h('p.hint', event.status === 'asked' ? `${event.by} is asked for a second opinion` : `${event.by}, second opinion${['failed', 'skipped'].includes(event.status) ? ' not to be had' : ''}`), event.status === 'nothing' ? h('p', 'Nothing to add.') : event.text ? h('p', plain(event.text)) : null),
	claims: ({event, seq}) => h('div', {'data-key': `e${seq}`}, h('p.hint', 'What the agent claims, held against the record'), h('ul.checklist', event.items.map((claim) => h('li', mark(CLAIM_MARK[claim.status] ?? 'unstable'), h('span', plain(claim.claim), ' ', h('span.hint', `${claim.status}: ${claim.why}`)))))),
	note: ({event, seq}) => h('p.fact', {'data-key': `e${seq}`}, icon('dash'), event.text),
	error: ({event, seq}) => h('p.wrong', {'data-key': `e${seq}`}, icon('cross'), event.message),
};

export function timeline(events) {
	return h('ol.timeline', chapters(events).map((chapter) => h(`li.chapter.${chapter.status}`, {'data-key': chapter.key},
		h('div.chapter-head', mark(chapter.status), h('h3', TITLES[chapter.name] ?? chapter.name), chapter.attempt > 1 ? h('span.count', `attempt ${chapter.attempt}`) : null, chapter.detail ? h('span.hint', chapter.detail) : null, h('span.ms', duration(chapter.ms), h('span.hint', when(chapter.time_ms)))),
		h('div.chapter-body', chapter.items.map((item) => VIEWS[item.kind]?.(item) ?? null)))));
}

/** The plan as the run has it, a checklist. */
export function checklist(plan) {
	return h('ol.checklist', plan.map((row) => h(`li.${row.state}`, mark(row.state), h('span', inline(row.text)))));
}
