// run: one issue worked on, live: the story, the plan, the gates, the steps; and the person's hand on it.

import {h} from '../dom.js';
import {follow, get, post} from '../api.js';
import {compact, count, duration, money, prose, short, since} from '../format.js';
import {button, composer, failure, link, linkButton} from '../parts/controls.js';
import {ladder} from '../parts/evidence.js';
import {gantt} from '../parts/gantt.js';
import {logsView} from '../parts/logs.js';
import {icon, mark, runEnded, runState, verdict} from '../parts/marks.js';
import {checklist, gatesOf, timeline} from '../parts/timeline.js';

const TYPES = ['state', 'step', 'service', 'agent', 'gate', 'finding', 'verdict', 'pull', 'preview', 'message', 'question', 'answer', 'claims', 'opinion', 'note', 'error'];
const EVENTS_MAX = 5000; // shown; the rest is in `assay show`

/** The gates of the last attempt. */
function lastGates(events) {
	return gatesOf(events.slice(Math.max(0, events.findLastIndex((event) => event.type === 'state' && event.state === 'verify'))));
}

function usage(run) {
	if (!run.usage?.turns)
		return null;
	const fact = (name, value) => [h('dt', name), h('dd', value)];

	return h('dl.facts.tight', fact('Agent', run.agent), fact('Turns', String(run.usage.turns)), fact('Time of the agent', duration(run.usage.agent_ms)), fact('Tokens', `${compact(run.usage.input_tokens)} in, ${compact(run.usage.output_tokens)} out`), fact('Cost', money(run.usage.cost_usd)));
}

function head(run, reload) {
	const path = `/runs/${run.id}`;
	const ended = runEnded(run.state);
	const stop = async () => {
		await post(`${path}/stop`);
		await reload();
	};
	const retry = async () => {
		await post(`${path}/retry`);
		await reload();
	};

	return h('div.page-head', h('p.crumb', link('/', 'Home'), ' / ', run.repository), h('h1', run.title),
		h('div.row', runState(run.state), run.verdict ? verdict(run.verdict) : null, h('span.meta', run.attempt ? `attempt ${run.attempt} of ${run.attempts} · ` : '', run.ended_ms ? ['took ', duration(run.ended_ms - run.created_ms)] : ['for ', since(run.created_ms)], ' · base ', h('code', short(run.base)),
			run.head ? [' · head ', h('code', short(run.head))] : null)),
		h('div.row.actions', run.pull ? h('a.button.primary', {href: `/pulls/${run.pull}`, 'data-link': true, 'data-key': 'pull'}, icon('pull'), `Pull request ${run.pull}`) : null, run.preview ? linkButton(run.preview, run.pull ? '' : 'primary', 'Open the preview') : null,
			run.environment ? h('a.button', {href: `/environments/${run.environment}`, 'data-link': true}, icon('box'), 'Environment') : null, h('a.button', {href: `/issues/${run.issue}`, 'data-link': true}, icon('issue'), `Issue ${run.issue}`),
			ended ? null : button('Stop', stop, {kind: 'quiet', key: 'stop', ask: {title: 'Stop this run?', text: 'The agent is stopped now. Its environment stays for its grace period, and the run can be tried again.', yes: 'Stop the run', danger: true}}),
			['failed', 'stopped'].includes(run.state) ? button('Try again', retry, {kind: 'primary', key: 'retry'}) : null));
}

function side(run, events) {
	const gates = lastGates(events);

	return h('aside.side-column',
		run.candidates ? h('section.card.pad', {'data-key': 'candidates'}, h('h2', 'Candidates'), h('ul.checklist', run.candidates.map((one) => h('li', {'data-key': one.id}, mark(one.chosen ? 'done' : ['failed', 'stopped', 'done'].includes(one.state) ? 'skipped' : 'running'),
			h('span', one.id === run.id ? h('strong', 'this run') : link(`/runs/${one.id}`, one.id), ' ', h('span.hint', `${one.agent || 'agent'} · ${one.chosen ? 'chosen' : one.verdict ?? one.state} · ${count(one.lines, 'line')} · ${money(one.cost_usd)}`)))))) : null,
		run.plan.length ? h('section.card.pad', {'data-key': 'plan'}, h('h2', 'Plan'), checklist(run.plan)) : null,
		gates.length ? h('section.card.pad', {'data-key': 'gates'}, h('h2', 'Gates'), ladder(gates)) : null,
		h('section.card.pad', {'data-key': 'steps'}, h('h2', 'Steps'), gantt(run.steps)), usage(run) ? h('section.card.pad', {'data-key': 'usage'}, h('h2', 'Used'), usage(run)) : null);
}

export default function runPage({id}) {
	const path = `/runs/${encodeURIComponent(id)}`;
	const events = [];

	return {
		title: 'Run',
		wakes: ['run'],
		load: () => get(path),
		name: (run) => run.title,
		/** One stream: it starts with everything that happened, and goes on. */
		start: (changed, alive) => follow({
			path: (after) => `${path}/events?follow=1&after=${after}`, types: TYPES, alive,
			event(type, event) {
				if (events.length && event.seq <= events[events.length - 1].seq)
					return;
				events.push(event);
				if (events.length > EVENTS_MAX)
					events.shift();
				changed(['state', 'step', 'verdict', 'pull', 'preview', 'question', 'answer'].includes(type) || event.kind === 'plan');
			},
		}),
		view(run, reload) {
			const say = {id: 'message', label: run.question ? 'Your answer' : 'Message to the agent', hint: run.question ? 'The agent waits for it. When none comes in time it decides itself.' : 'It reads this now when it waits, else at the next safe point.', buttons: [{label: run.question ? 'Answer' : 'Send', kind: 'primary', send: (words) => post(`${path}/message`, {text: words})}]};

			return [head(run, reload), run.error ? failure({message: run.error}) : null,
				h('div.columns', h('div.main-column', h('section', {'data-key': 'story'}, events.length ? timeline(events) : h('p.quiet', 'Nothing happened yet.')), runEnded(run.state) ? null : h(`div.card.pad${run.question ? '.asks' : ''}`, {'data-key': 'say'}, run.question ? h('div.asked', icon('issue'), h('div', h('strong', 'The agent asks'), prose(run.question.question))) : null, composer(say)),
					run.environment ? h('section', {'data-key': 'logs'}, logsView(run.environment)) : null, events.length === EVENTS_MAX ? h('p.quiet', `Only the last ${count(EVENTS_MAX, 'event')} are shown.`) : null), side(run, events))];
		},
	};
}

