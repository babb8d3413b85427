// home: what every agent is doing, what was proven, what waits for a person.

import {h} from '../dom.js';
import {items} from '../api.js';
import {count, duration, inline, money, plain, since, when} from '../format.js';
import {command, empty, link} from '../parts/controls.js';
import {mark, runBusy, runEnded, runState, verdict, verdictMark} from '../parts/marks.js';
import {stepStatus} from '../parts/timeline.js';

const STEPS = ['claim', 'fork', 'turn', 'verify', 'publish', 'review'];

/** The last try of each step, as a row of dots. */
function stepper(run) {
	return h('ol.stepper', {'aria-label': 'Steps'}, STEPS.map((name) => {
		const step = run.steps.findLast((row) => row.name === name);
		const status = step ? stepStatus(step) : 'todo';
		return h(`li.${status}`, step ? mark(status) : h('span.tick-mark.calm'), h('span', name));
	}));
}

function progress(run) {
	if (!run.plan.length)
		return null;
	const done = run.plan.filter((row) => row.state === 'completed').length;
	const now = run.plan.find((row) => row.state === 'in_progress');

	return h('div.plan-line', h('progress', {max: run.plan.length, value: done, 'aria-label': 'Plan'}), h('span', `${done} of ${run.plan.length}`), now ? h('span.now', inline(now.text)) : null);
}

function workingCard(run) {
	return h('article.card.run-card', {'data-key': run.id}, h('div.card-head', h('h3', link(`/runs/${run.id}`, run.title)), runState(run.state)),
		h('p.meta', run.repository, ' · ', run.agent, run.attempts > 1 && run.attempt ? ` · attempt ${run.attempt} of ${run.attempts}` : '', ' · ', since(run.created_ms)), stepper(run), progress(run),
		run.question ? h('p.asked-line', h('strong', 'Asks you: '), link(`/runs/${run.id}`, plain(run.question.question).slice(0, 200))) : null);
}

function waitingCard(pull, run) {
	const asks = {verified: 'Proven. Look at it and merge.', failed: 'Could not be mended. Say what to do.', unverified: 'Could not be judged. Decide yourself.'}[pull.verdict] ?? 'Waits for a person.';

	return h('article.card.wait-card', {'data-key': `pull ${pull.number}`}, verdictMark(pull.verdict, 'large'),
		h('div.grow', h('h3', link(`/pulls/${pull.number}`, pull.title)), h('p.meta', h('strong', asks), ' ', pull.repository, ' #', pull.number, ' · ', when(pull.created_ms), run?.attempt > 1 ? ` · ${count(run.attempt, 'attempt')}` : '')),
		link(`/pulls/${pull.number}`, h('span.button', 'Review')));
}

function endedRow(run) {
	return h('li', {'data-key': run.id}, verdictMark(run.verdict) ?? mark(run.state === 'stopped' ? 'skipped' : run.state), h('div.grow', link(`/runs/${run.id}`, run.title), h('p.meta', run.repository, ' · ', when(run.ended_ms ?? run.state_since_ms), run.error ? h('span.wrong-text', run.error) : null)),
		h('span.meta', run.usage?.cost_usd ? money(run.usage.cost_usd) : ''), h('span.meta.ms', run.ended_ms ? duration(run.ended_ms - run.created_ms) : ''), run.verdict ? verdict(run.verdict) : runState(run.state));
}

function section(title, count_, children) {
	return children.length ? h('section', {'data-key': title}, h('h2', title, count_ ? h('span.count', children.length) : null), children) : null;
}

function sentence(working, waiting, ended) {
	const asking = working.filter((run) => run.question).length;
	const parts = [working.length ? `${count(working.length, 'agent')} at work` : 'No agent is at work', waiting.length ? `${count(waiting.length, 'pull request')} ${waiting.length === 1 ? 'waits' : 'wait'} for you` : asking ? null : 'nothing waits for you', asking ? `${count(asking, 'question')} for you` : null].filter(Boolean);

	if (ended.length)
		parts.push(`${count(ended.filter((run) => run.verdict === 'verified').length, 'finished run')} verified`);
	return `${parts.join(' · ')}.`;
}

export default function home() {
	return {
		title: 'Home',
		wakes: ['run', 'pull', 'issue'],
		load: async () => ({runs: await items('/runs'), pulls: await items('/pulls')}),
		view({runs, pulls}) {
			if (!runs.length)
				return [h('div.page-head', h('h1', 'Home')), empty('pulse', 'No agent has worked here yet', 'Give one an issue. Assay forks a copy of the application with real data, lets the agent work in it, proves what it wrote, and opens a pull request with a live preview.',
					h('div.teach', h('p', 'In a checkout with an ', h('code', 'assay.yaml'), ' (', h('code', 'assay init'), ' writes one):'), command('assay run "Show prices over 1,000 with a thousands separator"'), h('p', 'or ', link('/issues/new', 'write an issue here'), '.')))];
			const working = runs.filter((run) => runBusy(run.state));
			const waiting = pulls.filter((pull) => pull.state === 'open');
			const known = new Set([...working.map((run) => run.id), ...waiting.map((pull) => pull.run)]);
			const ended = runs.filter((run) => !known.has(run.id) && (runEnded(run.state) || run.state === 'review'));

			return [h('div.page-head', h('h1', 'Home'), h('p.lead', sentence(working, waiting, ended))),
				section('At work', true, working.map(workingCard)),
				section('Waits for you', true, waiting.map((pull) => waitingCard(pull, runs.find((run) => run.id === pull.run)))),
				ended.length ? h('section', {'data-key': 'ended'}, h('h2', 'Finished'), h('ul.list.card', ended.map(endedRow))) : null];
		},
	};
}
