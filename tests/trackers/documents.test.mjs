/* Every document that is sent to Linear, against the schema that the vendor's own client is made from. */
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import test from 'node:test';
import {parse, validate} from 'graphql';
import {linearSchema} from './linear_schema.mjs';

const schema = linearSchema();
const text = readFileSync(new URL('../../src/trackers/linear.graphql', import.meta.url), 'utf8');

for (const one of text.split('\n\n')) {
	const document = parse(one);
	test(`${document.definitions[0].name.value} is valid`, () => {
		assert.equal(document.definitions.length, 1);
		assert.deepEqual(validate(schema, document).map(error => error.message), []);
	});
}

test('the schema refuses what Linear would refuse', () => {
	for (const bad of ['{ viewer { colour } }', 'mutation { agentActivityCreate(input: {content: {}}) { success } }', '{ issue { id } }'])
		assert.notDeepEqual(validate(schema, parse(bad)), [], bad);
});
