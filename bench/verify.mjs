// A session of the example shop: customers who look around, fill carts and order. usage: node verify.mjs URL REQUESTS; prints how long it took, in ms.
import { Agent, request } from 'node:http';

const [base, wanted] = process.argv.slice(2);
const url = new URL(base);
const agent = new Agent({ keepAlive: false });
let sent = 0;

function ask(method, path, token, body) {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = { host: url.host, accept: 'application/json', 'content-length': Buffer.byteLength(text) };
  if (text) headers['content-type'] = 'application/json';
  if (token) headers.authorization = `Bearer ${token}`;
  sent++;
  return new Promise((resolve, reject) => {
    const call = request({ agent, host: '127.0.0.1', port: url.port, method, path, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => {
        const answer = Buffer.concat(chunks).toString();
        resolve(answer.startsWith('{') ? JSON.parse(answer) : answer);
      });
    });
    call.on('error', reject);
    call.end(text);
  });
}

async function customer(number) {
  const email = number === 1 ? 'ada@example.com' : 'mateo.lindqvist2@example.com';
  const { token } = await ask('POST', '/api/login', null, { email, password: 'sunflower' });
  for (const path of ['/', '/api/categories', `/api/products?page=${number}`, '/api/products?q=oak', `/api/products?category=Lamps&page=${number}`]) await ask('GET', path);
  for (let i = 0; i < 5; i++) await ask('GET', `/api/products/${10 * number + i}`);
  await ask('POST', '/api/cart', token, { product_id: 10 * number + 1, quantity: 1 });
  await ask('POST', '/api/cart', token, { product_id: 10 * number + 3, quantity: 2 });
  await ask('GET', '/api/cart', token);
  const order = await ask('POST', '/api/orders', token);
  await ask('GET', `/api/orders/${order.id}`, token);
  await ask('GET', '/api/orders', token);
  await ask('GET', '/api/me', token);
  await ask('GET', '/api/reports/daily?days=7');
  await ask('POST', '/api/logout', token);
}

const started = performance.now();
for (let number = 1; sent + 20 <= Number(wanted); number++) await customer(number);
while (sent < Number(wanted)) await ask('GET', `/api/products/${sent}`);
console.log(Math.round(performance.now() - started));
