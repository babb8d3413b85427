const http = require('http');

const page = `<!doctype html><html lang="en"><title>Door</title><style>body { font: 3rem sans-serif; margin: 4rem }</style>
<h1>Come in</h1><button onclick="document.querySelector('h1').textContent = 'Welcome'">Knock</button></html>`;

http.createServer((request, reply) => {
	if (request.url === '/favicon.ico')
		return reply.writeHead(204).end();
	reply.writeHead(200, {'content-type': request.url === '/' ? 'text/html' : 'text/plain'}).end(request.url === '/' ? page : 'ok');
}).listen(process.env.PORT, '127.0.0.1');
