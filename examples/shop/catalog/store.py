"""The catalog's questions to PostgreSQL."""
import re

PAGE_ITEMS = 12
COLUMNS = "p.id, p.sku, p.name, p.category, p.price_cents, p.stock, p.rating"
SOURCE = "products p"


class Store:
    def __init__(self, database):
        self._database = database

    def ping(self):
        self._database.row("SELECT 1")

    def page(self, number, words, category):
        """One page of products and how many there are in all."""
        where, values = _filter(words, category)
        total = self._database.row(f"SELECT count(*) AS n FROM products p WHERE {where}", values)["n"]
        rows = self._database.rows(
            f"SELECT {COLUMNS} FROM {SOURCE} WHERE {where} ORDER BY p.id LIMIT {PAGE_ITEMS} OFFSET %s",
            values + [(number - 1) * PAGE_ITEMS])
        return rows, total

    def product(self, product_id):
        return self._database.row(f"SELECT {COLUMNS} FROM {SOURCE} WHERE p.id = %s", (product_id,))

    def promotions(self, product_ids):
        return self._database.rows(
            "SELECT product_id, percent FROM promotions WHERE product_id = ANY(%s) ORDER BY product_id", (product_ids,))

    def categories(self):
        return self._database.rows(
            "SELECT category AS name, count(*) AS products FROM products GROUP BY category ORDER BY category")


def _filter(words, category):
    clauses, values = ["true"], []
    query = tsquery(words)
    if query:
        clauses.append("to_tsvector('simple', p.name) @@ to_tsquery('simple', %s)")
        values.append(query)
    if category:
        clauses.append("p.category = %s")
        values.append(category)
    return " AND ".join(clauses), values


def tsquery(words):
    """Every word must begin a word of the name: "oak cha" finds "Nordic Oak Chair"."""
    return " & ".join(f"{word}:*" for word in re.findall(r"\w+", words.lower())[:8])
