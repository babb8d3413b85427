// The unit suite: every service's tests, each with its neighbours mocked, side by side, in one report: reports/unit.xml.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { writeReport } from './junit.mjs';

const frontTests = readdirSync('front/test').filter((name) => name.endsWith('.test.js')).map((name) => `front/test/${name}`);
const RUNNERS = [
  { argv: ['node', '--test', '--test-reporter=./tests/node-reporter.mjs', ...frontTests], parse: jsonLines },
  { argv: ['/usr/bin/python3', 'tests/python_reporter.py'], parse: jsonLines, env: { PYTHONPATH: '.' } },
  { argv: ['make', '-s', '-C', 'pricing', 'test'], parse: tapLines },
];

function run({ argv: [program, ...rest], env }) {
  return new Promise((resolve) => {
    const child = spawn(program, rest, { env: { ...process.env, NODE_OPTIONS: '', ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.on('error', (error) => resolve({ code: 127, text: String(error) }));
    child.on('close', (code) => resolve({ code, text }));
  });
}

function jsonLines(text) {
  return text.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}

function tapLines(text) {
  const cases = [];
  for (const [, not, name] of text.matchAll(/^(not )?ok \d+ - (.*)$/gm)) {
    cases.push({ name, file: 'pricing/test/test_pricing.c', seconds: 0, failure: not ? 'not ok' : undefined });
  }
  return cases;
}

const results = await Promise.all(RUNNERS.map(async (runner) => ({ runner, ...(await run(runner)) })));
const suites = {};
let broken = false;
for (const { runner, code, text } of results) {
  const cases = runner.parse(text);
  for (const c of cases) (suites[c.file.split('/')[0]] ??= []).push({ ...c, classname: c.file.replace(/\.\w+$/, '').replaceAll('/', '.') });
  if (code === 0 && cases.length > 0) continue;
  broken = true;
  if (!cases.some((c) => c.failure !== undefined)) console.error(`${runner.argv.join(' ')} ended with ${code}:\n${text}`);
}
writeReport('reports/unit.xml', suites);

const all = Object.values(suites).flat();
const failed = all.filter((c) => c.failure !== undefined);
for (const c of failed) console.log(`FAILED ${c.classname}: ${c.name}\n  ${c.failure.split('\n').join('\n  ')}`);
console.log(`${all.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 || broken ? 1 : 0;
