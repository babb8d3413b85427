// holds: the requests that wait for a person, who reads what would be sent and answers; and what a person has stopped.

import {h} from '../dom.js';
import {items, post} from '../api.js';
import {bytes, count, duration, plain, when} from '../format.js';
import {button, command, empty, link} from '../parts/controls.js';
import {holdState, icon} from '../parts/marks.js';

function facts(hold) {
	const who = hold.run ? [link(`/runs/${hold.run}`, `run ${hold.run}`), `, in ${hold.sandbox} of `] : [`a program in ${hold.sandbox} of `];

	return h('dl.facts.pairs', h('dt', 'Who'), h('dd', who, link(`/environments/${hold.env}`, `environment ${hold.env}`)),
		h('dt', 'Why it waits'), h('dd', h('code', hold.rule), hold.why ? ` ${plain(hold.why)}` : ''),
		hold.action ? [h('dt', 'Its agent was doing'), h('dd', plain(hold.action))] : null,
		h('dt', 'At stake'), h('dd', hold.body_bytes ? bytes(hold.body_bytes) : 'no body', ' · sha256 ', h('code', {title: hold.digest}, hold.digest.slice(0, 16))));
}

function answers(hold, reload) {
	const reason = `because-${hold.id}`;
	const say = (verb, body = {}) => async () => {
		const because = document.getElementById(reason).value.trim();

		await post(`/holds/${hold.id}/${verb}`, {...body, ...(because ? {because} : {})});
		await reload();
	};
	const approve = (label, scope, kind) => button(label, say('approve', {for: scope}), {kind, key: `${hold.id} approve ${scope}`});
	const stop = {title: 'Deny, and stop the run?', text: 'Its agent is ended. The run can be retried.', yes: 'Deny and stop', danger: true};

	return h('div.answers', h('div', h('label', {for: reason}, 'Why (the ledger keeps it, and a denied agent is told)'), h('input', {id: reason, maxlength: 300, autocomplete: 'off'})), h('div.row', approve('Approve once', 'once', 'primary'), hold.remember ? [approve(hold.run ? 'For this run' : 'For this environment', 'run', ''), approve('For an hour', 'hour', '')] : null,
		button('Deny', say('deny'), {kind: 'danger', key: `${hold.id} deny`}),
		hold.run ? button('Deny and stop the run', say('deny', {stop_run: true}), {kind: 'quiet', key: `${hold.id} stop`, ask: stop}) : null));
}

function question(hold, reload) {
	return h('article.card.pad.question', {'data-key': hold.id}, h('div.card-head', h('h3', h('code', plain(`${hold.method} ${hold.url}`))), h('span.meta', 'denied in ', duration(Math.max(0, hold.deadline_ms - Date.now())))),
		facts(hold), hold.body_start ? h('pre', {tabindex: 0, 'aria-label': 'The beginning of its body'}, plain(hold.body_start, true)) : null,
		hold.remember ? h('p.quiet', 'For this run, or for an hour: this host, method and path, whatever the body.') : null, answers(hold, reload));
}

function past(hold) {
	return h('li', {'data-key': hold.id}, h('div.grow', h('code', plain(`${hold.method} ${hold.url}`)), h('p.meta', hold.rule, ' · ', when(hold.answered_ms ?? hold.asked_ms), hold.because ? ` · ${plain(hold.because)}` : '')), holdState(hold.status));
}

function stopped(kill, reload) {
	const undo = async () => {
		await post('/kill', kill.env ? {env: kill.env, undo: true} : {all: true, undo: true});
		await reload();
	};

	return h('li', {'data-key': kill.env || 'all'}, icon('cross'), h('div.grow', h('strong', kill.env ? `Environment ${kill.env}` : 'Everything'), h('p.meta', 'stopped ', when(kill.at_ms), kill.because ? ` · ${plain(kill.because)}` : '')), button('Let it go on', undo, {key: `undo ${kill.env}`}));
}

export default function holds() {
	return {
		title: 'Holds',
		wakes: ['hold'],
		load: async () => {
			const [all, kills] = await Promise.all([items('/holds?all=1'), items('/kills')]);
			return {open: all.filter((hold) => hold.status === 'open'), over: all.filter((hold) => hold.status !== 'open'), kills};
		},
		view({open, over, kills}, reload) {
			const head = h('div.page-head', h('h1', 'Holds'), h('p.lead', open.length ? `${count(open.length, 'request')} ${open.length === 1 ? 'waits' : 'wait'} for you. Nothing of ${open.length === 1 ? 'it' : 'them'} has left.` : 'No request waits for a person.'));

			if (!open.length && !over.length && !kills.length)
				return [head, empty('pause', 'Nothing was held yet', 'A rule with `action: approve` has a person asked before anything leaves.', h('div.teach', command('man assay-policy')))];
			return [head, kills.length ? h('section', h('h2', 'Stopped'), h('ul.list.card', kills.map((kill) => stopped(kill, reload)))) : null,
				h('section', open.map((hold) => question(hold, reload))), over.length ? h('section', h('h2', 'Answered'), h('ul.list.card', over.slice(0, 50).map(past))) : null];
		},
	};
}
