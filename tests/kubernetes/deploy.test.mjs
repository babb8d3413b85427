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
	assert.equal(roles.length, 2);
	for (const rule of roles.flatMap(each => each.rules)) {
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

/* Helm says whose an object is, and keeps people's work. */
const plain = object => {
	const copy = structuredClone(object);
	for (const key of ['helm.sh/chart', 'app.kubernetes.io/managed-by']) delete copy.metadata.labels?.[key];
	if (copy.metadata.labels && !Object.keys(copy.metadata.labels).length) delete copy.metadata.labels;
	delete copy.metadata.annotations?.['helm.sh/resource-policy'];
	if (copy.metadata.annotations && !Object.keys(copy.metadata.annotations).length) delete copy.metadata.annotations;
	return copy;
};
const released = async (values, release) => {
	const {chart_texts} = await import('./chart.mjs'), {loadAll} = await import('js-yaml');
	return Object.entries(chart_texts(values, release)).filter(([file]) => file.endsWith('.yaml')).flatMap(([, text]) => loadAll(text).filter(Boolean));
};
const by_name = (a, b) => `${a.kind} ${a.metadata.name}`.localeCompare(`${b.kind} ${b.metadata.name}`);

test('a release of the chart is what the manifests are', {skip}, async () => {
	const mine = (await objects()).filter(each => each.name !== 'check.yaml' && each.object.kind !== 'Namespace');
	const those = list => list.map(each => each.object).sort(by_name), role = objects => objects.filter(each => /Role/.test(each.kind));
	assert.deepEqual((await released({})).map(plain).sort(by_name), those(mine.filter(each => each.name !== 'snapshots.yaml')));
	assert.deepEqual(role((await released({rooms: {snapshotClass: 'fast'}})).map(plain).sort(by_name)), role(those(mine)));
});

test('the values of the chart arrive', {skip}, async () => {
	const all = await released({
		image: 'r.example.com/assay:1', imagePullSecrets: [{name: 'r'}], replicas: 2, store: {secret: 'mine'}, takeover: '2m', state: {storageClass: 'fast'},
		repositories: {accessMode: 'ReadWriteMany', storageClass: 'nfs', size: '1Gi'}, rooms: {image: 'r.example.com/rooms:1', storageClass: 'ssd', snapshotClass: 'fast', volumeGib: 4, queue: 'q', priority: 'low', podLife: '24h', spread: true},
		env: [{name: 'ASSAY_PAGES', value: 'https://assay.example.com'}], nodeSelector: {disk: 'ssd'}, tolerations: [{key: 'agents', operator: 'Exists'}],
	}, {name: 'judge', namespace: 'ci'});
	for (const object of all)
		assert.deepEqual(object_errors(object), [], object.kind);
	const {spec} = all.find(each => each.kind === 'StatefulSet'), pod = spec.template.spec, [container] = pod.containers, claim = all.find(each => each.kind === 'PersistentVolumeClaim');
	const env = Object.fromEntries(container.env.map(({name, value, valueFrom}) => [name, value ?? valueFrom]));
	assert.deepEqual(restricted_errors({spec: pod}), []);
	assert.deepEqual([spec.replicas, container.image, pod.imagePullSecrets, pod.nodeSelector, pod.tolerations], [2, 'r.example.com/assay:1', [{name: 'r'}], {disk: 'ssd'}, [{key: 'agents', operator: 'Exists'}]]);
	assert.deepEqual([env.ASSAY_KUBERNETES_ASSAY_IMAGE, env.ASSAY_KUBERNETES_IMAGE, env.ASSAY_KUBERNETES_STORAGE_CLASS, env.ASSAY_KUBERNETES_SNAPSHOT_CLASS, env.ASSAY_KUBERNETES_VOLUME_GIB, env.ASSAY_KUBERNETES_QUEUE, env.ASSAY_KUBERNETES_PRIORITY, env.ASSAY_KUBERNETES_POD_LIFE, env.ASSAY_KUBERNETES_SPREAD],
		['r.example.com/assay:1', 'r.example.com/rooms:1', 'ssd', 'fast', '4', 'q', 'low', '24h', 'true']);
	assert.deepEqual([env.ASSAY_TAKEOVER, env.ASSAY_STORE.secretKeyRef.name, env.ASSAY_PAGES, env.ASSAY_KUBERNETES_PODS], ['2m', 'mine', 'https://assay.example.com', 'ci/app.kubernetes.io/name=judge']);
	assert.deepEqual([claim.metadata.name, claim.spec.accessModes, claim.spec.storageClassName, claim.metadata.annotations['helm.sh/resource-policy']], ['judge-repositories', ['ReadWriteMany'], 'nfs', 'keep']);
	assert.equal(pod.volumes[0].persistentVolumeClaim.claimName, 'judge-repositories');
	assert.equal(spec.volumeClaimTemplates[0].spec.storageClassName, 'fast');
	assert.deepEqual(spec.selector.matchLabels, spec.template.metadata.labels);
	const theirs = await released({rbac: false, repositories: {existingClaim: 'ours'}});
	assert.ok(!(await released({rbac: false, rooms: {snapshotClass: 'fast'}})).some(each => /Role/.test(each.kind)));
	assert.ok(!theirs.some(each => /Role|PersistentVolumeClaim/.test(each.kind)));
	assert.equal(theirs.find(each => each.kind === 'StatefulSet').spec.template.spec.volumes[0].persistentVolumeClaim.claimName, 'ours');
});

test('pages and previews are reached by a Gateway or an Ingress, where TLS ends', {skip}, async () => {
	const {HTTPRoute} = await import('@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute');
	const all = await released({expose: {
		pages: 'assay.example.com', previews: 'preview.example.com', gateway: {name: 'public', namespace: 'infra'},
		ingress: {className: 'nginx', annotations: {a: 'b'}, tlsSecret: 'wild'},
	}}), of = kind => all.filter(each => each.kind === kind);
	for (const object of all.filter(each => each.kind !== 'HTTPRoute'))
		assert.deepEqual(object_errors(object), [], object.kind);
	const routes = of('HTTPRoute'), [ingress] = of('Ingress'), service = of('Service').find(each => each.metadata.name === 'assay-web');
	for (const route of routes) new HTTPRoute(route).validate();
	const parentRefs = [{name: 'public', namespace: 'infra'}], to = port => [{backendRefs: [{name: 'assay-web', port}]}];
	assert.deepEqual(routes.map(each => each.spec), [{parentRefs, hostnames: ['assay.example.com'], rules: to(7420)}, {parentRefs, hostnames: ['*.preview.example.com'], rules: to(7425)}]);
	assert.deepEqual(ingress.spec.rules.map(({host, http}) => [host, http.paths[0].backend.service.port.number]), [['assay.example.com', 7420], ['*.preview.example.com', 7425]]);
	assert.deepEqual([ingress.spec.tls, ingress.metadata.annotations], [[{secretName: 'wild', hosts: ['assay.example.com', '*.preview.example.com']}], {a: 'b'}]);
	const {template} = of('StatefulSet')[0].spec, env = Object.fromEntries(template.spec.containers[0].env.map(({name, value}) => [name, value]));
	assert.deepEqual(service.spec.selector, template.metadata.labels);
	assert.deepEqual(service.spec.ports.map(each => each.port), [7420, 7425]);
	assert.deepEqual([env.ASSAY_LISTEN, env.ASSAY_PAGES, env.ASSAY_PREVIEW_DOMAIN, env.ASSAY_PREVIEW_PLAIN, env.ASSAY_PREVIEW_LISTEN],
		['0.0.0.0:7420', 'https://assay.example.com', 'preview.example.com', 'true', '0.0.0.0:7425']);
	const few = await released({expose: {previews: 'preview.example.com', gateway: {name: 'public'}}});
	assert.deepEqual(few.filter(each => /Route|Ingress/.test(each.kind)).map(each => each.metadata.name), ['assay-previews']);
	assert.deepEqual(few.find(each => each.metadata.name === 'assay-web').spec.ports, [{name: 'previews', port: 7425}]);
});

test('a wrong value is refused before anything is made', {skip}, async () => {
	const {default: Ajv} = await import('ajv'), {values_of} = await import('./chart.mjs');
	const valid = new Ajv({allowUnionTypes: true}).compile(JSON.parse(readFileSync(`${folder}/../helm/assay/values.schema.json`, 'utf8')));
	for (const good of [{}, {replicas: 2, repositories: {accessMode: 'ReadWriteMany'}}, {replicas: 3, repositories: {existingClaim: 'ours'}}, {rooms: {volumeGib: '16'}}, {expose: {pages: 'a.example.com', previews: 'b.example.com', gateway: {name: 'g'}}}, {replicas: 2, repositories: {existingClaim: 'ours'}, expose: {pages: 'a.example.com'}}])
		assert.ok(valid(values_of(good)), JSON.stringify([good, valid.errors]));
	for (const bad of [{replica: 2}, {replicas: 0}, {replicas: 2}, {rooms: {memory: 1}}, {rooms: {podLife: 'long'}}, {takeover: '5'}, {image: ''}, {imagePullPolicy: 'Sometimes'}, {repositories: {accessMode: 'RWX'}}, {expose: {pages: 'https://a.example.com'}}, {expose: {previews: '*.b.example.com'}}, {expose: {gateway: {nam: 'g'}}},
		{replicas: 2, repositories: {existingClaim: 'ours'}, expose: {previews: 'b.example.com'}}])
		assert.ok(!valid(values_of(bad)), JSON.stringify(bad));
});

/* A setting that the chart sets is one that the server reads. */
test('what the chart sets is known to the binary', {skip: skip || (!process.env.ASSAY && 'ASSAY names no binary')}, async () => {
	const all = await released({rooms: {image: 'r', storageClass: 's', snapshotClass: 'f', volumeGib: 4, queue: 'q', priority: 'p', podLife: '1h', spread: true}}), manual = readFileSync(`${folder}/../../doc/kubernetes.md`, 'utf8');
	for (const {name} of all.find(each => each.kind === 'StatefulSet').spec.template.spec.containers[0].env.filter(each => each.name.startsWith('ASSAY_KUBERNETES')))
		assert.ok(manual.includes(`\`${name.slice('ASSAY_'.length).toLowerCase().replaceAll('_', '-')}\``), name);
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
