// How values become words and markup; no page and no network here, so tests import it as it is.

const euros = new Intl.NumberFormat('en-IE', { style: 'currency', currency: 'EUR' });

export function money(cents) {
  return euros.format(cents / 100);
}

export function escape(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** The price on a product card. */
export function priceTag(product) {
  return `<span class="price">${money(product.price_cents)}</span>`;
}

/** What the card says about the stock; `low` is worth a colour. */
export function stockNote(stock) {
  if (stock === 0) return { text: 'Sold out', low: true };
  if (stock < 50) return { text: `Only ${stock} left`, low: true };
  return { text: 'In stock', low: false };
}

export function day(text) {
  return new Date(text).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
}
