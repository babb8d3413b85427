/*
 * pause.mjs SOCKET PORT SYSCTL=VALUE…: holds the network of a pod of tests: a loopback of its own, the sysctls that the pod has, and, where a NetworkPolicy
 * lets a pod reach the control plane, a port that leads there (by a socket file, since nothing else leads out). Started in a fresh network namespace.
 */
import {execFileSync} from 'node:child_process';
import {writeFileSync} from 'node:fs';
import {connect, createServer} from 'node:net';

const [, , socket, port, ...sysctls] = process.argv;
execFileSync('ip', ['link', 'set', 'lo', 'up']);
execFileSync('ip', ['address', 'add', '10.244.0.2/32', 'dev', 'lo']); // of the pod: who has only 127.0.0.1 looks up no names
for (const each of sysctls) {
	const [name, value] = each.split('=');
	writeFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, value);
}
createServer({noDelay: true}, inside => {
	const outside = connect(socket);
	inside.pipe(outside).pipe(inside);
	inside.on('error', () => outside.destroy());
	outside.on('error', () => inside.destroy());
	inside.on('close', () => outside.destroy());
	outside.on('close', () => inside.destroy());
}).listen(Number(port), '127.0.0.1', () => console.log('up'));
