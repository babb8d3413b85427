// What a cart costs: the catalog knows the products, pricing does the sums.

/** Returns the priced cart: its lines with product and amounts, and the totals. */
export async function priceCart({ catalog, pricing }, lines, country, context) {
  if (lines.length === 0) return { lines: [], total_cents: 0 };
  const products = await Promise.all(lines.map((line) => catalog.get(`/products/${line.product_id}`, context)));
  const ids = lines.map((line) => line.product_id).join(',');
  const { promotions } = await catalog.get(`/promotions?ids=${ids}`, context);
  const quote = await pricing.post('/quote', quoteRequest(lines, products, promotions, country), context);
  return cartView(lines, products, quote);
}

export function quoteRequest(lines, products, promotions, country) {
  const percents = new Map(promotions.map((row) => [row.product_id, row.percent]));
  return {
    country,
    lines: lines.map((line, i) => ({
      ...line,
      unit_cents: products[i].price_cents,
      discount_percent: percents.get(line.product_id) ?? 0,
    })),
  };
}

export function cartView(lines, products, quote) {
  const { currency, subtotal_cents, discount_cents, shipping_cents, tax_cents, total_cents } = quote;
  return {
    lines: lines.map((line, i) => ({
      ...line,
      name: products[i].name,
      unit_cents: products[i].price_cents,
      discount_cents: quote.lines[i].discount_cents,
      net_cents: quote.lines[i].net_cents,
    })),
    currency, subtotal_cents, discount_cents, shipping_cents, tax_cents, total_cents,
  };
}
