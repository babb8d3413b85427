// The shapes of a vendor's typed client, for the fakes: what may be asked of a call, and what its answer is made of. TYPES is a file that types_make.mjs wrote:
// {types: {NAME: shape}, calls: {NAME: {parameter: shape}}}; without it nothing is checked, and nothing filled.
// A shape: {kind: 'string|number|boolean|null|any', values?} {kind: 'array', of} {kind: 'object', members: {NAME: {optional, shape}}, open} {kind: 'union', of: []} {kind: 'type', name}
import {readFileSync} from 'node:fs';

const known = process.env.TYPES ? JSON.parse(readFileSync(process.env.TYPES)) : null;
const snake = (name) => name.replace(/[A-Z]/g, (letter) => '_' + letter.toLowerCase());
const resolve = (shape) => shape.kind === 'type' ? resolve(known.types[shape.name]) : shape;

// Types that have themselves are looked into this far.
const DEPTH_MAX = 4;

// Says where `value` is not of the shape: '' when it is.
function differs(shape, value, at, depth = 0) {
	shape = resolve(shape);
	const is = value === null || value === undefined ? 'null' : Array.isArray(value) ? 'array' : typeof value;
	if (shape.kind === 'any') return '';
	if (shape.kind === 'union') {
		const all = shape.of.map((one) => differs(one, value, at, depth));
		return all.includes('') ? '' : all.find((text) => !text.startsWith(`${at}: is`)) ?? all[0];
	}
	if (shape.kind !== is) return `${at}: is ${is}, not ${shape.kind}`;
	if (shape.values && !shape.values.includes(value)) return `${at}: is ${value}, not one of ${shape.values}`;
	if (is === 'array') return value.map((one, i) => differs(shape.of, one, `${at}[${i}]`, depth + 1)).find(Boolean) ?? '';
	if (is !== 'object' || depth > DEPTH_MAX) return '';
	for (const [name, {optional, shape: inner}] of Object.entries(shape.members)) {
		if (value[name] === undefined ? !optional : true) {
			const text = value[name] === undefined ? `${at}.${name}: is missing` : differs(inner, value[name], `${at}.${name}`, depth + 1);
			if (text) return text;
		}
	}
	return '';
}

// What is absent and must be there is filled with the least that the shape allows.
function filled(shape, value, depth = 0) {
	shape = resolve(shape);
	if (shape.kind === 'union') {
		if (value === undefined) return shape.of.some((one) => resolve(one).kind === 'null') ? null : filled(shape.of[0], undefined, depth);
		if (value !== null && typeof value === 'object') { const one = shape.of.map(resolve).find((x) => x.kind === (Array.isArray(value) ? 'array' : 'object')); return one ? filled(one, value, depth) : value; }
		return value;
	}
	if (shape.kind === 'array') return (value ?? []).map((one) => filled(shape.of, one, depth + 1));
	if (shape.kind === 'object' && (value === undefined || (value && typeof value === 'object'))) {
		const out = {...value};
		if (depth > DEPTH_MAX) return out;
		for (const [name, {optional, shape: inner}] of Object.entries(shape.members))
			if (out[name] !== undefined || !optional) out[name] = filled(inner, out[name], depth + 1);
		return out;
	}
	return value === undefined ? shape.values?.[0] ?? {string: '', number: 0, boolean: false}[shape.kind] ?? null : value;
}
const shapeOf = (type) => type.endsWith('[]') ? {kind: 'array', of: {kind: 'type', name: type.slice(0, -2)}} : {kind: 'type', name: type};

export const types = {
	fill: (type, value) => known ? filled(shapeOf(type), value) : value,
	// An answer with all that its type has; what of ours does not fit goes to `wrong`.
	answer(call, type, value, wrong) {
		if (!known) return value;
		const out = filled(shapeOf(type), value), text = differs(shapeOf(type), out, `${call} answers`);
		if (text) wrong.push(text);
		return out;
	},
	// What is wrong with a request: a list. Parameters are in the body, the query, or the path.
	asked(call, body, query, path) {
		if (!known) return [];
		const parameters = known.calls[call], out = [];
		if (!parameters) return [`${call}: is none of the client's`];
		const allowed = new Map(Object.entries(parameters).flatMap(([name, one]) => [[snake(name), one], [name, one]]));
		for (const [name, value] of Object.entries(body ?? {})) {
			const text = !allowed.has(name) ? `${call}: has no ${name}` : differs(allowed.get(name).shape, value, `${call} ${name}`);
			if (text) out.push(text);
		}
		for (const name of query.keys())
			if (!allowed.has(name.replace('[]', '')) && !['page', 'per_page', 'limit'].includes(name)) out.push(`${call}: ${path} has no ?${name}`);
		return out;
	},
};
