// The worker of the bench's application: takes jobs from a list in Redis and counts them.
'use strict';

const net = require('node:net');

const cache = new URL(process.env.CACHE_URL || 'redis://cache:6379');
const RETRY_MS = 5;

function work() {
	const socket = net.connect(Number(cache.port) || 6379, cache.hostname);
	const next = () => socket.write('BLPOP jobs 0\r\n');
	let counting = false;

	socket.on('connect', next);
	socket.on('data', () => {
		counting = !counting;
		if (counting)
			socket.write('INCR jobs.done\r\n');
		else
			next();
	});
	socket.on('error', () => {});
	socket.on('close', () => setTimeout(work, RETRY_MS));
}

process.on('SIGTERM', () => process.exit(0));
work();
