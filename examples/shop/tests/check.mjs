// The example's check of itself, started by check.sh: base, every mistake of the demo agent, its mending, and its follow-ups. TAP.
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { promisify } from 'node:util';
import { compare, replay } from './replay.mjs';
import { System, stopAll } from './system.mjs';

const { CHECK_DIR: dir, CHECK_PG: server, CHECK_CACHE: cacheUrl, CHECK_SEED: seed } = process.env;
const AGENT = new URL('../../shop-agent/agent.mjs', import.meta.url).pathname;
const NEW_TESTS = ['catalog/test/test_discount.py', 'front/test/price.test.js', 'orders/test/test_event.py'];

/** What each mistake must do to the recorded sessions: at least this difference, and which it is. */
const MISTAKES = {
  price: ({ request, kind, got }) => request === 'POST /api/orders' && kind === 'status' && got === 502,
  report: ({ request, path, kind }) => request === 'GET /api/reports/daily' && path.endsWith('revenue_cents') && kind === 'changed',
  stock: ({ request, path, kind }) => request === 'GET /api/products/12' && path === 'body.stock' && kind === 'changed',
};

let count = 0;
let failed = 0;

function ok(right, name, ...notes) {
  count++;
  if (!right) failed++;
  console.log(`${right ? '' : 'not '}ok ${count} - ${name}`);
  for (const note of notes) console.log(`#   ${note}`);
}

function run(argv, { cwd = dir, env = {}, input = '' } = {}) {
  const options = { cwd, env: { ...process.env, ...env }, maxBuffer: 1 << 24 };
  const promise = promisify(execFile)(argv[0], argv.slice(1), options);
  promise.child.stdin.on('error', () => {}).end(input);
  return promise.then(({ stdout }) => ({ code: 0, stdout }), ({ code, stdout, message }) => ({ code, stdout: stdout ?? message }));
}

function copy(from, name) {
  const to = `${dir}/${name}`;
  cpSync(from, to, { recursive: true, filter: (path) => !/\/(reports|build|__pycache__|\.git)$/.test(path) });
  return to;
}

/** Starts the shop of `tree` on a database of its own and returns what work(system) returns. */
async function deployed(tree, name, work) {
  const database = `shop_${name}`;
  const dbUrl = `${server}/${database}`;
  const made = await run(['createdb', '-h', '127.0.0.1', '-p', new URL(server).port, '-U', 'shop', '-T', seed, database]);
  if (made.code !== 0) throw new Error(made.stdout);
  await run(['redis-cli', '-u', cacheUrl, 'FLUSHALL']);
  await run(['sh', 'db/migrate.sh'], { cwd: tree, env: { DB_URL: dbUrl } });
  const system = await System.start(tree, { dbUrl, cacheUrl, log: `${dir}/log.${name}` });
  let stubborn;
  try {
    return await work(system);
  } finally {
    stubborn = await system.stop();
    if (stubborn.length > 0) ok(false, `${stubborn} end on SIGTERM`);
  }
}

const played = (tree, name) => deployed(tree, name, (system) => replay(`${tree}/sessions`, system));
const unit = (tree) => run(['node', 'tests/unit.mjs'], { cwd: tree });

/** Runs the agent in `tree` with a prompt; returns its events. */
async function agent(tree, bug, prompt) {
  const { code, stdout } = await run(['node', AGENT], { cwd: tree, env: { AGENT_BUG: bug, AGENT_PACE_MS: '0' }, input: prompt });
  const events = stdout.trim().split('\n').map((line) => JSON.parse(line));
  const known = new Set(['start', 'thought', 'action', 'observation', 'plan', 'message', 'end']);
  ok(code === 0 && events.every((e) => known.has(e.type)) && events.at(-1).ok === true, `${bug}: the agent ends well`);
  return events;
}

const same = async (a, b) => (await run(['diff', '-rq', '-x', 'reports', '-x', 'build', '-x', '__pycache__', a, b])).code === 0;
const line = ({ request, path, expected, got, reason }) => `${request} ${path}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}${reason ? ` (${reason})` : ''}`;

async function judge(tree, name, base) {
  const differences = compare(base.exchanges, await played(tree, name)).filter(({ request, path }) => !base.noise.has(`${request} ${path}`));
  return { blocking: differences.filter((d) => d.kind !== 'added'), added: differences.filter((d) => d.kind === 'added') };
}

async function checkBase(tree) {
  const tests = await unit(tree);
  ok(tests.code === 0 && existsSync(`${tree}/reports/unit.xml`), `base: unit tests pass`, tests.stdout.trim());
  const e2e = await deployed(tree, 'e2e', (system) => run(['node', 'tests/e2e.mjs'], { cwd: tree, env: { FRONT_URL: system.front } }));
  ok(e2e.code === 0 && existsSync(`${tree}/reports/e2e.xml`), 'base: end-to-end tests pass', ...e2e.stdout.trim().split('\n'));
  const [a, b] = [await played(tree, 'base_a'), await played(tree, 'base_b')];
  const strange = a.filter((e) => e.status !== e.recorded);
  ok(strange.length === 0 && a.length >= 30, `base: ${a.length} recorded requests get their recorded status`, ...strange.map((e) => `${e.name} ${e.request}: ${e.recorded} then, ${e.status} now`));
  const noise = new Set(compare(a, b).map(({ request, path }) => `${request} ${path}`));
  ok(compare(a, b).every((d) => d.kind === 'changed' && typeof d.got === 'string'), 'base: two replays differ in tokens and times only', ...noise);
  return { exchanges: a, noise };
}

async function checkRedOnBase(base, head, bug) {
  const tree = copy(base, `red_${bug}`);
  const added = NEW_TESTS.filter((file) => existsSync(`${head}/${file}`));
  for (const file of added) cpSync(`${head}/${file}`, `${tree}/${file}`);
  const { code } = await unit(tree);
  const report = readFileSync(`${tree}/reports/unit.xml`, 'utf8');
  const cases = [...report.matchAll(/<testcase name="([^"]*)" classname="[^"]*" file="([^"]*)"[^>]*?(\/>|>)/g)];
  const fresh = cases.filter((c) => added.includes(c[2]));
  const green = fresh.filter((c) => c[3] === '/>');
  ok(code !== 0 && fresh.length >= 2 && green.length === 0, `${bug}: its ${fresh.length} new tests are red on base`, ...green.map((c) => `green: ${c[1]}`));
  rmSync(tree, { recursive: true });
}

async function checkAttempt(pristine, base, bug) {
  const tree = copy(pristine, `head_${bug}`);
  const issue = readFileSync(`${tree}/issue.md`, 'utf8');
  await agent(tree, bug, issue);
  const tests = await unit(tree);
  ok(tests.code === 0, `${bug}: unit tests pass`, tests.stdout.trim());
  await checkRedOnBase(pristine, tree, bug);
  const { blocking, added } = await judge(tree, `head_${bug}`, base);
  if (bug === 'none') ok(blocking.length === 0 && added.length > 0, `none: the replay only finds ${added.length} added fields`, ...blocking.map(line));
  else ok(blocking.some(MISTAKES[bug]), `${bug}: the replay finds ${blocking.length} difference${blocking.length === 1 ? '' : 's'}`, ...[...blocking].sort((x, y) => MISTAKES[bug](y) - MISTAKES[bug](x)).slice(0, 4).map(line));
  return { tree, issue, blocking };
}

async function checkMending(base, bug, { tree, issue, blocking }) {
  const worst = blocking.filter(MISTAKES[bug]).slice(0, 3);
  const findings = worst.map(({ request, path, expected, got }) => ({ request, path, expected, got }));
  const prompt = `Verification found differences. Attempt 2 of 4.\n\nfindings:\n${JSON.stringify(findings, null, 2)}\n`;
  await agent(tree, bug, prompt);
  const tests = await unit(tree);
  const { blocking: left, added } = await judge(tree, `mended_${bug}`, base);
  ok(tests.code === 0 && left.length === 0 && added.length > 0, `${bug}: mended, unit tests pass and nothing but ${added.length} added fields is left`, ...left.map(line));
  const before = copy(tree, `before_${bug}`);
  await agent(tree, bug, prompt);
  await agent(tree, bug, issue);
  ok(await same(before, tree), `${bug}: the same prompts again change nothing`);
}

async function checkFollowUps({ tree }) {
  const tag = () => readFileSync(`${tree}/front/public/format.js`, 'utf8');
  await agent(tree, 'none', 'A reviewer wrote: Please also show the old price struck through.');
  ok((await unit(tree)).code === 0 && tag().includes('<s class="was">'), 'a reviewer may have the old price struck through');
  await agent(tree, 'none', 'A reviewer wrote: can you rename the label "Sale" to "Deal"?');
  ok((await unit(tree)).code === 0 && tag().includes('>Deal −') && tag().includes('<s class="was">'), 'a reviewer may have the badge renamed');
}

process.once('SIGTERM', () => stopAll().then(() => process.exit(143)));
mkdirSync(dir, { recursive: true });
const pristine = copy(process.cwd(), 'base');
const base = await checkBase(pristine);
const right = await checkAttempt(pristine, base, 'none');
await checkFollowUps(right);
for (const bug of Object.keys(MISTAKES)) await checkMending(base, bug, await checkAttempt(pristine, base, bug));
console.log(`1..${count}`);
process.exitCode = failed > 0 ? 1 : 0;
