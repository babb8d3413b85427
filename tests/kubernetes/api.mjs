/*
 * A scripted API server: what contracts say a real one does (measured on v1.35), and nothing else; the numbers are sections of the project's
 * Kubernetes contract. No scheduler, and no kubelet unless a test gives it one (`kubelet`): what pods do is told to it (`pods`, /_/status). Each request is held against the official client's
 * description of the API (model.mjs); what does not fit is in `wrong`, at /_/state.
 *
 * usage: api.mjs [FOLDER]     with ca.pem, server.pem, server.key in it: HTTPS, which asks for a client certificate
 */
import {randomUUID} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {isDeepStrictEqual} from 'node:util';

import {answer, faults, log, serve, wrong} from '../trackers/fake.mjs';
import {all_end, claim_end, pod_end, pod_kill, pod_start, tokens} from './kubelet.mjs';
import {object_errors, request_errors} from './model.mjs';
import {group as snapshot_group, snapshot_errors, snapshotter} from './snapshots.mjs';

const kinds = {
	namespaces: 'Namespace', nodes: 'Node', pods: 'Pod', services: 'Service', serviceaccounts: 'ServiceAccount', resourcequotas: 'ResourceQuota',
	limitranges: 'LimitRange', events: 'Event', configmaps: 'ConfigMap', secrets: 'Secret', persistentvolumeclaims: 'PersistentVolumeClaim',
	networkpolicies: 'NetworkPolicy', selfsubjectaccessreviews: 'SelfSubjectAccessReview', selfsubjectreviews: 'SelfSubjectReview',
	tokenreviews: 'TokenReview', volumesnapshots: 'VolumeSnapshot', volumesnapshotcontents: 'VolumeSnapshotContent',
};
const wide = new Set(['namespaces', 'nodes', 'volumesnapshotcontents', 'selfsubjectaccessreviews', 'selfsubjectreviews', 'tokenreviews']);
const settings = {
	token: null, // that is accepted; null: any, or none
	pods: 'run', // what becomes of a new pod: `run`, or `hold`: nothing
	ends: {}, // by a pod's name: its program ends, with that code
	terminate_ms: 30, // how long an empty namespace takes to go
	rules: null, // of a ClusterRole; null: everything is allowed
	groups: [], // that discovery shows besides
	version: '1.35',
	page: Infinity, // at most so many a page
	expire_pages: 0, // so many times a list is too old to go on with (2.3)
	kill: null, // {at, when: "before" | "after", pid}: that process is killed at that request
	logs: '', // of every pod
	kubelet: null, // {base, programs}: pods run, as kubelet.mjs has it
	admits: false, // Pod Security is off
	snapshot_class: null, // the one that there is
	snapshot_trouble: null, // what its controller says of each
	restore_bytes: 2 ** 20, // of each
	lenient: false, // what is wrong with a body is not noted: a test wants to see what a server does with it
};
const store = new Map(), watches = new Set(), history = [];
let version = 100, compacted = 0, requests = 0, last = {};

/* ---- answers ---- */

const key_of = at => `${at.group}/${at.plural}/${at.space ?? ''}/${at.name}`;

class Refusal extends Error {
	constructor(code, reason, message, details = {}, headers = {}) {
		super(message);
		Object.assign(this, {code, reason, details, headers});
	}
	status() {
		return {kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: this.message, ...this.reason && {reason: this.reason},
			details: this.details, code: this.code};
	}
}

/* k8s.io/apiserver, responsewriters: a Status ends with a newline, as every object that is written. */
const refuse = (response, refusal) =>
	answer(response, refusal.code, JSON.stringify(refusal.status()) + '\n', {'Content-Type': 'application/json', ...refusal.headers});

const missing = at => new Refusal(404, 'NotFound', `${at.plural} "${at.name}" not found`, {name: at.name, kind: at.plural});
const changed = (at, message) => new Refusal(409, 'Conflict', `Operation cannot be fulfilled on ${at.plural} "${at.name}": ${message}`,
	{name: at.name, kind: at.plural});

/* ---- objects, versions, watches (2.3) ---- */

const selects = (selector, labels = {}) => !selector || selector.split(',').every(term => {
	const [name, value] = term.split('=');
	return value === undefined ? name in labels : labels[name] === value;
});

const watched = (watch, at, object) => watch.group === at.group && watch.plural === at.plural && (!watch.space || watch.space === at.space) &&
	selects(watch.selector, object.metadata.labels) && field_selects(watch.fields, object);

const field_selects = (fields, object) => !fields || fields.split(',').every(term => {
	const [path, value] = term.split('=');
	return path.split('.').reduce((part, name) => part?.[name], object) === value;
});

const line = (type, object) => `${JSON.stringify({type, object})}\n`;

function publish(type, at, object) {
	object.metadata.resourceVersion = String(++version);
	const copy = structuredClone(object);
	history.push({version, type, at, object: copy});
	for (const watch of watches)
		if (watched(watch, at, copy))
			watch.response.write(line(type, copy));
}

function put(at, object) {
	const old = store.get(key_of(at));
	const bare = one => ({...one, metadata: {...one.metadata, resourceVersion: undefined}});
	if (old && isDeepStrictEqual(bare(old.object), bare(object))) // 2.1: applying the same again leaves resourceVersion alone
		return old.object;
	store.set(key_of(at), {at, object, managers: old?.managers ?? {}});
	publish(old ? 'MODIFIED' : 'ADDED', at, object);
	return object;
}

const snapshots = snapshotter({settings, put, drop, find: at => store.get(key_of(at))?.object, all: plural => [...store.values()].filter(each => each.at.plural === plural)});

const inside = space => [...store.values()].filter(each => each.at.space === space);

function drop(at) {
	const old = store.get(key_of(at));
	store.delete(key_of(at));
	publish('DELETED', at, old.object);
	if (at.plural === 'namespaces')
		inside(at.name).forEach(each => drop(each.at));
	if (settings.kubelet && at.plural === 'pods')
		pod_end(old.object.metadata.uid, () => {});
	if (settings.kubelet && at.plural === 'persistentvolumeclaims')
		claim_end(settings.kubelet.base, old.object.metadata.uid);
	if (at.plural === 'volumesnapshots')
		snapshots.snapshot_gone(old.object.metadata.uid);
	if (at.space && store.get(`/namespaces//${at.space}`)?.object.metadata.deletionTimestamp)
		namespace_ends(at.space);
}

const is_still = object => [...store.values()].some(each => each.object.metadata.uid === object.metadata.uid);

/* 2.2: it stays Terminating, and says in its conditions why. */
function namespace_ends(name) {
	const entry = store.get(`/namespaces//${name}`);
	if (!entry)
		return;
	const held = inside(name).filter(each => each.object.metadata.finalizers?.length), object = structuredClone(entry.object);
	object.status = {phase: 'Terminating'};
	if (held.length)
		object.status.conditions = [{type: 'NamespaceFinalizersRemaining', status: 'True', reason: 'SomeFinalizersRemain',
			message: `Some content in the namespace has finalizers remaining: ${held[0].object.metadata.finalizers[0]} in ${held.length} resource instances`}];
	else
		setTimeout(() => is_still(object) && drop(entry.at), settings.terminate_ms);
	put(entry.at, object);
}

/* What the nodes would do (2.7): a sidecar is started and ready before the containers. */
function pod_lives(at, uid) {
	const entry = store.get(key_of(at));
	if (entry?.object.metadata.uid !== uid || settings.pods === 'hold')
		return;
	const claims = (entry.object.spec.volumes ?? []).map(each => each.persistentVolumeClaim && store.get(`/persistentvolumeclaims/${at.space}/${each.persistentVolumeClaim.claimName}`)?.object);
	if (settings.kubelet && !claims.filter(Boolean).every(each => snapshots.claim_ready(each, at.space)))
		return void setTimeout(pod_lives, 20, at, uid);
	if (settings.kubelet)
		return pod_start(uid, entry.object.spec, {...at, ...settings.kubelet}, name => store.get(`/persistentvolumeclaims/${at.space}/${name}`)?.object.metadata.uid,
			status => store.get(key_of(at))?.object.metadata.uid === uid && put(at, {...structuredClone(store.get(key_of(at)).object), status}));
	const object = structuredClone(entry.object), exitCode = settings.ends[at.name], ended = exitCode !== undefined, now = new Date().toISOString();
	object.status = {
		phase: !ended ? 'Running' : exitCode ? 'Failed' : 'Succeeded', podIP: '10.0.0.9',
		conditions: [{type: 'PodScheduled', status: 'True'}, {type: 'Ready', status: ended ? 'False' : 'True'}],
		initContainerStatuses: (object.spec.initContainers ?? []).map(each => ({name: each.name, ready: true, started: true, restartCount: 0,
			image: each.image, imageID: ''})),
		containerStatuses: object.spec.containers.map(each => ({name: each.name, ready: !ended, started: !ended, restartCount: 0, image: each.image,
			imageID: '', state: ended ? {terminated: {exitCode, reason: exitCode ? 'Error' : 'Completed', finishedAt: now}} : {running: {startedAt: now}}})),
	};
	put(at, object);
}

/* ---- admission ---- */

/* Pod Security `restricted` (2.7): what it wants of a pod's containers. */
export function restricted_errors({spec}) {
	const out = [], pod = spec.securityContext ?? {};
	if (spec.hostNetwork || spec.hostPID || spec.hostIPC)
		out.push('host namespaces');
	if ((spec.volumes ?? []).some(each => each.hostPath))
		out.push('restricted volume types (hostPath)');
	for (const each of [...spec.initContainers ?? [], ...spec.containers]) {
		const own = each.securityContext ?? {}, capabilities = own.capabilities ?? {};
		if (own.privileged)
			out.push(`privileged (container "${each.name}")`);
		if (own.allowPrivilegeEscalation !== false)
			out.push(`allowPrivilegeEscalation != false (container "${each.name}")`);
		if (!capabilities.drop?.includes('ALL') || (capabilities.add ?? []).some(name => name !== 'NET_BIND_SERVICE'))
			out.push(`unrestricted capabilities (container "${each.name}")`);
		if ((own.runAsNonRoot ?? pod.runAsNonRoot) !== true)
			out.push(`runAsNonRoot != true (container "${each.name}")`);
		if ((own.runAsUser ?? pod.runAsUser) === 0)
			out.push(`runAsUser=0 (container "${each.name}")`);
		if (!['RuntimeDefault', 'Localhost'].includes((own.seccompProfile ?? pod.seccompProfile)?.type))
			out.push(`seccompProfile (container "${each.name}")`);
	}
	return out;
}

function admit(at, object) {
	const space = at.space && store.get(`/namespaces//${at.space}`)?.object;
	if (at.space && !space)
		throw new Refusal(404, 'NotFound', `namespaces "${at.space}" not found`, {name: at.space, kind: 'namespaces'});
	if (space?.metadata.deletionTimestamp)
		throw new Refusal(403, 'Forbidden', `${at.plural} "${at.name}" is forbidden: unable to create new content in namespace ${at.space} because it is being terminated`,
			{name: at.name, kind: at.plural, causes: [{reason: 'NamespaceTerminating', message: `namespace ${at.space} is being terminated`, field: 'metadata.namespace'}]});
	if (at.plural !== 'pods')
		return;
	const enforced = space.metadata.labels?.['pod-security.kubernetes.io/enforce'] === 'restricted' && !settings.admits;
	const broken = enforced ? restricted_errors(object) : [];
	if (broken.length)
		throw new Refusal(403, 'Forbidden', `pods "${at.name}" is forbidden: violates PodSecurity "restricted:latest": ${broken.join(', ')}`,
			{name: at.name, kind: 'pods'});
	for (const {object: quota} of inside(at.space).filter(each => each.at.plural === 'resourcequotas')) {
		const limit = Number(quota.spec.hard?.pods ?? Infinity), used = inside(at.space).filter(each => each.at.plural === 'pods').length;
		if (used + 1 > limit)
			throw new Refusal(403, 'Forbidden', `pods "${at.name}" is forbidden: exceeded quota: ${quota.metadata.name}, requested: pods=1, used: pods=${used}, limited: pods=${limit}`,
				{name: at.name, kind: 'pods'});
	}
}

/* ---- who may ---- */

const rule_allows = (rule, verb, group, resource) => rule.verbs.includes(verb) && rule.apiGroups?.includes(group) && rule.resources?.includes(resource);

const allowed = (verb, group, resource) => !settings.rules || settings.rules.some(rule => rule_allows(rule, verb, group, resource)) ||
	['selfsubjectaccessreviews', 'selfsubjectreviews'].includes(resource); // 2.6: for whoever is known

function authorize(verb, at) {
	const resource = at.sub ? `${at.plural}/${at.sub}` : at.plural;
	if (!allowed(verb, at.group, resource))
		throw new Refusal(403, 'Forbidden', `${at.plural}${at.name ? ` "${at.name}"` : ''} is forbidden: User "test" cannot ${verb} resource "${resource}" in API group "${at.group}"`,
			{name: at.name, kind: at.plural});
}

/* ---- server-side apply (2.1) ---- */

const fixed = new Set(['.apiVersion', '.kind', '.metadata.name', '.metadata.namespace', '.metadata.uid', '.metadata.resourceVersion']);

/* Leaf fields and their values; a list is one leaf. */
function leaves(value, path = '', out = new Map()) {
	if (value && typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length)
		Object.entries(value).forEach(([name, each]) => leaves(each, `${path}\u0000${name}`, out));
	else if (!fixed.has(path.replaceAll('\u0000', '.')))
		out.set(path, value);
	return out;
}

function leaf_set(object, path, value) {
	const names = path.split('\u0000').slice(1), last = names.pop();
	const parent = names.reduce((part, name) => part[name] ??= {}, object);
	if (value === undefined)
		delete parent[last];
	else
		parent[last] = value;
}

const leaf_get = (object, path) => path.split('\u0000').slice(1).reduce((part, name) => part?.[name], object);
const shown = path => path.replaceAll('\u0000', '.');

function apply(at, body, manager, force) {
	const entry = store.get(key_of(at)), old = entry?.object, object = structuredClone(old ?? begin(at, body)), managers = structuredClone(entry?.managers ?? {});
	const mine = leaves(body), conflicts = [];
	if (body.metadata?.uid && body.metadata.uid !== old?.metadata.uid)
		throw changed(at, 'uid mismatch: the provided object specified uid, and no existing object was found');
	if (body.metadata?.resourceVersion && body.metadata.resourceVersion !== old?.metadata.resourceVersion)
		throw changed(at, 'the object has been modified; please apply your changes to the latest version and try again');
	for (const [name, paths] of Object.entries(managers))
		for (const path of name === manager ? [] : paths)
			if (mine.has(path) && !isDeepStrictEqual(mine.get(path), leaf_get(old, path)))
				conflicts.push({name, path});
	if (conflicts.length && !force)
		throw new Refusal(409, 'Conflict', `Apply failed with ${conflicts.length} conflict: conflict with "${conflicts[0].name}": ${shown(conflicts[0].path)}`,
			{causes: conflicts.map(each => ({reason: 'FieldManagerConflict', message: `conflict with "${each.name}"`, field: shown(each.path)}))});
	for (const path of managers[manager] ?? [])
		if (!mine.has(path) && !Object.entries(managers).some(([name, paths]) => name !== manager && paths.includes(path)))
			leaf_set(object, path, undefined);
	for (const [path, value] of mine)
		leaf_set(object, path, value);
	for (const {name, path} of conflicts)
		managers[name] = managers[name].filter(each => each !== path);
	const result = put(at, object);
	store.get(key_of(at)).managers = {...managers, [manager]: [...mine.keys()]};
	return {code: old ? 200 : 201, object: result};
}

/* What the server adds to a new object. */
function begin(at, body) {
	const object = {apiVersion: body.apiVersion, kind: body.kind, metadata: {name: at.name, ...at.space && {namespace: at.space}, uid: randomUUID(),
		creationTimestamp: new Date().toISOString().replace(/\.\d+/, '')}};
	if (at.plural === 'namespaces')
		object.status = {phase: 'Active'};
	if (at.plural === 'pods')
		object.status = {phase: 'Pending'}, setTimeout(pod_lives, 5, at, object.metadata.uid);
	if (at.plural === 'volumesnapshots')
		setTimeout(snapshots.lives, 5, at, object.metadata.uid);
	return object;
}

/* ---- the verbs ---- */

const requested = text => {
	try {
		return JSON.parse(text);
	} catch {
		throw new Refusal(400, 'BadRequest', 'the object provided is unrecognized');
	}
};

/* By the kind that is asked for: a merge patch names none. */
const errors_of = (at, body, part) => at.group === snapshot_group ? snapshot_errors({kind: kinds[at.plural], ...body}, part) : object_errors(body);

function body_check(at, body, applied) {
	const errors = errors_of(at, body).filter(each => !each.endsWith(': required'));
	if (body.kind !== kinds[at.plural])
		wrong.push(`${at.plural}: a body of kind ${body.kind}`);
	if (body.metadata?.managedFields)
		throw new Refusal(400, 'BadRequest', 'metadata.managedFields must be nil');
	if (errors.length && applied) // 2.1: a malformed apply body is a 500 without a reason
		throw new Refusal(500, undefined, `failed to create typed patch object (${at.space ?? ''}/${at.name}; ${body.apiVersion}, Kind=${body.kind}): ${errors[0]}`);
	if (errors.length)
		throw new Refusal(400, 'BadRequest', `strict decoding error: ${errors.join(', ')}`);
}

/* What a body must be by the official description. */
function body_judge(at, body, part) {
	if (!settings.lenient)
		for (const error of errors_of(at, body, part))
			wrong.push(`${at.plural} ${at.name ?? ''}: ${error}`);
}

function review(body) {
	const asked = body.spec.resourceAttributes, resource = asked.subresource ? `${asked.resource}/${asked.subresource}` : asked.resource;
	return {code: 201, object: {...body, status: {allowed: allowed(asked.verb, asked.group ?? '', resource)}}};
}

/* 2.6: whose token it is, of which pod; one for another audience is none. */
function token_review({spec, ...body}) {
	const whose = tokens.get(spec.token), there = whose && store.get(`/pods/${whose.space}/${whose.name}`)?.object.metadata.uid === whose.uid;
	if (!there || !(spec.audiences ?? []).includes(whose.audience))
		return {code: 201, object: {...body, spec, status: {user: {}, error: 'service account token has been invalidated'}}};
	return {code: 201, object: {...body, spec, status: {authenticated: true, audiences: [whose.audience], user: {
		username: `system:serviceaccount:${whose.space}:${store.get(`/pods/${whose.space}/${whose.name}`).object.spec.serviceAccountName}`,
		extra: {'authentication.kubernetes.io/pod-name': [whose.name], 'authentication.kubernetes.io/pod-uid': [whose.uid]}}}}};
}

/* RFC 7396. */
function merged(target, patch) {
	const out = {...target};
	for (const [key, value] of Object.entries(patch))
		if (value === null)
			delete out[key];
		else
			out[key] = typeof value === 'object' && !Array.isArray(value) ? merged(out[key] ?? {}, value) : value;
	return out;
}

function patch(at, request, body) {
	if (request.headers['content-type'] === 'application/merge-patch+json') {
		authorize('patch', at);
		if (!store.has(key_of(at)))
			throw missing(at);
		return {code: 200, object: put(at, merged(store.get(key_of(at)).object, body))};
	}
	if (request.headers['content-type'] !== 'application/apply-patch+yaml')
		throw new Refusal(415, 'UnsupportedMediaType', 'the body of the request was in an unknown format');
	if (!request.query.get('fieldManager'))
		throw new Refusal(422, 'Invalid', 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch');
	authorize('patch', at);
	if (!store.has(key_of(at))) {
		authorize('create', at); // kubernetes.io, "Server-Side Apply": creating needs that verb, too
		admit(at, body);
	}
	body_check(at, body, true);
	return apply(at, body, request.query.get('fieldManager'), request.query.get('force') === 'true');
}

function create(at, body) {
	authorize('create', at);
	if (at.plural === 'selfsubjectaccessreviews')
		return review(body);
	if (at.plural === 'tokenreviews')
		return token_review(body);
	if (at.plural === 'selfsubjectreviews')
		return {code: 201, object: {...body, status: {userInfo: {username: 'test', groups: ['system:authenticated']}}}};
	const name = body.metadata?.name ?? `${body.metadata?.generateName}${randomUUID().slice(0, 5)}`, own = {...at, name};
	body_check(own, body, false);
	admit(own, body);
	if (store.has(key_of(own)))
		throw new Refusal(409, 'AlreadyExists', `${at.plural} "${name}" already exists`, {name, kind: at.plural});
	const object = begin(own, body);
	return {code: 201, object: put(own, {...body, ...object, metadata: {...body.metadata, ...object.metadata}})};
}

function remove(at, body) {
	authorize('delete', at);
	const entry = store.get(key_of(at)), uid = body?.preconditions?.uid;
	if (!entry)
		throw missing(at);
	if (uid && uid !== entry.object.metadata.uid)
		throw changed(at, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${entry.object.metadata.uid}`);
	if (at.plural === 'volumesnapshotcontents') {
		snapshots.content_delete(at);
		return {code: 200, object: store.get(key_of(at))?.object ?? entry.object};
	}
	if (at.plural === 'namespaces' || entry.object.metadata.finalizers?.length) {
		const object = structuredClone(entry.object);
		object.metadata.deletionTimestamp ??= new Date().toISOString().replace(/\.\d+/, '');
		put(at, object);
		if (at.plural === 'namespaces')
			namespace_ends(at.name);
		return {code: 200, object: store.get(key_of(at)).object};
	}
	if (at.plural === 'pods' && settings.kubelet) { // 2.2: it goes when its containers have ended
		const object = structuredClone(entry.object);
		object.metadata.deletionTimestamp ??= new Date().toISOString().replace(/\.\d+/, '');
		put(at, object);
		pod_end(object.metadata.uid, () => store.get(key_of(at))?.object.metadata.uid === object.metadata.uid && drop(at));
		return {code: 200, object: store.get(key_of(at))?.object ?? object};
	}
	drop(at);
	return {code: 200, object: entry.object};
}

function list(at, query) {
	authorize('list', at);
	const asked = Number(query.get('resourceVersion') ?? 0), limit = Math.min(Number(query.get('limit') || Infinity), settings.page);
	if (asked > version)
		throw new Refusal(504, 'Timeout', `Timeout: Too large resource version: ${asked}, current: ${version}`,
			{retryAfterSeconds: 1, causes: [{reason: 'ResourceVersionTooLarge', message: 'Too large resource version'}]});
	const [from, at_version] = (query.get('continue') ?? '0:0').split(':').map(Number);
	if (Number.isNaN(from))
		throw new Refusal(400, 'BadRequest', 'continue key is not valid');
	if (from && (at_version < compacted || settings.expire_pages-- > 0))
		throw new Refusal(410, 'Expired', 'The resourceVersion for the provided list is too old.');
	const all = [...store.values()].filter(each => watched({...at, selector: query.get('labelSelector'), fields: query.get('fieldSelector')}, each.at, each.object));
	const left = all.length - from - limit, page = all.slice(from, from + limit).map(each => each.object);
	return {code: 200, object: {kind: `${kinds[at.plural]}List`, apiVersion: at.group ? `${at.group}/v1` : 'v1', metadata: {resourceVersion: String(version),
		...left > 0 && {continue: `${from + limit}:${version}`, remainingItemCount: left}}, items: page.length ? page : null}};
}

function watch(at, query, response) {
	authorize('watch', at);
	const from = Number(query.get('resourceVersion') ?? 0), one = {...at, selector: query.get('labelSelector'), fields: query.get('fieldSelector'), response};
	response.writeHead(200, {'Content-Type': 'application/json'});
	if (from < compacted)
		return response.end(line('ERROR', new Refusal(410, 'Expired', `too old resource version: ${from} (${compacted})`).status()));
	for (const each of history)
		if (each.version > from && watched(one, each.at, each.object))
			response.write(line(each.type, each.object));
	response.flushHeaders();
	watches.add(one);
	const timer = setTimeout(() => response.end(), Number(query.get('timeoutSeconds') || 1800) * 1000);
	response.on('close', () => (clearTimeout(timer), watches.delete(one)));
}

/* ---- requests ---- */

/* /api/v1/namespaces/N/pods/NAME/log and the like. */
function place(path) {
	const [, group = '', rest] = path.match(/^\/(?:api\/v1|apis\/([^/]+)\/[^/]+)\/(.+)$/) ?? [];
	if (!rest)
		return null;
	const parts = rest.split('/').map(decodeURIComponent);
	if (parts[0] === 'namespaces' && parts.length > 2)
		return {group, space: parts[1], plural: parts[2], name: parts[3], sub: parts[4]};
	return {group, plural: parts[0], name: parts[1], sub: parts[2]};
}

/* 2.3: which groups there are, in two requests. */
const discovery = core => ({kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2', metadata: {},
	items: (core ? [''] : ['networking.k8s.io', 'authorization.k8s.io', ...settings.groups]).map(name => ({metadata: {name}, versions: [{version: 'v1', resources: []}]}))});

const fault_kinds = {
	apf: response => response.writeHead(429, {'Retry-After': '0', 'Content-Type': 'text/plain'}).end('Too many requests, please try again later.\n'), // 2.4
	disruption: response => refuse(response, new Refusal(429, 'TooManyRequests', 'Cannot evict pod as it would violate the pod\'s disruption budget.',
		{causes: [{reason: 'DisruptionBudget', message: 'The disruption budget needs 1 healthy pods'}]})),
	500: response => refuse(response, new Refusal(500, 'InternalError', 'Internal error occurred: etcdserver: leader changed')),
	410: response => refuse(response, new Refusal(410, 'Expired', 'too old resource version')),
	503: response => answer(response, 503, 'no endpoints available', {'Content-Type': 'text/plain'}),
	conflict: response => refuse(response, changed({plural: 'things', name: 'x'}, 'the object has been modified')),
	garbage: response => answer(response, 200, '<html>'),
	uncounted: response => refuse(response, new Refusal(403, 'Forbidden', 'pods "p" is forbidden: status unknown for quota: assay, resources: pods')), // kubernetes/apiserver
	cut: response => response.socket.destroy(),
};

function fault_find(text) {
	const found = faults.find(each => each.count > 0 && new RegExp(each.match).test(text));
	if (found)
		found.count--;
	return found;
}

function handle(request, at, response) {
	const {method, path, query} = request;
	if (path === '/version')
		return {code: 200, object: {major: '1', minor: settings.version.split('.')[1], gitVersion: `v${settings.version}.6`}};
	if (path === '/api' || path === '/apis')
		return {code: 200, object: discovery(path === '/api')};
	const body = request.body && requested(request.body);
	if (method === 'GET' && at.sub === 'log') {
		authorize('get', at);
		return void response.writeHead(200, {'Content-Type': 'text/plain'}).end(settings.logs);
	}
	if (method === 'GET' && !at.name)
		return query.get('watch') === 'true' ? void watch(at, query, response) : list(at, query);
	if (body && method !== 'DELETE')
		body_judge(at, body, request.headers['content-type'] === 'application/merge-patch+json');
	if (method === 'PATCH')
		return patch(at, request, body);
	if (method === 'POST')
		return create(at, body);
	if (method === 'DELETE')
		return remove(at, body);
	authorize('get', at);
	if (!store.has(key_of(at)))
		throw missing(at);
	return {code: 200, object: store.get(key_of(at)).object};
}

/* 2.1, 4: every request against the official description. */
function judge(request, at) {
	if (['/version', '/api', '/apis'].includes(request.path))
		return;
	const errors = at ? request_errors({...request, type: request.headers['content-type'], custom: at.group === snapshot_group}).errors : [`no such path ${request.path}`];
	wrong.push(...errors);
	if (at && !wide.has(at.plural) && !at.space && request.method !== 'GET')
		wrong.push(`${request.method} ${request.path}: of no namespace`);
	if (['POST', 'PUT'].includes(request.method) && request.query.get('fieldValidation') !== 'Strict')
		wrong.push(`${request.method} ${request.path}: without fieldValidation=Strict`);
}

function route(request, response) {
	const text = `${request.method} ${request.path}`, fault = fault_find(text), at = place(request.path), number = ++requests, kill = settings.kill;
	log.push(text);
	last = request.headers;
	judge(request, at);
	response.setHeader('Audit-Id', randomUUID());
	if (fault?.warning)
		response.setHeader('Warning', `299 - "${fault.warning}"`);
	if (settings.token && request.headers.authorization !== `Bearer ${settings.token}`) // 2.6: always the bare one
		return refuse(response, new Refusal(401, 'Unauthorized', 'Unauthorized'));
	if (kill?.at === number && kill.when === 'before')
		return process.kill(kill.pid, 'SIGKILL');
	if (fault_kinds[fault?.kind])
		return fault_kinds[fault.kind](response);
	if (fault?.kind === 'slow')
		return void setTimeout(perform, fault.ms, request, at, response, number, fault);
	perform(request, at, response, number, fault);
}

function perform(request, at, response, number, fault) {
	const kill = settings.kill;
	try {
		const done = handle(request, at, response);
		if (kill?.at === number)
			process.kill(kill.pid, 'SIGKILL');
		if (fault?.kind === 'lost') // it was done, and nobody hears of it
			return response.socket.destroy();
		if (done)
			answer(response, done.code, done.object);
	} catch (error) {
		if (!(error instanceof Refusal))
			throw error;
		refuse(response, error);
	}
}

const each_watch = act => () => void [...watches].forEach(act);

const actions = {
	set: given => {
		Object.assign(settings, given);
		if (given.kill)
			requests = 0;
	},
	reset: () => {
		for (const list_of of [faults, wrong, log, history])
			list_of.length = 0;
		each_watch(one => one.response.socket.destroy())();
		all_end();
		store.clear();
		Object.assign(settings, {token: null, pods: 'run', ends: {}, terminate_ms: 30, rules: null, groups: [], version: '1.35', page: Infinity, expire_pages: 0, kill: null, logs: '',
			lenient: false, admits: false, kubelet: null,
			snapshot_class: null, snapshot_trouble: null, restore_bytes: 2 ** 20});
		compacted = version;
	},
	forget: () => void (log.length = 0),
	heal: () => void (faults.length = 0),
	end: each_watch(one => one.response.end()), // 2.3: at timeoutSeconds, and when a server goes
	cut: each_watch(one => one.response.socket.destroy()),
	bookmark: each_watch(one => one.response.write(line('BOOKMARK', {kind: kinds[one.plural], apiVersion: 'v1', metadata: {resourceVersion: String(version)}}))),
	/* 2.3: 410 within a stream of 200; watches are not told what changed before it ended. */
	expire: () => {
		compacted = ++version;
		history.length = 0;
		each_watch(one => one.response.end(line('ERROR', new Refusal(410, 'Expired', `too old resource version: 1 (${version})`).status())))();
	},
	kill: ({path}) => pod_kill(store.get(key_of(place(path))).object.metadata.uid),
	put: ({path, object}) => void put(place(path), {metadata: {}, ...object}),
	drop: ({path}) => void drop(place(path)),
	status: ({path, status}) => {
		const at = place(path);
		put(at, {...structuredClone(store.get(key_of(at)).object), status});
	},
	finalizers: ({path, finalizers}) => {
		const at = place(path), object = structuredClone(store.get(key_of(at)).object);
		object.metadata.finalizers = finalizers;
		put(at, object);
		if (!finalizers.length && object.metadata.deletionTimestamp)
			drop(at);
		else if (at.space && store.get(`/namespaces//${at.space}`)?.object.metadata.deletionTimestamp)
			namespace_ends(at.space);
	},
};

const folder = process.argv[2], file = name => readFileSync(`${folder}/${name}`);
if (process.env.UNTIL_STDIN_ENDS)
	process.stdin.on('end', () => (all_end(), process.exit())).resume();
if (process.argv[1].endsWith('api.mjs'))
	serve(route, actions, () => ({requests, version, last, watches: watches.size, objects: [...store.values()].map(each => ({path: key_of(each.at), object: each.object}))}),
		undefined, folder && {ca: file('ca.pem'), cert: file('server.pem'), key: file('server.key'), requestCert: true, rejectUnauthorized: true});
