// The JSON API, with every neighbour and Redis mocked.
import { mock, test } from 'node:test';
import assert from 'node:assert/strict';
import { apiRoutes } from '../src/api.js';
import { Sessions } from '../src/sessions.js';
import { contextOf } from '../src/router.js';
import { judge } from '../src/neighbours.js';

class FakeRedis {
  values = new Map();
  hashes = new Map();

  async call(verb, key, ...rest) {
    switch (verb) {
      case 'SET': return this.values.set(key, rest[0]) && 'OK';
      case 'GET': return this.values.get(key) ?? null;
      case 'HSET': return this.hash(key).set(String(rest[0]), String(rest[1])) && 1;
      case 'HDEL': return this.hash(key).delete(String(rest[0])) ? 1 : 0;
      case 'HGETALL': return [...this.hash(key)].flat();
      case 'DEL': return [key, ...rest].forEach((k) => this.values.delete(k) || this.hashes.delete(k));
      default: return 'OK';
    }
  }

  hash(key) {
    if (!this.hashes.has(key)) this.hashes.set(key, new Map());
    return this.hashes.get(key);
  }
}

function shop() {
  const redis = new FakeRedis();
  const customer = { id: 1, name: 'Ada', email: 'ada@example.com', country: 'DE' };
  const neighbours = {
    catalog: { get: mock.fn(async (path) => (path.startsWith('/promotions') ? { promotions: [] } : { id: 3, name: 'Mug', price_cents: 1490 })) },
    pricing: { post: mock.fn(async () => ({ total_cents: 2356, lines: [{ discount_cents: 0, net_cents: 1490 }] })) },
    orders: {
      get: mock.fn(async () => ({ id: 9, customer_id: 1 })),
      post: mock.fn(async (path) => (path === '/orders' ? { id: 9, total_cents: 2356 } : customer)),
    },
  };
  const routes = apiRoutes(neighbours, new Sessions(redis), redis);
  const call = (method, path, { token, body = {} } = {}) => {
    const url = new URL(path, 'http://front');
    const route = routes.find((r) => r.method === method && r.pattern.test(url.pathname));
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    return route.handle({ context: {}, headers, query: url.searchParams, arguments: route.pattern.exec(url.pathname).slice(1), json: async () => body });
  };
  return { neighbours, call };
}

test('a login answers with a token that later requests may use', async () => {
  const { call } = shop();
  const { json } = await call('POST', '/api/login', { body: { email: 'ada@example.com', password: 'x' } });
  assert.match(json.token, /^[0-9a-f]{40}$/);
  assert.equal((await call('GET', '/api/me', { token: json.token })).json.name, 'Ada');
});

test('a request without a token is refused with 401', async () => {
  await assert.rejects(shop().call('GET', '/api/cart'), { status: 401 });
});

test('products pass through as the catalog gave them', async () => {
  const { call, neighbours } = shop();
  assert.deepEqual((await call('GET', '/api/products/3')).json, { id: 3, name: 'Mug', price_cents: 1490 });
  await call('GET', '/api/products?page=2&q=oak&nonsense=1');
  assert.equal(neighbours.catalog.get.mock.calls[1].arguments[0], '/products?page=2&q=oak');
});

test('an order is placed with the lines of the cart, which is then empty', async () => {
  const { call, neighbours } = shop();
  const { token } = (await call('POST', '/api/login')).json;
  await call('POST', '/api/cart', { token, body: { product_id: 3, quantity: 1 } });
  assert.equal((await call('POST', '/api/orders', { token })).status, 201);
  assert.deepEqual(neighbours.orders.post.mock.calls[1].arguments[1], { customer_id: 1, lines: [{ product_id: 3, quantity: 1 }] });
  assert.deepEqual((await call('GET', '/api/cart', { token })).json.lines, []);
});

test('an empty cart cannot be ordered', async () => {
  const { call } = shop();
  const { token } = (await call('POST', '/api/login')).json;
  await assert.rejects(call('POST', '/api/orders', { token }), { status: 422 });
});

test('somebody else\'s order is not found', async () => {
  const { call, neighbours } = shop();
  const { token } = (await call('POST', '/api/login')).json;
  neighbours.orders.get.mock.mockImplementation(async () => ({ id: 9, customer_id: 2 }));
  await assert.rejects(call('GET', '/api/orders/9', { token }), { status: 404 });
});

test('a quantity of a hundred is refused', async () => {
  const { call } = shop();
  const { token } = (await call('POST', '/api/login')).json;
  await assert.rejects(call('POST', '/api/cart', { token, body: { product_id: 3, quantity: 100 } }), { status: 422 });
});

test('the context of a request is kept, or made up', () => {
  assert.equal(contextOf({ traceparent: 't', 'x-request-id': 'r' }).traceparent, 't');
  assert.match(contextOf({}).traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

test('a neighbour\'s refusal is passed on and its failure is a bad gateway', () => {
  assert.throws(() => judge('orders', { status: 409, json: { error: 'sold out' } }), { status: 409, message: 'sold out' });
  assert.throws(() => judge('orders', { status: 500, json: {} }), { status: 502 });
});
