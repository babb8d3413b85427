// The storefront's page: three views, a cart drawer and a sign-in dialog over the JSON API.
import { day, escape, money, priceTag, stockNote } from './format.js';
import { picture } from './art.js';

const at = (id) => document.getElementById(id);
const state = { token: sessionStorage.getItem('token'), customer: null, cart: { lines: [], total_cents: 0 }, q: '', category: '', page: 1 };

async function api(method, path, body) {
  const headers = { 'content-type': 'application/json' };
  if (state.token) headers.authorization = `Bearer ${state.token}`;
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const json = await response.json();
  if (!response.ok) throw Object.assign(new Error(json.error), { status: response.status });
  return json;
}

// --- shop

async function shopView() {
  const query = new URLSearchParams({ page: state.page, q: state.q, category: state.category });
  const [list, { categories }] = await Promise.all([api('GET', `/api/products?${query}`), api('GET', '/api/categories')]);
  return `
    ${state.q || state.category || state.page > 1 ? '' : hero()}
    <div class="chips">${chip('', 'Everything')}${categories.map((c) => chip(c.name, c.name)).join('')}</div>
    <p class="count">${list.total.toLocaleString('en')} ${list.total === 1 ? 'thing' : 'things'}${state.q ? ` for “${escape(state.q)}”` : ''}</p>
    <section class="grid">${list.items.map(card).join('') || '<p class="empty">Nothing is called that. Try “oak chair”.</p>'}</section>
    ${pager(list)}`;
}

function hero() {
  return `<section class="hero"><div><p class="eyebrow">The summer shelf</p><h1>Fewer things,<br>kept longer.</h1>
    <p>Mugs, lamps and chairs in oak, clay, linen and stone. Made slowly, priced plainly.</p></div>
    <div class="stack">${[4, 6, 11].map((id, i) => picture({ id, category: ['Planters', 'Bottles', 'Lamps'][i] })).join('')}</div></section>`;
}

function chip(value, label) {
  return `<button class="chip" data-category="${escape(value)}" aria-pressed="${state.category === value}">${escape(label)}</button>`;
}

function card(product) {
  const note = stockNote(product.stock);
  return `<article class="card" data-product="${product.id}">
    ${picture(product)}
    <div class="about"><h3>${escape(product.name)}</h3><p class="meta"><span class="stars">★ ${product.rating.toFixed(1)}</span>
      <span class="${note.low ? 'low' : ''}">${note.text}</span></p>
      <div class="buy"><div class="prices">${priceTag(product)}</div>
        <button class="add" data-add="${product.id}" ${product.stock ? '' : 'disabled'}>Add</button></div></div>
  </article>`;
}

function pager({ page, pages }) {
  if (pages === 1) return '';
  return `<nav class="pager" aria-label="Pages"><button data-go="${page - 1}" ${page === 1 ? 'disabled' : ''}>← Earlier</button>
    <span>Page ${page} of ${pages}</span><button data-go="${page + 1}" ${page === pages ? 'disabled' : ''}>More →</button></nav>`;
}

// --- orders and report

async function ordersView() {
  if (!state.token) return '<h1 class="title">Your orders</h1><p class="empty">Sign in to see them.</p>';
  const { orders } = await api('GET', '/api/orders');
  const rows = orders.map((o) => `<tr><td>#${o.id}</td><td>${day(o.created_at)}</td><td><span class="status ${escape(o.status)}">${escape(o.status)}</span></td>
    <td class="number">${o.discount_cents ? `−${money(o.discount_cents)}` : ''}</td><td class="number"><b>${money(o.total_cents)}</b></td></tr>`);
  return `<h1 class="title">Your orders</h1><div class="sheet"><table><thead><tr><th>Order</th><th>Placed</th><th>Status</th>
    <th class="number">Saved</th><th class="number">Total</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

async function reportView() {
  const { days } = await api('GET', '/api/reports/daily?days=14');
  const most = Math.max(...days.map((d) => d.revenue_cents), 1);
  const bars = [...days].reverse().map((d) => `<div class="bar" title="${d.orders} orders, ${d.items} pieces">
    <i style="height:${Math.max(1, (100 * d.revenue_cents) / most)}%"></i><span>${day(d.day).slice(0, 6)}</span></div>`);
  const [last] = days;
  return `<h1 class="title">The day so far</h1><div class="facts">${fact('Revenue', money(last.revenue_cents))}${fact('Orders', last.orders)}
    ${fact('Pieces', last.items)}${fact('Day', day(last.day))}</div><div class="sheet chart">${bars.join('')}</div>`;
}

function fact(label, value) {
  return `<div class="fact"><span>${label}</span><b>${value}</b></div>`;
}

// --- cart

function cartMarkup() {
  const { lines } = state.cart;
  if (lines.length === 0) return '<h2>Your cart</h2><p class="empty">Nothing in it yet.</p>';
  return `<h2>Your cart</h2><ul>${lines.map(cartLine).join('')}</ul>
    <dl>${amount('Goods', 'subtotal_cents')}${amount('Discount', 'discount_cents', -1)}${amount('Shipping', 'shipping_cents')}
    ${amount('Tax', 'tax_cents')}<div class="total"><dt>Total</dt><dd>${money(state.cart.total_cents)}</dd></div></dl>
    <button class="primary" data-checkout>Place the order</button>`;
}

function cartLine(line) {
  return `<li><div><b>${escape(line.name)}</b><span>${money(line.unit_cents)} each</span></div>
    <div class="step"><button data-set="${line.product_id}" data-quantity="${line.quantity - 1}" aria-label="One less">−</button><b>${line.quantity}</b>
    <button data-set="${line.product_id}" data-quantity="${line.quantity + 1}" aria-label="One more">+</button></div><b>${money(line.net_cents)}</b></li>`;
}

function amount(label, name, sign = 1) {
  const cents = state.cart[name];
  return cents ? `<div><dt>${label}</dt><dd>${money(sign * cents)}</dd></div>` : '';
}

function cartShow(cart) {
  state.cart = cart;
  at('bag-count').textContent = cart.lines.reduce((sum, line) => sum + line.quantity, 0);
  at('drawer').innerHTML = cartMarkup();
}

function drawerOpen(open) {
  document.body.classList.toggle('drawer-open', open);
  at('drawer').inert = !open;
}

async function cartSet(productId, quantity) {
  if (!(await signIn())) return;
  cartShow(await api('POST', '/api/cart', { product_id: productId, quantity }));
}

async function cartAdd(productId) {
  const line = state.cart.lines.find((l) => l.product_id === productId);
  await cartSet(productId, (line?.quantity ?? 0) + 1);
  toast('Added to the cart');
}

async function checkout() {
  const order = await api('POST', '/api/orders');
  cartShow({ lines: [], total_cents: 0 });
  drawerOpen(false);
  toast(`Thank you! Order #${order.id}, ${money(order.total_cents)}`);
  location.hash = '#/orders';
}

// --- account

function signIn() {
  if (state.token) return Promise.resolve(true);
  at('sign-in-error').textContent = '';
  at('sign-in').showModal();
  return new Promise((resolve) => at('sign-in').addEventListener('close', () => resolve(Boolean(state.token)), { once: true }));
}

async function signInSubmit(form) {
  try {
    const { token, customer } = await api('POST', '/api/login', Object.fromEntries(new FormData(form)));
    sessionStorage.setItem('token', token);
    Object.assign(state, { token, customer });
    at('sign-in').close();
    await accountShow();
  } catch (error) {
    at('sign-in-error').textContent = error.message;
  }
}

async function accountShow() {
  at('account').textContent = state.customer ? state.customer.name : 'Sign in';
  if (state.token) cartShow(await api('GET', '/api/cart'));
  await show();
}

function signOut() {
  sessionStorage.removeItem('token');
  Object.assign(state, { token: null, customer: null });
  cartShow({ lines: [], total_cents: 0 });
  return accountShow();
}

// --- the page

const VIEWS = { shop: shopView, orders: ordersView, report: reportView };

async function show() {
  const page = location.hash.slice(2) in VIEWS ? location.hash.slice(2) : 'shop';
  for (const link of document.querySelectorAll('[data-page]')) link.classList.toggle('here', link.dataset.page === page);
  at('main').innerHTML = await VIEWS[page]();
}

function toast(text) {
  at('toast').textContent = text;
  at('toast').classList.add('shown');
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => at('toast').classList.remove('shown'), 2600);
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (error.status === 401) await signOut();
    toast(error.message);
  }
}

const CLICKS = [
  ['[data-add]', (el) => cartAdd(Number(el.dataset.add))],
  ['[data-set]', (el) => cartSet(Number(el.dataset.set), Number(el.dataset.quantity))],
  ['[data-checkout]', checkout],
  ['[data-category]', (el) => go({ category: el.dataset.category, page: 1 })],
  ['[data-go]', (el) => go({ page: Number(el.dataset.go) }).then(() => scrollTo({ top: 0 }))],
  ['.brand', () => go({ q: '', category: '', page: 1 })],
  ['#bag', () => drawerOpen(true)],
  ['#shade', () => drawerOpen(false)],
  ['#account', () => (state.token ? signOut() : signIn())],
];

function go(change) {
  Object.assign(state, change);
  if (location.hash.length > 2) location.hash = '#/';
  return show();
}

document.addEventListener('click', (event) => {
  const [selector, act] = CLICKS.find(([s]) => event.target.closest(s)) ?? [];
  if (act) attempt(() => act(event.target.closest(selector)));
});
document.addEventListener('keydown', (event) => event.key === 'Escape' && drawerOpen(false));
at('search').addEventListener('input', (event) => {
  clearTimeout(state.timer);
  state.timer = setTimeout(() => attempt(() => go({ q: event.target.value.trim(), page: 1 })), 180);
});
at('search').addEventListener('submit', (event) => event.preventDefault());
at('sign-in-form').addEventListener('submit', (event) => {
  event.preventDefault();
  attempt(() => signInSubmit(event.target));
});
addEventListener('hashchange', () => attempt(show));

attempt(async () => {
  cartShow(state.cart);
  if (state.token) state.customer = await api('GET', '/api/me');
  await accountShow();
});
