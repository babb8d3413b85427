// pulls: the built-in forge: the list, and one pull request with everything that is known about it.

import {h} from '../dom.js';
import {find, get, items, post, text, work} from '../api.js';
import {count, duration, inline, plain, prose, short, when} from '../format.js';
import {asked} from '../navigate.js';
import {besideView} from '../parts/beside.js';
import {button, command, composer, empty, link, linkButton, toast} from '../parts/controls.js';
import {diffView, parseDiff} from '../parts/diff.js';
import {finding, ladder, noise, notCovered} from '../parts/evidence.js';
import {icon, pullState, verdict, verdictMark, VERDICTS} from '../parts/marks.js';
import {readRecord, recordView} from '../parts/record.js';
import {riskView} from '../parts/risk.js';

const OPEN_SHOWN = 200;
const ENDED_SHOWN = 50;

function row(pull) {
	return h('li', {'data-key': `pull ${pull.number}`}, verdictMark(pull.verdict), h('div.grow', link(`/pulls/${pull.number}`, plain(pull.title)), h('p.meta', pull.repository, ` #${pull.number} · `, when(pull.created_ms))), pull.verdict ? verdict(pull.verdict) : null, pullState(pull));
}

export function pullList() {
	const after = asked('after');

	return {
		title: 'Pull requests',
		wakes: ['pull', 'run'],
		load: async () => {
			const [open, ended] = await Promise.all([get(`/pulls?state=open&limit=${OPEN_SHOWN}`), get(`/pulls?state=merged,closed&limit=${ENDED_SHOWN}${after ? `&after=${encodeURIComponent(after)}` : ''}`)]);
			return {open, ended};
		},
		view({open, ended}) {
			const head = h('div.page-head', h('h1', 'Pull requests'), open.items.length ? h('p.lead', `${count(open.items.length, 'pull request')}${open.next ? ' and more' : ''} ${open.items.length === 1 ? 'waits' : 'wait'} for you.`) : null);

			if (!open.items.length && !ended.items.length && !after)
				return [head, empty('pull', 'No pull request yet', 'When a run was verified, its change is here: with a live preview, what was proven, what was not, and a signed record.', h('div.teach', command('assay run "What should be different"')))];
			return [head, open.items.length ? [h('ul.list.card', open.items.map(row)), open.next ? h('p.quiet', `The newest ${OPEN_SHOWN} are shown.`) : null] : h('p.nothing-waits', icon('check'), 'No open pull request.'), ended.items.length ? h('section', h('h2', 'Merged and closed'), h('ul.list.card', ended.items.map(row)), ended.next ? h('p.row.end', link(`/pulls?after=${encodeURIComponent(ended.next)}`, 'Older')) : null) : null];
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

/** Previews of the two commits: the base's is made when somebody wants to see it. */
async function previews(pull) {
	const environments = await items('/environments');

	return {base: environments.find((one) => one.repository === pull.repository && one.commit === pull.base && one.preview && one.purpose === 'preview' && !one.owner) ?? null};
}

async function load(path, view) {
	const pull = await get(path);
	const run = `/runs/${encodeURIComponent(pull.run)}`;

	if (view === 'preview')
		return {pull, ...(await previews(pull))};
	const [report, diff, envelope, key] = await Promise.all([find(`${run}/report`), text(`${path}/diff`), find(`${run}/record`, text), find('/records/key', text)]);
	return {pull, report, diff, record: envelope ? await readRecord(envelope, key) : null};
}

function beside({pull, base}, reload) {
	const make = async () => {
		await work('/environments', {repository: pull.repository, commit: pull.base, name: `base-of-${pull.number}`, purpose: 'preview'}, (step) => toast(`${step.step}${step.ms > 0 ? ` · ${duration(step.ms)}` : ''}`));
		await reload();
	};

	if (!pull.preview)
		return empty('box', 'There is no preview of the change', 'Its environment is gone or has no service that people look at.');
	return base ? besideView({name: `base ${short(pull.base)}`, url: base.preview}, {name: `change ${short(pull.head)}`, url: pull.preview}) : empty('layers', 'The base has no preview yet', 'It is forked from the same snapshot in a moment, and shown beside the change.', button('Make it', make, {kind: 'primary', key: 'make base'}));
}

const VIEWS = {'': 'Evidence', changes: 'Changes', preview: 'Base and change'};

function tabs(pull, view) {
	return h('nav.tabs', {'aria-label': 'Views'}, Object.entries(VIEWS).map(([name, word]) => h('a', {href: `/pulls/${pull.number}${name ? `?view=${name}` : ''}`, 'data-link': true, 'aria-current': view === name ? 'page' : null}, word)));
}

function head(pull) {
	return h('div.page-head', h('p.crumb', link('/pulls', 'Pull requests'), ' / ', pull.repository), h('h1', plain(pull.title), h('span.number', `#${pull.number}`)), h('div.row', pullState(pull), h('span.meta', h('code', plain(pull.branch)), ' into ', h('code', 'main'), ' · ', when(pull.created_ms), pull.merged ? [' · merged as ', h('code', short(pull.merged))] : null)),
		h('div.row.actions', pull.preview && pull.state === 'open' ? linkButton(pull.preview, 'primary', 'Open the live preview') : null, h('a.button', {href: `/runs/${pull.run}`, 'data-link': true}, icon('pulse'), 'How it was made'), pull.environment ? h('a.button', {href: `/environments/${pull.environment}`, 'data-link': true}, icon('box'), 'Environment') : null,
			h('a.button', {href: `/issues/${pull.issue}`, 'data-link': true}, icon('issue'), `Issue ${pull.issue}`)));
}

function whole(data, path, reload) {
	const {pull, report, diff, record} = data;

	return [banner(pull, report),
		h('div.columns.wide', h('div.main-column', evidence(report), report ? notCovered(report) : null, pull.body ? h('details.fold.card.pad', {'data-key': 'body', open: !report}, h('summary', 'Description'), prose(pull.body)) : null, talk(pull, path, reload)),
			h('aside.side-column', {'aria-label': 'In short'}, riskView(parseDiff(diff), report), h('section.card.pad', {'data-key': 'record'}, h('h2', 'Signed record'), recordView(record, pull.run)))),
		h('section', {'data-key': 'diff'}, h('h2', 'Changes'), diffView(diff, pull.head))];
}

export function pullPage({number}) {
	const path = `/pulls/${number}`;
	const view = asked('view') in VIEWS ? asked('view') : '';
	const shown = {'': (data, reload) => whole(data, path, reload), changes: ({pull, diff}) => h('section', {'data-key': 'diff'}, diffView(diff, pull.head)), preview: beside};

	return {
		title: `Pull request ${number}`,
		wakes: ['pull', 'run', 'environment'],
		load: () => load(path, view),
		name: ({pull}) => plain(pull.title),
		view: (data, reload) => [head(data.pull), tabs(data.pull, view), shown[view](data, reload)],
	};
}
