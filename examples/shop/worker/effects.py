"""What a paid order changes: its status, the stock, the report of its day, in one transaction and once."""
import json


def apply(cursor, fields):
    """Applies the event and returns "applied", or "seen" if it had been applied before."""
    order_id = int(fields["order_id"])
    items = json.loads(fields["items"])
    if not _confirm(cursor, order_id):
        return "seen"
    for item in items:
        _take_stock(cursor, item["product_id"], quantity(item))
    _report(cursor, fields["day"], sum(quantity(item) for item in items), int(fields.get("total_cents", 0)))
    return "applied"


def quantity(item):
    """The first events, of 2024, had no quantity: they were one piece each."""
    return int(item.get("quantity", 1))


def _confirm(cursor, order_id):
    cursor.execute("UPDATE orders SET status = 'confirmed' WHERE id = %s AND status = 'paid' RETURNING id", (order_id,))
    return cursor.fetchone() is not None


def _take_stock(cursor, product_id, count):
    cursor.execute("UPDATE products SET stock = greatest(stock - %s, 0) WHERE id = %s", (count, product_id))


def _report(cursor, day, items, revenue_cents):
    cursor.execute(
        "INSERT INTO daily_reports (day, orders, items, revenue_cents) VALUES (%s, 1, %s, %s)"
        " ON CONFLICT (day) DO UPDATE SET orders = daily_reports.orders + 1,"
        " items = daily_reports.items + excluded.items,"
        " revenue_cents = daily_reports.revenue_cents + excluded.revenue_cents", (day, items, revenue_cents))
