// pulls: the built-in forge: the list, and one pull request with everything that is known about it.

import {h} from '../dom.js';
import {find, get, items, post, text} from '../api.js';
import {count, duration, inline, prose, short, when} from '../format.js';
import {button, command, composer, empty, link, linkButton} from '../parts/controls.js';
import {diffView} from '../parts/diff.js';
import {finding, ladder, noise, notCovered} from '../parts/evidence.js';
import {icon, pullState, verdict, verdictMark, VERDICTS} from '../parts/marks.js';
import {readRecord, recordView} from '../parts/record.js';

function row(pull) {
	return h('li', {'data-key': `pull ${pull.number}`}, verdictMark(pull.verdict), h('div.grow', link(`/pulls/${pull.number}`, pull.title), h('p.meta', pull.repository, ` #${pull.number} · `, when(pull.created_ms))), pull.verdict ? verdict(pull.verdict) : null, pullState(pull));
}

export function pullList() {
	return {
		title: 'Pull requests',
		wakes: ['pull', 'run'],
		load: async () => ({list: await items('/pulls')}),
		view({list}) {
			const head = h('div.page-head', h('h1', 'Pull requests'));
			const open = list.filter((pull) => pull.state === 'open');
			const ended = list.filter((pull) => pull.state !== 'open');

			if (!list.length)
				return [head, empty('pull', 'No pull request yet', 'When a run was verified, its change is here: with a live preview, what was proven, what was not, and a signed record.', h('div.teach', command('assay run "What should be different"')))];
			return [head, open.length ? h('ul.list.card', open.map(row)) : h('p.quiet', 'No open pull request.'), ended.length ? h('section', h('h2', 'Merged and closed'), h('ul.list.card', ended.map(row))) : null];
		},
	};
}

function banner(pull, report) {
	const row_ = VERDICTS[pull.verdict];

	if (!row_)
		return h('section.banner.none', h('div', h('h2', 'Not judged yet'), h('p', 'There is no verdict about this head.')));
	return h(`section.banner.${pull.verdict}`, {'aria-label': `Verdict: ${row_.word}`}, verdictMark(pull.verdict, 'huge'),
		h('div.grow', h('h2', row_.word, pull.draft ? h('span.draft-word', 'draft') : null), h('p', inline(report?.reason || row_.says)), report ? h('p.meta', `attempt ${report.attempt} of ${report.attempts} · ${duration(report.ms)} · snapshot `,
			report.snapshot ? h('code', `${report.snapshot.name}/${report.snapshot.version}`) : 'none', ' · ', count(report.findings.length, 'finding')) : null));
}

const REVIEW = {approve: ['check', 'approved'], changes: ['flag', 'asked for changes'], comment: ['thought', 'wrote']};

function review(row_) {
	const [name, word] = REVIEW[row_.kind] ?? ['thought', row_.kind];

	return h(`article.comment.${row_.kind}`, h('div.who', icon(name), h('strong', row_.author), ` ${word} `, h('span.hint', when(row_.time_ms))), row_.text ? prose(row_.text) : null);
}

function mergeButton(pull, path, reload) {
	const verified = pull.verdict === 'verified';
	const merge = async () => {
		await post(`${path}/merge`, verified ? {} : {force: true});
		await reload();
	};

	if (verified)
		return button('Merge', merge, {kind: 'primary', mark: 'pull', key: 'merge', ask: {title: 'Merge this pull request?', text: `${pull.title} goes into main of ${pull.repository}. Its environment is cleaned up after the grace period.`, yes: 'Merge'}});
	return button('Merge anyway…', merge, {kind: 'danger', key: 'merge', ask: {title: `Merge although it is ${pull.verdict ?? 'not judged'}?`, text: 'Nothing proves that this change works. The merge is recorded as forced.', yes: 'Merge without proof', danger: true}});
}

function talk(pull, path, reload) {
	const send = (kind) => async (words) => {
		await post(`${path}/review`, {kind, text: words});
		await reload();
	};
	const close = async () => {
		await post(`${path}/close`);
		await reload();
	};

	return h('section', {'data-key': 'talk'}, h('h2', 'Review'), pull.reviews.length ? pull.reviews.map(review) : h('p.quiet', 'Nobody wrote yet. A message wakes the agent; what it then changes is verified again.'),
		pull.state === 'open' ? h('div.card.pad', composer({id: 'review', label: 'Message', hint: 'What is good, what should be different', buttons: [{label: 'Comment', send: send('comment')}, {label: 'Request changes', mark: 'flag', send: send('changes')}, {label: 'Approve', mark: 'check', mayBeEmpty: true, send: send('approve')}]}),
			h('div.row.spread.decide', mergeButton(pull, path, reload), button('Close without merging', close, {kind: 'quiet', key: 'close', ask: {title: 'Close this pull request?', text: 'Its run ends and its environment is cleaned up.', yes: 'Close it', danger: true}}))) : null);
}

function evidence(report) {
	if (!report)
		return null;
	return [h('section.card.pad', {'data-key': 'proven'}, h('h2', 'What was checked'), ladder(report.gates), noise(report)),
		report.findings.length ? h('section', {'data-key': 'findings'}, h('h2', 'Findings', h('span.count', report.findings.length)), report.findings.map((row_, i) => finding(row_, i < 3))) : null];
}

async function load(path) {
	const pull = await get(path);
	const run = `/runs/${encodeURIComponent(pull.run)}`;
	const [report, diff, envelope, key] = await Promise.all([find(`${run}/report`), text(`${path}/diff`), find(`${run}/record`, text), find('/records/key', text)]);

	return {pull, report, diff, record: envelope ? await readRecord(envelope, key) : null};
}

export function pullPage({number}) {
	const path = `/pulls/${number}`;

	return {
		title: `Pull request ${number}`,
		wakes: ['pull', 'run'],
		load: () => load(path),
		name: ({pull}) => pull.title,
		view({pull, report, diff, record}, reload) {
			return [h('div.page-head', h('p.crumb', link('/pulls', 'Pull requests'), ' / ', pull.repository), h('h1', pull.title, h('span.number', `#${pull.number}`)), h('div.row', pullState(pull), h('span.meta', h('code', pull.branch), ' into ', h('code', 'main'), ' · ', when(pull.created_ms), pull.merged ? [' · merged as ', h('code', short(pull.merged))] : null)),
				h('div.row.actions', pull.preview && pull.state === 'open' ? linkButton(pull.preview, 'primary', 'Open the live preview') : null, h('a.button', {href: `/runs/${pull.run}`, 'data-link': true}, icon('pulse'), 'How it was made'), pull.environment ? h('a.button', {href: `/environments/${pull.environment}`, 'data-link': true}, icon('box'), 'Environment') : null,
					h('a.button', {href: `/issues/${pull.issue}`, 'data-link': true}, icon('issue'), `Issue ${pull.issue}`))),
			banner(pull, report),
			h('div.columns.wide', h('div.main-column', evidence(report), report ? notCovered(report) : null, pull.body ? h('details.fold.card.pad', {'data-key': 'body', open: !report}, h('summary', 'Description'), prose(pull.body)) : null, talk(pull, path, reload)),
				h('aside.side-column', h('section.card.pad', {'data-key': 'record'}, h('h2', 'Signed record'), recordView(record, pull.run)))),
			h('section', {'data-key': 'diff'}, h('h2', 'Changes'), diffView(diff, pull.head))];
		},
	};
}
