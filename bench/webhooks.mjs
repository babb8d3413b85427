// Sends signed deliveries at a steady rate, whatever the answers do (an open loop), and prints how long each waited: all of
// them, and those behind the first seconds, in which connections are opened, this program is compiled and the store's log grows.
import {createHmac, randomUUID} from 'node:crypto';
import {readFileSync} from 'node:fs';
import {Agent, request} from 'node:http';

const [url, secret, rate, seconds, sample] = [process.argv[2], process.argv[3], +process.argv[4], +process.argv[5], process.argv[6]];
const body = Buffer.from(JSON.parse(readFileSync(sample)).body);
const agent = new Agent({keepAlive: true, maxSockets: 64});
const signature = 'sha256=' + createHmac('sha256', secret).update(body).digest('hex');
const WARM_MS = 2000;
const all = [], warm = [], statuses = {};
let sent = 0, open = 0;
const total = rate * seconds, begin = performance.now();

function send() {
	const from = begin + (sent++ / rate) * 1000; // when it was due, not when it was possible
	// Each has a name and a content of its own: nothing is known already.
	const own = Buffer.from(body.toString().replace(/"updated_at":"[^"]*"/g, `"updated_at":"${sent}"`));
	const mac = own.equals(body) ? signature : 'sha256=' + createHmac('sha256', secret).update(own).digest('hex');
	open++;
	const out = request(url, {method: 'POST', agent, headers: {'content-type': 'application/json', 'content-length': own.length, 'x-github-event': 'issue_comment', 'x-github-delivery': randomUUID(), 'x-hub-signature-256': mac}}, (answer) => {
		answer.resume().on('end', () => {
			const wait = performance.now() - from;
			all.push(wait);
			if (from - begin >= WARM_MS) warm.push(wait);
			statuses[answer.statusCode] = (statuses[answer.statusCode] ?? 0) + 1;
			open--;
		});
	});
	out.on('error', (error) => { statuses[error.code] = (statuses[error.code] ?? 0) + 1; open--; });
	out.end(own);
}

function spread(waits) {
	waits.sort((a, b) => a - b);
	const at = (p) => waits[Math.min(waits.length - 1, Math.floor(waits.length * p))]?.toFixed(2);
	return `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`;
}

const timer = setInterval(() => {
	while (sent < total && performance.now() - begin >= (sent / rate) * 1000) send();
	if (sent < total || open) return;
	clearInterval(timer);
	agent.destroy();
	console.log(`${all.length} deliveries of ${body.length} bytes in ${((performance.now() - begin) / 1000).toFixed(1)} s: ${spread(all)}; answers ${JSON.stringify(statuses)}`);
	if (warm.length) console.log(`those after ${WARM_MS / 1000} s: ${spread(warm)}`);
}, 1);
