// egress: what leaves the environments: live by host and request, the rules for it, and the switch that stops it.

import {h} from '../dom.js';
import {find, get, items, post, text} from '../api.js';
import {count} from '../format.js';
import {asked} from '../navigate.js';
import {button, command, empty, link} from '../parts/controls.js';
import {icon} from '../parts/marks.js';
import {policyView} from '../parts/policyview.js';
import {hostRow, hostsOf, requestRow, requestsOf} from '../parts/requests.js';

const LIVE_ROWS = 1000;
const LIVE_SHOWN = 60;
const LIVE_MS = 2000;
const HOSTS_SHOWN = 12;

function killSwitch(kills, reload) {
	const all = kills.some((kill) => !kill.env);
	const stop = async () => {
		await post('/kill', {all: true, because: 'stopped on the egress page'});
		await reload();
	};
	const resume = async () => {
		await post('/kill', {all: true, undo: true});
		await reload();
	};

	return all ? button('Let everything go on', resume, {key: 'resume', kind: 'primary'}) : button('Stop everything', stop, {kind: 'danger', key: 'kill', mark: 'power', ask: {title: 'Stop everything that leaves?', text: 'Every connection of every environment is reset, requests that wait are denied, credentials are dead, and new connections are refused until you undo it.', yes: 'Stop everything', danger: true}});
}

function stopped(kills) {
	if (!kills.length)
		return null;
	return h('p.trouble', {role: 'status'}, icon('power'), h('span', kills.some((kill) => !kill.env) ? 'The kill switch is on for everything. ' : `The kill switch is on for ${count(kills.length, 'environment')}. `, link('/holds', 'Why, and undo')));
}

function tabs(view) {
	return h('nav.tabs', {'aria-label': 'Views'}, [['', 'Live'], ['policy', 'Rules']].map(([name, word]) => h('a', {href: `/egress${name ? `?view=${name}` : ''}`, 'data-link': true, 'aria-current': view === name ? 'page' : null}, word)));
}

function live(rows) {
	const requests = requestsOf(rows);
	const hosts = hostsOf(requests);
	const now = Date.now();

	if (!requests.length)
		return empty('out', 'Nothing has left', 'What a sandbox asks of the outside passes rules, a scanner for secrets and people, and is written down before the first byte goes.', h('div.teach', command('assay egress tail ENV')));
	return [h('section.card.pad', {'data-key': 'hosts'}, h('h2', 'By host', h('span.hint', 'the strip is the last ten minutes')), h('ul.hosts', hosts.slice(0, HOSTS_SHOWN).map((host) => hostRow(host, hosts[0].all, now))), hosts.length > HOSTS_SHOWN ? h('p.quiet', `and ${hosts.length - HOSTS_SHOWN} more`) : null),
		h('section', {'data-key': 'live'}, h('h2', 'As it goes'), h('ul.list.card.dense', requests.slice(0, LIVE_SHOWN).map(requestRow)))];
}

const lead = (rows) => {
	const requests = requestsOf(rows);

	return requests.length ? `The last ${count(requests.length, 'request')} out of the environments, to ${count(hostsOf(requests).length, 'host')}. Everything else stayed inside.` : 'Nothing has left an environment.';
};

export function egressPage() {
	const view = asked('view') === 'policy' ? 'policy' : '';
	let rows = null; // the newest first; what is new is put before them

	const more = async () => {
		const fresh = rows?.length ? await items(`/ledger?after=${rows[0].id}&limit=${LIVE_ROWS}`) : null;

		rows = fresh ? [...fresh.sort((a, b) => b.id - a.id), ...rows].slice(0, LIVE_ROWS) : await items(`/ledger?limit=${LIVE_ROWS}`);
	};
	const load = async () => {
		const [kills, policy, environments] = await Promise.all([items('/kills'), get('/policy?rules=1'), view ? items('/environments') : null, view ? null : more()]);
		return {rows, kills, policy, environments, draft: view && policy.path ? await find('/policy/text', text) : null};
	};

	return {
		title: 'Egress',
		wakes: ['hold'],
		load,
		start(later) {
			const timer = view ? null : setInterval(() => document.hidden || later(true), LIVE_MS);
			return () => clearInterval(timer);
		},
		view(data, reload) {
			return [h('div.page-head', h('div.row.spread', h('h1', 'Egress'), h('div.row', h('a.button.quiet', {href: '/ledger', 'data-link': true}, 'Search the ledger'), killSwitch(data.kills, reload))), h('p.lead', view ? 'What may leave: nothing that no rule allows.' : lead(data.rows))),
				stopped(data.kills), tabs(view), view ? policyView(data, reload) : live(data.rows)];
		},
	};
}
