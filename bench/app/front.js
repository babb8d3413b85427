// The front of the bench's application: one page made of what the API found in PostgreSQL and a counter in Redis.
'use strict';

const http = require('node:http');
const net = require('node:net');

const API_URL = process.env.API_URL || 'http://api:8000';
const cache = new URL(process.env.CACHE_URL || 'redis://cache:6379');
const RETRY_MS = 5;

// Sends one command to Redis and resolves to the first line of its answer.
function redis(...words) {
	return new Promise((resolve, reject) => {
		const socket = net.connect(Number(cache.port) || 6379, cache.hostname);
		socket.on('connect', () => socket.write(`*${words.length}\r\n` +
			words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')));
		socket.on('data', (data) => { resolve(data.toString().split('\r\n')[0]); socket.end(); });
		socket.on('error', reject);
	});
}

// Resolves to the parsed JSON that the API answers.
function api(path) {
	return new Promise((resolve, reject) => {
		http.get(API_URL + path, (response) => {
			let body = '';
			response.on('data', (part) => { body += part; });
			response.on('end', () => {
				if (response.statusCode === 200)
					resolve(JSON.parse(body));
				else
					reject(new Error(`the API answered ${response.statusCode}`));
			});
		}).on('error', reject);
	});
}

async function page() {
	const [items, visits] = await Promise.all([api('/items'), redis('INCR', 'visits'), redis('RPUSH', 'jobs', 'visit')]);
	return JSON.stringify({ items: items.length, first: items[0].name, visits: Number(visits.slice(1)) });
}

const server = http.createServer((request, response) => {
	page().then(
		(body) => response.writeHead(200, { 'content-type': 'application/json' }).end(body),
		(error) => response.writeHead(503).end(error.message));
});

// Listens once everything behind it answers, so that a listening front means a working application.
(function start() {
	page().then(() => server.listen(Number(process.env.PORT) || 8080, '0.0.0.0'), () => setTimeout(start, RETRY_MS));
})();

process.on('SIGTERM', () => process.exit(0));
