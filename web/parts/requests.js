// requests: rows of the ledger as requests and hosts: what was asked, how it ended, how much went where and when.

import {h, svg} from '../dom.js';
import {bytes, count, duration, plain, when} from '../format.js';
import {link} from './controls.js';
import {requestState} from './marks.js';

const BAR = 100;
const SPARK = {bars: 40, width: 120, height: 24, span_ms: 10 * 60_000};

/** Rows of one request as one: what was asked, and how it ended. Rows and requests are the newest first. */
export function requestsOf(rows) {
	const requests = new Map();

	for (const row of [...rows].reverse()) {
		if (!row.host)
			continue;
		const known = requests.get(row.request) ?? {};
		requests.set(row.request ?? `row ${row.id}`, {...known, ...row, ended: known.ended || row.kind === 'outcome', refused: known.refused || (row.kind === 'verdict' && row.rule !== 'passthrough'), waits: row.kind === 'hold' || (known.waits && row.kind !== 'answer'), found: known.found || row.kind === 'finding', left: known.left || row.kind === 'intent'});
	}
	return [...requests.values()].reverse();
}

export const stateOf = (request) => (request.waits ? 'waits' : request.refused || (request.found && !request.left) ? 'refused' : request.ended ? 'ended' : 'open');

export function hostsOf(requests) {
	const hosts = new Map();

	for (const request of requests) {
		const host = hosts.get(request.host) ?? {host: request.host, all: 0, refused: 0, sent: 0, received: 0, times: []};
		const refused = stateOf(request) === 'refused';

		host.all++;
		host.refused += refused ? 1 : 0;
		host.sent += request.sent_bytes ?? 0;
		host.received += request.received_bytes ?? 0;
		host.times.push([request.time_ms, refused]);
		hosts.set(request.host, host);
	}
	return [...hosts.values()].sort((a, b) => b.all - a.all);
}

/** When, in the last ten minutes: a bar for each quarter of a minute. */
function spark(times, now) {
	const bars = Array.from({length: SPARK.bars}, () => [0, 0]);

	for (const [ms, refused] of times) {
		const at = SPARK.bars - 1 - Math.floor(((now - ms) / SPARK.span_ms) * SPARK.bars);
		if (at >= 0)
			bars[Math.min(at, SPARK.bars - 1)][refused ? 1 : 0]++;
	}
	const most = Math.max(1, ...bars.map(([let_, no]) => let_ + no));
	const width = SPARK.width / SPARK.bars;
	const rect = (kind, i, from, n) => svg('rect', {class: kind, x: i * width, y: SPARK.height - ((from + n) / most) * SPARK.height, width: width - 1, height: (n / most) * SPARK.height});

	return svg('svg', {class: 'spark', viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true'}, svg('rect', {class: 'ground', x: 0, y: SPARK.height - 1, width: SPARK.width, height: 1}),
		bars.map(([let_, no], i) => [let_ ? rect('let', i, 0, let_) : null, no ? rect('refused', i, let_, no) : null]));
}

export function hostRow(host, most, now) {
	const width = (n) => Math.max(n ? 1 : 0, (n / most) * BAR);

	return h('li', {'data-key': host.host}, h('code.host', {title: plain(host.host)}, plain(host.host)), svg('svg', {class: 'share', viewBox: `0 0 ${BAR} 8`, preserveAspectRatio: 'none', 'aria-hidden': 'true'}, svg('rect', {class: 'let', x: 0, y: 0, width: width(host.all), height: 8}), svg('rect', {class: 'refused', x: 0, y: 0, width: width(host.refused), height: 8})),
		spark(host.times, now), h('span.meta', count(host.all, 'request'), host.refused ? [', ', h('span.wrong-text', `${host.refused} refused`)] : ''), h('span.meta.ms', `${bytes(host.sent)} out, ${bytes(host.received)} in`));
}

export function requestRow(request) {
	return h('li', {'data-key': `q${request.request ?? request.id}`}, requestState(stateOf(request), request.status), h('div.grow', h('code.target', plain(`${request.method ?? ''} ${request.host}${request.path ?? ''}`.trim())),
		h('p.meta', request.rule ? [h('code', plain(request.rule)), ' · '] : null, request.run ? [link(`/runs/${request.run}`, `run ${request.run}`), ' · '] : null, link(`/environments/${request.env}`, request.env), request.detail && request.refused ? ` · ${plain(request.detail)}` : '', ' · ', when(request.time_ms))),
	h('span.meta.ms', request.duration_us ? duration(request.duration_us / 1000) : ''));
}
