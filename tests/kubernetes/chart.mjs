/* What Helm makes of the chart in deploy/helm, for as much of Go's templates as the chart uses; whatever else stands in it is an error. Helm itself is in no
 * package of Debian or npm. */
import {readFileSync, readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

import {dump, load} from 'js-yaml';

const folder = fileURLToPath(new URL('../../deploy/helm/assay', import.meta.url));

/* text/template: empty values are false. */
const holds = value => !(value === undefined || value === null || value === false || value === '' || value === 0 || (typeof value === 'object' && !Object.keys(value).length));
const functions = {
	not: value => !holds(value),
	or: (...values) => values.find(holds) ?? values.at(-1),
	quote: value => JSON.stringify(String(value)),
	default: (other, value) => (holds(value) ? value : other),
	printf: (form, ...values) => values.reduce((text, value) => text.replace('%s', value), form),
	toYaml: value => dump(value).trimEnd(),
	nindent: (count, text) => `\n${text.split('\n').map(line => ' '.repeat(count) + line).join('\n')}`,
};

const words = text => text.match(/"[^"]*"|[()|]|[^\s()|]+/g) ?? [];

/* A pipeline up to its end or a closing parenthesis: each command has the value of the one before as its last argument. */
function evaluate(tokens, scope) {
	let value;
	for (let first = true; tokens.length && tokens[0] !== ')'; first = false) {
		const args = [];
		while (tokens.length && tokens[0] !== '|' && tokens[0] !== ')') {
			const token = tokens.shift();
			if (token === '(') {
				args.push(evaluate(tokens, scope));
				tokens.shift();
			} else if (token[0] === '"') args.push(JSON.parse(token));
			else if (/^\d+$/.test(token)) args.push(Number(token));
			else if (token === '.') args.push(scope.dot);
			else if (token[0] === '.') args.push(token.slice(1).split('.').reduce((at, key) => at?.[key], scope.dot));
			else if (!args.length && functions[token]) args.push(functions[token]);
			else throw new Error(`the chart uses \`${token}\`, which this does not know`);
		}
		if (tokens[0] === '|') tokens.shift();
		const rest = first ? args.slice(1) : [...args.slice(1), value];
		value = typeof args[0] === 'function' ? args[0](...rest) : args[0];
	}
	return value;
}

/* Texts and actions by turns; `{{-` takes the space before it, `-}}` that after it. */
function parts(text) {
	const found = [];
	for (let at = 0, open; (open = text.indexOf('{{', at)) >= 0;) {
		const end = text.indexOf('}}', open), action = text.slice(open + 2, end), before = text.slice(at, open);
		found.push({text: action[0] === '-' ? before.trimEnd() : before}, {action: action.replace(/^-|-$/g, '').trim()});
		at = end + 2;
		if (action.endsWith('-')) at += text.slice(at).match(/^\s*/)[0].length;
		if (text.indexOf('{{', at) < 0) found.push({text: text.slice(at)});
	}
	return found.length ? found : [{text}];
}

function run(list, scope) {
	let out = '';
	while (list.length) {
		const part = list.shift(), [word, ...rest] = part.action === undefined ? [] : words(part.action);
		if (part.text !== undefined) out += part.text;
		else if (word === 'end') return out;
		else if (word === 'if' || word === 'with') {
			const value = evaluate(rest, scope), inside = run(list, word === 'with' ? {dot: value} : scope);
			out += holds(value) ? inside : '';
		} else out += evaluate([word, ...rest], scope) ?? '';
	}
	return out;
}

const merged = (under, over) => (over && under && typeof over === 'object' && typeof under === 'object' && !Array.isArray(over)
	? Object.fromEntries([...new Set([...Object.keys(under), ...Object.keys(over)])].map(key => [key, key in over ? merged(under[key], over[key]) : under[key]])) : over);

export const values_of = values => merged(load(readFileSync(`${folder}/values.yaml`, 'utf8')), values);

/* {file: text} of a release. */
export function chart_texts(values = {}, {name = 'assay', namespace = 'assay'} = {}) {
	const {name: Name, version: Version} = load(readFileSync(`${folder}/Chart.yaml`, 'utf8'));
	const dot = {Values: values_of(values), Release: {Name: name, Namespace: namespace, Service: 'Helm'}, Chart: {Name, Version}};
	return Object.fromEntries(readdirSync(`${folder}/templates`).map(file => [file, run(parts(readFileSync(`${folder}/templates/${file}`, 'utf8')), {dot})]));
}
