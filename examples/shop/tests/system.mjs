// The whole shop on loopback, from a folder, for tests/check.mjs: starts every service, waits until they answer, stops them.
import { spawn, execFile } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { setTimeout as pause } from 'node:timers/promises';

const READY_MS = 20_000;
const QUIET_MS = 5000;
const run = promisify(execFile);

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const SERVICES = [
  { name: 'bank', argv: ['node', 'tests/bank.mjs'], ready: '/' },
  { name: 'pricing', argv: ['pricing/build/pricing'], ready: '/healthz' },
  { name: 'catalog', argv: ['/usr/bin/python3', '-m', 'catalog'], ready: '/healthz' },
  { name: 'orders', argv: ['/usr/bin/python3', '-m', 'orders'], ready: '/healthz' },
  { name: 'front', argv: ['node', 'front/server.js'], ready: '/healthz' },
  { name: 'worker', argv: ['/usr/bin/python3', '-m', 'worker'] },
];

const live = new Set();

/** Stops every shop that runs; for those who are told to end. */
export function stopAll() {
  return Promise.all([...live].map((system) => system.stop()));
}

export class System {
  #children = [];

  /** Starts the shop of `folder` with the given databases; logs go to `${log}.<service>`. */
  static async start(folder, { dbUrl, cacheUrl, log }) {
    const system = new System();
    system.cacheUrl = cacheUrl;
    live.add(system);
    await run('make', ['-s', '-C', `${folder}/pricing`]);
    const ports = Object.fromEntries(await Promise.all(SERVICES.map(async ({ name }) => [name, await freePort()])));
    const urls = Object.fromEntries(Object.entries(ports).map(([name, port]) => [`${name.toUpperCase()}_URL`, `http://127.0.0.1:${port}`]));
    const env = { ...process.env, ...urls, DB_URL: dbUrl, CACHE_URL: cacheUrl };
    for (const service of SERVICES) system.#spawn(service, folder, { ...env, PORT: String(ports[service.name]) }, log);
    system.front = urls.FRONT_URL;
    try {
      for (const { name, ready } of SERVICES) if (ready) await answers(`http://127.0.0.1:${ports[name]}${ready}`);
      await system.quiet();
    } catch (error) {
      await system.stop();
      throw error;
    }
    return system;
  }

  /** Returns once every event of the queue has been worked through. */
  async quiet() {
    const { hostname, port } = new URL(this.cacheUrl);
    const until = Date.now() + QUIET_MS;
    for (;;) {
      const { stdout } = await run('redis-cli', ['-h', hostname, '-p', port, 'XINFO', 'GROUPS', 'orders']).catch(() => ({ stdout: '' }));
      const fields = stdout.trim().split('\n');
      const field = (name) => fields[fields.indexOf(name) + 1];
      if (fields.includes('pending') && field('pending') === '0' && field('lag') === '0') return;
      if (Date.now() > until) throw new Error('the queue does not become quiet');
      await pause(10);
    }
  }

  /** Stops every service and returns the names of those that did not end by themselves. */
  async stop() {
    const stubborn = [];
    live.delete(this);
    await Promise.all(this.#children.map(async ({ name, child, ended }) => {
      child.kill('SIGTERM');
      if (await Promise.race([ended, pause(3000, 'late', { ref: false })]) !== 'late') return;
      stubborn.push(name);
      child.kill('SIGKILL');
      await ended;
    }));
    return stubborn;
  }

  #spawn({ name, argv: [program, ...rest] }, folder, env, log) {
    const fd = openSync(`${log}.${name}`, 'w');
    const child = spawn(program, rest, { cwd: folder, env, stdio: ['ignore', fd, fd] });
    closeSync(fd);
    this.#children.push({ name, child, ended: new Promise((resolve) => child.once('close', resolve)) });
  }
}

async function answers(url) {
  for (const until = Date.now() + READY_MS; ; await pause(25)) {
    const response = await fetch(url).catch(() => null);
    if (response && (response.ok || response.status === 501)) return;
    if (Date.now() > until) throw new Error(`${url} does not answer`);
  }
}
