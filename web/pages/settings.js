// settings: who may do what, who is told, which programs and services are connected, what this server is.

import {h} from '../dom.js';
import {get, items, post, remove} from '../api.js';
import {count, plain, when} from '../format.js';
import {turnTheme} from '../keys.js';
import {button, command, link} from '../parts/controls.js';
import {icon} from '../parts/marks.js';

const ROLES = {viewer: 'reads', developer: 'gives work, touches environments', approver: 'lets code in and requests out', admin: 'everything'};
const KINDS = {run: 'runs', issue: 'issues', pull: 'pull requests'};

/** A part that this person may not see, or this server has not, says so in its place. */
const part = (path) => items(path).catch((error) => error);

function section(id, title, about, ...children) {
	return h('section.card.pad.setting', {id, 'data-key': id, 'aria-labelledby': `${id}-title`}, h('h2', {id: `${id}-title`}, title), h('p.quiet', about), children);
}

function listed(list, none, row) {
	if (list instanceof Error)
		return h('p.quiet', icon('dash'), ` ${list.message}`);
	return list.length ? h('ul.rows-list', list.map(row)) : h('p.quiet', none);
}

const value = (id) => document.getElementById(id).value.trim();
const remover = (label, path, ask, reload) => button(label, async () => { await remove(path); await reload(); }, {kind: 'quiet', key: path, ask: {...ask, danger: true, yes: label}});

/** Said once, and never again: it stays on the page until the person leaves it. */
function sayOnce(id, words, secret) {
	document.getElementById(id).replaceChildren(h('p.answer', icon('seal'), ` ${words} It is not kept and not said again.`), command(secret));
}

/** A page makes none: what runs in a browser for a moment must not be able to leave a key behind. */
function tokens(list) {
	return section('tokens', 'Tokens', 'Who calls the API, or comes from elsewhere, holds one. Its role says what it may do.', listed(list, 'Nobody holds a token.', (token) => h('li', {'data-key': token.name}, h('strong', plain(token.name)), h('span.chip.calm', {title: ROLES[token.role]}, token.role), h('span.meta.grow', 'ends ', when(token.ends_ms), token.used_ms ? [' · used ', when(token.used_ms)] : ' · never used'))),
		h('p.hint', 'Made and ended where the server runs, not by a page:'), command('assay token create NAME --role developer'), h('dl.facts.pairs.roles', Object.entries(ROLES).map(([role, words]) => [h('dt', role), h('dd', words)])));
}

function webhooks(list, reload) {
	const make = async () => {
		const on = Object.keys(KINDS).filter((kind) => document.getElementById(`hook-${kind}`).checked);
		const made = await post('/webhooks', {url: value('hook-url'), on});

		sayOnce('hook-said', 'The secret that its calls are signed with.', made.secret);
		await reload();
	};

	return section('webhooks', 'Webhooks', 'Receivers that are told of what changes, signed as Standard Webhooks.', listed(list, 'Nobody is told.', (hook) => h('li', {'data-key': hook.id}, h('code.grow', plain(hook.url)), h('span.meta', hook.on.join(', '), hook.told_ms ? [' · told ', when(hook.told_ms)] : '', hook.waiting ? ` · ${hook.waiting} wait` : '', hook.said ? ` · ${plain(hook.said)}` : ''),
		remover('Remove', `/webhooks/${hook.id}`, {title: 'Tell this receiver no more?', text: hook.url}, reload))),
	list instanceof Error ? null : [h('div.filters', h('div.wide', h('label', {for: 'hook-url'}, 'URL'), h('input', {id: 'hook-url', type: 'url', placeholder: 'https://example.com/hooks/assay', autocomplete: 'off'})), h('fieldset.inline', h('legend', 'Of'), Object.entries(KINDS).map(([kind, word]) => h('label.check', h('input', {id: `hook-${kind}`, type: 'checkbox', checked: true}), word))), button('Add', make, {kind: 'primary', key: 'make hook'})), h('div', {id: 'hook-said', 'data-mine': true, role: 'status'})]);
}

const CONNECTION_STATES = {ready: 'ok', broken: 'bad'};

function connections(list, reload) {
	return section('connections', 'Connections', 'Trackers and forges outside: Linear, GitHub, GitLab, Jira and others. Their secrets are kept and never shown.', listed(list, 'None: the built-in tracker and forge are used.', (one) => h('li', {'data-key': one.id}, h('strong', plain(one.name || one.kind)), h('span.meta', one.kind, one.base ? ` · ${plain(one.base)}` : ''), h(`span.chip.${CONNECTION_STATES[one.state] ?? 'calm'}`, h('span.dot', {'aria-hidden': 'true'}), one.state), one.error ? h('span.wrong-text', plain(one.error)) : null, h('span.grow'),
		remover('Forget', `/connections/${encodeURIComponent(one.id)}`, {title: `Forget ${one.name || one.kind}?`, text: 'Its secrets are removed. Runs that came from there go on without it.'}, reload))), h('p.hint', 'Made on the command line, where secrets do not pass a browser: ', h('code', 'assay linear connect')));
}

const agents = (list) => section('agents', 'Agents', 'Programs that can work here. One that is not installed is fetched from npm by an admin.', listed(list, 'None is known.', (agent) => h('li', {'data-key': agent.name}, h('strong', agent.name), h('span.meta.grow', agent.installed.length ? `installed ${agent.installed.join(', ')}` : agent.measured ? 'not installed' : 'what the blueprint names', agent.resumes ? ' · goes on where it stopped' : '', agent.key ? [' · needs ', h('code', agent.key)] : ''),
	agent.installed.length ? h('span.chip.ok', h('span.dot', {'aria-hidden': 'true'}), 'ready') : agent.measured ? h('code.hint', `assay agents install ${agent.name}`) : null)));

const secrets = (list) => section('credentials', 'Credentials', 'A sandbox holds placeholders; the vault puts the real one in, only for its own host, method and path.', listed(list, 'None is kept.', (secret) => h('li', {'data-key': secret.name}, h('strong', secret.name), h('span.meta.grow', 'in ', h('code', plain(secret.in)), ' · for ', plain(secret.for.join(', ')), ' · set ', when(secret.set_ms)))), h('p.hint', 'Set where the server runs, so that they pass no browser: ', h('code', 'assay secret set NAME …')));

function server(status, budget) {
	const fact = (name, words) => [h('dt', name), h('dd', words)];

	return section('server', 'This server', 'What it is and where it keeps things.', h('dl.facts.pairs', fact('Version', status.version), fact('Process', String(status.pid)), fact('State', h('code', plain(status.state_dir))), fact('Previews', h('code', status.preview_base)), fact('Started', when(status.started_ms)), fact('Now', `${count(status.runs, 'run')}, ${count(status.environments, 'environment')}`),
		budget?.prices ? fact('Prices', `${budget.prices.path ? plain(budget.prices.path) : 'built in'}, as of ${plain(budget.prices.as_of ?? 'unknown')}`) : null), h('div.row', link('/machine', h('span.button', icon('health'), 'What this machine can do')), button('Light or dark', async () => turnTheme(), {mark: 'theme', key: 'theme'})));
}

/** Prices are told with any budget: that of the newest run. */
async function prices() {
	const {items: [run]} = await get('/runs?limit=1');

	return run ? get(`/runs/${run.id}/budget`).catch(() => null) : null;
}

const PLACES = {tokens: 'Tokens', webhooks: 'Webhooks', connections: 'Connections', agents: 'Agents', credentials: 'Credentials', server: 'This server'};

export function settingsPage() {
	return {
		title: 'Settings',
		load: async () => {
			const [tokenList, hooks, connectionList, agentList, secretList, status, budget] = await Promise.all([part('/tokens'), part('/webhooks'), part('/connections'), part('/agents'), part('/secrets'), get('/status'), prices()]);
			return {tokenList, hooks, connectionList, agentList, secretList, status, budget};
		},
		view({tokenList, hooks, connectionList, agentList, secretList, status, budget}, reload) {
			return [h('div.page-head', h('h1', 'Settings')), h('nav.chips', {'aria-label': 'On this page'}, Object.entries(PLACES).map(([id, word]) => h('a.chip-link', {href: `#${id}`}, word))),
				tokens(tokenList), webhooks(hooks, reload), connections(connectionList, reload), agents(agentList), secrets(secretList), server(status, budget)];
		},
	};
}
