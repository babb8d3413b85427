/* What is sent to trackers, against the schemas that the vendors publish: documents of Linear's GraphQL, and of Jira's texts. */
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import test from 'node:test';
import {parse, validate} from 'graphql';
import {document_check} from './jira_shapes.mjs';
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

/* Markdown as agents write it, and as nobody should. */
const markdown = ['plain', '# Head\n\ntext\n\n- one\n- two **bold *and more* bold** `code`\n\n1. a\n2. b', '```js\nlet x = `1`;\n```', '```\nnever ends', '| a | b |\n|---|---|\n| 1 | `2` |',
	'|', '||', '> quoted\n> twice', '---', '[x](https://a.test) [y](javascript:z) https://b.test/c?d=e.', '**a **b** c**', '*a*b*c*', '**`code` in bold**', '[`code`](https://a.test)',
	'#', '# ', '- ', '1. ', '``', '```\n```', '\u202etxt\u200b\u0000x', ' \n\t\n', '- [ ] task\n  - inner', `${'x'.repeat(40000)}`, '**'.repeat(500), '*x '.repeat(500), '[](https://a.test)', '# `x`'];

for (const [i, text] of markdown.entries())
	test(`Markdown ${i} becomes a document by Atlassian's schema`, () => {
		document_check(JSON.parse(execFileSync(process.env.ADF_PRINT, {input: text})));
	});

test("Atlassian's schema refuses what Jira would refuse", () => {
	for (const bad of [{type: 'doc', content: []}, {type: 'doc', version: 1, content: [{type: 'text', text: 'x'}]},
		{type: 'doc', version: 1, content: [{type: 'paragraph', content: [{type: 'text', text: ''}]}]}])
		assert.throws(() => document_check(bad));
});
