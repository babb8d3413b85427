// A link of a chain: says who it is and asks the next one, with the context that it was asked with, or without.
const fs = require('fs');
const http = require('http');
const net = require('net');

const name = process.env.ASSAY_SERVICE + fs.readFileSync('version.txt', 'utf8').trim();
const agent = new http.Agent({keepAlive: true});
const held = [];

/** What the environment's own Redis has counted. */
function count(done) {
	const redis = net.connect(6379, 'cache', () => redis.write('INCR visits\r\n'));

	redis.on('data', (data) => { redis.end(); done(data.toString().slice(1).trim()); });
}

/** The next one's answer. `drops`: of the context, the baggage. */
function ask(request, drops, done) {
	const headers = {};

	for (const field of ['baggage', 'traceparent'])
		if (request.headers[field] && !(drops && field === 'baggage'))
			headers[field] = request.headers[field];
	const call = http.get(process.env.NEXT + request.url, {headers, agent}, (reply) => {
		let text = '';

		reply.on('data', (data) => { text += data; });
		reply.on('end', () => done(reply.statusCode, text));
	});
	call.on('error', (error) => done(599, error.message));
}

http.createServer((request, reply) => {
	const lossy = request.url.startsWith('/lossy') && process.env.ASSAY_SERVICE === 'front';
	const answer = (status, text) => { reply.statusCode = status; reply.end(text); };

	if (request.url === '/healthz')
		return answer(200, 'ok');
	if (request.url === '/baggage')
		return process.env.NEXT && process.env.ASSAY_SERVICE === 'front' ? ask(request, false, answer) : answer(200, request.headers.baggage || 'none');
	if (request.url === '/count')
		return process.env.ASSAY_SERVICE === 'orders' ? count((visits) => answer(200, visits)) : ask(request, false, answer);
	const go = () => process.env.NEXT ? ask(request, lossy, (status, text) => answer(status, `${name}>${text}`)) : answer(200, name);

	/* Two of them are under way at once. */
	if (request.url === '/lossy/together' && lossy)
		return held.push(go) === 2 ? held.splice(0).forEach((each) => each()) : undefined;
	go();
}).listen(process.env.PORT, '127.0.0.1');
