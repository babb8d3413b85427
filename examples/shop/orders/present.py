"""What orders, customers and reports look like to those who ask for them."""

AMOUNTS = ("subtotal_cents", "discount_cents", "shipping_cents", "tax_cents", "total_cents")


def order(row):
    shown = {"id": row["id"], "customer_id": row["customer_id"], "status": row["status"]}
    shown.update({name: row[name] for name in AMOUNTS})
    shown["created_at"] = row["created_at"].isoformat(timespec="milliseconds")
    return shown


def order_with_lines(row, lines):
    return {**order(row), "lines": [dict(line) for line in lines]}


def customer(row):
    return {name: row[name] for name in ("id", "name", "email", "country")}


def report(row):
    return {**row, "day": row["day"].isoformat(), "revenue_cents": int(row["revenue_cents"])}
