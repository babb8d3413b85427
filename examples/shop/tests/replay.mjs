// Replays recorded sessions against a running front and compares what two replays answered, for tests/check.mjs.
import { readFileSync, readdirSync } from 'node:fs';

const LEARNED_LENGTH_MIN = 12;

/** Plays every session in `folder`, waiting for quiet after each request; returns the exchanges in order. */
export async function replay(folder, system) {
  const played = [];
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.har')).sort()) {
    const live = new Map(); // what was recorded -> what is said now
    const { entries } = JSON.parse(readFileSync(`${folder}/${name}`)).log;
    for (const { request, response } of entries) {
      const answer = await ask(system.front, request, live);
      learn(jsonOf(response.content.text), jsonOf(answer.text), live);
      const { pathname } = new URL(request.url);
      played.push({ name, request: `${request.method} ${pathname}`, recorded: response.status, status: answer.status, type: answer.type, body: jsonOf(answer.text) });
      await system.quiet();
    }
  }
  return played;
}

async function ask(origin, request, live) {
  const now = (text) => [...live].reduce((sum, [recorded, value]) => sum.replaceAll(recorded, value), text);
  const { pathname, search } = new URL(request.url);
  const headers = Object.fromEntries(request.headers.map(({ name, value }) => [name, now(value)]));
  const response = await fetch(origin + now(pathname + search), { method: request.method, headers, body: request.postData && now(request.postData.text) });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

function jsonOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function learn(recorded, value, live) {
  if (typeof recorded === 'string' && typeof value === 'string') {
    if (recorded.length >= LEARNED_LENGTH_MIN && recorded !== value && !/\s/.test(recorded)) live.set(recorded, value);
  } else if (recorded && value && typeof recorded === 'object') {
    for (const key of Object.keys(recorded)) learn(recorded[key], value[key], live);
  }
}

/** Compares two replays: [{request, path, kind: 'status' | 'type' | 'lost' | 'changed' | 'added', expected, got}]. */
export function compare(base, head) {
  return base.flatMap((expected, i) => {
    const { request } = expected;
    const got = head[i];
    if (expected.status !== got.status) return [{ request, path: 'status', kind: 'status', expected: expected.status, got: got.status, reason: got.body.error }];
    if (expected.type !== got.type) return [{ request, path: 'content-type', kind: 'type', expected: expected.type, got: got.type }];
    return compareValue(expected.body, got.body, 'body').map((difference) => ({ request, ...difference }));
  });
}

function compareValue(expected, got, path) {
  if (kindOf(expected) !== kindOf(got)) return [{ path, kind: 'type', expected, got }];
  if (expected === null || typeof expected !== 'object') return expected === got ? [] : [{ path, kind: 'changed', expected, got }];
  const keys = new Set([...Object.keys(expected), ...Object.keys(got)]);
  return [...keys].flatMap((key) => {
    const inside = `${path}.${key}`;
    if (!(key in got)) return [{ path: inside, kind: 'lost', expected: expected[key] }];
    if (!(key in expected)) return [{ path: inside, kind: 'added', got: got[key] }];
    return compareValue(expected[key], got[key], inside);
  });
}

function kindOf(value) {
  return Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value;
}
