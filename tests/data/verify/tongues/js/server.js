'use strict';
const http = require('node:http');
const { money } = require('./money.js');

http
  .createServer((request, reply) => reply.end(request.url === '/healthz' ? 'ok' : money(Number(request.url.slice(1)) || 0)))
  .listen(8080);
