'use strict';
const http = require('node:http');
const crypto = require('node:crypto');
const { money } = require('./format.js');

const sessions = new Map();
const key = crypto.randomBytes(32); // of this process: a token of another is none

function store(method, path, id, body) {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = { 'x-request-id': id, 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const request = http.request({ host: 'store', port: 8000, method, path, headers, timeout: 4000 }, (reply) => {
      const parts = [];
      reply.on('data', (part) => parts.push(part));
      reply.on('end', () => {
        if (reply.statusCode >= 500) return reject(new Error(`the store answered ${reply.statusCode}`));
        resolve({ status: reply.statusCode, body: JSON.parse(Buffer.concat(parts).toString() || 'null') });
      });
    });
    request.on('timeout', () => request.destroy(new Error('the store takes too long')));
    request.on('error', reject);
    request.end(text);
  });
}

function body_of(request) {
  return new Promise((resolve) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => resolve(parts.length ? JSON.parse(Buffer.concat(parts).toString()) : {}));
  });
}

function send(reply, status, body, headers) {
  reply.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  reply.end(JSON.stringify(body));
}

async function login(request, reply) {
  const { name } = await body_of(request);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: name, jti: crypto.randomUUID() })}`;
  const token = `${claims}.${crypto.createHmac('sha256', key).update(claims).digest('base64url')}`;
  sessions.set(token, name);
  send(reply, 200, { token, name }, { 'set-cookie': `sid=${token}; Path=/; HttpOnly` });
}

async function items(request, reply, id) {
  const answer = await store('GET', '/items?limit=3', id);
  const list = answer.body.items;
  send(reply, answer.status, { items: list.map((item) => ({ ...item, price: money(item.price_cents) })) });
}

async function order(request, reply, id) {
  const token = /sid=([\w.-]+)/.exec(request.headers.cookie || '');
  if (!token || !sessions.has(token[1])) return send(reply, 401, { error: 'please sign in' });
  const answer = await store('POST', '/orders', id, { ...(await body_of(request)), token: token[1] });
  send(reply, answer.status, answer.body);
}

const server = http.createServer(async (request, reply) => {
  const id = request.headers['x-request-id'] || crypto.randomUUID();
  const route = `${request.method} ${request.url.replace(/\d+$/, 'N')}`;
  reply.setHeader('x-request-id', id);
  try {
    if (route === 'GET /healthz') return send(reply, 200, { ok: true });
    if (route === 'POST /api/login') return await login(request, reply);
    if (route === 'GET /api/items') return await items(request, reply, id);
    if (route === 'POST /api/orders') return await order(request, reply, id);
    if (route === 'GET /api/orders/N') {
      const answer = await store('GET', `/orders/${request.url.split('/').pop()}`, id);
      return send(reply, answer.status, answer.body);
    }
    send(reply, 404, { error: 'no such page' });
  } catch (problem) {
    send(reply, 502, { error: String(problem.message) });
  }
});
server.listen(Number(process.env.PORT));
