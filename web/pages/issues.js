// issues: the built-in tracker: list, form, one issue.

import {h} from '../dom.js';
import {address, get, items, post, remove} from '../api.js';
import {bytes, count, plain, prose, when} from '../format.js';
import {asked, go} from '../navigate.js';
import {button, command, composer, empty, link, toast} from '../parts/controls.js';
import {icon, issueState} from '../parts/marks.js';

function row(issue) {
	return h('li', {'data-key': `issue ${issue.number}`}, h('span.number', `#${issue.number}`), h('div.grow', link(`/issues/${issue.number}`, plain(issue.title)),
		h('p.meta', issue.repository, ' · ', when(issue.created_ms), issue.comments.length ? ` · ${count(issue.comments.length, 'comment')}` : '')), issue.pull ? link(`/pulls/${issue.pull}`, `pull request ${issue.pull}`) : null, issueState(issue.state));
}

const OPEN_SHOWN = 200;
const ENDED_SHOWN = 50;

export function issueList() {
	const after = asked('after');

	return {
		title: 'Issues',
		wakes: ['issue', 'run'],
		load: async () => {
			const [open, ended] = await Promise.all([get(`/issues?state=active&limit=${OPEN_SHOWN}`), get(`/issues?state=done,closed&limit=${ENDED_SHOWN}${after ? `&after=${encodeURIComponent(after)}` : ''}`)]);
			return {open, ended};
		},
		view({open, ended}) {
			const head = h('div.page-head', h('div.row.spread', h('h1', 'Issues'), h('a.button.primary', {href: '/issues/new', 'data-link': true}, icon('plus'), 'New issue')));

			if (!open.items.length && !ended.items.length && !after)
				return [head, empty('issue', 'No issues yet', 'An issue says what should be different. An agent takes it, and Assay proves what the agent made of it.', h('div.teach', h('a.button.primary', {href: '/issues/new', 'data-link': true}, 'Write the first one')))];
			return [head, open.items.length ? [h('ul.list.card', open.items.map(row)), open.next ? h('p.quiet', `The newest ${OPEN_SHOWN} are shown.`) : null] : h('p.quiet', 'No open issue.'), ended.items.length ? h('section', h('h2', 'Done'), h('ul.list.card', ended.items.map(row)), ended.next ? h('p.row.end', link(`/issues?after=${encodeURIComponent(ended.next)}`, 'Older')) : null) : null];
		},
	};
}

const TEMPLATES = {
	'Something is wrong': 'What happens:\n\n\nWhat should happen:\n\n\nHow to see it:\n\n1. \n\nWhat must not change:\n',
	'Something new': 'Who needs it, and for what:\n\n\nHow it should be:\n\n- \n\nWhat must not change:\n',
	'Mend without a change': 'What is hard to work with now:\n\n\nWhat stays exactly as it is, seen from outside:\n\n- \n',
};
const FILE_BYTES_MAX = 64 << 10;
const BODY_BYTES_MAX = 256 << 10;

/** A text file goes into the issue itself, between fences: every agent reads it there. */
async function attach(files, box) {
	for (const file of files) {
		if (file.size > FILE_BYTES_MAX)
			throw new Error(`${file.name} is larger than ${FILE_BYTES_MAX >> 10} KiB: commit it to the repository instead.`);
		const text = await file.text();
		if (text.includes('\0') || text.includes('\ufffd'))
			throw new Error(`${file.name} is no text: commit it to the repository, or give its address.`);
		const fence = text.includes('```') ? '~~~' : '```';
		box.value += `${box.value && !box.value.endsWith('\n') ? '\n' : ''}\n${file.name}:\n\n${fence}\n${text}${text.endsWith('\n') ? '' : '\n'}${fence}\n`;
	}
	if (box.value.length > BODY_BYTES_MAX)
		throw new Error('The issue is too long now.');
}

function bodyTools() {
	const box = () => document.getElementById('body');
	const begin = (text) => () => {
		box().value = box().value.trim() ? `${box().value}\n\n${text}` : text;
		box().focus();
	};
	const take = async (event) => {
		const input = event.currentTarget;

		try {
			await attach(input.files, box());
		} catch (error) {
			toast(error.message, 'bad');
		}
		input.value = '';
	};

	return h('div.row.body-tools', h('span.hint', 'Begin with:'), Object.entries(TEMPLATES).map(([name, text]) => h('button.button.quiet.small', {type: 'button', on: {click: begin(text)}}, name)), h('label.button.quiet.small.file', icon('plus'), 'Put text files in', h('input', {id: 'files', type: 'file', multiple: true, on: {change: take}})));
}

async function create(event, start) {
	const form = event.currentTarget.form ?? event.currentTarget;
	const value = (name) => form.elements[name].value.trim();

	if (!form.reportValidity())
		return;
	const made = await post('/issues', {repository: value('repository'), title: value('title'), body: value('body')});
	if (start) {
		const also = [...form.querySelectorAll('input[name=also]:checked')].map((box) => box.value).filter((name) => name !== made.repository);
		const run = await post('/runs', {repository: made.repository, issue: made.number, ...(also.length ? {repositories: [made.repository, ...also]} : {})});
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
					repositories.length > 1 ? h('fieldset.inline', h('legend', 'Together with'), repositories.map((repository) => h('label.check', h('input', {type: 'checkbox', name: 'also', value: repository.name}), repository.name))) : null,
					h('label', {for: 'title'}, 'What should be different'), h('input', {id: 'title', name: 'title', required: true, maxlength: 200, autocomplete: 'off', placeholder: 'Show prices over 1,000 with a thousands separator'}),
					h('label', {for: 'body'}, 'More about it'), h('textarea', {id: 'body', name: 'body', rows: 12, placeholder: 'How it is now, how it should be, what must not change.'}), bodyTools(),
					h('div.row', h('button.button.primary', {type: 'button', on: {click: send(true)}}, 'Give to an agent'), h('button.button', {type: 'button', on: {click: send(false)}}, 'Only write it down')))];
		},
	};
}

function comment(row_) {
	return h('article.comment', h('div.who', icon('person'), h('strong', plain(row_.author)), h('span.hint', when(row_.time_ms))), prose(row_.text));
}

/** Files of an issue are only ever downloaded: none is shown as a page of ours. */
function files(path, issue, reload) {
	const detach = (file) => async () => {
		await remove(`${path}/attachments/${encodeURIComponent(file.name)}`);
		await reload();
	};
	const line = (file) => h('li', {'data-key': `file ${file.name}`}, h('div.grow', h('a', {href: address(`${path}/attachments/${encodeURIComponent(file.name)}`), download: file.name}, plain(file.name)),
		h('p.meta', bytes(file.bytes), ' · ', plain(file.author), ' · ', when(file.time_ms))),
	button('Take away', detach(file), {kind: 'quiet', key: `detach ${file.name}`, ask: {title: `Take ${file.name} away?`, text: 'The next turn of the agent does not have it.', yes: 'Take away', danger: true}}));

	return issue.attachments?.length ? h('section', h('h2', 'Files'), h('ul.list.card', issue.attachments.map(line))) : null;
}

export function issuePage({number}) {
	const path = `/issues/${number}`;

	return {
		title: `Issue ${number}`,
		wakes: ['issue', 'run'],
		load: () => get(path),
		name: (issue) => plain(issue.title),
		view(issue, reload) {
			const give = async () => go(`/runs/${(await post('/runs', {repository: issue.repository, issue: issue.number})).id}`);
			const closed = ['done', 'closed'].includes(issue.state);
			const move = async () => {
				await post(`${path}/${closed ? 'reopen' : 'close'}`);
				await reload();
			};

			return [h('div.page-head', h('p.crumb', link('/issues', 'Issues'), ' / ', issue.repository), h('h1', plain(issue.title), h('span.number', `#${issue.number}`)), h('div.row', issueState(issue.state), h('span.meta', 'written ', when(issue.created_ms)))),
				h('div.columns', h('div.main-column', h('article.card.pad', issue.body ? prose(issue.body) : h('p.quiet', 'Nothing more was written.')), files(path, issue, reload), issue.comments.length ? h('section', h('h2', 'Comments'), issue.comments.map(comment)) : null,
					h('div.card.pad', composer({id: 'comment', label: 'Comment', hint: 'Something the agent should know', buttons: [{label: 'Comment', send: async (text) => { await post(`${path}/comments`, {text}); await reload(); }}]}))),
				h('aside.side-column', h('div.card.pad', h('h2', 'Who works on it'), issue.run ? h('p', link(`/runs/${issue.run}`, 'The run'), issue.pull ? [' · ', link(`/pulls/${issue.pull}`, `pull request ${issue.pull}`)] : null) : h('p.quiet', 'Nobody yet.'),
					closed ? null : button(issue.run ? 'Give to an agent again' : 'Give to an agent', give, {kind: issue.run ? '' : 'primary', mark: 'arrow', key: 'give'}), button(closed ? 'Reopen' : 'Close', move, {kind: 'quiet', key: 'close'}))))];
		},
	};
}
