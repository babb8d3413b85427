// issues: the built-in tracker: list, form, one issue.

import {h} from '../dom.js';
import {get, items, post} from '../api.js';
import {count, prose, when} from '../format.js';
import {go} from '../navigate.js';
import {button, command, composer, empty, link, toast} from '../parts/controls.js';
import {icon, issueState} from '../parts/marks.js';

function row(issue) {
	return h('li', {'data-key': `issue ${issue.number}`}, h('span.number', `#${issue.number}`), h('div.grow', link(`/issues/${issue.number}`, issue.title),
		h('p.meta', issue.repository, ' · ', when(issue.created_ms), issue.comments.length ? ` · ${count(issue.comments.length, 'comment')}` : '')), issue.pull ? link(`/pulls/${issue.pull}`, `pull request ${issue.pull}`) : null, issueState(issue.state));
}

export function issueList() {
	return {
		title: 'Issues',
		wakes: ['issue', 'run'],
		load: async () => ({list: await items('/issues')}),
		view({list}) {
			const head = h('div.page-head', h('div.row.spread', h('h1', 'Issues'), h('a.button.primary', {href: '/issues/new', 'data-link': true}, icon('plus'), 'New issue')));
			const open = list.filter((issue) => !['done', 'closed'].includes(issue.state));
			const ended = list.filter((issue) => ['done', 'closed'].includes(issue.state));

			if (!list.length)
				return [head, empty('issue', 'No issues yet', 'An issue says what should be different. An agent takes it, and Assay proves what the agent made of it.', h('div.teach', h('a.button.primary', {href: '/issues/new', 'data-link': true}, 'Write the first one')))];
			return [head, open.length ? h('ul.list.card', open.map(row)) : h('p.quiet', 'No open issue.'), ended.length ? h('section', h('h2', 'Done'), h('ul.list.card', ended.map(row))) : null];
		},
	};
}

async function create(event, start) {
	const form = event.currentTarget.form ?? event.currentTarget;
	const value = (name) => form.elements[name].value.trim();

	if (!form.reportValidity())
		return;
	const made = await post('/issues', {repository: value('repository'), title: value('title'), body: value('body')});
	if (start) {
		const run = await post('/runs', {repository: made.repository, issue: made.number});
		return go(`/runs/${run.id}`);
	}
	go(`/issues/${made.number}`);
}

export function issueForm() {
	const send = (start) => async (event) => {
		const element = event.currentTarget;

		event.preventDefault();
		element.disabled = true;
		try {
			await create(event, start);
		} catch (error) {
			toast(error.message, 'bad');
		} finally {
			element.disabled = false;
		}
	};

	return {
		title: 'New issue',
		load: async () => ({repositories: await items('/repositories')}),
		view({repositories}) {
			if (!repositories.length)
				return [h('div.page-head', h('h1', 'New issue')), empty('layers', 'There is no repository yet', 'An issue is about a repository. Put one here from its checkout:', h('div.teach', command('assay repo put')))];
			return [h('div.page-head', h('h1', 'New issue')),
				h('form.card.form', {on: {submit: (event) => event.preventDefault()}},
					h('label', {for: 'repository'}, 'Repository'), h('select', {id: 'repository', name: 'repository'}, repositories.map((repository) => h('option', {value: repository.name}, repository.name))),
					h('label', {for: 'title'}, 'What should be different'), h('input', {id: 'title', name: 'title', required: true, maxlength: 200, autocomplete: 'off', placeholder: 'Show prices over 1,000 with a thousands separator'}),
					h('label', {for: 'body'}, 'More about it'), h('textarea', {id: 'body', name: 'body', rows: 10, placeholder: 'How it is now, how it should be, what must not change.'}),
					h('div.row', h('button.button.primary', {type: 'button', on: {click: send(true)}}, 'Give to an agent'), h('button.button', {type: 'button', on: {click: send(false)}}, 'Only write it down')))];
		},
	};
}

function comment(row_) {
	return h('article.comment', h('div.who', icon('person'), h('strong', row_.author), h('span.hint', when(row_.time_ms))), prose(row_.text));
}

export function issuePage({number}) {
	const path = `/issues/${number}`;

	return {
		title: `Issue ${number}`,
		wakes: ['issue', 'run'],
		load: () => get(path),
		name: (issue) => issue.title,
		view(issue, reload) {
			const give = async () => go(`/runs/${(await post('/runs', {repository: issue.repository, issue: issue.number})).id}`);
			const closed = ['done', 'closed'].includes(issue.state);
			const move = async () => {
				await post(`${path}/${closed ? 'reopen' : 'close'}`);
				await reload();
			};

			return [h('div.page-head', h('p.crumb', link('/issues', 'Issues'), ' / ', issue.repository), h('h1', issue.title, h('span.number', `#${issue.number}`)), h('div.row', issueState(issue.state), h('span.meta', 'written ', when(issue.created_ms)))),
				h('div.columns', h('div.main-column', h('article.card.pad', issue.body ? prose(issue.body) : h('p.quiet', 'Nothing more was written.')), issue.comments.length ? h('section', h('h2', 'Comments'), issue.comments.map(comment)) : null,
					h('div.card.pad', composer({id: 'comment', label: 'Comment', hint: 'Something the agent should know', buttons: [{label: 'Comment', send: async (text) => { await post(`${path}/comments`, {text}); await reload(); }}]}))),
				h('aside.side-column', h('div.card.pad', h('h2', 'Who works on it'), issue.run ? h('p', link(`/runs/${issue.run}`, 'The run'), issue.pull ? [' · ', link(`/pulls/${issue.pull}`, `pull request ${issue.pull}`)] : null) : h('p.quiet', 'Nobody yet.'),
					closed ? null : button(issue.run ? 'Give to an agent again' : 'Give to an agent', give, {kind: issue.run ? '' : 'primary', mark: 'arrow', key: 'give'}), button(closed ? 'Reopen' : 'Close', move, {kind: 'quiet', key: 'close'}))))];
		},
	};
}
