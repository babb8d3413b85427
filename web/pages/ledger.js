// ledger: everything that was let out, refused, asked and decided: searched, checked, taken away.

import {h} from '../dom.js';
import {address, items, post} from '../api.js';
import {bytes, compact, count, plain, when} from '../format.js';
import {go} from '../navigate.js';
import {button, command, empty, link} from '../parts/controls.js';
import {icon} from '../parts/marks.js';

const PAGE_ROWS = 100;
const FILE_ROWS = 10_000; // what one call gives
const KINDS = {intent: 'Sent', outcome: 'Answered', verdict: 'Refused', finding: 'Looks like a secret', hold: 'Waits', answer: 'A person answered', release: 'Credential used', secret: 'Credential changed', policy: 'Rules', kill: 'Kill switch', budget: 'Budget'};

const FILTERS = [['run', 'Run'], ['env', 'Environment'], ['host', 'Host', '*.example.com'], ['rule', 'Rule', 'policy:*'], ['request', 'Request']];
const TIMES = [['since_ms', 'From'], ['until_ms', 'Until']];

/** A time of the address as its box has it: in the time of the person who looks. */
const localTime = (ms) => (ms ? new Date(Number(ms) - new Date(Number(ms)).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : '');

function search(values) {
	const submit = (event) => {
		event.preventDefault();
		const given = [...new FormData(event.currentTarget)].filter(([, value]) => value.trim());
		const query = new URLSearchParams(given.map(([name, value]) => [name, name.endsWith('_ms') ? new Date(value).getTime() : value]));
		go(`/ledger${query.size ? `?${query}` : ''}`);
	};

	return h('form.filters', {'data-key': `filters ${values}`, role: 'search', on: {submit}}, FILTERS.map(([name, word, hint]) => h('div', h('label', {for: `f-${name}`}, word), h('input', {id: `f-${name}`, name, value: values.get(name) ?? '', placeholder: hint ?? null, autocomplete: 'off'}))),
		h('div', h('label', {for: 'f-kind'}, 'Kind'), h('select', {id: 'f-kind', name: 'kind'}, h('option', {value: ''}, 'any'), Object.entries(KINDS).map(([kind, word]) => h('option', {value: kind, selected: values.get('kind') === kind}, word)))),
		TIMES.map(([name, word]) => h('div', h('label', {for: `f-${name}`}, word), h('input', {id: `f-${name}`, name, type: 'datetime-local', value: localTime(values.get(name))}))),
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
		load: async () => {
			const [rows, heads] = await Promise.all([items(`/ledger?${query({limit: PAGE_ROWS})}`), items('/ledger/heads').catch(() => [])]);
			return {rows, heads};
		},
		view({rows, heads}, reload) {
			const verify = async () => {
				checked = await post('/ledger/verify');
				await reload();
			};
			const older = rows.length === PAGE_ROWS ? h('a.button', {href: `/ledger?${query({before: rows.at(-1).id})}`, 'data-link': true}, 'Older') : null;
			const cef = new URLSearchParams([...values].filter(([name]) => name !== 'before'));

			return [h('div.page-head', h('h1', 'Ledger'), h('p.lead', 'Everything that was let out, refused, asked and decided. Rows are only added; secrets are never in them.'),
				h('div.row', button('Verify the chain', verify, {mark: 'seal', key: 'verify'}), h('a.button.quiet', {href: address(`/ledger/cef?${cef}`), download: 'ledger.cef'}, icon('download'), 'Export as CEF'), h('a.button.quiet', {href: address(`/ledger?${new URLSearchParams([...cef, ['limit', FILE_ROWS]])}`), download: 'ledger.json'}, icon('download'), 'as JSON'), heads.length ? h('span.hint', `${count(heads.length, 'writer')} with signed heads`) : null)), chain(checked), search(values),
			rows.length ? h('div.scroll.card', {tabindex: 0, role: 'region', 'aria-label': 'Rows'}, h('table.plain.ledger', h('thead', h('tr', ['When', 'What', 'Of', 'Rule', 'Status', 'Whose', 'Sent'].map((word) => h('th', {scope: 'col'}, word)))), h('tbody', rows.map(ledgerRow))))
				: empty('seal', 'No row fits', values.size ? 'Take a filter away.' : 'The first request that leaves an environment is the first row.', values.size ? link('/ledger', 'Show all') : h('div.teach', command('assay egress tail ENV'))), h('div.row.end', older)];
		},
	};
}
