// services: the sandboxes of an environment, and what was asked and answered between them.

import {h} from '../dom.js';
import {bytes, duration, plain} from '../format.js';
import {link} from './controls.js';
import {environmentState} from './marks.js';

const SHOWN = 100;

export function services(environment) {
	return h('div.scroll', {tabindex: 0, role: 'region', 'aria-label': 'Services'}, h('table.plain', h('thead', h('tr', ['Name', 'Kind', 'State', 'Port', 'Ready after', 'Memory', 'Restarts', 'Shell'].map((word) => h('th', {scope: 'col'}, word)))),
		h('tbody', environment.sandboxes.map((box) => h('tr', {'data-key': box.name}, h('td', h('strong', box.name)), h('td', box.kind), h('td', environmentState(box.state), box.exit ? h('span.hint', plain(box.exit)) : null), h('td', box.port || ''), h('td.ms', box.ready_ms ? duration(box.ready_ms) : ''), h('td.ms', bytes(box.memory_bytes)), h('td.ms', box.restarts || ''),
			h('td', link(`/environments/${environment.id}/shell?sandbox=${encodeURIComponent(box.name)}`, 'open', h('span.sr', ` a shell in ${box.name}`))))))));
}

function bodyOf(part) {
	if (part?.statement || part?.command)
		return part.statement ?? part.command;
	if (part?.body)
		return part.body;
	return part?.body64 ? `(${bytes(part.body_bytes)} that are not text)` : '';
}

const headersText = (part) => (part?.headers ?? []).map(([name, value]) => `${name}: ${value}`).join('\n');
const whole = (...parts) => plain(parts.filter(Boolean).join('\n\n') || '(nothing)', true);

function exchangeRow(exchange) {
	const status = exchange.response?.status;
	const title = exchange.proto === 'http' ? `${exchange.request?.method ?? ''} ${exchange.request?.url ?? ''}` : bodyOf(exchange.request) || exchange.proto;

	return h('li', {'data-key': `x${exchange.seq}`}, h('details', h('summary', h('span.edge', `${exchange.from} → ${exchange.to}`), h('code.title', plain(title)), status ? h('span.code', {class: status >= 500 || exchange.error ? 'bad' : status >= 400 ? 'unsure' : 'ok'}, status) : null,
		exchange.error ? h('span.code.bad', 'error') : null, h('span.ms', duration((exchange.dt_us ?? 0) / 1000) || '')),
	h('div.pair', h('div', h('h3.small-head', 'Request'), h('pre', {tabindex: 0}, whole(headersText(exchange.request), bodyOf(exchange.request)))), h('div', h('h3.small-head', 'Response'), h('pre', {tabindex: 0}, whole(exchange.error, headersText(exchange.response), bodyOf(exchange.response)))))));
}

export function exchangeList(list) {
	const shown = [...list].sort((a, b) => b.seq - a.seq).slice(0, SHOWN);

	return h('details.fold.card.pad', {'data-key': 'exchanges'}, h('summary', 'Exchanges', h('span.count', list.length)), h('p.quiet', 'What was asked and answered between services, newest first.'), h('ul.exchanges', shown.map(exchangeRow)));
}
