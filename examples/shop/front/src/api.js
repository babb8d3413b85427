// The JSON API: every path below /api, and the health check.
import { priceCart } from './cart.js';
import { Refused } from './refused.js';

const QUANTITY_MAX = 99;

export function apiRoutes({ catalog, pricing, orders }, sessions, redis) {
  const cartOf = async (request, session) =>
    priceCart({ catalog, pricing }, await sessions.cart(session), session.customer.country, request.context);

  const handlers = {
    'GET /healthz': async () => {
      await redis.call('PING');
      return ok({ ok: true });
    },
    'GET /api/products': async ({ query, context }) => ok(await catalog.get(`/products?${listQuery(query)}`, context)),
    'GET /api/products/(\\d{1,9})': async ({ arguments: [id], context }) => ok(await catalog.get(`/products/${id}`, context)),
    'GET /api/categories': async ({ context }) => ok(await catalog.get('/categories', context)),
    'POST /api/login': async ({ json, context }) => {
      const { email, password } = await json();
      const customer = await orders.post('/customers/verify', { email, password }, context);
      return ok({ token: await sessions.begin(customer), customer });
    },
    'POST /api/logout': async (request) => {
      await sessions.end(await sessions.of(request));
      return ok({ ok: true });
    },
    'GET /api/me': async (request) => ok((await sessions.of(request)).customer),
    'GET /api/cart': async (request) => ok(await cartOf(request, await sessions.of(request))),
    'POST /api/cart': async (request) => {
      const session = await sessions.of(request);
      const { product_id, quantity } = await cartLine(request);
      await catalog.get(`/products/${product_id}`, request.context);
      await sessions.cartSet(session, product_id, quantity);
      return ok(await cartOf(request, session));
    },
    'POST /api/orders': async (request) => {
      const session = await sessions.of(request);
      const lines = await sessions.cart(session);
      if (lines.length === 0) throw new Refused(422, 'the cart is empty');
      const order = await orders.post('/orders', { customer_id: session.customer.id, lines }, request.context);
      await sessions.cartEmpty(session);
      return { status: 201, json: order };
    },
    'GET /api/orders': async (request) => {
      const { customer } = await sessions.of(request);
      return ok(await orders.get(`/orders?customer_id=${customer.id}`, request.context));
    },
    'GET /api/orders/(\\d{1,9})': async (request) => {
      const { customer } = await sessions.of(request);
      const order = await orders.get(`/orders/${request.arguments[0]}`, request.context);
      if (order.customer_id !== customer.id) throw new Refused(404, 'no such order');
      return ok(order);
    },
    'GET /api/reports/daily': async ({ query, context }) =>
      ok(await orders.get(`/reports/daily?${new URLSearchParams({ days: query.get('days') ?? '7' })}`, context)),
  };
  return Object.entries(handlers).map(([key, handle]) => {
    const [method, path] = key.split(' ');
    return { method, pattern: new RegExp(`^${path}$`), handle };
  });
}

function ok(json) {
  return { status: 200, json };
}

function listQuery(query) {
  const wanted = new URLSearchParams();
  for (const name of ['page', 'q', 'category']) if (query.get(name)) wanted.set(name, query.get(name));
  return wanted;
}

async function cartLine(request) {
  const line = await request.json();
  const quantityFits = Number.isInteger(line.quantity) && line.quantity >= 0 && line.quantity <= QUANTITY_MAX;
  if (!Number.isInteger(line.product_id) || !quantityFits) throw new Refused(422, 'a line needs a product_id and a quantity of 0 to 99');
  return line;
}
