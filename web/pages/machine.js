// machine: snapshots, and what this machine can and cannot do.

import {h} from '../dom.js';
import {get, items, remove} from '../api.js';
import {bytes, count, short, when} from '../format.js';
import {button, command, empty, link} from '../parts/controls.js';
import {mark} from '../parts/marks.js';

export function snapshotList() {
	return {
		title: 'Snapshots',
		wakes: ['environment'],
		load: async () => ({list: await items('/snapshots')}),
		view({list}, reload) {
			const head = h('div.page-head', h('h1', 'Snapshots'), list.length ? h('p.lead', 'Named, versioned states of all databases of an application. A fork clones one in milliseconds.') : null);
			const gone = (row) => async () => {
				await remove(`/snapshots/${encodeURIComponent(row.name)}/${row.version}`);
				await reload();
			};

			if (!list.length)
				return [head, empty('layers', 'No snapshot yet', 'The first fork of a blueprint with a seed makes one by itself. Or from a dump or a running server:', h('div.teach', command('assay snapshot create shop --dump shop.dump')))];
			return [head, h('ul.list.card', list.map((row) => h('li', {'data-key': `${row.name}/${row.version}`}, h('div.grow', h('strong', row.name), h('span.number', `/${row.version}`),
				h('p.meta', row.databases.map((database) => `${database.name}: ${database.engine} ${database.version}`).join(' · '), ' · made ', when(row.created_ms), ' · sha256 ', h('code', {title: row.digest}, short(row.digest)))), h('span.meta', bytes(row.bytes)), h('span.meta', row.used_by ? `used by ${count(row.used_by, 'environment')}` : 'not used'),
			row.used_by ? null : button('Remove', gone(row), {kind: 'quiet', key: `remove ${row.name} ${row.version}`, ask: {title: `Remove ${row.name}/${row.version}?`, text: 'It cannot be brought back.', yes: 'Remove', danger: true}}))))];
		},
	};
}

export function doctorPage() {
	return {
		title: 'Machine',
		wakes: [],
		load: async () => {
			const [list, status] = await Promise.all([items('/doctor'), get('/status')]);
			return {list, status};
		},
		view({list, status}) {
			const wrong = list.filter((row) => row.status !== 'ok').length;
			const fact = (name, value) => [h('dt', name), h('dd', value)];

			return [h('div.page-head', h('h1', 'Machine'), h('p.lead', wrong ? `${count(wrong, 'thing')} could be better.` : 'Everything that Assay can use is here.')),
				h('ul.list.card.dense', list.map((row) => h('li', {'data-key': row.name}, mark(row.status), h('strong', row.name), h('span.meta.grow', row.what), row.how && row.status !== 'ok' ? h('div.how', /^(apt|sudo|sysctl|mount|systemctl|modprobe) /.test(row.how) ? command(row.how) : h('span', row.how)) : null))),
				h('section.card.pad', h('h2', 'Server'), h('dl.facts.pairs', fact('Version', status.version), fact('Process', String(status.pid)), fact('State', h('code', status.state_dir)), fact('Previews', h('code', status.preview_base)), fact('Started', when(status.started_ms)), fact('Now', `${count(status.runs, 'run')}, ${count(status.environments, 'environment')}`))),
				h('p.quiet', link('/settings', 'Settings'), ' of the server that runs on it.')];
		},
	};
}
