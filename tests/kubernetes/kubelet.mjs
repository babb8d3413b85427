/*
 * A kubelet of tests: starts the containers of a Pod as real processes of this machine (container.sh), each with a root and a process table of its own, in
 * one network of the pod's, from which only the control plane is reached, as the NetworkPolicy of an environment has it (pause.mjs). It does what contracts say of a real one (2.7: a native sidecar is started, and its startupProbe good, before the containers;
 * a pod whose containers have ended is over, whatever its sidecar does), and no more. For root alone.
 */
import {spawn} from 'node:child_process';
import {randomUUID} from 'node:crypto';
import {chownSync, existsSync, mkdirSync, rmSync, writeFileSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import {fileURLToPath} from 'node:url';

const container = fileURLToPath(new URL('./container.sh', import.meta.url)), pause = fileURLToPath(new URL('./pause.mjs', import.meta.url)), user = 1000;
const pods = new Map(); // by uid
export const tokens = new Map(); // whose each is

function folder(path) {
	if (existsSync(path))
		return path;
	mkdirSync(path, {recursive: true});
	chownSync(path, user, user);
	return path;
}

function volume_folder(pod, volume) {
	if (volume.persistentVolumeClaim)
		return folder(`${pod.base}/claims/${pod.claim(volume.persistentVolumeClaim.claimName)}`);
	const path = folder(`${pod.base}/pods/${pod.uid}/${volume.name}`), source = volume.projected?.sources[0].serviceAccountToken;
	if (source && !existsSync(`${path}/${source.path}`)) {
		const token = randomUUID();
		tokens.set(token, {space: pod.at.space, name: pod.at.name, uid: pod.uid, audience: source.audience});
		writeFileSync(`${path}/${source.path}`, token);
	}
	return path;
}

function mount_of(pod, {name, mountPath, subPath, readOnly}) {
	const whole = volume_folder(pod, pod.spec.volumes.find(each => each.name === name));
	return `${subPath ? folder(`${whole}/${subPath}`) : whole}:${mountPath}:${readOnly ? 'ro' : 'rw'}`;
}

/* `ended` is called with the exit code, once. */
function run(pod, spec, command, ended) {
	const root = `${pod.base}/roots/${randomUUID()}`, env = Object.fromEntries((spec.env ?? []).map(each => [each.name, each.value]));
	mkdirSync(root, {recursive: true});
	const mounts = (spec.volumeMounts ?? []).map(each => mount_of(pod, each)), assay = pod.at.programs[spec.image];
	if (assay)
		mounts.push(`${assay}:/assay-image/assay:ro`);
	if (pod.names)
		mounts.push(`${pod.names}:/etc/resolv.conf:ro`);
	mounts.push(`${pod.hosts}:/etc/hosts:ro`);
	const child = spawn('nsenter', [`--net=/proc/${pod.pause.pid}/ns/net`, 'unshare', '--mount', '--pid', '--fork', '--kill-child', container, root, ...mounts, '--', ...command],
		{env: {PATH: '/assay-image:/usr/local/bin:/usr/bin:/bin', ...env}, stdio: ['ignore', 'ignore', process.env.KUBELET_LOG ? 'inherit' : 'ignore']});
	pod.children.add(child);
	child.on('error', error => console.error(`kubelet: ${error.message}`));
	child.on('close', code => {
		pod.children.delete(child);
		rmSync(root, {recursive: true, force: true});
		ended(code);
	});
}

const states = (specs, states_of) => specs.map(each => ({name: each.name, image: each.image, imageID: '', restartCount: 0, ...states_of}));

function status_of(pod, phase, exitCode) {
	const now = new Date().toISOString(), running = phase === 'Running', ended = exitCode !== undefined;
	return {phase, podIP: '127.0.0.1', conditions: [{type: 'PodScheduled', status: 'True'}, {type: 'Ready', status: running ? 'True' : 'False'}],
		initContainerStatuses: states(pod.spec.initContainers ?? [], {ready: running, started: running}),
		containerStatuses: states(pod.spec.containers, {ready: running, started: running,
			state: ended ? {terminated: {exitCode, reason: exitCode ? 'Error' : 'Completed', finishedAt: now}} : running ? {running: {startedAt: now}} : {waiting: {reason: 'PodInitializing'}}})};
}

/* The pod's network, and then `ready`. */
function network_make(pod, ready) {
	const port = Number(pod.spec.initContainers?.[0].env?.find(each => each.name === 'ASSAY_LINK_ADDRESS')?.value.split(':').pop() ?? 1);
	const path = `${folder(`${pod.base}/pods/${pod.uid}`)}/out`, sysctls = (pod.spec.securityContext?.sysctls ?? []).map(each => `${each.name}=${each.value}`);
	pod.hosts = `${pod.base}/pods/${pod.uid}/hosts`;
	writeFileSync(pod.hosts, '127.0.0.1 localhost\n');
	if (pod.spec.dnsPolicy === 'None') {
		pod.names = `${pod.base}/pods/${pod.uid}/resolv.conf`;
		writeFileSync(pod.names, [...pod.spec.dnsConfig.nameservers.map(each => `nameserver ${each}`), ...(pod.spec.dnsConfig.options ?? []).map(each => `options ${each.name}:${each.value}`), ''].join('\n'));
	}
	pod.out = createServer(inside => {
		const outside = connect({port, host: '127.0.0.1', noDelay: true}); // a network holds nothing back either
		inside.pipe(outside).pipe(inside);
		for (const [one, other] of [[inside, outside], [outside, inside]]) {
			one.on('error', () => other.destroy());
			one.on('close', () => other.destroy());
		}
	}).listen(path, () => {
		pod.pause = spawn('unshare', ['--net', process.execPath, pause, path, String(port), ...sysctls], {stdio: ['ignore', 'pipe', 'inherit']});
		pod.children.add(pod.pause);
		pod.pause.on('close', () => pod.children.delete(pod.pause));
		pod.pause.stdout.once('data', () => !pod.stopped && ready());
	});
}

function stop(pod) {
	pod.stopped = true;
	pod.out?.close();
	for (const child of pod.children)
		child.kill('SIGKILL');
}

function main_start(pod, tell) {
	const [spec] = pod.spec.containers;
	if (pod.stopped)
		return;
	run(pod, spec, spec.command, code => {
		if (!pod.stopped)
			tell(status_of(pod, code ? 'Failed' : 'Succeeded', code ?? 137));
		stop(pod);
	});
	tell(status_of(pod, 'Running'));
	const {activeDeadlineSeconds} = pod.spec;
	if (activeDeadlineSeconds)
		setTimeout(() => {
			if (pod.stopped)
				return;
			stop(pod);
			tell({...status_of(pod, 'Failed', 137), reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline'});
		}, activeDeadlineSeconds * 1000).unref();
}

function probe(pod, spec, done) {
	if (pod.stopped)
		return;
	run(pod, spec, spec.startupProbe.exec.command, code => code ? setTimeout(probe, 50, pod, spec, done) : done());
}

/* `at` says where (space, name, base, programs: by image, the program that it brings as `assay`), `claim` gives a claim's uid by its name, `tell` hears of the
 * pod's status. */
export function pod_start(uid, spec, at, claim, tell) {
	const pod = {uid, spec, at, claim, base: at.base, children: new Set(), stopped: false}, [sidecar] = spec.initContainers ?? [];
	pods.set(uid, pod);
	network_make(pod, () => {
		if (!sidecar)
			return main_start(pod, tell);
		const again = () => !pod.stopped && run(pod, sidecar, sidecar.command, () => setTimeout(again, 100));
		again();
		if (sidecar.startupProbe)
			probe(pod, sidecar, () => main_start(pod, tell));
		else
			main_start(pod, tell);
	});
}

/* `gone` is called when nothing of it runs. */
export function pod_end(uid, gone) {
	const pod = pods.get(uid);
	if (!pod)
		return gone();
	stop(pod);
	for (const [token, whose] of tokens)
		if (whose.uid === uid)
			tokens.delete(token);
	const wait = () => pod.children.size ? setTimeout(wait, 10) : (pods.delete(uid), rmSync(`${pod.base}/pods/${uid}`, {recursive: true, force: true}), gone());
	wait();
}

export const claim_end = (base, uid) => rmSync(`${base}/claims/${uid}`, {recursive: true, force: true});

/* One that died with its node, or by the kernel: its processes are killed, and the pod says so. */
export const pod_kill = uid => [...pods.get(uid)?.children ?? []].forEach(child => child.kill('SIGKILL'));

export const all_end = () => [...pods.values()].forEach(stop);
