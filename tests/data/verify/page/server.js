'use strict';
const http = require('node:http');

const style = `
  body { font: 16px sans-serif; margin: 40px }
  .price { color: #1a5fb4; font-size: 40px }
  .clock { position: absolute; top: 500px; left: 600px }
`;
const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>${title}</title><style>${style}</style>
<h1>${title}</h1>${body}<div class="clock" aria-hidden="true">${Math.random()}</div>
<script src="/app.js"></script></html>`;

const routes = {
  '/': () => ['text/html', page('Shop', '<p class="price">12.05</p><button>Buy</button> <a href="/about">About us</a>')],
  '/about': () => ['text/html', page('About us', '<p>We sell things.</p>')],
  '/app.js': () => ['text/javascript', "document.body.dataset.ready = 'yes';"],
  '/healthz': () => ['text/plain', 'ok'],
};

http.createServer((request, reply) => {
  const route = routes[request.url];
  const [type, text] = route ? route() : ['text/plain', 'no such page'];
  reply.writeHead(route ? 200 : 404, { 'content-type': type });
  reply.end(text);
}).listen(8080);
