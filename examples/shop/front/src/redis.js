// The part of Redis that sessions need: RESP2 over one socket, opened when first used and again when lost.
import { connect } from 'node:net';

const TIMEOUT_MS = 5000;

export class RedisError extends Error {}

export class Redis {
  #url;
  #socket = null;
  #waiting = [];
  #buffer = Buffer.alloc(0);

  constructor(url) {
    this.#url = new URL(url);
  }

  /** Sends one command; a lost connection is opened again once, since everything sessions do may be done twice. */
  async call(...words) {
    try {
      return await this.#send(words);
    } catch (error) {
      if (error instanceof RedisError) throw error;
      return this.#send(words);
    }
  }

  close() {
    this.#socket?.destroy();
  }

  #send(words) {
    return new Promise((resolve, reject) => {
      this.#open();
      this.#waiting.push({ resolve, reject });
      this.#socket.write(encode(words));
    });
  }

  #open() {
    if (this.#socket) return;
    const socket = connect({ host: this.#url.hostname, port: Number(this.#url.port || 6379), noDelay: true });
    socket.setTimeout(TIMEOUT_MS, () => this.#waiting.length && socket.destroy(new Error('timeout')));
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', (error) => this.#lose(socket, error));
    socket.on('close', () => this.#lose(socket, new Error('redis hung up')));
    this.#socket = socket;
  }

  #lose(socket, error) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#buffer = Buffer.alloc(0);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #take(chunk) {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    for (let answer; (answer = decode(this.#buffer, 0)); ) {
      this.#buffer = this.#buffer.subarray(answer.end);
      const { resolve, reject } = this.#waiting.shift();
      if (answer.value instanceof RedisError) reject(answer.value);
      else resolve(answer.value);
    }
  }
}

export function encode(words) {
  return `*${words.length}\r\n` + words.map((word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`).join('');
}

/** Decodes the answer that begins at `at`: {value, end}, or null if it is not all there yet. */
export function decode(buffer, at) {
  const eol = buffer.indexOf('\r\n', at);
  if (eol < 0) return null;
  const rest = buffer.toString('utf8', at + 1, eol);
  const end = eol + 2;
  switch (String.fromCharCode(buffer[at])) {
    case '+': return { value: rest, end };
    case '-': return { value: new RedisError(rest), end };
    case ':': return { value: Number(rest), end };
    case '$': return decodeBulk(buffer, Number(rest), end);
    case '*': return decodeArray(buffer, Number(rest), end);
    default: throw new Error('redis speaks something else');
  }
}

function decodeBulk(buffer, length, at) {
  if (length < 0) return { value: null, end: at };
  if (buffer.length < at + length + 2) return null;
  return { value: buffer.toString('utf8', at, at + length), end: at + length + 2 };
}

function decodeArray(buffer, count, at) {
  const value = [];
  for (let i = 0, end = at; i < count; i++, at = end) {
    const item = decode(buffer, at);
    if (!item) return null;
    value.push(item.value);
    end = item.end;
  }
  return { value, end: at };
}
