// graph: who calls whom in an environment, drawn from its exchanges: callers left, callees right, counts and failures on the lines.

import {h, svg} from '../dom.js';
import {compact, count, duration} from '../format.js';

const BOX = {width: 132, height: 44, gapX: 128, gapY: 28};

const failed = (exchange) => Boolean(exchange.error) || (exchange.response?.status ?? 0) >= 500;

/** [{from, to, proto, count, failed, median_us}] */
export function edgesOf(exchanges) {
	const edges = new Map();

	for (const exchange of exchanges) {
		const key = `${exchange.from}\n${exchange.to}`;
		const edge = edges.get(key) ?? {from: exchange.from, to: exchange.to, proto: exchange.proto, count: 0, failed: 0, times: []};

		edge.count++;
		edge.failed += failed(exchange) ? 1 : 0;
		edge.times.push(exchange.dt_us ?? 0);
		edges.set(key, edge);
	}
	return [...edges.values()].map((edge) => ({...edge, median_us: edge.times.sort((a, b) => a - b)[edge.times.length >> 1]}));
}

const callsOf = (tree) => (tree ?? []).map((call) => ({edge: String(call.edge ?? '').split(' > '), text: `${call.edge} ${call.call} ${call.status}`}));

/** Which seams the findings of a report saw differ between base and head: "from\nto" -> new, gone, changed. */
export function changedSeams(report) {
	const seams = new Map();
	const note = (list, others, how) => list.filter((call) => !others.some((other) => other.text === call.text)).forEach(({edge}) => {
		const key = edge.join('\n');
		const there = others.some((other) => other.edge.join('\n') === key);
		seams.set(key, there || (seams.has(key) && seams.get(key) !== how) ? 'changed' : how);
	});

	for (const {expected_tree: base, got_tree: head} of report?.findings ?? []) {
		note(callsOf(base), callsOf(head), 'gone');
		note(callsOf(head), callsOf(base), 'new');
	}
	return seams;
}

/** The column of a node is the longest way to it from where calls come in; a cycle is cut where it closes. */
function columns(names, edges, answersOnly) {
	const column = new Map(names.map((name) => [name, 0]));

	for (let round = 0; round < names.length; round++)
		for (const {from, to} of edges)
			if (from !== to && column.get(to) <= column.get(from) && column.get(from) + 1 < names.length)
				column.set(to, column.get(from) + 1);
	const last = Math.max(...column.values());
	for (const name of names)
		if (answersOnly(name))
			column.set(name, last);
	for (const name of names) // whom nobody calls stands next to whom it calls
		if (name !== 'preview' && !edges.some((edge) => edge.to === name))
			column.set(name, Math.max(0, Math.min(...edges.filter((edge) => edge.from === name).map((edge) => column.get(edge.to))) - 1));
	return column;
}

/** Edges over more than one column go through a bend in each column between, so that they pass beside the boxes there. */
function bends(edges, column, nodes) {
	for (const edge of edges) {
		edge.via = [];
		for (let x = column.get(edge.from) + 1; x < column.get(edge.to); x++) {
			const name = `${edge.from}\n${edge.to}\n${x}`;
			column.set(name, x);
			edge.via.push(name);
			nodes.push({name, bend: true});
		}
	}
}

/** In each column, in the order of those who call from the column before. */
function order(nodes, edges, column) {
	const links = edges.flatMap((edge) => [edge.from, ...edge.via, edge.to].map((name, i, all) => [all[i - 1], name]).slice(1));
	const rows = [];

	for (const node of nodes)
		(rows[column.get(node.name)] ??= []).push(node);
	const place = (list) => list.forEach((node, y) => { node.y = y - (list.length - 1) / 2; });
	const byName = new Map(nodes.map((node) => [node.name, node]));
	const mean = (node, side) => {
		const near = links.filter((link) => link[1 - side] === node.name).map((link) => byName.get(link[side]).y);
		return near.length ? near.reduce((sum, y) => sum + y, 0) / near.length : node.y;
	};

	rows.forEach(place);
	for (const side of [0, 1, 0]) // after their callers, then their callees, then their callers again
		for (const list of side ? [...rows].reverse() : rows)
			if (list) {
				const weight = new Map(list.map((node) => [node, mean(node, side)]));
				list.sort((a, b) => weight.get(a) - weight.get(b));
				place(list);
			}
	return rows.filter(Boolean);
}

function layout(edges, kinds) {
	const names = [...new Set(edges.flatMap((edge) => [edge.from, edge.to]))];
	const column = columns(names, edges, (name) => kinds[name] === 'database' || (!(name in kinds) && name !== 'preview'));
	const nodes = names.map((name) => ({name}));

	bends(edges, column, nodes);
	const rows = order(nodes, edges, column);
	const tallest = Math.max(...rows.map((list) => list.length));
	const height = tallest * (BOX.height + BOX.gapY) - BOX.gapY + 16;
	const places = new Map();

	for (const node of nodes)
		places.set(node.name, {bend: node.bend, left: column.get(node.name) * (BOX.width + BOX.gapX) + 8, middle: height / 2 + node.y * (BOX.height + BOX.gapY)});
	return {places, names, width: (Math.max(...column.values()) + 1) * (BOX.width + BOX.gapX) - BOX.gapX + 16, height};
}

const curve = (x1, y1, x2, y2) => `C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`;

function edgePath(edge, places) {
	const from = places.get(edge.from);
	const to = places.get(edge.to);
	let x = from.left + BOX.width;
	let y = from.middle;
	let d = `M${x} ${y}`;

	if (to.left <= from.left) { // back or to itself: below the boxes
		const below = Math.max(from.middle, to.middle) + BOX.height / 2 + 20;
		const [left, right] = [from.left + BOX.width / 2, to.left + BOX.width / 2];
		return {d: `M${left} ${from.middle + BOX.height / 2}C${left} ${below + 10} ${right} ${below + 10} ${right} ${to.middle + BOX.height / 2}`, at: [(left + right) / 2, below]};
	}
	for (const name of [...edge.via, edge.to]) {
		const next = places.get(name);
		d += curve(x, y, next.left, next.middle);
		x = next.left;
		y = next.middle;
		if (next.bend) {
			x += BOX.width;
			d += `L${x} ${y}`;
		}
	}
	const first = places.get(edge.via[0] ?? edge.to);
	const at = edge.via.length ? [first.left + BOX.width / 2, first.middle] : [(from.left + BOX.width + first.left) / 2, (from.middle + first.middle) / 2];
	return {d, at};
}

function edgeView(edge, places) {
	const {d, at} = edgePath(edge, places);
	const label = edge.change === 'gone' ? 'gone' : edge.failed ? `${compact(edge.count)} · ${compact(edge.failed)} failed` : compact(edge.count);
	const width = label.length * 6.6 + 12;

	return svg('g', {class: `edge ${edge.change ?? ''}${edge.failed ? ' bad' : ''}`}, svg('title', {}, `${edge.from} → ${edge.to}: ${count(edge.count, 'exchange')}, median ${duration(edge.median_us / 1000) || '0 ms'}${edge.change ? `; ${CHANGE[edge.change]}` : ''}`),
		svg('path', {d, 'marker-end': 'url(#arrow)'}), svg('rect', {x: at[0] - width / 2, y: at[1] - 9, width, height: 18, rx: 9}), svg('text', {x: at[0], y: at[1] + 4, 'text-anchor': 'middle'}, label));
}

const CHANGE = {new: 'new in this change', gone: 'no longer called', changed: 'answered otherwise than on base'};

function legend(changes) {
	const shown = [...new Set(changes.values())];

	return shown.length ? h('ul.legend', shown.map((change) => h(`li.${change}`, h('span.line', {'aria-hidden': 'true'}), CHANGE[change]))) : null;
}

const KIND = {service: 'service', worker: 'worker', database: 'database', workspace: 'agent’s workspace'};

/** `changes`: of changedSeams(), coloured; those that are gone are drawn, too. */
export function seamGraph(exchanges, sandboxes, changes = new Map()) {
	const edges = edgesOf(exchanges).map((edge) => ({...edge, change: changes.get(`${edge.from}\n${edge.to}`) ?? null}));

	for (const [key, change] of changes) {
		const [from, to] = key.split('\n');
		if (to && !edges.some((edge) => edge.from === from && edge.to === to))
			edges.push({from, to, proto: '', count: 0, failed: 0, median_us: 0, change});
	}
	const kinds = Object.fromEntries(sandboxes.map((box) => [box.name, box.kind]));

	if (!edges.length)
		return h('p.quiet', 'No call was seen yet. Open the preview, and the lines appear.');
	const {places, names, width, height} = layout(edges, kinds);
	const kind = (name) => (name === 'preview' ? 'visitors' : KIND[kinds[name]] ?? 'outside');
	const words = edges.map((edge) => `${edge.from} calls ${edge.to} ${edge.count} times${edge.change ? `, ${CHANGE[edge.change]}` : ''}`).join('; ');

	return h('div', legend(changes), h('div.scroll.graph', {tabindex: 0, role: 'region', 'aria-label': 'Seam graph'},
		svg('svg', {viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': words},
			svg('defs', {}, svg('marker', {id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerUnits: 'userSpaceOnUse', markerWidth: 11, markerHeight: 11, orient: 'auto'}, svg('path', {d: 'M0 0 8 4 0 8z'}))),
			edges.map((edge) => edgeView(edge, places)),
			names.map((name) => svg('g', {class: `node ${kinds[name] ?? (name === 'preview' ? 'entry' : 'outside')}`, transform: `translate(${places.get(name).left} ${places.get(name).middle - BOX.height / 2})`},
				svg('rect', {width: BOX.width, height: BOX.height, rx: kinds[name] === 'database' ? 18 : 8}), svg('text', {x: BOX.width / 2, y: 19, 'text-anchor': 'middle', class: 'name'}, name.length > 16 ? `${name.slice(0, 15)}…` : name),
				svg('text', {x: BOX.width / 2, y: 34, 'text-anchor': 'middle', class: 'kind'}, kind(name)))))));
}
