#!/usr/bin/env node
// A scripted coding agent for the demo: no model and no network, but real edits, made in the checkout it is started in.
//
// It reads a prompt on stdin and writes the seven events as JSON lines. What it does depends on the prompt and on the checkout:
//   an untouched checkout      it implements the issue of examples/shop/issue.md, with tests, and with the mistake of AGENT_BUG
//   findings in the prompt     it mends the mistake
//   a reviewer's wish          it strikes the old price through, or renames the badge
// The mistakes are those of a careful colleague who tested one service: every mocked unit test stays green.
//   AGENT_BUG=price (default)  catalog: price_cents becomes the discounted price, and a float; pricing refuses fractions
//   AGENT_BUG=report           orders: the event's total moves into `amounts`; the worker reports a revenue of 0
//   AGENT_BUG=stock            orders: the event's items are pricing's lines, which say `units`; the worker counts one piece each
//   AGENT_BUG=none             no mistake
// AGENT_PACE_MS (default 150) is the pause between events. Running it again on a checkout that it has edited changes nothing more.
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const BUGS = ['none', 'price', 'report', 'stock'];
const BUG = process.env.AGENT_BUG || 'price';
const PACE_MS = Number(process.env.AGENT_PACE_MS || 150);
const DETAIL_LINES_MAX = 40;
const OUTPUT_BYTES_MAX = 2000;

// --- the wire: the seven events

const seen = { in: 0, out: 0, actions: 0 };

async function tell(type, fields) {
  const line = JSON.stringify({ type, ...fields });
  seen.out += line.length;
  process.stdout.write(line + '\n');
  await pause(PACE_MS);
}

const thought = (text) => tell('thought', { text });

async function act(tool, title, detail, work) {
  const id = String(++seen.actions);
  await tell('action', { id, tool, title, detail });
  const { ok = true, text } = await work();
  seen.in += text.length;
  await tell('observation', { id, ok, text });
  return ok;
}

class Plan {
  constructor(...texts) {
    this.items = texts.map((text) => ({ text, state: 'pending' }));
  }

  /** The item at `index` is now at work, those before it are done. */
  at(index) {
    this.items.forEach((item, i) => (item.state = i < index ? 'completed' : i === index ? 'in_progress' : 'pending'));
    return tell('plan', { items: this.items });
  }

  done() {
    return this.at(this.items.length);
  }
}

// --- the places that this agent edits

const PLACES = {
  query: { file: 'catalog/store.py', find: /^COLUMNS = .*\nSOURCE = .*\n/m },
  product: { file: 'catalog/present.py', find: /def product\(row\):[\s\S]*?(?=\n\n\ndef page)/ },
  event: { file: 'orders/event.py', find: /def event\([\s\S]*$/ },
  tag: { file: 'front/public/format.js', find: /\/\*\* The price on a product card[\s\S]*?\n}\n/ },
  style: { file: 'front/public/style.css', find: /^\.price \{.*\}\n(?:\.badge \{.*\}\n)?(?:\.was \{.*\}\n)?/m },
};
const TESTS = { product: 'catalog/test/test_discount.py', event: 'orders/test/test_event.py', tag: 'front/test/price.test.js' };

const QUERY = `COLUMNS = "p.id, p.sku, p.name, p.category, p.price_cents, p.stock, p.rating, m.percent AS discount_percent"
SOURCE = "products p LEFT JOIN promotions m ON m.product_id = p.id"
`;

const PRODUCT = {
  right: `def product(row):
    return {
        "id": row["id"],
        "sku": row["sku"],
        "name": row["name"],
        "category": row["category"],
        "price_cents": row["price_cents"],
        "discount": discount(row),
        "stock": row["stock"],
        "rating": float(row["rating"]),
    }


def discount(row):
    """What a promotion makes of the price, rounded as pricing rounds; None without one."""
    percent = row.get("discount_percent")
    if not percent:
        return None
    return {"percent": percent, "price_cents": row["price_cents"] - (row["price_cents"] * percent + 50) // 100}`,
  price: `def product(row):
    percent = row.get("discount_percent") or 0
    return {
        "id": row["id"],
        "sku": row["sku"],
        "name": row["name"],
        "category": row["category"],
        "price_cents": row["price_cents"] * (100 - percent) / 100,
        "list_price_cents": row["price_cents"],
        "discount_percent": percent,
        "stock": row["stock"],
        "rating": float(row["rating"]),
    }`,
};

const EVENT_HEAD = 'def event(order, lines, quote):\n';
const EVENT_ITEMS = '    items = [{"product_id": line["product_id"], "quantity": line["quantity"]} for line in lines]\n';
const EVENT = {
  right: `${EVENT_HEAD}${EVENT_ITEMS}    return {
        "order_id": order["id"],
        "day": order["created_at"].date().isoformat(),
        "total_cents": quote["total_cents"],
        "discount_cents": quote["discount_cents"],
        "items": json.dumps(items, separators=(",", ":")),
    }
`,
  report: `${EVENT_HEAD}${EVENT_ITEMS}    amounts = {"total_cents": quote["total_cents"], "discount_cents": quote["discount_cents"]}
    return {
        "order_id": order["id"],
        "day": order["created_at"].date().isoformat(),
        "amounts": json.dumps(amounts, separators=(",", ":")),
        "items": json.dumps(items, separators=(",", ":")),
    }
`,
  stock: `${EVENT_HEAD}    items = quote["lines"]  # as priced: every line says what its discount is
    return {
        "order_id": order["id"],
        "day": order["created_at"].date().isoformat(),
        "total_cents": quote["total_cents"],
        "items": json.dumps(items, separators=(",", ":")),
    }
`,
};

/** The price tag in its four shapes: whose fields it reads, whether it strikes the old price, what the badge says. */
function tagText({ price, struck, label }) {
  const [when, now, percent, was] = price
    ? ['product.discount_percent', 'product.price_cents', 'product.discount_percent', 'product.list_price_cents']
    : ['product.discount', 'product.discount.price_cents', 'product.discount.percent', 'product.price_cents'];
  const old = struck ? `<s class="was">\${money(${was})}</s> ` : '';
  return `/** The price on a product card; a promotion shows what is left to pay${struck ? ', what it was' : ''} and what it takes off. */
export function priceTag(product) {
  if (!${when}) return \`<span class="price">\${money(product.price_cents)}</span>\`;
  const badge = \`<span class="badge">${label} −\${${percent}}%</span>\`;
  return \`<span class="price">\${money(${now})}</span> ${old}\${badge}\`;
}
`;
}

function styleText({ struck }) {
  return `.price { font-size: 18px; font-weight: 650; font-variant-numeric: tabular-nums; }
.badge { padding: 1px 9px; border-radius: 99px; background: #f6ead9; color: var(--brass); font-size: 12px; font-weight: 600; white-space: nowrap; }
${struck ? '.was { color: var(--soft); font-size: 14px; }\n' : ''}`;
}

/** What the tag says now, so that a follow-up changes one thing and keeps the others. */
function tagNow() {
  const text = read(PLACES.tag.file);
  return {
    price: text.includes('list_price_cents') || text.includes('product.discount_percent'),
    struck: text.includes('<s class="was">'),
    label: /"badge">(.+?) −/.exec(text)?.[1] ?? 'Sale',
  };
}

// --- the tests that it writes

const PYTHON_ROW = `ROW = {"id": 2, "sku": "HP-00002", "name": "Harbor Glass Bowl", "category": "Bowls", "price_cents": 4990, "stock": 12,
       "rating": Decimal("4.2"), "discount_percent": 20}`;

const productTest = (body) => `"""Products on sale."""
import unittest
from decimal import Decimal

from catalog import present

${PYTHON_ROW}


class DiscountTest(unittest.TestCase):
${body}`;

const PRODUCT_TEST = {
  right: productTest(`    def test_a_promotion_shows_its_percentage_and_the_price_it_makes(self):
        product = present.product(ROW)
        self.assertEqual(product.get("discount"), {"percent": 20, "price_cents": 3992})

    def test_the_price_of_a_product_on_sale_is_still_its_list_price_in_whole_cents(self):
        product = present.product({**ROW, "price_cents": 1990, "discount_percent": 15})
        self.assertEqual((product["price_cents"], type(product["price_cents"])), (1990, int))
        self.assertEqual(product.get("discount"), {"percent": 15, "price_cents": 1691})

    def test_without_a_promotion_there_is_no_discount(self):
        product = present.product({**ROW, "discount_percent": None})
        self.assertEqual(product.get("discount", "missing"), None)
`),
  price: productTest(`    def test_the_price_of_a_product_on_sale_is_the_discounted_one(self):
        product = present.product(ROW)
        self.assertEqual(product.get("price_cents"), 3992)

    def test_a_product_on_sale_keeps_its_list_price(self):
        product = present.product(ROW)
        self.assertEqual(product.get("list_price_cents"), 4990)
        self.assertEqual(product.get("discount_percent"), 20)
`),
};

const eventTest = (name, checks) => `"""The event of a paid order."""
import json
import unittest
from datetime import datetime, timezone

from orders.event import event

ORDER = {"id": 60001, "created_at": datetime(2026, 7, 1, 9, 30, tzinfo=timezone.utc)}
LINES = [{"product_id": 2, "quantity": 2, "unit_cents": 4990, "discount_percent": 10}]
QUOTE = {"total_cents": 10689, "discount_cents": 998, "lines": [
    {"product_id": 2, "units": 2, "gross_cents": 9980, "discount_cents": 998, "net_cents": 8982}]}


class EventTest(unittest.TestCase):
    def test_${name}(self):
        fields = event(ORDER, LINES, QUOTE)
${checks.map((line) => `        ${line}\n`).join('')}`;

const EVENT_TEST = {
  right: eventTest('the_discount_comes_beside_the_total_and_the_quantities', [
    'self.assertEqual(fields.get("discount_cents"), 998)',
    'self.assertEqual(fields.get("total_cents"), 10689)',
    'self.assertEqual(json.loads(fields["items"]), [{"product_id": 2, "quantity": 2}])',
  ]),
  report: eventTest('the_amounts_are_the_total_and_the_discount', [
    'self.assertEqual(json.loads(fields.get("amounts", "{}")), {"total_cents": 10689, "discount_cents": 998})',
  ]),
  stock: eventTest('every_item_says_what_its_discount_is', [
    'items = json.loads(fields["items"])',
    'self.assertEqual([item.get("discount_cents") for item in items], [998])',
  ]),
};

function tagTest({ price, struck, label }) {
  const product = price
    ? '{ price_cents: 3992, list_price_cents: 4990, discount_percent: 20 }'
    : '{ price_cents: 4990, discount: { percent: 20, price_cents: 3992 } }';
  const struckTest = `
test('the old price of a product on sale is struck through', () => {
  assert.match(priceTag(onSale), /<s class="was">€49\\.90<\\/s>/);
});
`;
  return `// The price tag of a product on sale.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { priceTag } from '../public/format.js';

const onSale = ${product};

test('a product on sale shows the discounted price and a badge, another has none', () => {
  assert.match(priceTag(onSale), /class="price">€39\\.92<.*badge/);
  assert.doesNotMatch(priceTag({ price_cents: 4990, discount${price ? '_percent: 0' : ': null'} }), /badge/);
});

test('a product on sale says ${label.replaceAll("'", "\\'")} and what is taken off', () => {
  assert.ok(priceTag(onSale).includes(${JSON.stringify(`>${label} −20%<`)}));
});
${struck ? struckTest : ''}`;
}

// --- reading, editing, running

function read(file) {
  return readFileSync(file, 'utf8');
}

async function look(file, why) {
  await act('Read', `Read ${file}`, why, async () => ({ text: `${read(file).split('\n').length - 1} lines` }));
}

/** Puts `text` in a place; does nothing, and says nothing, if it is there already. */
async function edit(place, text) {
  const { file, find } = PLACES[place];
  const before = read(file);
  const found = find.exec(before)?.[0];
  if (found === undefined) throw new Error(`${file} does not look as expected`);
  if (found === text) return;
  await act('Edit', `Edit ${file}`, difference(found, text), async () => {
    writeFileSync(file, before.replace(find, () => text));
    return { text: `updated ${file}` };
  });
}

async function write(file, text) {
  const before = existsSync(file) ? read(file) : '';
  if (before === text) return;
  await act('Write', `${before ? 'Update' : 'Add'} ${file}`, difference(before, text), async () => {
    writeFileSync(file, text);
    return { text: `wrote ${text.split('\n').length - 1} lines` };
  });
}

/** The lines that differ, without what is the same at both ends. */
function difference(before, after) {
  const [old, young] = [before, after].map((text) => text.replace(/\n$/, '').split('\n'));
  let head = 0;
  while (head < old.length && head < young.length && old[head] === young[head]) head++;
  let tail = 0;
  while (tail < Math.min(old.length, young.length) - head && old.at(-1 - tail) === young.at(-1 - tail)) tail++;
  const part = (lines, sign) => lines.slice(head, lines.length - tail).map((line) => sign + line);
  const lines = [...(before ? part(old, '-') : []), ...part(young, '+')];
  return lines.slice(0, DETAIL_LINES_MAX).join('\n') + (lines.length > DETAIL_LINES_MAX ? '\n…' : '');
}

function command(argv) {
  return act('Bash', argv.map((word) => (/\s/.test(word) ? JSON.stringify(word) : word)).join(' '), '', () =>
    new Promise((resolve) => {
      const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
      let text = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text = (text + chunk).slice(-OUTPUT_BYTES_MAX)));
      child.on('error', (error) => resolve({ ok: false, text: error.message }));
      child.on('close', (code) => resolve({ ok: code === 0, text: text.trim() || `exit ${code}` }));
    }));
}

function inPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Deploys and tests, with Assay's tool if it is here; true if the unit tests pass. */
async function check() {
  if (!inPath('assay-env')) return command(['node', 'tests/unit.mjs']);
  await command(['assay-env', 'deploy']);
  return command(['assay-env', 'test', 'unit']);
}

async function finish(ok, summary) {
  await tell('message', { text: summary });
  if (ok && inPath('assay-env')) await command(['assay-env', 'done', summary]);
  return ok;
}

// --- the three things it can do

async function implement() {
  const bug = shipped() ? 'none' : BUG;
  const wrong = bug === 'report' || bug === 'stock';
  const plan = new Plan('Find out where prices and promotions come from', 'Give products their discount in the catalog',
    'Show it on the product cards', ...(wrong ? ['Let the order event carry the discount'] : []), 'Run the tests');
  await plan.at(0);
  await thought('The cart knows the promotion and the product list does not. Promotions are rows in the catalog\'s database, so the catalog should tell.');
  await look('catalog/store.py', 'Which columns does a product come with?');
  await look('catalog/present.py', 'What does the catalog answer?');
  await look('front/public/format.js', 'Who draws the price on a card?');

  await plan.at(1);
  await edit('query', QUERY);
  await implementProduct(bug === 'price');
  await plan.at(2);
  await thought('The card only has to draw what the catalog now says.');
  await showOnCards({ ...tagNow(), price: bug === 'price' });
  if (wrong) {
    await plan.at(3);
    await thought('While I am here: the worker will want the discount for the report one day, so the event of an order should carry it.');
    await look('orders/event.py', 'What does the event say today?');
    await edit('event', EVENT[bug]);
    await write(TESTS.event, EVENT_TEST[bug]);
  }
  await plan.at(plan.items.length - 1);
  const ok = await check();
  await plan.done();
  return finish(ok, SUMMARIES[bug]);
}

/** An attempt that has been mended is not spoiled again when the first prompt comes a second time. */
function shipped() {
  const mended = { price: 'product', report: 'event', stock: 'event' }[BUG];
  if (!mended) return true;
  const right = mended === 'product' ? PRODUCT.right : EVENT.right;
  return read(PLACES[mended].file).includes(right);
}

async function implementProduct(price) {
  if (price) await thought('Everybody should see the price that will be paid, so price_cents becomes that price, and the old one moves to list_price_cents.');
  else await thought('Orders and the cart calculate with price_cents, so it stays what it is. The discount comes as a field of its own.');
  await edit('product', price ? PRODUCT.price : PRODUCT.right);
  await write(TESTS.product, price ? PRODUCT_TEST.price : PRODUCT_TEST.right);
}

async function showOnCards(tag) {
  await edit('tag', tagText(tag));
  await edit('style', styleText(tag));
  await write(TESTS.tag, tagTest(tag));
}

async function mend(prompt) {
  const plan = new Plan('Understand the findings', 'Mend the seam', 'Run the tests');
  await plan.at(0);
  const request = /\b(GET|POST|PUT|DELETE) (\/api\/[^\s"'`,)]*)/.exec(prompt);
  await thought(`${request ? `${request[1]} ${request[2]} no longer answers as it did` : 'Something answers differently than before'}. My unit tests mock the neighbours, so they could not see it.`);
  const event = read(PLACES.event.file);
  if (read(PLACES.product.file).includes('list_price_cents')) {
    await thought('Orders and the cart take price_cents from the catalog and apply the promotion themselves. I had changed what it means, and made it a float, which pricing refuses. It gets its old meaning back; the discount becomes a field of its own.');
  }
  if (event.includes('amounts')) await thought('The worker reads total_cents from the event. I had moved it into amounts, so the report counted 0. It comes back where it was; the discount stands beside it.');
  if (event.includes('quote["lines"]')) await thought('The worker reads quantity from the items, and pricing says units. So it took one piece for each line. The items are again those of the order.');
  await plan.at(1);
  await edit('query', QUERY);
  await edit('product', PRODUCT.right);
  await write(TESTS.product, PRODUCT_TEST.right);
  await showOnCards({ ...tagNow(), price: false });
  if (existsSync(TESTS.event)) {
    await edit('event', EVENT.right);
    await write(TESTS.event, EVENT_TEST.right);
  }
  await plan.at(2);
  const ok = await check();
  await plan.done();
  return finish(ok, 'The finding was right: I had changed what a neighbouring service reads. Every field has its old name, type and meaning again, and the discount is only added.');
}

async function followUp(wish) {
  const plan = new Plan('Change the price tag', 'Run the tests');
  await plan.at(0);
  await thought('The reviewer is looking at the preview; this is a change to the card alone.');
  const tag = { ...tagNow(), ...wish };
  await showOnCards(tag);
  await plan.at(1);
  const ok = await check();
  await plan.done();
  const said = [wish.struck && 'the old price is struck through', wish.label && `the badge says “${wish.label}”`].filter(Boolean);
  return finish(ok, `Done: ${said.join(' and ')}. Nothing but the product card has changed.`);
}

const SUMMARIES = {
  none: 'Products now carry their discount and the cards show it. `price_cents` keeps its meaning; the new field `discount` is added beside it.',
  price: 'The product list now shows the discounted price: `price_cents` is what the customer pays, `list_price_cents` is the price before.',
  report: 'Products now carry their discount and the cards show it. The event of an order carries the discount too, in `amounts`.',
  stock: 'Products now carry their discount and the cards show it. The event of an order carries the discount of every line too.',
};

// --- what the prompt asks for

function hasFindings(prompt) {
  return /\bfindings?\b/i.test(prompt) && /\bexpected\b/i.test(prompt) && /\bgot\b/i.test(prompt);
}

/** A reviewer's wish for the card as {struck?, label?}, or null. */
function wishIn(prompt) {
  const wish = {};
  if (/struck|strike|strikethrough|old price|crossed out/i.test(prompt)) wish.struck = true;
  if (/\b(label|badge|rename|call it|wording)\b/i.test(prompt)) {
    const words = [...prompt.matchAll(/["“'‘]([\p{L}\p{N}! ]{2,24})["”'’]/gu)].map((match) => match[1]);
    const label = words.find((word) => word !== tagNow().label);
    if (label) wish.label = label;
  }
  return Object.keys(wish).length > 0 ? wish : null;
}

function untouched() {
  return !/discount/.test(read(PLACES.product.file));
}

async function work(prompt) {
  if (untouched()) return implement();
  const wish = wishIn(prompt);
  const found = hasFindings(prompt);
  if (found && !(await mend(prompt))) return false;
  if (wish) return followUp(wish);
  return found || implement();
}

async function main() {
  const prompt = readFileSync(0, 'utf8');
  seen.in += prompt.length;
  await tell('start', { session: randomUUID(), model: 'scripted' });
  let ok = false;
  try {
    if (!BUGS.includes(BUG)) throw new Error(`AGENT_BUG is one of ${BUGS.join(', ')}`);
    ok = await work(prompt);
  } catch (error) {
    await tell('message', { text: `I cannot go on: ${error.message}` });
  }
  const tokens = (bytes) => Math.ceil(bytes / 4);
  await tell('end', { ok, usage: { input_tokens: tokens(seen.in), output_tokens: tokens(seen.out), cost_usd: 0 } });
  process.exitCode = ok ? 0 : 1;
}

await main();
