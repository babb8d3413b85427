// The storefront: the page, its files, and the JSON API that the page and everybody else uses.
import { createServer } from 'node:http';
import { callNeighbour } from './src/neighbours.js';
import { Redis } from './src/redis.js';
import { Sessions } from './src/sessions.js';
import { apiRoutes } from './src/api.js';
import { fileRoutes } from './src/files.js';
import { router } from './src/router.js';
import { log } from './src/journal.js';

const env = process.env;
const port = Number(env.PORT ?? 8080);
const neighbours = {
  catalog: callNeighbour('catalog', env.CATALOG_URL ?? 'http://catalog:8001'),
  pricing: callNeighbour('pricing', env.PRICING_URL ?? 'http://pricing:8002'),
  orders: callNeighbour('orders', env.ORDERS_URL ?? 'http://orders:8003'),
};
const redis = new Redis(env.CACHE_URL ?? 'redis://cache:6379');
const sessions = new Sessions(redis);

const server = createServer(router([...apiRoutes(neighbours, sessions, redis), ...fileRoutes()]));
server.listen(port, '0.0.0.0', () => log('info', 'listening', { service: 'front', port: server.address().port }));

function stop() {
  log('info', 'stopped', { service: 'front' });
  redis.close();
  server.close();
  server.closeAllConnections();
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
