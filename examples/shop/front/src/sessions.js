// Who is signed in, and what is in their cart: in Redis, for a day.
import { randomBytes } from 'node:crypto';
import { Refused } from './refused.js';

const LIFE_S = 86400;

export class Sessions {
  #redis;

  constructor(redis) {
    this.#redis = redis;
  }

  async begin(customer) {
    const token = randomBytes(20).toString('hex');
    await this.#redis.call('SET', `session:${token}`, JSON.stringify(customer), 'EX', LIFE_S);
    return token;
  }

  /** The session of a request, or a refusal. */
  async of(request) {
    const token = /^Bearer ([0-9a-f]{40})$/.exec(request.headers.authorization ?? '')?.[1];
    const text = token && (await this.#redis.call('GET', `session:${token}`));
    if (!text) throw new Refused(401, 'please sign in');
    return { token, customer: JSON.parse(text) };
  }

  async end(session) {
    await this.#redis.call('DEL', `session:${session.token}`, `cart:${session.token}`);
  }

  /** The cart as [{product_id, quantity}], by product. */
  async cart(session) {
    const words = await this.#redis.call('HGETALL', `cart:${session.token}`);
    const lines = [];
    for (let i = 0; i < words.length; i += 2) lines.push({ product_id: Number(words[i]), quantity: Number(words[i + 1]) });
    return lines.sort((a, b) => a.product_id - b.product_id);
  }

  async cartSet(session, productId, quantity) {
    const key = `cart:${session.token}`;
    if (quantity === 0) return this.#redis.call('HDEL', key, productId);
    await this.#redis.call('HSET', key, productId, quantity);
    return this.#redis.call('EXPIRE', key, LIFE_S);
  }

  async cartEmpty(session) {
    await this.#redis.call('DEL', `cart:${session.token}`);
  }
}
