// The Redis protocol, as bytes.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { RedisError, decode, encode } from '../src/redis.js';

test('a command is an array of counted strings', () => {
  assert.equal(encode(['SET', 'k', 'ü']), '*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nü\r\n');
});

test('every kind of answer is decoded', () => {
  const value = (text) => decode(Buffer.from(text), 0).value;
  assert.equal(value('+OK\r\n'), 'OK');
  assert.equal(value(':42\r\n'), 42);
  assert.equal(value('$-1\r\n'), null);
  assert.deepEqual(value('*2\r\n$1\r\na\r\n$1\r\nb\r\n'), ['a', 'b']);
  assert.ok(value('-ERR no\r\n') instanceof RedisError);
});

test('half an answer is waited for', () => {
  const whole = '*2\r\n$3\r\nabc\r\n:7\r\n';
  for (let cut = 0; cut < whole.length; cut++) assert.equal(decode(Buffer.from(whole.slice(0, cut)), 0), null);
});
