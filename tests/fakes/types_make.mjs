// The shapes that types.mjs wants, of a vendor's typed client as npm has it (`npm ci` in this folder). Made once for all runs of the machine, of what the fake names.
// usage: node types_make.mjs gitlab|gitea    prints the file; exit code 1: the client is not there
import {existsSync, mkdirSync, readFileSync, renameSync, writeFileSync} from 'node:fs';
import {createHash} from 'node:crypto';
import {createRequire} from 'node:module';
import {homedir} from 'node:os';
import {dirname, join} from 'node:path';

const folder = dirname(new URL(import.meta.url).pathname), which = process.argv[2];
const client = {gitlab: '@gitbeaker/core', gitea: 'gitea-js'}[which];
const place = join(folder, 'node_modules', client ?? '', 'dist/index.d.ts');
if (!client || !existsSync(place)) process.exit(1);
const source = readFileSync(join(folder, `${which}.mjs`), 'utf8');
const key = createHash('sha256').update(readFileSync(place)).update(source).update(readFileSync(new URL(import.meta.url))).digest('hex').slice(0, 12);
const file = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'assay-tests', `types-${which}-${key}.json`);
if (existsSync(file)) {
	console.log(file);
	process.exit(0);
}
const ts = createRequire(import.meta.url)('typescript');
const program = ts.createProgram([place], {noLib: false, skipLibCheck: true, strict: true});
const checker = program.getTypeChecker(), root = program.getSourceFile(place);
const exported = new Map(checker.getExportsOfModule(checker.getSymbolAtLocation(root)).map((symbol) => [symbol.getName(), symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol]));
const named = new Set([...source.matchAll(/'([\w.]+)(?:\[\])?'/g)].map((m) => m[1]).concat(['Issue', 'MergeRequest'].flatMap((on) => [`${on}Notes.all`, `${on}Notes.create`, `${on}Notes.edit`, `${on}NoteAwardEmojis.award`, `${on}NoteSchema`])));
const out = {types: {}, calls: {}}, ids = new Map();

function members(type) {
	const found = {};
	for (const one of type.isUnion() ? type.types : [type])
		for (const symbol of checker.getPropertiesOfType(one)) {
			const own = checker.getTypeOfSymbol(symbol), optional = !!(symbol.flags & ts.SymbolFlags.Optional);
			if (checker.getSignaturesOfType(own, ts.SignatureKind.Call).length || symbol.getName() in found) continue;
			found[symbol.getName()] = {optional, shape: shape(own, optional)};
		}
	return found;
}
function shape(type, optional = false) {
	const flags = type.flags;
	if (flags & (ts.TypeFlags.Null | ts.TypeFlags.Undefined | ts.TypeFlags.Void)) return {kind: 'null'};
	if (flags & ts.TypeFlags.StringLiteral) return {kind: 'string', values: [type.value]};
	if (flags & ts.TypeFlags.StringLike) return {kind: 'string'};
	if (flags & ts.TypeFlags.NumberLike) return {kind: 'number'};
	if (flags & ts.TypeFlags.BooleanLike) return {kind: 'boolean'};
	if (type.isUnion()) {
		const parts = type.types.filter((one) => !(optional && one.flags & ts.TypeFlags.Undefined)).map((one) => shape(one));
		const words = parts.filter((one) => one.values).flatMap((one) => one.values), rest = parts.filter((one) => !one.values);
		const all = [...new Map([...(words.length ? [{kind: 'string', values: words}] : []), ...rest].map((one) => [JSON.stringify(one), one])).values()];
		return all.length === 1 ? all[0] : {kind: 'union', of: all};
	}
	if (checker.isArrayType(type)) return {kind: 'array', of: shape(checker.getTypeArguments(type)[0])};
	if (!(flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection))) return {kind: 'any'};
	if (!ids.has(type)) {
		ids.set(type, `t${ids.size}`);
		out.types[ids.get(type)] = null;
		out.types[ids.get(type)] = {kind: 'object', members: members(type)};
	}
	return {kind: 'type', name: ids.get(type)};
}
function parameters(signature) {
	const found = {};
	for (const symbol of signature.getParameters()) {
		const type = checker.getTypeOfSymbol(symbol), name = symbol.getName();
		const objects = (type.isUnion() ? type.types : [type]).filter((one) => one.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection) && !checker.isArrayType(one));
		if (objects.length) for (const one of objects) Object.assign(found, members(one));
		else found[name] = {optional: true, shape: shape(type)};
	}
	return found;
}

for (const name of named) {
	const [first, method] = name.split('.');
	const symbol = exported.get(first);
	if (symbol && !method) out.types[name] = shape(checker.getDeclaredTypeOfSymbol(symbol));
	const own = symbol && method && checker.getDeclaredTypeOfSymbol(symbol).getProperty(method);
	if (own) out.calls[name] = Object.assign({}, ...checker.getSignaturesOfType(checker.getTypeOfSymbol(own), ts.SignatureKind.Call).map(parameters));
}
if (which === 'gitea')
	for (const group of checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(exported.get('Api'))))
		for (const own of checker.getPropertiesOfType(checker.getTypeOfSymbol(group)))
			for (const signature of named.has(own.getName()) ? checker.getSignaturesOfType(checker.getTypeOfSymbol(own), ts.SignatureKind.Call) : [])
				out.calls[own.getName()] = parameters(signature);
mkdirSync(dirname(file), {recursive: true});
writeFileSync(`${file}.${process.pid}`, JSON.stringify(out));
renameSync(`${file}.${process.pid}`, file);
console.log(file);
