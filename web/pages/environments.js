// environments: the list, and one environment: its services, who calls whom, its logs, and what can be done with it.

import {h} from '../dom.js';
import {get, items, post, remove, work} from '../api.js';
import {count, duration, short, when} from '../format.js';
import {go} from '../navigate.js';
import {button, command, empty, failure, link, linkButton, toast} from '../parts/controls.js';
import {seamGraph} from '../parts/graph.js';
import {logsView} from '../parts/logs.js';
import {environmentState, icon} from '../parts/marks.js';
import {exchangeList, services} from '../parts/services.js';

const DAY_MS = 86_400_000;
const EXCHANGES = 500;
const PURPOSE = {work: 'an agent works in it', preview: 'preview', base: 'verification, base', head: 'verification, head', test: 'test'};

function boxes(environment) {
	return h('ul.boxes', environment.sandboxes.map((box) => h(`li.${box.state}`, {title: `${box.kind}: ${box.state}${box.exit ? `, ${box.exit}` : ''}`}, h('span.dot', {'aria-hidden': 'true'}), box.name, h('span.sr', ` ${box.state}`))));
}

function card(environment) {
	return h('article.card.pad', {'data-key': environment.id}, h('div.card-head', h('h3', link(`/environments/${environment.id}`, environment.name), h('span.id', environment.id)), environment.pinned ? h('span.chip.calm', icon('pin'), 'Pinned') : null, environmentState(environment.state)),
		h('p.meta', PURPOSE[environment.purpose] ?? environment.purpose, ' · ', environment.repository, ' @ ', h('code', short(environment.commit)), ' · made ', when(environment.created_ms), environment.expires_ms && !environment.pinned ? [' · goes ', when(environment.expires_ms)] : null,
			environment.owner ? [' · ', link(`/runs/${environment.owner}`, 'its run')] : null),
		environment.error ? h('p.wrong', icon('cross'), environment.error) : null, boxes(environment), h('div.row', environment.preview ? linkButton(environment.preview, '', 'Preview') : null, h('a.button.quiet', {href: `/environments/${environment.id}`, 'data-link': true}, 'Look inside')));
}

export function environmentList() {
	return {
		title: 'Environments',
		wakes: ['environment'],
		load: async () => ({list: await items('/environments')}),
		view({list}) {
			const head = h('div.page-head', h('h1', 'Environments'), list.length ? h('p.lead', count(list.length, 'isolated copy', 'isolated copies'), ' of applications, each with its own databases.') : null);

			if (!list.length)
				return [head, empty('box', 'No environment is alive', 'An environment is a whole copy of an application: every service and database in a sandbox of its own, forked in under a second. Runs make them; you can too:', h('div.teach', command('assay env up')))];
			return [head, h('section', h('h2.sr', 'Alive'), h('div.stack', list.map(card)))];
		},
	};
}

async function saveSession(path, name) {
	const har = await post(`${path}/session`, {name});
	const url = URL.createObjectURL(new Blob([JSON.stringify(har, null, 2)], {type: 'application/json'}));
	const a = h('a', {href: url, download: `${name}.har`});

	a.click();
	setTimeout(() => URL.revokeObjectURL(url), 1000);
	toast(`${count(har.log?.entries?.length ?? 0, 'request')} of the preview saved: put the file where \`sessions\` of the blueprint looks.`);
}

function cutOff(environment, kills, reload) {
	const killed = kills.some((kill) => kill.env === environment.id);
	const turn = async () => {
		await post('/kill', killed ? {env: environment.id, undo: true} : {env: environment.id, because: 'cut off on its page'});
		await reload();
	};

	return killed ? button('Let it out again', turn, {mark: 'power', key: 'kill'}) : button('Cut off', turn, {kind: 'danger', mark: 'power', key: 'kill', ask: {title: `Cut ${environment.name} off from outside?`, text: 'What it has open is reset, requests that wait are denied, its credentials are dead. It goes on inside, and you can undo it.', yes: 'Cut off', danger: true}});
}

function actions(environment, kills, path, reload) {
	const frozen = environment.state === 'frozen';
	const then = (doing) => async () => {
		await doing();
		await reload();
	};
	const progress = (step) => toast(`${step.step}${step.ms > 0 ? ` · ${duration(step.ms)}` : ''}`);
	const down = async () => {
		await remove(path);
		go('/environments');
	};
	const fork = async () => go(`/environments/${(await work(`${path}/fork`, {}, progress)).id}`);

	return h('div.row.actions', environment.preview ? linkButton(environment.preview, 'primary', 'Open the preview') : null, button(frozen ? 'Thaw' : 'Freeze', then(() => post(`${path}/${frozen ? 'thaw' : 'freeze'}`)), {mark: 'snow', key: 'freeze'}),
		button(environment.pinned ? 'Unpin' : 'Pin', then(() => post(`${path}/${environment.pinned ? 'unpin' : 'pin'}`)), {mark: 'pin', key: 'pin'}), button('Keep a day longer', then(() => post(`${path}/extend`, {grace_ms: DAY_MS})), {mark: 'clock', key: 'extend'}),
		button('Fork', fork, {mark: 'layers', key: 'fork'}), button('Reset data', then(() => work(`${path}/reset-data`, {}, progress)), {key: 'reset', ask: {title: 'Reset the data?', text: 'Every database goes back to its snapshot. What was written since is lost.', yes: 'Reset data', danger: true}}),
		button('Save session', () => saveSession(path, environment.name), {mark: 'download', key: 'session'}), h('a.button', {href: `/environments/${environment.id}/shell`, 'data-link': true}, icon('terminal'), 'Shell'), cutOff(environment, kills, reload), button('Take down', down, {kind: 'quiet', key: 'down', ask: {title: `Take ${environment.name} down?`, text: 'Its services stop and its data is removed.', yes: 'Take down', danger: true}}));
}

export function environmentPage({id}) {
	const path = `/environments/${encodeURIComponent(id)}`;

	return {
		title: 'Environment',
		wakes: ['environment', 'hold'],
		load: async () => {
			const [environment, exchanges, kills] = await Promise.all([get(path), items(`${path}/exchanges?limit=${EXCHANGES}`), items('/kills').catch(() => [])]);
			return {environment, exchanges, kills};
		},
		name: ({environment}) => `${environment.name} ${environment.id}`,
		view({environment, exchanges, kills}, reload) {
			return [h('div.page-head', h('p.crumb', link('/environments', 'Environments'), ' / ', environment.repository), h('h1', environment.name, h('span.id', environment.id)),
				h('div.row', environmentState(environment.state), environment.pinned ? h('span.chip.calm', icon('pin'), 'Pinned') : null, h('span.meta', PURPOSE[environment.purpose] ?? environment.purpose, ' · commit ', h('code', short(environment.commit)), environment.snapshot ? [' · snapshot ', h('code', environment.snapshot)] : null, ' · made ', when(environment.created_ms),
					environment.expires_ms && !environment.pinned ? [' · goes ', when(environment.expires_ms)] : null, environment.owner ? [' · ', link(`/runs/${environment.owner}`, 'its run')] : null, environment.below ? [' · stands on ', link(`/environments/${environment.below}`, environment.below)] : null)), actions(environment, kills, path, reload)),
			environment.error ? failure({message: environment.error}) : null, h('section.card.pad', {'data-key': 'services'}, h('h2', 'Services'), services(environment)),
			h('section.card.pad', {'data-key': 'graph'}, h('h2', 'Who calls whom'), seamGraph(exchanges, environment.sandboxes)), exchanges.length ? exchangeList(exchanges) : null,
			logsView(environment.id, environment.sandboxes.map((box) => box.name), true)];
		},
	};
}
