// What a cart costs, with the catalog and pricing mocked.
import { mock, test } from 'node:test';
import assert from 'node:assert/strict';
import { priceCart } from '../src/cart.js';

const context = { 'x-request-id': 'r1', traceparent: '00-1-2-01' };
const quote = {
  currency: 'EUR', subtotal_cents: 9980, discount_cents: 998, shipping_cents: 0, tax_cents: 1707, total_cents: 10689,
  lines: [{ product_id: 2, units: 2, gross_cents: 9980, discount_cents: 998, net_cents: 8982 }],
};

function neighbours() {
  return {
    catalog: {
      get: mock.fn(async (path) =>
        path.startsWith('/promotions') ? { promotions: [{ product_id: 2, percent: 10 }] } : { id: 2, name: 'Quiet Oak Mug', price_cents: 4990 }),
    },
    pricing: { post: mock.fn(async () => quote) },
  };
}

test('an empty cart costs nothing and asks nobody', async () => {
  const { catalog, pricing } = neighbours();
  assert.deepEqual(await priceCart({ catalog, pricing }, [], 'DE', context), { lines: [], total_cents: 0 });
  assert.equal(catalog.get.mock.callCount() + pricing.post.mock.callCount(), 0);
});

test('pricing is asked with the price and the promotion of the catalog', async () => {
  const { catalog, pricing } = neighbours();
  await priceCart({ catalog, pricing }, [{ product_id: 2, quantity: 2 }], 'DE', context);
  assert.deepEqual(pricing.post.mock.calls[0].arguments[1], {
    country: 'DE',
    lines: [{ product_id: 2, quantity: 2, unit_cents: 4990, discount_percent: 10 }],
  });
});

test('every call carries the context of the request', async () => {
  const { catalog, pricing } = neighbours();
  await priceCart({ catalog, pricing }, [{ product_id: 2, quantity: 2 }], 'DE', context);
  for (const call of catalog.get.mock.calls) assert.equal(call.arguments[1], context);
  assert.equal(pricing.post.mock.calls[0].arguments[2], context);
});

test('a priced cart has names, amounts and totals', async () => {
  const cart = await priceCart(neighbours(), [{ product_id: 2, quantity: 2 }], 'DE', context);
  assert.equal(cart.total_cents, 10689);
  assert.deepEqual(cart.lines, [{ product_id: 2, quantity: 2, name: 'Quiet Oak Mug', unit_cents: 4990, discount_cents: 998, net_cents: 8982 }]);
});
