// The page and its files, read once.
import { readFileSync } from 'node:fs';

const TYPES = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};
const FILES = { '/': 'index.html', '/app.js': 'app.js', '/art.js': 'art.js', '/format.js': 'format.js', '/style.css': 'style.css', '/icon.svg': 'icon.svg' };

export function fileRoutes() {
  return Object.entries(FILES).map(([path, name]) => {
    const body = readFileSync(new URL(`../public/${name}`, import.meta.url));
    const answer = { status: 200, body, headers: { 'content-type': TYPES[name.split('.').pop()], 'cache-control': 'no-cache' } };
    return { method: 'GET', pattern: new RegExp(`^${path.replace('.', '\\.')}$`), handle: () => answer };
  });
}
