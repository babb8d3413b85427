// policyview: the organisation's rules: as they are in force, as a text to change, and what a change would do to what was asked before.

import {h} from '../dom.js';
import {items, post} from '../api.js';
import {count, plain, when} from '../format.js';
import {button, command} from './controls.js';
import {icon} from './marks.js';
import {compare, requestsOfRows, suggest} from './policy.js';

const ROWS = 1000; // of the ledger, that a draft is tried on
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'WEBSOCKET'];
const TEMPLATE = `# The organisation's rules: man assay-policy. What no rule allows is denied.
ceiling: false
rules:
  - {host: api.anthropic.com, action: allow}
  - {host: "*.internal.example", action: deny, because: production is not for agents}
`;
const WORDS = {allow: ['ok', 'allowed'], deny: ['bad', 'denied'], approve: ['wait', 'a person is asked'], passthrough: ['calm', 'passed through'], passed: ['ok', 'allowed']};

const said = (action) => h(`span.chip.${WORDS[action]?.[0] ?? 'calm'}`, h('span.dot', {'aria-hidden': 'true'}), WORDS[action]?.[1] ?? action);
const one = (value, none = 'any') => plain([value ?? none].flat().join(', '));

function table(heads, rows, label) {
	return h('div.scroll', {tabindex: 0, role: 'region', 'aria-label': label}, h('table.plain', h('thead', h('tr', heads.map((word) => h('th', {scope: 'col'}, word)))), h('tbody', rows)));
}

function inForce(policy, reload) {
	const list = policy.policy?.rules ?? [];
	const read = async () => {
		await post('/policy/reload');
		await reload();
	};

	if (!policy.path)
		return h('section.card.pad', {'data-key': 'force'}, h('h2', 'In force'), h('p', 'The organisation has no policy of its own: what each blueprint allows is allowed. Write one above, or read how:'), command('man assay-policy'));
	return h('section.card.pad', {'data-key': 'force'}, h('h2', 'In force'), h('p.meta', h('code', policy.path), ' · read ', when(policy.loaded_ms), policy.ceiling ? ' · a ceiling: a blueprint may allow nothing else' : ''), policy.error ? h('p.wrong', icon('cross'), plain(policy.error)) : null,
		list.length ? table(['Rule', 'Host', 'Action', 'Methods', 'Paths', 'Because'], list.map((rule) => h('tr', h('td', h('code', plain(rule.id ?? ''))), h('td', h('code', plain(rule.host ?? '*'))), h('td', said(rule.action)), h('td', one(rule.methods ?? rule.method)), h('td', h('code', one(rule.paths ?? rule.path))), h('td', plain(rule.because ?? '')))), 'Rules') : h('p.quiet', 'It has no rules.'),
		button('Read the file again', read, {key: 'reload'}));
}

/** What a form says; parts of the page that hold an answer are `data-mine`, so that a live update does not take it away. */
const valueOf = (id) => document.getElementById(id).value.trim();
const show = (id, ...children) => document.getElementById(id).replaceChildren(...children.flat(Infinity).filter(Boolean));

function explained(judged, method, url) {
	return [h('p.answer', said(judged.action), ' ', h('code', plain(`${method} ${url}`)), ' by ', h('code', plain(judged.rule)), judged.why ? `: ${plain(judged.why)}` : ''), judged.remedy ? h('p.quiet', plain(judged.remedy)) : null,
		judged.rules.length ? table(['Rule', 'Of', 'Host', 'Action', 'Fits'], judged.rules.map((rule) => h('tr', h('td', h('code', plain(rule.id))), h('td', rule.layer), h('td', h('code', plain(rule.host))), h('td', said(rule.action)), h('td', rule.fits ? 'yes' : plain(rule.not ?? 'no')))), 'Rules that name this host') : h('p.quiet', 'No rule names this host.')];
}

async function explain() {
	const [url, method, env] = ['explain-url', 'explain-method', 'explain-env'].map(valueOf);
	const full = /^https?:\/\//.test(url) ? url : `https://${url}`;
	const {items: [judged]} = await post('/policy/judge', {requests: [{method, url: full}], ...(env ? {env} : {})});

	show('explained', explained(judged, method, full));
}

function environmentChoice(id, label, environments, none) {
	return h('div', h('label', {for: id}, label), h('select', {id}, h('option', {value: ''}, none), environments.map((environment) => h('option', {value: environment.id}, `${environment.name} ${environment.id}`))));
}

function explainView(environments) {
	return h('section.card.pad', {'data-key': 'explain'}, h('h2', 'What becomes of a request?'), h('form.filters', {on: {submit: (event) => { event.preventDefault(); document.querySelector('[data-key="explain-do"]').click(); }}},
		h('div', h('label', {for: 'explain-method'}, 'Method'), h('select', {id: 'explain-method'}, METHODS.map((method) => h('option', {value: method}, method)))), h('div.wide', h('label', {for: 'explain-url'}, 'URL'), h('input', {id: 'explain-url', placeholder: 'https://api.github.com/repos/acme/shop/pulls', autocomplete: 'off', spellcheck: 'false'})),
		environmentChoice('explain-env', 'Asked in', environments, 'no environment'), button('Explain', explain, {kind: 'primary', key: 'explain-do'})), h('div', {id: 'explained', 'data-mine': true, role: 'status'}));
}

/** The ledger's last rows of an environment (or of all), which is what a draft is tried on. */
const seen = async (env) => requestsOfRows(await items(`/ledger?limit=${ROWS}${env ? `&env=${encodeURIComponent(env)}` : ''}`));

async function simulate() {
	const env = valueOf('draft-env');
	const requests = await seen(env);
	const {items: judged} = await post('/policy/judge', {requests: requests.map(({method, url, sandbox}) => ({method, url, sandbox})), text: document.getElementById('draft').value, ...(env ? {env} : {})});
	const {changed, others} = compare(requests, judged);

	show('simulated', h('p.answer', icon(changed.length ? 'flag' : 'check'), ` Of ${count(requests.length, 'request')}${env ? '' : ' of all environments, under the draft alone'}, ${changed.length ? `${count(changed.reduce((sum, row) => sum + row.times, 0), 'request')} would be answered differently.` : 'none would be answered differently.'}`),
		others ? h('p.quiet', `${count(others, 'request')} were decided by something else than rules, as they still would be.`) : null,
		changed.length ? table(['Request', 'Times', 'Was', 'Would be', 'By', 'Because'], changed.map((row) => h('tr', h('td.what', h('code', plain(`${row.method} ${row.url}`))), h('td.ms', row.times), h('td', said(row.was)), h('td', said(row.now)), h('td', h('code', plain(row.rule))), h('td', plain(row.why)))), 'What would change') : null);
}

async function propose() {
	const requests = await seen(valueOf('draft-env'));

	show('simulated', requests.length ? [h('p.answer', `Rules for ${count(requests.length, 'request')}, refused or not: for the assay.yaml of the repository.`), h('pre.draft-suggestion', {tabindex: 0, 'aria-label': 'Suggested rules'}, suggest(requests))] : h('p.quiet', 'Nothing was asked for there.'));
}

function editor({policy, draft, environments}, reload) {
	const save = async () => {
		await post('/policy', {text: document.getElementById('draft').value});
		await reload();
	};
	const ask = {title: 'Put this policy in force?', text: `${policy.path ?? 'A new file'} is replaced, and every environment is under it at once. What leaves the gateway finds wrong is refused, and the policy before stays.`, yes: 'Put in force', danger: true};

	return h('section.card.pad', {'data-key': 'editor'}, h('h2', 'Change it'), h('p.quiet', 'Try a draft on what was asked before, then put it in force. An ', h('code', 'assay.yaml'), ' can be tried here, too: it stands for the rules of the environment.'),
		h('div', {'data-mine': true}, h('label', {for: 'draft'}, 'Draft'), h('textarea.code-box', {id: 'draft', rows: 14, spellcheck: 'false', autocapitalize: 'off'}, draft ?? TEMPLATE)),
		h('div.filters', environmentChoice('draft-env', 'Tried on', environments, 'all that the ledger has'), button('Simulate', simulate, {kind: 'primary', key: 'simulate'}), button('Suggest rules', propose, {key: 'suggest'}), h('span.grow'), button('Put in force…', save, {kind: 'danger', key: 'force-do', ask})),
		h('div', {id: 'simulated', 'data-mine': true, role: 'status'}));
}

export function policyView(data, reload) {
	return [explainView(data.environments), editor(data, reload), inForce(data.policy, reload)];
}
