/* Everything in deploy/kubernetes, against the official client's models. */
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {readFileSync, readdirSync} from 'node:fs';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';

import {restricted_errors} from './api.mjs';
import {installed, model_name, object_errors} from './model.mjs';

const folder = fileURLToPath(new URL('../../deploy/kubernetes', import.meta.url)), skip = !installed && 'no @kubernetes/client-node: npm ci in tests/kubernetes brings it';
const objects = async () => {
	const {loadAll} = await import('js-yaml');
	return readdirSync(folder).filter(name => name.endsWith('.yaml'))
		.flatMap(name => loadAll(readFileSync(`${folder}/${name}`, 'utf8')).map(object => ({name, object})));
};

test('every manifest is what the API takes', {skip}, async () => {
	const all = await objects();
	assert.ok(all.length >= 4);
	for (const {name, object} of all)
		assert.deepEqual(object_errors(object), [], `${name}: ${object.kind}`);
});

test('the role asks for nothing that makes its holder the master of others', {skip}, async () => {
	const roles = (await objects()).map(each => each.object).filter(each => each.kind === 'ClusterRole'), grave = new Set(['escalate', 'bind', 'impersonate', '*']);
	assert.equal(roles.length, 1);
	for (const rule of roles[0].rules) {
		assert.ok(!rule.verbs.some(verb => grave.has(verb)), rule.verbs.join());
		assert.ok(!rule.resources.some(resource => ['*', 'secrets', 'pods/exec', 'nodes'].includes(resource)), rule.resources.join());
		assert.ok(!rule.apiGroups.includes('*'));
	}
});

test('what is bound is what is there', {skip}, async () => {
	const all = (await objects()).map(each => each.object), has = (kind, name) => all.some(each => each.kind === kind && each.metadata.name === name);
	for (const {roleRef, subjects} of all.filter(each => each.kind === 'ClusterRoleBinding')) {
		assert.ok(has(roleRef.kind, roleRef.name));
		for (const subject of subjects)
			assert.ok(has(subject.kind, subject.name) && has('Namespace', subject.namespace));
	}
});

const pods = async () => (await objects()).filter(each => each.object.spec?.template).map(({name, object}) => ({name, object, spec: object.spec.template.spec}));

test('every pod is one that Pod Security `restricted` lets in, of an account that is there, and says what it needs', {skip}, async () => {
	const all = await objects(), made = await pods();
	assert.ok(made.length >= 1);
	for (const {name, object, spec} of made) {
		assert.deepEqual(restricted_errors({spec}), [], name);
		assert.ok(all.some(each => each.object.kind === 'ServiceAccount' && each.object.metadata.name === spec.serviceAccountName &&
			each.object.metadata.namespace === object.metadata.namespace), name);
		for (const container of spec.containers)
			assert.ok(container.resources.requests.memory && container.resources.limits.memory, name);
	}
});

test('a pod is started as the user of the image, with a command that the binary knows', {skip: skip || (!process.env.ASSAY && 'ASSAY names no binary')}, async () => {
	const image = readFileSync(`${folder}/../Containerfile`, 'utf8');
	assert.match(image, /^ENTRYPOINT \["\/usr\/bin\/assay"\]$/m);
	const knows = args => spawnSync(process.env.ASSAY, [...args, '--help'], {encoding: 'utf8'});
	for (const {name, spec} of await pods()) {
		assert.match(image, new RegExp(`^USER ${spec.securityContext.runAsUser}:${spec.securityContext.runAsGroup}$`, 'm'), name);
		for (const {args, command} of spec.containers) {
			assert.equal(command, undefined, name);
			assert.equal(knows(args).status, 0, `${name}: ${args.join(' ')}`);
		}
	}
	assert.notEqual(knows(['kubernetes', 'chekc']).status, 0);
});

/* The judge itself: a mistake of each sort is seen. */
test('mistakes are seen', {skip}, () => {
	assert.equal(model_name({apiVersion: 'v1', kind: 'Pod'}), 'V1Pod');
	const pod = {apiVersion: 'v1', kind: 'Pod', metadata: {name: 'p'}, spec: {containers: [{name: 'c'}]}};
	assert.deepEqual(object_errors(pod), []);
	for (const [change, error] of [
		[{metadata: {lables: {}}}, '.metadata.lables: field not declared in schema'],
		[{metadata: {name: 7}}, '.metadata.name: expected string, got number'],
		[{spec: {containers: [{}]}}, '.spec.containers[0].name: required'],
		[{spec: {containers: {}}}, '.spec.containers: expected list'],
		[{kind: 'Pood'}, 'no model of v1 Pood'],
	])
		assert.deepEqual(object_errors({...pod, ...change}), [error]);
});
