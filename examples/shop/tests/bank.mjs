// Answers as the bank would, from stubs/bank.json, for running the shop by hand: node tests/bank.mjs, on $PORT.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const stubs = JSON.parse(readFileSync(new URL('../stubs/bank.json', import.meta.url)));

const server = createServer((incoming, outgoing) => {
  incoming.resume();
  const stub = stubs.find(({ request }) => request.method === incoming.method && request.path === incoming.url);
  const { status, headers, body } = stub?.response ?? { status: 501, headers: {}, body: {} };
  outgoing.writeHead(status, headers).end(JSON.stringify(body));
});
server.listen(Number(process.env.PORT), '0.0.0.0');
process.on('SIGTERM', () => server.close());
