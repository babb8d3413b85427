// From a request to its handler and back: a table of routes, a trace context, a log line, an answer whatever happens.
import { randomBytes } from 'node:crypto';
import { Refused } from './refused.js';
import { log } from './journal.js';

const BODY_BYTES_MAX = 64 * 1024;
const CARRIED = ['tracestate', 'baggage', 'idempotency-key'];

/** Routes are {method, pattern, handle}; handle takes a request and returns {status, json | body, headers}. */
export function router(routes) {
  return async (incoming, outgoing) => {
    const started = process.hrtime.bigint();
    const context = contextOf(incoming.headers);
    const answer = await answerOf(routes, incoming, context);
    send(incoming, outgoing, answer, context);
    const ms = (Number(process.hrtime.bigint() - started) / 1e6).toFixed(1);
    const fields = { method: incoming.method, path: incoming.url, status: answer.status, ms };
    log('info', 'request', { ...fields, request: context['x-request-id'] });
  };
}

/** The headers that every call made on behalf of a request carries on; made up here if the client sent none. */
export function contextOf(headers) {
  const context = {
    'x-request-id': headers['x-request-id'] ?? randomBytes(8).toString('hex'),
    traceparent: headers.traceparent ?? `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`,
  };
  for (const name of CARRIED) if (headers[name]) context[name] = headers[name];
  return context;
}

async function answerOf(routes, incoming, context) {
  try {
    const url = new URL(incoming.url, 'http://front');
    const { route, match } = find(routes, incoming.method, url.pathname);
    return await route.handle({
      context,
      headers: incoming.headers,
      query: url.searchParams,
      arguments: match.slice(1),
      json: () => readJson(incoming),
    });
  } catch (error) {
    if (error instanceof Refused) return { status: error.status, json: { error: error.message } };
    log('error', 'request failed', { path: incoming.url, reason: error.message });
    return { status: 500, json: { error: 'internal error' } };
  }
}

function find(routes, method, path) {
  let known = false;
  for (const route of routes) {
    const match = route.pattern.exec(path);
    if (match && route.method === method) return { route, match };
    known ||= match !== null;
  }
  throw known ? new Refused(405, 'no such method here') : new Refused(404, 'not found');
}

async function readJson(incoming) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of incoming) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Refused(413, 'the body is too large');
    chunks.push(chunk);
  }
  try {
    return Object(JSON.parse(Buffer.concat(chunks).toString() || '{}'));
  } catch {
    throw new Refused(400, 'the body is not JSON');
  }
}

function send(incoming, outgoing, answer, context) {
  const body = answer.json === undefined ? answer.body : JSON.stringify(answer.json);
  outgoing.writeHead(answer.status, {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    ...answer.headers,
    'content-length': Buffer.byteLength(body),
    'x-request-id': context['x-request-id'],
  });
  outgoing.end(body);
  incoming.resume();
}
