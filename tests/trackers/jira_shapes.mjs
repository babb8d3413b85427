/* The shapes of Jira's REST API, as jira.js has them, and the schema of its documents, as Atlassian ships it in @atlaskit/adf-schema. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import Ajv from 'ajv';

const require = createRequire(import.meta.url);
const folder = new URL('./node_modules/', import.meta.url);

/* By file: the packages name only what their own users need. */
const jira = name => import(new URL(`jira.js/dist/cloud/${name}/index.js`, folder));
const parameters = await jira('parameters'), all = await jira('models');

const schemas = module => new Proxy({}, {get: (_, name) => module[`${name}Schema`] ?? assert.fail(`jira.js has no ${name}`)});
export const asks = schemas(parameters), models = schemas(all);

const {$schema: _, ...document_schema} = require('./node_modules/@atlaskit/adf-schema/dist/json-schema/v1/full.json');
const is_document = new Ajv({strict: false, allErrors: false}).compile(document_schema);

/* Nothing that the shape does not have may be asked. */
export function shape_check(schema, value, name) {
	const got = (schema.strict?.() ?? schema).safeParse(value);
	assert(got.success, `${name}: ${got.error?.message} in ${JSON.stringify(value)}`);
}

export function document_check(document) {
	assert(is_document(document), `no document: ${JSON.stringify(is_document.errors?.slice(-2))} in ${JSON.stringify(document)}`);
}
