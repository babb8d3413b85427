'use strict';
const test = require('node:test');
const assert = require('node:assert');
const { money } = require('../money.js');

test('money has two decimals', () => {
  assert.strictEqual(money(1205), '12.05');
});

test('money of nothing is nothing', () => {
  assert.strictEqual(money(0), '0.00');
});
