// Calls to the services behind the storefront: JSON over HTTP, a deadline, one more try when nobody answered a read.
import { request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { Refused } from './refused.js';
import { log } from './journal.js';

const TIMEOUT_MS = 8000;
const READ_TRIES = 3;
const REFUSALS_PASSED_ON = new Set([400, 401, 402, 404, 409, 422]);

/** Returns {get(path, context), post(path, body, context)}, which yield the JSON of a good answer and refuse otherwise. */
export function callNeighbour(name, base) {
  return {
    get: async (path, context) => judge(name, await readWithRetry(name, base + path, context)),
    post: async (path, body, context) => judge(name, await callOnce(name, 'POST', base + path, context, JSON.stringify(body))),
  };
}

/** A refusal that concerns the client is the client's; anything else that is not a success is a bad gateway. */
export function judge(name, { status, json }) {
  if (status >= 200 && status < 300) return json;
  if (REFUSALS_PASSED_ON.has(status)) throw new Refused(status, json.error ?? 'refused');
  log('error', 'neighbour failed', { neighbour: name, status, reason: json.error ?? '-' });
  throw new Refused(status === 503 ? 503 : 502, json.error ?? `${name} answered ${status}`);
}

async function readWithRetry(name, url, context) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await callOnce(name, 'GET', url, context);
    } catch (error) {
      if (attempt === READ_TRIES) throw error;
      await pause(50 * 2 ** attempt);
    }
  }
}

function callOnce(name, method, url, context, body = '') {
  const headers = { ...context, connection: 'close', 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const fail = (reason) => {
      log('error', 'neighbour unreachable', { neighbour: name, reason });
      reject(new Refused(503, `${name} is not answering`));
    };
    const call = request(url, { method, headers, agent: false, timeout: TIMEOUT_MS }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', (error) => fail(error.message));
      response.on('end', () => {
        try {
          resolve({ status: response.statusCode, json: JSON.parse(Buffer.concat(chunks).toString()) });
        } catch {
          fail('the answer is not JSON');
        }
      });
    });
    call.on('timeout', () => call.destroy(new Error('timeout')));
    call.on('error', (error) => fail(error.message));
    call.end(body);
  });
}
