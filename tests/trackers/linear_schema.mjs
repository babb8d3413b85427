/*
 * Linear's schema, made from what @linear/sdk ships: its declarations are generated from the schema, type by type and field by field, so that the
 * schema can be made from them again. What only TypeScript has (fragments, classes) is left out.
 */
import {readFileSync, readdirSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import {buildSchema} from 'graphql';

const require = createRequire(import.meta.url);

function declarations() {
	const dist = join(dirname(require.resolve('@linear/sdk/package.json')), 'dist');
	const file = readdirSync(dist).filter(name => name.endsWith('.d.mts')).map(name => readFileSync(join(dist, name), 'utf8'));
	return file.find(text => text.includes('type Query = {')).replace(/\/\*\*[\s\S]*?\*\//g, '');
}

/* Maybe<Array<X>> and so on, as SDL. */
function typeOf(text, optional) {
	const maybe = text.match(/^(?:Input)?Maybe<(.*)>$/);
	if (maybe)
		return typeOf(maybe[1], true);
	const list = text.match(/^Array<(.*)>$/);
	const name = list ? `[${typeOf(list[1], false)}]` : text.match(/^Scalars\["(\w+)"\]$/)?.[1] ?? text;
	return optional ? name : `${name}!`;
}

function fieldsOf(body) {
	return [...body.matchAll(/^ {2}(\w+)(\??): (.*);$/gm)].filter(([, name]) => name !== '__typename')
		.map(([, name, , type]) => [name, typeOf(type, false)]);
}

const capital = text => text[0].toUpperCase() + text.slice(1);

export function linearSchema() {
	const text = declarations();
	const standard = ['ID', 'String', 'Boolean', 'Int', 'Float'];
	const records = new Map([...text.matchAll(/^type (\w+) = ((?:\w+ & )*)\{\n([\s\S]*?)^\};/gm)].map(([, name, parents, body]) => [name, {
		parents: parents.split(' & ').filter(Boolean), body, fields: fieldsOf(body), isObject: body.includes(`__typename?: "${name}"`)}]));
	const enums = [...text.matchAll(/^declare enum (\w+) \{\n([\s\S]*?)^\}/gm)]
		.map(([, name, body]) => [name, [...body.matchAll(/= "(\w+)"/g)].map(match => match[1])]);
	const unions = [...text.matchAll(/^type (\w+) = ((?:\w+ \| )+\w+);$/gm)].map(([, name, members]) => [name, members.split(' | ')])
		.filter(([, members]) => members.every(member => records.get(member)?.isObject));
	const interfaces = new Set([...records.values()].flatMap(record => record.parents));
	const out = [...records.get('Scalars').body.matchAll(/^ {2}(\w+): /gm)].map(match => match[1]).filter(name => !standard.includes(name))
		.map(name => `scalar ${name}`);
	const known = new Set([...standard, ...out.map(line => line.slice(7)), ...enums.map(([name]) => name), ...unions.map(([name]) => name)]);
	const wanted = [...records].filter(([name, record]) => name !== 'Scalars' && !/Args$|Fragment$/.test(name) && (record.isObject ||
		interfaces.has(name) || /Input|Filter|Comparator|Sort|Create|Candidate/.test(name)));

	for (const [name] of wanted)
		known.add(name);
	const bare = type => type.replace(/[[\]!]/g, '');
	const written = new Set();
	for (const [name, record] of wanted) {
		const isOutput = record.isObject || interfaces.has(name);
		const fields = record.fields.filter(([, type]) => known.has(bare(type))).map(([field, type]) => {
			const args = records.get(`${name}${capital(field)}Args`)?.fields.filter(([, each]) => known.has(bare(each)));
			return `  ${field}${args?.length ? `(${args.map(([key, each]) => `${key}: ${each}`).join(', ')})` : ''}: ${type}`;
		});
		if (!fields.length || written.has(name))
			continue;
		written.add(name);
		const above = record.parents.length ? ` implements ${record.parents.join(' & ')}` : '';
		out.push(`${interfaces.has(name) ? 'interface' : isOutput ? 'type' : 'input'} ${name}${above} {\n${fields.join('\n')}\n}`);
	}
	for (const [name, values] of enums)
		if (values.length)
			out.push(`enum ${name} {\n${values.map(value => `  ${value}`).join('\n')}\n}`);
	for (const [name, members] of unions)
		out.push(`union ${name} = ${members.join(' | ')}`);
	return buildSchema(out.join('\n\n'), {assumeValid: true});
}
