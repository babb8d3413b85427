// runcard: a run in a few lines: for the home page, the board and the table.

import {h} from '../dom.js';
import {count, duration, inline, money, plain, since, when} from '../format.js';
import {link} from './controls.js';
import {mark, runState, verdict, verdictMark} from './marks.js';
import {stepStatus} from './timeline.js';

const STEPS = ['claim', 'fork', 'turn', 'verify', 'publish', 'review'];

/** The last try of each step, as a row of dots. */
function stepper(run) {
	return h('ol.stepper', {'aria-label': 'Steps'}, STEPS.map((name) => {
		const step = run.steps.findLast((row) => row.name === name);
		const status = step ? stepStatus(step) : 'todo';
		return h(`li.${status}`, step ? mark(status) : h('span.tick-mark.calm'), h('span', name));
	}));
}

export function planLine(run) {
	if (!run.plan.length)
		return null;
	const done = run.plan.filter((row) => row.state === 'completed').length;
	const now = run.plan.find((row) => row.state === 'in_progress');

	return h('div.plan-line', h('progress', {max: run.plan.length, value: done, 'aria-label': 'Plan'}), h('span', `${done} of ${run.plan.length}`), now ? h('span.now', inline(now.text)) : null);
}

const cost = (run) => (run.usage?.cost_usd ? money(run.usage.cost_usd) : '');
const attempts = (run) => (run.attempts > 1 && run.attempt > 1 ? `attempt ${run.attempt} of ${run.attempts}` : '');
const words = (...parts) => parts.filter(Boolean).join(' · ');

/** A wide card of a run at work. */
export function workingCard(run) {
	return h('article.card.run-card', {'data-key': run.id}, h('div.card-head', h('h3', link(`/runs/${run.id}`, plain(run.title))), runState(run.state)),
		h('p.meta', words(run.repository, run.agent, attempts(run), cost(run)), ' · ', since(run.created_ms)), stepper(run), planLine(run),
		run.question ? h('p.asked-line', h('strong', 'Asks you: '), link(`/runs/${run.id}`, plain(run.question.question).slice(0, 200))) : null);
}

/** A narrow card of the board. */
export function boardCard(run) {
	const mark_ = verdictMark(run.verdict);

	return h('li.card.board-card', {'data-key': run.id}, h('div.board-head', mark_, h('h3', link(`/runs/${run.id}`, plain(run.title)))),
		h('p.meta', words(run.repository, run.agent, attempts(run))), run.question ? h('p.asked-line', h('strong', 'Asks: '), plain(run.question.question).slice(0, 140)) : planLine(run), run.error ? h('p.wrong-line', {title: plain(run.error)}, plain(run.error)) : null,
		h('p.meta.ms', run.ended_ms ? when(run.ended_ms) : since(run.created_ms), cost(run) ? ` · ${cost(run)}` : '', run.pull ? [' · ', link(`/pulls/${run.pull}`, `pull request ${run.pull}`)] : null));
}

export function tableRow(run) {
	return h('tr', {'data-key': run.id}, h('td.mark-cell', verdictMark(run.verdict) ?? mark(run.state === 'stopped' ? 'skipped' : ['failed', 'done'].includes(run.state) ? run.state : 'running')),
		h('td.what', link(`/runs/${run.id}`, plain(run.title)), run.error ? h('p.wrong-line', plain(run.error)) : run.question ? h('p.asked-line', h('strong', 'Asks: '), plain(run.question.question).slice(0, 140)) : null),
		h('td', run.repository), h('td', runState(run.state)), h('td', run.agent ?? ''), h('td.ms', cost(run)), h('td.ms', run.ended_ms ? duration(run.ended_ms - run.created_ms) : since(run.created_ms)), h('td.ms', when(run.created_ms)), h('td', run.pull ? link(`/pulls/${run.pull}`, `#${run.pull}`) : ''));
}

export function endedRow(run) {
	return h('li', {'data-key': run.id}, verdictMark(run.verdict) ?? mark(run.state === 'stopped' ? 'skipped' : run.state), h('div.grow', link(`/runs/${run.id}`, plain(run.title)), h('p.meta', run.repository, ' · ', when(run.ended_ms ?? run.state_since_ms), run.error ? h('span.wrong-text', plain(run.error)) : null)),
		h('span.meta', cost(run)), h('span.meta.ms', run.ended_ms ? duration(run.ended_ms - run.created_ms) : ''), run.verdict ? verdict(run.verdict) : runState(run.state));
}

export const pullAsks = {verified: 'Proven. Look at it and merge.', failed: 'Could not be mended. Say what to do.', unverified: 'Could not be judged. Decide yourself.'};

/** {icon or mark, title, why, to, action}: something that waits for a person. */
export function waitCard(key, mark_, title, why, to, action) {
	return h('article.card.wait-card', {'data-key': key}, mark_, h('div.grow', h('h3', link(to, title)), h('p.meta', why)), h('a.button', {href: to, 'data-link': true, tabindex: -1, 'aria-hidden': 'true'}, action));
}

export const pullCard = (pull) => waitCard(`pull ${pull.number}`, verdictMark(pull.verdict, 'large'), plain(pull.title), [h('strong', pullAsks[pull.verdict] ?? 'Waits for a person.'), ` ${pull.repository} #${pull.number} · `, when(pull.created_ms)], `/pulls/${pull.number}`, 'Review');

export const runCount = (n) => count(n, 'run');
