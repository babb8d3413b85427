// The words and the markup of the page.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { escape, money, priceTag, stockNote } from '../public/format.js';

test('money is shown in euros and cents', () => {
  assert.equal(money(123450), '€1,234.50');
  assert.equal(money(-5), '-€0.05');
});

test('a price tag shows the price', () => {
  assert.match(priceTag({ price_cents: 4990 }), /€49\.90/);
});

test('markup in a name is text', () => {
  assert.equal(escape('<b>"R&D"</b>'), '&#60;b&#62;&#34;R&#38;D&#34;&#60;/b&#62;');
});

test('little stock is worth a colour', () => {
  assert.deepEqual(stockNote(0), { text: 'Sold out', low: true });
  assert.deepEqual(stockNote(7), { text: 'Only 7 left', low: true });
  assert.deepEqual(stockNote(70), { text: 'In stock', low: false });
});
