// run: one issue worked on, live: the story, what it changed, what was proven, its services, a shell in it; and the person's hand on it.

import {h} from '../dom.js';
import {find, follow, get, items, post, remove, text} from '../api.js';
import {compact, count, duration, money, plain, prose, short, since} from '../format.js';
import {asked} from '../navigate.js';
import {button, command, composer, empty, failure, link, linkButton, toast} from '../parts/controls.js';
import {diffView} from '../parts/diff.js';
import {declared, finding, ladder, noise, notCovered} from '../parts/evidence.js';
import {gantt} from '../parts/gantt.js';
import {changedSeams, seamGraph} from '../parts/graph.js';
import {logsView} from '../parts/logs.js';
import {icon, mark, runEnded, runState, verdict} from '../parts/marks.js';
import {picturesView} from '../parts/pictures.js';
import {readRecord, recordView} from '../parts/record.js';
import {services} from '../parts/services.js';
import {terminalView} from '../parts/terminal.js';
import {checklist, gatesOf, timeline} from '../parts/timeline.js';

const TYPES = ['state', 'step', 'service', 'agent', 'gate', 'finding', 'verdict', 'pull', 'preview', 'message', 'question', 'answer', 'claims', 'opinion', 'declaration', 'note', 'error'];
const TELLING = ['state', 'step', 'verdict', 'pull', 'preview', 'question', 'answer'];
const VIEWS = {'': 'Story', changes: 'Changes', evidence: 'Evidence', pictures: 'Pictures', services: 'Services', shell: 'Shell', record: 'Record'};
const EVENTS_MAX = 5000; // shown; the rest is in `assay show`
const EXCHANGES = 500;
const DAY_MS = 86_400_000;

/** The gates of the last attempt. */
function lastGates(events) {
	return gatesOf(events.slice(Math.max(0, events.findLastIndex((event) => event.type === 'state' && event.state === 'verify'))));
}

const fact = (name, value) => [h('dt', name), h('dd', value)];

function usage(run, budget) {
	if (!run.usage?.turns && !budget?.calls)
		return null;
	return h('dl.facts.tight', fact('Agent', run.agent), fact('Turns', String(run.usage.turns)), fact('Time of the agent', duration(run.usage.agent_ms)), fact('Tokens', `${compact(run.usage.input_tokens)} in, ${compact(run.usage.output_tokens)} out`), fact('Cost', money(run.usage.cost_usd)),
		budget?.calls ? fact('Seen by the gateway', `${money(budget.spent_usd)} in ${count(budget.calls, 'call')}${budget.estimated ? ', estimated' : ''}`) : null, budget?.budget_usd ? fact('Budget', money(budget.budget_usd)) : null);
}

function environmentActions(run, environment, then) {
	const path = `/environments/${environment.id}`;

	return [button(environment.pinned ? 'Unpin' : 'Pin', then(() => post(`${path}/${environment.pinned ? 'unpin' : 'pin'}`)), {mark: 'pin', key: 'pin'}),
		environment.pinned ? null : button('Keep a day longer', then(async () => { await post(`${path}/extend`, {grace_ms: DAY_MS}); toast('Its environment stays for a day from now.'); }), {mark: 'clock', key: 'extend'})];
}

/* One for each repository in which something changed; more than one say which. */
function pullLinks(run) {
	const parts = (run.repositories ?? []).filter((part) => part.pull);

	if (parts.length < 2)
		return run.pull ? h('a.button.primary', {href: `/pulls/${run.pull}`, 'data-link': true, 'data-key': 'pull'}, icon('pull'), `Pull request ${run.pull}`) : null;
	return parts.map((part) => h('a.button.primary', {href: `/pulls/${part.pull}`, 'data-link': true, 'data-key': `pull ${part.pull}`}, icon('pull'), `Pull request ${part.pull} of ${part.repository}`));
}

function head(run, environment, reload) {
	const path = `/runs/${run.id}`;
	const then = (doing) => async () => {
		await doing();
		await reload();
	};

	return h('div.page-head', h('p.crumb', link('/runs', 'Runs'), ' / ', link(`/runs?repository=${encodeURIComponent(run.repository)}`, run.repository), (run.repositories ?? []).slice(1).map((part) => ` + ${part.repository}`)), h('h1', plain(run.title)),
		h('div.row', runState(run.state), run.verdict ? verdict(run.verdict) : null, h('span.meta', run.attempt ? `attempt ${run.attempt} of ${run.attempts} · ` : '', run.ended_ms ? ['took ', duration(run.ended_ms - run.created_ms)] : ['for ', since(run.created_ms)], ' · base ', h('code', short(run.base)),
			run.head ? [' · head ', h('code', short(run.head))] : null)),
		h('div.row.actions', pullLinks(run), run.preview ? linkButton(run.preview, run.pull ? '' : 'primary', 'Open the preview') : null,
			environment ? h('a.button', {href: `/environments/${environment.id}`, 'data-link': true}, icon('box'), 'Environment') : null, environment ? environmentActions(run, environment, then) : null, h('a.button', {href: `/issues/${run.issue}`, 'data-link': true}, icon('issue'), `Issue ${run.issue}`),
			runEnded(run.state) ? null : button('Stop', then(() => post(`${path}/stop`)), {kind: 'quiet', key: 'stop', ask: {title: 'Stop this run?', text: 'The agent is stopped now. Its environment stays for its grace period, and the run can be tried again.', yes: 'Stop the run', danger: true}}),
			['failed', 'stopped'].includes(run.state) ? button('Try again', then(() => post(`${path}/retry`)), {kind: 'primary', key: 'retry'}) : null));
}

function tabs(run, view) {
	return h('nav.tabs', {'aria-label': 'Views'}, Object.entries(VIEWS).map(([name, word]) => h('a', {href: `/runs/${run.id}${name ? `?view=${name}` : ''}`, 'data-link': true, 'aria-current': view === name ? 'page' : null}, word)));
}

function candidates(run) {
	return h('section.card.pad', {'data-key': 'candidates'}, h('h2', 'Candidates'), h('ul.checklist', run.candidates.map((one) => h('li', {'data-key': one.id}, mark(one.chosen ? 'done' : ['failed', 'stopped', 'done'].includes(one.state) ? 'skipped' : 'running'),
		h('span', one.id === run.id ? h('strong', 'this run') : link(`/runs/${one.id}`, one.id), ' ', h('span.hint', `${one.agent || 'agent'} · ${one.chosen ? 'chosen' : one.verdict ?? one.state} · ${count(one.lines, 'line')} · ${money(one.cost_usd)}`))))));
}

function side({run, budget}, events) {
	const gates = lastGates(events);
	const used = usage(run, budget);

	return h('aside.side-column', {'aria-label': 'In short', tabindex: 0}, run.candidates ? candidates(run) : null, run.plan.length ? h('section.card.pad', {'data-key': 'plan'}, h('h2', 'Plan'), checklist(run.plan)) : null,
		gates.length ? h('section.card.pad', {'data-key': 'gates'}, h('h2', 'Gates'), ladder(gates)) : null,
		h('section.card.pad', {'data-key': 'steps'}, h('h2', 'Steps'), gantt(run.steps)), used ? h('section.card.pad', {'data-key': 'usage'}, h('h2', 'Used'), used) : null);
}

function sayBox(run, path) {
	const say = {id: 'message', label: run.question ? 'Your answer' : 'Message to the agent', hint: run.question ? 'The agent waits for it. When none comes in time it decides itself.' : 'It reads this now when it waits, else at the next safe point.', buttons: [{label: run.question ? 'Answer' : 'Send', kind: 'primary', send: (words) => post(`${path}/message`, {text: words})}]};

	return h(`div.card.pad${run.question ? '.asks' : ''}`, {'data-key': 'say'}, run.question ? h('div.asked', icon('issue'), h('div', h('strong', 'The agent asks'), prose(run.question.question))) : null, composer(say));
}

function story(data, events, path) {
	const {run} = data;
	const say = runEnded(run.state) ? null : sayBox(run, path);

	return h('div.columns', h('div.main-column', run.question ? say : null, h('section', {'data-key': 'story', 'aria-labelledby': 'story-title'}, h('h2.sr', {id: 'story-title'}, 'Story'), events.length ? timeline(events) : h('p.quiet', 'Nothing happened yet.')), run.question ? null : say,
		run.environment ? h('section', {'data-key': 'logs', 'aria-label': 'Logs'}, logsView(run.environment)) : null, events.length === EVENTS_MAX ? h('p.quiet', `Only the last ${count(EVENTS_MAX, 'event')} are shown.`) : null), side(data, events));
}

function changes({run, diff}) {
	return diff ? h('section', {'data-key': 'diff'}, diffView(diff, run.head)) : empty('pull', 'Nothing was changed yet', 'What the agent writes is committed at the end of its turn, and is here then: published or not.');
}

/** Saying what is meant: until the run is over. */
function declaring(run, path, reload) {
	const then = (doing) => async (...words) => {
		await doing(...words);
		await reload();
	};

	return runEnded(run.state) ? null : {declare: then((difference, because) => post(`${path}/declarations`, because ? {difference, because} : {difference})), undo: then((difference) => remove(`${path}/declarations?difference=${encodeURIComponent(difference)}`))};
}

function evidence({report, run}, events, path, reload) {
	const actions = declaring(run, path, reload);

	if (!report)
		return empty('seal', 'Nothing was judged yet', 'After a turn Assay forks fresh environments of base and head and holds them against each other: tests, recorded traffic, integrity.');
	return [h('section.card.pad', {'data-key': 'proven'}, h('h2', 'What was checked'), ladder(report.gates), noise(report)), declared(run.declarations, actions), notCovered(report),
		report.findings.length ? h('section', {'data-key': 'findings'}, h('h2', 'Findings', h('span.count', report.findings.length)), report.findings.map((row, i) => finding(row, i < 3, actions?.declare))) : h('p.nothing-waits', icon('check'), 'No finding.')];
}

const gone = (what) => empty('box', 'Its environment is gone', `${what} It was cleaned up after its grace period; pin one to keep it.`);

function servicesView({environment, exchanges, report}) {
	if (!environment)
		return gone('The services lived in it.');
	return [h('section.card.pad', {'data-key': 'services'}, h('h2', 'Services'), services(environment)), h('section.card.pad', {'data-key': 'graph'}, h('h2', 'Who calls whom'), seamGraph(exchanges, environment.sandboxes, changedSeams(report))),
		logsView(environment.id, environment.sandboxes.map((box) => box.name), true)];
}

function shellView({run, environment}) {
	if (!environment)
		return gone('There is no room for a shell.');
	return [h('p.notice', icon('swap'), h('span', runEnded(run.state) || run.state === 'review' ? 'The agent does not work now. What you change in the workspace is there when it is woken, and becomes part of its next commit.' : 'The agent goes on while you are here: you both work in the same files, and what you change becomes part of its commit. To work alone, stop the run first; its environment stays.')),
		terminalView({environment: environment.id, sandboxes: environment.sandboxes.map((box) => box.name), sandbox: 'workspace'}), h('p.quiet', 'The same on the command line:'), command(`assay env shell ${environment.id}`)];
}

const SHOWN = {'': story, changes, evidence, pictures: ({pictures}) => picturesView(pictures), services: servicesView, shell: shellView, record: ({run, record}) => h('section.card.pad', {'data-key': 'record'}, h('h2', 'Signed record'), recordView(record, run.id))};

/** What a view needs besides the run and its environment. */
const LOADS = {
	'': async (path) => ({budget: await find(`${path}/budget`)}),
	changes: async (path) => ({diff: await find(`${path}/diff`, text)}),
	evidence: async (path) => ({report: await find(`${path}/report`)}),
	pictures: async (path) => ({pictures: await items(`${path}/pictures`)}),
	services: async (path, environment) => {
		const [report, exchanges] = await Promise.all([find(`${path}/report`), environment ? items(`/environments/${environment.id}/exchanges?limit=${EXCHANGES}`) : []]);
		return {report, exchanges};
	},
	record: async (path) => {
		const [envelope, key] = await Promise.all([find(`${path}/record`, text), find('/records/key', text)]);
		return {record: envelope ? await readRecord(envelope, key) : null};
	},
};

export default function runPage({id}) {
	const path = `/runs/${encodeURIComponent(id)}`;
	const view = asked('view') in VIEWS ? asked('view') : '';
	const events = [];

	return {
		title: 'Run',
		wakes: ['run', 'environment'],
		load: async () => {
			const run = await get(path);
			const environment = run.environment ? await find(`/environments/${encodeURIComponent(run.environment)}`) : null;
			return {run, environment, ...(await LOADS[view]?.(path, environment))};
		},
		name: ({run}) => plain(run.title),
		/** One stream: it starts with everything that happened, and goes on. */
		start: view ? undefined : (changed, alive) => follow({
			path: (after) => `${path}/events?follow=1&after=${after}`, types: TYPES, alive,
			event(type, event) {
				if (events.length && event.seq <= events[events.length - 1].seq)
					return;
				events.push(event);
				if (events.length > EVENTS_MAX)
					events.shift();
				changed(TELLING.includes(type) || event.kind === 'plan');
			},
		}),
		view(data, reload) {
			return [head(data.run, data.environment, reload), data.run.error ? failure({message: plain(data.run.error)}) : null, tabs(data.run, view), SHOWN[view](data, events, path, reload)];
		},
	};
}
