/*
 * Volume snapshots of tests: what external-snapshotter does (its documentation and CRDs of snapshot.storage.k8s.io/v1, and its controllers: what is said there of deletion), with folders
 * of the kubelet of tests as volumes. No client of npm knows these kinds, so their fields are listed here.
 */
import {spawnSync} from 'node:child_process';
import {existsSync, mkdirSync, rmSync} from 'node:fs';

export const group = 'snapshot.storage.k8s.io';
const reference = {name: 'string', namespace: 'string', uid: 'string', apiVersion: 'string', kind: 'string', resourceVersion: 'string', fieldPath: 'string'};
const fields = {
	VolumeSnapshot: {source: {persistentVolumeClaimName: 'string', volumeSnapshotContentName: 'string'}, volumeSnapshotClassName: 'string'},
	VolumeSnapshotContent: {deletionPolicy: 'string', driver: 'string', source: {volumeHandle: 'string', snapshotHandle: 'string'}, sourceVolumeMode: 'string', volumeSnapshotClassName: 'string',
		volumeSnapshotRef: reference},
};
const required = {VolumeSnapshot: ['source'], VolumeSnapshotContent: ['deletionPolicy', 'driver', 'source', 'volumeSnapshotRef']};

function fields_check(value, known, where, out) {
	for (const [key, each] of Object.entries(value))
		if (!known[key])
			out.push(`${where}.${key}: field not declared in schema`);
		else if (typeof known[key] === 'object')
			fields_check(each, known[key], `${where}.${key}`, out);
		else if (typeof each !== known[key])
			out.push(`${where}.${key}: expected ${known[key]}, got ${typeof each}`);
}

const one_of = (source, names) => names.filter(name => source?.[name] !== undefined).length === 1;

/* `part`: of a merge patch, where what is there stays. */
export function snapshot_errors({apiVersion, kind, spec, metadata, ...more}, part) {
	const out = [];
	if (!part && apiVersion !== `${group}/v1`)
		out.push(`${kind}: of ${apiVersion}`);
	out.push(...Object.keys(more).map(key => `.${key}: field not declared in schema`));
	fields_check(spec ?? {}, fields[kind], '.spec', out);
	if (part)
		return out;
	out.push(...required[kind].filter(name => spec?.[name] === undefined).map(name => `.spec.${name}: required`));
	if (!one_of(spec?.source, Object.keys(fields[kind].source)))
		out.push('.spec.source: exactly one of its fields must be set');
	if (kind === 'VolumeSnapshotContent') {
		if (!['Delete', 'Retain'].includes(spec.deletionPolicy))
			out.push('.spec.deletionPolicy: unsupported value');
		if (!spec.volumeSnapshotRef?.name || !spec.volumeSnapshotRef.namespace)
			out.push('.spec.volumeSnapshotRef: both name and namespace must be set');
	}
	return out;
}

const place = (plural, name, space) => ({group, plural, name, space}), being_deleted = 'snapshot.storage.kubernetes.io/volumesnapshot-being-deleted';
const bytes_of = text => Number(String(text).replace('Gi', '')) * (String(text).endsWith('Gi') ? 2 ** 30 : 1);

/* `cluster`: {find(at), put(at, object), drop(at), all(plural), settings}. */
export function snapshotter(cluster) {
	const {find, put, drop, all, settings} = cluster, folder = (kind, name) => `${settings.kubelet.base}/${kind}/${name}`;
	const change = (at, make) => {
		const object = structuredClone(find(at));
		make(object);
		return put(at, object);
	};
	const copy = (from, to) => {
		mkdirSync(folder('snapshots', ''), {recursive: true});
		mkdirSync(folder('claims', ''), {recursive: true});
		if (existsSync(from) && spawnSync('cp', ['-a', '--sparse=always', from, to]).status !== 0)
			throw new Error(`cannot copy ${from}`);
	};
	const trouble = (at, message) => void change(at, object => object.status = {readyToUse: false, error: {message, time: new Date().toISOString()}});
	const ready = () => ({readyToUse: true, restoreSize: settings.restore_bytes});

	function take(at, snapshot) {
		const claim = find({group: '', plural: 'persistentvolumeclaims', name: snapshot.spec.source.persistentVolumeClaimName, space: at.space});
		if (settings.snapshot_trouble || !claim || snapshot.spec.volumeSnapshotClassName !== settings.snapshot_class)
			return trouble(at, settings.snapshot_trouble ?? 'Failed to create snapshot: it has no class or no claim');
		const name = `snapcontent-${snapshot.metadata.uid}`, handle = `physical-${snapshot.metadata.uid}`;
		copy(folder('claims', claim.metadata.uid), folder('snapshots', handle));
		put(place('volumesnapshotcontents', name), {apiVersion: `${group}/v1`, kind: 'VolumeSnapshotContent', metadata: {name, uid: `${name}-uid`},
			spec: {deletionPolicy: 'Delete', driver: 'test.csi', source: {volumeHandle: claim.metadata.uid}, sourceVolumeMode: 'Filesystem', volumeSnapshotClassName: settings.snapshot_class,
				volumeSnapshotRef: {kind: 'VolumeSnapshot', name: at.name, namespace: at.space, uid: snapshot.metadata.uid}}, status: {...ready(), snapshotHandle: handle}});
		change(at, object => object.status = {...ready(), restoreSize: String(settings.restore_bytes), boundVolumeSnapshotContentName: name});
	}

	function bind(at, snapshot) {
		const name = snapshot.spec.source.volumeSnapshotContentName, to = place('volumesnapshotcontents', name), reference = find(to)?.spec.volumeSnapshotRef;
		if (!reference)
			return void setTimeout(lives, 20, at, snapshot.metadata.uid);
		if (reference.name !== at.name || reference.namespace !== at.space || (reference.uid && reference.uid !== snapshot.metadata.uid))
			return trouble(at, 'VolumeSnapshotContent is bound to a different snapshot');
		change(to, object => {
			object.spec.volumeSnapshotRef.uid = snapshot.metadata.uid;
			object.status = {...ready(), snapshotHandle: object.spec.source.snapshotHandle};
		});
		change(at, object => object.status = {...ready(), restoreSize: String(settings.restore_bytes), boundVolumeSnapshotContentName: name});
	}

	function lives(at, uid) {
		const snapshot = find(at);
		if (snapshot?.metadata.uid !== uid)
			return;
		if (snapshot.spec.source.persistentVolumeClaimName)
			take(at, snapshot);
		else
			bind(at, snapshot);
	}

	/* sidecar-controller: a content that is not bound, or whose snapshot is going, ends; and with it the physical one when its policy says so. */
	function content_ends(at) {
		const {spec, metadata} = find(at), loose = spec.source.snapshotHandle && !spec.volumeSnapshotRef.uid;
		if (!metadata.deletionTimestamp || (!loose && !metadata.annotations?.[being_deleted]))
			return;
		if (spec.deletionPolicy === 'Delete')
			rmSync(folder('snapshots', spec.source.snapshotHandle ?? find(at).status.snapshotHandle), {recursive: true, force: true});
		drop(at);
	}

	function content_delete(at) {
		change(at, object => object.metadata.deletionTimestamp ??= new Date().toISOString().replace(/\.\d+/, ''));
		content_ends(at);
	}

	/* common-controller: "regardless of the deletion policy", the content hears of it. */
	function snapshot_gone(uid) {
		for (const {at, object} of all('volumesnapshotcontents').filter(each => each.object.spec.volumeSnapshotRef.uid === uid)) {
			change(at, content => (content.metadata.annotations ??= {})[being_deleted] = 'yes');
			if (object.spec.deletionPolicy === 'Delete')
				content_delete(at);
			else
				content_ends(at);
		}
	}

	/* A claim that is to be made from a snapshot: false while it cannot be. */
	function claim_ready(claim, space) {
		const from = claim.spec.dataSource, snapshot = from && find(place('volumesnapshots', from.name, space));
		if (!from || existsSync(folder('claims', claim.metadata.uid)))
			return true;
		if (!snapshot?.status?.readyToUse || bytes_of(claim.spec.resources.requests.storage) < bytes_of(snapshot.status.restoreSize))
			return false;
		const {status} = find(place('volumesnapshotcontents', snapshot.status.boundVolumeSnapshotContentName));
		copy(folder('snapshots', status.snapshotHandle), folder('claims', claim.metadata.uid));
		return true;
	}
	return {lives, content_delete, snapshot_gone, claim_ready};
}
