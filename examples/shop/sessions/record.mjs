// Drives a running front through two sessions and writes what was said as HAR 1.2: browse.har and purchase.har.
// usage: node sessions/record.mjs http://127.0.0.1:8080 [folder]
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const [origin = 'http://front:8080', folder = 'sessions'] = process.argv.slice(2);
const RECORDED_ORIGIN = 'http://shop.localhost';
const QUIET_MS = 400; // long enough for the worker to finish what an order began

const pairs = (entries) => [...entries].map(([name, value]) => ({ name, value }));

class Recorder {
  entries = [];
  token = null;

  get(path) {
    return this.#exchange('GET', path);
  }

  post(path, body) {
    return this.#exchange('POST', path, body === undefined ? undefined : JSON.stringify(body));
  }

  async #exchange(method, path, text) {
    const headers = { accept: path === '/' ? 'text/html' : 'application/json' };
    if (text !== undefined) headers['content-type'] = 'application/json';
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const startedDateTime = new Date().toISOString();
    const started = performance.now();
    const response = await fetch(origin + path, { method, headers, body: text });
    const answer = await response.text();
    const time = Math.round((performance.now() - started) * 10) / 10;
    this.entries.push({ startedDateTime, time, request: requestOf(method, path, headers, text), response: responseOf(response, answer), cache: {}, timings: { send: 0, wait: time, receive: 0 } });
    if (method === 'POST' && path === '/api/orders') await pause(QUIET_MS);
    return answer.startsWith('{') ? JSON.parse(answer) : answer;
  }
}

function requestOf(method, path, headers, text) {
  const url = new URL(path, RECORDED_ORIGIN);
  return {
    method,
    url: url.href,
    httpVersion: 'HTTP/1.1',
    cookies: [],
    headers: pairs(Object.entries(headers)),
    queryString: pairs(url.searchParams),
    ...(text !== undefined && { postData: { mimeType: 'application/json', text } }),
    headersSize: -1,
    bodySize: Buffer.byteLength(text ?? ''),
  };
}

function responseOf(response, text) {
  const hidden = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding']);
  return {
    status: response.status,
    statusText: response.statusText,
    httpVersion: 'HTTP/1.1',
    cookies: [],
    headers: pairs(response.headers).filter(({ name }) => !hidden.has(name)),
    content: { size: Buffer.byteLength(text), mimeType: response.headers.get('content-type'), text },
    redirectURL: '',
    headersSize: -1,
    bodySize: Buffer.byteLength(text),
  };
}

/** Somebody looks around, signs in, and looks at what they bought before. */
async function browse(shop) {
  await shop.get('/');
  await shop.get('/api/categories');
  await shop.get('/api/products?page=1');
  await shop.get('/api/products?page=2');
  await shop.get('/api/products?q=oak%20chair');
  await shop.get('/api/products?category=Lamps&page=3');
  await shop.get('/api/products/11');
  await shop.get('/api/products/22');
  await shop.get('/api/products/999999');
  await shop.get('/api/cart');
  shop.token = (await shop.post('/api/login', { email: 'ada@example.com', password: 'sunflower' })).token;
  await shop.get('/api/me');
  const { orders } = await shop.get('/api/orders');
  await shop.get(`/api/orders/${orders[0].id}`);
  await shop.get('/api/orders/59999');
  await shop.get('/api/reports/daily?days=7');
}

/** Somebody signs in, fills a cart, changes their mind, pays, and looks at what it did. */
async function purchase(shop) {
  await shop.get('/');
  await shop.post('/api/login', { email: 'mateo.lindqvist2@example.com', password: 'rose' });
  shop.token = (await shop.post('/api/login', { email: 'mateo.lindqvist2@example.com', password: 'sunflower' })).token;
  await shop.get('/api/products?q=walnut');
  await shop.get('/api/products/12');
  await shop.post('/api/cart', { product_id: 12, quantity: 3 });
  await shop.post('/api/cart', { product_id: 15, quantity: 1 });
  await shop.post('/api/cart', { product_id: 22, quantity: 12 });
  await shop.post('/api/cart', { product_id: 15, quantity: 0 });
  await shop.get('/api/cart');
  const order = await shop.post('/api/orders');
  await shop.get(`/api/orders/${order.id}`);
  await shop.get('/api/products/12');
  await shop.get('/api/products/22');
  await shop.get('/api/cart');
  await shop.post('/api/orders');
  await shop.get('/api/reports/daily?days=2');
  await shop.post('/api/logout');
  await shop.get('/api/orders');
}

for (const [name, tell] of Object.entries({ browse, purchase })) {
  const shop = new Recorder();
  await tell(shop);
  const log = { version: '1.2', creator: { name: 'record.mjs', version: '1' }, comment: `The ${name} session of the example shop`, entries: shop.entries };
  writeFileSync(`${folder}/${name}.har`, JSON.stringify({ log }, null, 1) + '\n');
  console.log(`${name}: ${shop.entries.map((e) => e.response.status).join(' ')}`);
}
