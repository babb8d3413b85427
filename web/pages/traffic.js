// traffic: what leaves the environments, as the ledger has it: live by host, and every row of it to search.

import {h, svg} from '../dom.js';
import {address, get, items, post} from '../api.js';
import {bytes, compact, count, duration, plain, when} from '../format.js';
import {go} from '../navigate.js';
import {button, command, empty, link} from '../parts/controls.js';
import {icon, requestState} from '../parts/marks.js';

const LIVE_ROWS = 400;
const LIVE_SHOWN = 60;
const LIVE_MS = 2000;
const HOSTS_SHOWN = 12;
const BAR = 100;
const PAGE_ROWS = 100;
const KINDS = {intent: 'Sent', outcome: 'Answered', verdict: 'Refused', finding: 'Looks like a secret', hold: 'Waits', answer: 'A person answered', release: 'Credential used', secret: 'Credential changed', policy: 'Rules', kill: 'Kill switch', budget: 'Budget'};

/** Rows of one request as one: what was asked, and how it ended. */
function requestsOf(rows) {
	const requests = new Map();

	for (const row of [...rows].reverse()) {
		if (!row.host)
			continue;
		const known = requests.get(row.request) ?? {};
		requests.set(row.request ?? `row ${row.id}`, {...known, ...row, ended: known.ended || row.kind === 'outcome', refused: known.refused || (row.kind === 'verdict' && row.rule !== 'passthrough'), waits: row.kind === 'hold' || (known.waits && row.kind !== 'answer'), found: known.found || row.kind === 'finding', left: known.left || row.kind === 'intent'});
	}
	return [...requests.values()].reverse();
}

function hostsOf(requests) {
	const hosts = new Map();

	for (const request of requests) {
		const host = hosts.get(request.host) ?? {host: request.host, all: 0, refused: 0, sent: 0, received: 0};
		host.all++;
		host.refused += stateOf(request) === 'refused' ? 1 : 0;
		host.sent += request.sent_bytes ?? 0;
		host.received += request.received_bytes ?? 0;
		hosts.set(request.host, host);
	}
	return [...hosts.values()].sort((a, b) => b.all - a.all);
}

function hostRow(host, most) {
	const width = (n) => Math.max(n ? 1 : 0, (n / most) * BAR);

	return h('li', {'data-key': host.host}, h('code.host', {title: plain(host.host)}, plain(host.host)), svg('svg', {class: 'share', viewBox: `0 0 ${BAR} 8`, preserveAspectRatio: 'none', 'aria-hidden': 'true'}, svg('rect', {class: 'let', x: 0, y: 0, width: width(host.all), height: 8}), svg('rect', {class: 'refused', x: 0, y: 0, width: width(host.refused), height: 8})),
		h('span.meta', count(host.all, 'request'), host.refused ? [', ', h('span.wrong-text', `${host.refused} refused`)] : ''), h('span.meta.ms', `${bytes(host.sent)} out, ${bytes(host.received)} in`));
}

const stateOf = (request) => (request.waits ? 'waits' : request.refused || (request.found && !request.left) ? 'refused' : request.ended ? 'ended' : 'open');

function requestRow(request) {
	return h('li', {'data-key': `q${request.request ?? request.id}`}, requestState(stateOf(request), request.status), h('div.grow', h('code', plain(`${request.method ?? ''} ${request.host}${request.path ?? ''}`.trim())),
		h('p.meta', request.rule ? [h('code', plain(request.rule)), ' · '] : null, request.run ? [link(`/runs/${request.run}`, `run ${request.run}`), ' · '] : null, link(`/environments/${request.env}`, request.env), request.detail && request.refused ? ` · ${plain(request.detail)}` : '', ' · ', when(request.time_ms))),
	h('span.meta.ms', request.duration_us ? duration(request.duration_us / 1000) : ''));
}

function killSwitch(kills, reload) {
	const all = kills.some((kill) => !kill.env);
	const stop = async () => {
		await post('/kill', {all: true, because: 'stopped on the traffic page'});
		await reload();
	};
	const resume = async () => {
		await post('/kill', {all: true, undo: true});
		await reload();
	};

	return all ? button('Let everything go on', resume, {key: 'resume'}) : button('Stop everything', stop, {kind: 'danger', key: 'kill', ask: {title: 'Stop everything that leaves?', text: 'Every connection of every environment is reset, requests that wait are denied, credentials are dead, and new connections are refused until you undo it.', yes: 'Stop everything', danger: true}});
}

function rules(policy) {
	const list = policy.policy?.rules ?? [];

	if (!policy.path)
		return [h('p', 'The organisation has no policy of its own: what each blueprint allows is allowed.'), command('man assay-policy')];
	return [h('p.meta', h('code', policy.path), ' · read ', when(policy.loaded_ms), policy.ceiling ? ' · a ceiling: a blueprint may allow nothing else' : ''), policy.error ? h('p.wrong', icon('cross'), policy.error) : null,
		list.length ? h('div.scroll', {tabindex: 0, role: 'region', 'aria-label': 'Rules'}, h('table.plain', h('thead', h('tr', ['Host', 'Action', 'Method', 'Path'].map((word) => h('th', {scope: 'col'}, word)))), h('tbody', list.map((rule) => h('tr', h('td', h('code', plain(rule.host ?? '*'))), h('td', rule.action), h('td', [rule.method ?? rule.methods ?? 'any'].flat().join(', ')), h('td', h('code', plain([rule.path ?? rule.paths ?? 'any'].flat().join(', '))))))))) : null,
		button('Read the file again', () => post('/policy/reload'), {key: 'reload'})];
}

export function trafficPage() {
	return {
		title: 'Traffic',
		wakes: ['hold'],
		load: async () => {
			const [rows, kills, policy] = await Promise.all([items(`/ledger?limit=${LIVE_ROWS}`), items('/kills'), get('/policy?rules=1')]);
			return {requests: requestsOf(rows), kills, policy};
		},
		start(later) {
			const timer = setInterval(() => document.hidden || later(true), LIVE_MS);
			return () => clearInterval(timer);
		},
		view({requests, kills, policy}, reload) {
			const hosts = hostsOf(requests);
			const head = h('div.page-head', h('h1', 'Traffic'), h('p.lead', requests.length ? `The last ${count(requests.length, 'request')} out of the environments, to ${count(hosts.length, 'host')}. Everything else stayed inside.` : 'Nothing has left an environment.'), h('div.row', killSwitch(kills, reload), h('a.button.quiet', {href: '/ledger', 'data-link': true}, 'Search the ledger')));

			return [head, kills.length ? h('p.wrong', {role: 'status'}, icon('cross'), kills.some((kill) => !kill.env) ? 'The kill switch is on for everything:' : `The kill switch is on for ${count(kills.length, 'environment')}:`, link('/holds', 'why')) : null,
				requests.length ? h('section.card.pad', {'data-key': 'hosts'}, h('h2', 'By host'), h('ul.hosts', hosts.slice(0, HOSTS_SHOWN).map((host) => hostRow(host, hosts[0].all))), hosts.length > HOSTS_SHOWN ? h('p.quiet', `and ${hosts.length - HOSTS_SHOWN} more`) : null)
					: empty('out', 'Nothing has left', 'What a sandbox asks of the outside passes rules, a scanner for secrets and people, and is written down before the first byte goes.', h('div.teach', command('assay egress tail ENV'))),
				requests.length ? h('section', {'data-key': 'live'}, h('h2', 'As it goes'), h('ul.list.card.dense', requests.slice(0, LIVE_SHOWN).map(requestRow))) : null,
				h('section.card.pad', {'data-key': 'policy'}, h('h2', "The organisation's rules"), rules(policy))];
		},
	};
}

// ---- the ledger ----

const FILTERS = [['run', 'Run'], ['env', 'Environment'], ['host', 'Host', '*.example.com'], ['rule', 'Rule', 'policy:*']];

function search(values) {
	const submit = (event) => {
		event.preventDefault();
		const query = new URLSearchParams([...new FormData(event.currentTarget)].filter(([, value]) => value.trim()));
		go(`/ledger${query.size ? `?${query}` : ''}`);
	};

	return h('form.filters', {'data-key': `filters ${values}`, role: 'search', on: {submit}}, FILTERS.map(([name, word, hint]) => h('div', h('label', {for: `f-${name}`}, word), h('input', {id: `f-${name}`, name, value: values.get(name) ?? '', placeholder: hint ?? null, autocomplete: 'off'}))),
		h('div', h('label', {for: 'f-kind'}, 'Kind'), h('select', {id: 'f-kind', name: 'kind'}, h('option', {value: ''}, 'any'), Object.entries(KINDS).map(([kind, word]) => h('option', {value: kind, selected: values.get('kind') === kind}, word)))),
		h('button.button.primary', {type: 'submit'}, 'Search'));
}

function ledgerRow(row) {
	const what = row.host ? `${row.method ?? ''} ${row.host}${row.path ?? ''}`.trim() : row.detail ?? '';

	return h('tr', {'data-key': `l${row.id}`}, h('td', when(row.time_ms)), h('td', KINDS[row.kind] ?? row.kind), h('td.what', h('code', plain(what)), row.host && row.detail ? h('p.meta', plain(row.detail)) : null), h('td', row.rule ? h('code', plain(row.rule)) : ''), h('td', row.status || ''), h('td', row.run ? link(`/ledger?run=${encodeURIComponent(row.run)}`, row.run) : row.env ? link(`/ledger?env=${encodeURIComponent(row.env)}`, row.env) : row.actor ?? ''), h('td.ms', row.sent_bytes ? bytes(row.sent_bytes) : ''));
}

function chain(checked) {
	if (!checked)
		return null;
	const rows = checked.writers.reduce((sum, writer) => sum + writer.rows, 0);

	return h('div.chain', {role: 'status', class: checked.ok ? 'ok' : 'bad'}, h('p', icon(checked.ok ? 'seal' : 'cross'), checked.ok ? `Whole: ${compact(rows)} rows of ${count(checked.writers.length, 'writer')}, each chained to the one before, signed by key ${checked.key_id.slice(0, 16)}.` : 'Not what was written.'),
		checked.writers.flatMap((writer) => writer.said.map((line) => h('p.wrong', icon('cross'), `${writer.writer}: ${plain(line)}`))));
}

export function ledgerPage() {
	const values = new URLSearchParams(location.search);
	const query = (more) => {
		const all = new URLSearchParams(values);

		for (const [name, value] of Object.entries(more))
			all.set(name, value);
		return all;
	};
	let checked = null;

	return {
		title: 'Ledger',
		load: async () => ({rows: await items(`/ledger?${query({limit: PAGE_ROWS})}`)}),
		view({rows}, reload) {
			const verify = async () => {
				checked = await post('/ledger/verify');
				await reload();
			};
			const older = rows.length === PAGE_ROWS ? h('a.button', {href: `/ledger?${query({before: rows.at(-1).id})}`, 'data-link': true}, 'Older') : null;
			const cef = new URLSearchParams([...values].filter(([name]) => name !== 'before'));

			return [h('div.page-head', h('h1', 'Ledger'), h('p.lead', 'Everything that was let out, refused, asked and decided. Rows are only added; secrets are never in them.'),
				h('div.row', button('Verify the chain', verify, {mark: 'seal', key: 'verify'}), h('a.button.quiet', {href: address(`/ledger/cef?${cef}`), download: 'ledger.cef'}, icon('download'), 'Export as CEF'))), chain(checked), search(values),
			rows.length ? h('div.scroll.card', {tabindex: 0, role: 'region', 'aria-label': 'Rows'}, h('table.plain.ledger', h('thead', h('tr', ['When', 'What', 'Of', 'Rule', 'Status', 'Whose', 'Sent'].map((word) => h('th', {scope: 'col'}, word)))), h('tbody', rows.map(ledgerRow))))
				: empty('seal', 'No row fits', values.size ? 'Take a filter away.' : 'The first request that leaves an environment is the first row.', values.size ? link('/ledger', 'Show all') : null), h('div.row.end', older)];
		},
	};
}
