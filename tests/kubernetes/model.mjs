/*
 * What the official client knows of the API (npm @kubernetes/client-node, generated from the OpenAPI document of the release): operations with their
 * paths, query parameters and media types, and models with their fields. Says what is wrong with a request, or with an object.
 */
import {existsSync, readFileSync, readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

const gen = fileURLToPath(new URL('node_modules/@kubernetes/client-node/dist/gen', import.meta.url));

export const installed = existsSync(gen);

const groups = ['Core', 'Apps', 'Apis', 'Apiextensions', 'Authentication', 'Authorization', 'Batch', 'Coordination', 'Events', 'Networking', 'Policy',
	'RbacAuthorization', 'Scheduling', 'Storage', 'Version'];
const any_group = 'CustomObjects'; // whose paths fit every group

/* Each operation is a function of a request factory: its path, method, setQueryParam calls and media types are what is generated. */
function operations_read() {
	const found = [];
	for (const file of readdirSync(`${gen}/apis`).filter(name => [...groups, any_group].some(group => new RegExp(`^${group}(V\\d\\w*)?Api\\.js$`).test(name))))
		for (const text of readFileSync(`${gen}/apis/${file}`, 'utf8').split(/^    async (?=\w+\()/m).slice(1)) {
			const path = text.match(/const localVarPath = '([^']+)'/)?.[1], method = text.match(/HttpMethod\.(\w+)\)/)?.[1];
			if (path)
				found.push({
					name: text.match(/^\w+/)[0],
					custom: file.startsWith(any_group),
					method,
					pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}/?$`),
					query: new Set([...text.matchAll(/setQueryParam\("(\w+)"/g)].map(each => each[1])),
					media: text.match(/getPreferredMediaType\(\[([^\]]*)\]/)?.[1].match(/"([^"]+)"/g)?.map(each => each.slice(1, -1)),
					body: text.match(/ObjectSerializer\.serialize\(body, "(\w+)"/)?.[1],
				});
		}
	return found;
}

const operations = installed ? operations_read() : [];
const models = new Map();

/* [{baseName, type, format}], and which are required: those whose TypeScript declaration has no question mark. */
function model(name) {
	if (!models.has(name)) {
		const file = `${gen}/models/${name}`;
		if (!existsSync(`${file}.js`))
			models.set(name, null);
		else {
			const map = readFileSync(`${file}.js`, 'utf8').match(/attributeTypeMap = (\[[\s\S]*?\n\]);/)?.[1] ?? '[]';
			const declared = readFileSync(`${file}.d.ts`, 'utf8');
			models.set(name, JSON.parse(map).map(field => ({...field, required: new RegExp(`^\\s+'${field.name}': `, 'm').test(declared)})));
		}
	}
	return models.get(name);
}

const scalars = {string: 'string', boolean: 'boolean', number: 'number', Date: 'string', V1MicroTime: 'string'};

function value_check(value, type, where, out) {
	const list = type.match(/^(?:Array|Set)<(.*)>$/), map = type.match(/^\{ \[key: string\]: (.*); \}$/);
	if (value === null || type === 'any')
		return;
	if (list) {
		if (!Array.isArray(value))
			out.push(`${where}: expected list`);
		else
			value.forEach((each, i) => value_check(each, list[1], `${where}[${i}]`, out));
	} else if (map) {
		if (typeof value !== 'object' || Array.isArray(value))
			out.push(`${where}: expected map`);
		else
			Object.entries(value).forEach(([key, each]) => value_check(each, map[1], `${where}.${key}`, out));
	} else if (type === 'IntOrString') {
		if (typeof value !== 'string' && !Number.isInteger(value))
			out.push(`${where}: expected integer or string`);
	} else if (scalars[type]) {
		if (typeof value !== scalars[type])
			out.push(`${where}: expected ${scalars[type]}, got ${typeof value}`);
	} else
		object_check(value, type, where, out);
}

/* `where` begins with a dot, as API servers write it: ".spec.containers[0].name". */
function object_check(object, type, where, out) {
	const fields = model(type);
	if (!fields)
		return out.push(`${where || '.'}: no model ${type}`);
	if (typeof object !== 'object' || Array.isArray(object))
		return out.push(`${where || '.'}: expected map`);
	for (const [key, value] of Object.entries(object)) {
		const field = fields.find(each => each.baseName === key);
		if (field)
			value_check(value, field.type, `${where}.${key}`, out);
		else
			out.push(`${where}.${key}: field not declared in schema`);
	}
	for (const field of fields)
		if (field.required && object[field.baseName] === undefined)
			out.push(`${where}.${field.baseName}: required`);
}

/* Of "v1" and "Pod", "networking.k8s.io/v1" and "NetworkPolicy": the name of the model. */
export function model_name({apiVersion = '', kind = ''}) {
	const version = apiVersion.split('/').at(-1), name = version[0]?.toUpperCase() + version.slice(1) + kind;
	return model(name) ? name : version === 'v1' && model(`Core${name}`) ? `Core${name}` : undefined;
}

/* What is wrong with an object: texts. */
export function object_errors(object) {
	const name = model_name(object), out = [];
	if (!name)
		return [`no model of ${object.apiVersion} ${object.kind}`];
	object_check(object, name, '', out);
	return out;
}

/* What is wrong with a request, but for what its object holds; `operation` is how it is called. `custom`: for a kind that was added to the cluster. */
export function request_errors({method, path, query, type, body, custom = false}) {
	const known = operations.filter(each => each.method === method && each.custom === custom && each.pattern.test(path)), out = [];
	const operation = known[0];
	if (!operation)
		return {errors: [`no operation ${method} ${path}`]};
	for (const name of query.keys())
		if (!operation.query.has(name))
			out.push(`${operation.name}: no query parameter ${name}`);
	if (body !== '' && operation.media && !operation.media.some(each => each === type))
		out.push(`${operation.name}: media type ${type}, expected ${operation.media.join(', ')}`);
	if (body !== '' && !operation.media && !operation.body)
		out.push(`${operation.name}: takes no body`);
	if (body === '' && ['POST', 'PUT', 'PATCH'].includes(method))
		out.push(`${operation.name}: no body`);
	return {errors: out, operation};
}

export const operation_count = operations.length;
