// The end-to-end suite: one customer buys something through a running front; report in reports/e2e.xml.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { writeReport } from './junit.mjs';

const front = process.env.FRONT_URL ?? 'http://front:8080';
const DEADLINE_MS = 5000;
const PRODUCT = 14;

let token;
let order;
let stockBefore;

async function api(method, path, body) {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(front + path, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, json: await response.json() };
}

async function eventually(question, isRight) {
  for (const until = Date.now() + DEADLINE_MS; ; await pause(20)) {
    const { json } = await question();
    if (isRight(json)) return json;
    assert.ok(Date.now() < until, `still ${JSON.stringify(json)}`);
  }
}

const STORY = {
  'the storefront is served': async () => {
    const response = await fetch(front + '/');
    assert.equal(response.status, 200);
    assert.match(await response.text(), /Harbor &amp; Pine/);
  },
  'a search finds what it is asked for': async () => {
    const { json } = await api('GET', '/api/products?q=oak%20chair');
    assert.ok(json.items.length > 0 && json.items.every((item) => /Oak Chair/.test(item.name)));
  },
  'a customer signs in': async () => {
    const { status, json } = await api('POST', '/api/login', { email: 'ada@example.com', password: 'sunflower' });
    assert.equal(status, 200);
    token = json.token;
  },
  'a product goes into the cart and the cart adds up': async () => {
    const product = (await api('GET', `/api/products/${PRODUCT}`)).json;
    stockBefore = product.stock;
    const { json } = await api('POST', '/api/cart', { product_id: PRODUCT, quantity: 2 });
    assert.equal(json.lines[0].unit_cents, product.price_cents);
    assert.equal(json.total_cents, json.subtotal_cents - json.discount_cents + json.shipping_cents + json.tax_cents);
  },
  'the order costs what the cart said': async () => {
    const cart = (await api('GET', '/api/cart')).json;
    const { status, json } = await api('POST', '/api/orders');
    assert.equal(status, 201);
    assert.equal(json.total_cents, cart.total_cents);
    order = json;
  },
  'the worker confirms the order and counts the stock down': async () => {
    await eventually(() => api('GET', `/api/orders/${order.id}`), (json) => json.status === 'confirmed');
    await eventually(() => api('GET', `/api/products/${PRODUCT}`), (json) => json.stock === stockBefore - 2);
  },
  'the order is in the report of its day': async () => {
    const { json } = await api('GET', '/api/reports/daily?days=1');
    assert.equal(json.days[0].day, order.created_at.slice(0, 10));
    assert.ok(json.days[0].orders >= 1);
  },
};

const cases = [];
for (const [name, tell] of Object.entries(STORY)) {
  const started = performance.now();
  let failure;
  await tell().catch((error) => (failure = String(error.message ?? error)));
  cases.push({ name, classname: 'tests.e2e', file: 'tests/e2e.mjs', seconds: (performance.now() - started) / 1000, failure });
  console.log(`${failure === undefined ? 'ok' : 'FAILED'} ${name}${failure === undefined ? '' : `: ${failure}`}`);
}
writeReport('reports/e2e.xml', { e2e: cases });
process.exitCode = cases.some((c) => c.failure !== undefined) ? 1 : 0;
