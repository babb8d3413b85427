// runs: all of them, as a board or a table, filtered by the words of the address.

import {h} from '../dom.js';
import {get, items} from '../api.js';
import {asked, refine} from '../navigate.js';
import {command, empty, link} from '../parts/controls.js';
import {icon} from '../parts/marks.js';
import {boardCard, runCount, tableRow} from '../parts/runcard.js';

const COLUMNS = [['review', 'Waits for you', 'wait'], ['queued,claim,fork', 'Prepared', 'calm'], ['turn', 'Agent at work', 'busy'], ['verify,publish,close', 'Verified now', 'busy'], ['over', 'Finished', 'calm']];
const STATES = {'': 'all', review: 'waits for you', working: 'at work', over: 'finished', failed: 'failed', stopped: 'stopped'};
const MEANS = {working: 'queued,claim,fork,turn,verify,publish,close'};
const COLUMN_ROWS = 25;
const TABLE_ROWS = 100;
const TYPING_MS = 250;
const HEADS = ['', 'Run', 'Repository', 'State', 'Agent', 'Cost', 'Took', 'Begun', 'Pull request'];

/** What the address asks for, as the API takes it. */
function filters() {
	const query = new URLSearchParams();

	for (const name of ['repository', 'agent', 'text'])
		if (asked(name))
			query.set(name, asked(name));
	return query;
}

const page = (query, more) => get(`/runs?${new URLSearchParams([...query, ...Object.entries(more)])}`);

/** A run whose agent asks something waits for a person, in whatever step it is. */
async function loadBoard() {
	const query = filters();
	const [first, asks, ...rest] = await Promise.all([page(query, {state: COLUMNS[0][0], limit: COLUMN_ROWS, states: 1}), page(query, {asks: 1, limit: COLUMN_ROWS}), ...COLUMNS.slice(1).map(([state]) => page(query, {state, limit: COLUMN_ROWS}))]);
	const asking = new Set(asks.items.map((run) => run.id));

	return {states: first.states ?? {}, columns: [[...asks.items, ...first.items.filter((run) => !asking.has(run.id))], ...rest.map((column) => column.items.filter((run) => !asking.has(run.id)))], more: [first, ...rest].map((column) => Boolean(column.next))};
}

async function loadTable() {
	const state = asked('state');
	const answer = await page(filters(), {...(state ? {state: MEANS[state] ?? state} : {}), ...(asked('after') ? {after: asked('after')} : {}), limit: TABLE_ROWS, states: 1});

	return {states: answer.states ?? {}, rows: answer.items, next: answer.next};
}

function choice(name, word, list) {
	return h('div', h('label', {for: `f-${name}`}, word), h('select', {id: `f-${name}`, on: {change: (event) => refine({[name]: event.currentTarget.value, after: ''})}}, h('option', {value: ''}, 'all'), list.map((one) => h('option', {value: one, selected: asked(name) === one}, one))));
}

let typing = null;

function searchBox() {
	const type = (event) => {
		const box = event.currentTarget;

		clearTimeout(typing);
		typing = setTimeout(() => box.isConnected && refine({text: box.value.trim(), after: ''}), TYPING_MS);
	};

	return h('div.wide', h('label', {for: 'f-text'}, 'Search'), h('input', {id: 'f-text', type: 'search', value: asked('text'), placeholder: 'words of the title, or an id', autocomplete: 'off', on: {input: type}}));
}

function views(view) {
	const to = (name) => `/runs?${new URLSearchParams([...filters(), ...(name === 'table' ? [['view', name]] : [])])}`;

	return h('nav.tabs.small', {'aria-label': 'View'}, [['board', 'Board'], ['table', 'Table']].map(([name, word]) => h('a', {href: to(name), 'data-link': true, 'aria-current': view === name ? 'page' : null}, word)));
}

function stateChips() {
	return h('nav.chips', {'aria-label': 'State'}, Object.entries(STATES).map(([state, word]) => {
		const query = new URLSearchParams([...filters(), ['view', 'table'], ...(state ? [['state', state]] : [])]);
		return h('a.chip-link', {href: `/runs?${query}`, 'data-link': true, 'aria-current': asked('state') === state ? 'page' : null}, word);
	}));
}

function board({columns, more}) {
	return h('div.board', columns.map((runs, i) => h(`section.board-column.${COLUMNS[i][2]}`, {'data-key': COLUMNS[i][0], 'aria-label': COLUMNS[i][1]}, h('h2', COLUMNS[i][1], h('span.count', more[i] ? `${COLUMN_ROWS}+` : runs.length)),
		runs.length ? h('ul', runs.map(boardCard)) : h('p.quiet', 'none'), more[i] ? link(`/runs?view=table&state=${COLUMNS[i][0] === 'over' ? 'over' : ''}`, 'all of them') : null)));
}

function table({rows, next}) {
	const older = next ? h('a.button', {href: `/runs?${new URLSearchParams([...new URLSearchParams(location.search)].filter(([name]) => name !== 'after').concat([['after', next]]))}`, 'data-link': true}, 'Older') : null;

	return [stateChips(), rows.length ? h('div.scroll.card', {tabindex: 0, role: 'region', 'aria-label': 'Runs'}, h('table.plain.rows', h('thead', h('tr', HEADS.map((word) => h('th', {scope: 'col'}, word || h('span.sr', 'Verdict'))))), h('tbody', rows.map(tableRow)))) : empty('runs', 'No run fits', 'Take a filter away.', link('/runs?view=table', 'Show all')), h('div.row.end', older)];
}

export function runList() {
	const view = () => (asked('view') === 'table' || asked('state') ? 'table' : 'board');

	return {
		title: 'Runs',
		wakes: ['run', 'pull'],
		load: async () => {
			const [data, repositories, agents] = await Promise.all([view() === 'table' ? loadTable() : loadBoard(), items('/repositories'), items('/agents').catch(() => [])]);
			return {...data, repositories, agents: agents.map((agent) => agent.name)};
		},
		view(data) {
			const all = Object.values(data.states).reduce((sum, n) => sum + n, 0);

			if (!all && !filters().size)
				return [h('div.page-head', h('h1', 'Runs')), empty('runs', 'No run yet', 'A run is one issue worked on, from claim to merge: an agent works, Assay proves what it made, you decide.', h('div.teach', command('assay run "What should be different"'), h('p', 'or ', link('/issues/new', 'write an issue here'), '.')))];
			return [h('div.page-head', h('div.row.spread', h('h1', 'Runs', h('span.number', runCount(all))), h('div.row', views(view()), h('a.button.primary', {href: '/issues/new', 'data-link': true}, icon('plus'), 'New issue')))),
				h('form.filters', {role: 'search', 'data-key': 'filters', on: {submit: (event) => event.preventDefault()}}, searchBox(), choice('repository', 'Repository', data.repositories.map((one) => one.name)), choice('agent', 'Agent', data.agents)),
				view() === 'table' ? table(data) : board(data)];
		},
	};
}
