// home: one look: what waits for a person, what every agent is doing, what was proven.

import {h} from '../dom.js';
import {get} from '../api.js';
import {count, duration, number, plain} from '../format.js';
import {command, empty, link} from '../parts/controls.js';
import {icon, runBusy} from '../parts/marks.js';
import {endedRow, pullCard, waitCard, workingCard} from '../parts/runcard.js';

const WORKING_MAX = 100;
const ENDED_SHOWN = 8;
const WAITING_MAX = 50;

const sign = (name) => h('span.sign-mark', icon(name));
const left = (ms) => duration(Math.max(0, ms - Date.now()));
const holdCard = (hold) => waitCard(`hold ${hold.id}`, sign('pause'), h('code', plain(`${hold.method} ${hold.url}`).slice(0, 160)), [h('strong', 'Wants to leave. Allow it or not.'), ` ${plain(hold.why || hold.rule)} · denied in ${left(hold.deadline_ms)}`], '/holds', 'Answer');
const questionCard = (run) => waitCard(`question ${run.id}`, sign('question'), plain(run.question.question).slice(0, 200), [h('strong', 'An agent asks.'), ` ${plain(run.title).slice(0, 100)} · decides itself in ${left(run.question.deadline_ms)}`], `/runs/${run.id}`, 'Answer');

function section(key, title, shown, more, children) {
	return children.length ? h('section', {'data-key': key}, h('div.row.spread', h('h2', title, shown ? h('span.count', shown) : null), more), children) : null;
}

function numbers(working, waiting, pulls) {
	const proven = pulls.filter((pull) => pull.verdict === 'verified').length;
	const tile = (shown, word, tone, to) => h(`a.tile.${tone}`, {href: to, 'data-link': true}, h('span.tile-number', number(shown)), h('span', word));

	return h('nav.tiles', {'aria-label': 'In numbers'}, tile(waiting, waiting === 1 ? 'waits for you' : 'wait for you', waiting ? 'wait' : 'calm', '/runs?state=review'), tile(working, working === 1 ? 'agent at work' : 'agents at work', working ? 'busy' : 'calm', '/runs?state=working'), tile(proven, 'proven, to merge', proven ? 'ok' : 'calm', '/pulls'));
}

function nothing() {
	return [h('div.page-head', h('h1', 'Home')), empty('pulse', 'No agent has worked here yet', 'Give one an issue. Assay forks a copy of the application with real data, lets the agent work in it, proves what it wrote, and opens a pull request with a live preview.',
		h('div.teach', h('p', 'In a checkout with an ', h('code', 'assay.yaml'), ' (', h('code', 'assay init'), ' writes one):'), command('assay run "Show prices over 1,000 with a thousands separator"'), h('p', 'or ', link('/issues/new', 'write an issue here'), '.')))];
}

export default function home() {
	return {
		title: 'Home',
		wakes: ['run', 'pull', 'issue', 'hold'],
		load: async () => {
			const [active, over, pulls, holds] = await Promise.all([get(`/runs?state=active&limit=${WORKING_MAX}`), get(`/runs?state=over&limit=${ENDED_SHOWN}`), get(`/pulls?state=open&limit=${WAITING_MAX}`), get('/holds')]);
			return {active: active.items, over: over.items, pulls: pulls.items, holds: holds.items};
		},
		view({active, over, pulls, holds}) {
			if (!active.length && !over.length && !pulls.length && !holds.length)
				return nothing();
			const working = active.filter((run) => runBusy(run.state));
			const asking = active.filter((run) => run.question);
			const waiting = [...holds.map(holdCard), ...asking.map(questionCard), ...pulls.map(pullCard)];

			return [h('div.page-head', h('div.row.spread', h('h1', 'Home'), h('a.button.primary', {href: '/issues/new', 'data-link': true}, icon('plus'), 'New issue'))), numbers(working.length, waiting.length, pulls),
				section('waiting', 'Waits for you', waiting.length, null, waiting) ?? h('p.nothing-waits', icon('check'), 'Nothing waits for you.'),
				section('working', 'At work', working.length, link('/runs', 'Board of all runs'), working.map(workingCard)),
				section('ended', 'Finished lately', null, link('/runs?view=table&state=over', 'All finished'), over.length ? [h('ul.list.card', over.map(endedRow))] : [])];
		},
		/** For the words of the title. */
		name: ({active}) => (active.length ? `${count(active.filter((run) => runBusy(run.state)).length, 'agent')} at work` : 'Home'),
	};
}
