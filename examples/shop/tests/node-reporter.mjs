// A reporter for `node --test`: one JSON line per test, for tests/unit.mjs.
import { relative } from 'node:path';

export default async function* report(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite' || data.name.endsWith('.test.js')) continue;
    const error = data.details.error?.cause ?? data.details.error;
    const failure = type === 'test:fail' ? String(error?.message ?? error) : undefined;
    const file = data.file ? relative(process.cwd(), data.file) : 'front/test';
    yield JSON.stringify({ name: data.name, file, seconds: data.details.duration_ms / 1000, failure }) + '\n';
  }
}
