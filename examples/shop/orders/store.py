"""The rows of customers, orders and reports."""


class Store:
    def __init__(self, database):
        self._database = database

    def ping(self):
        self._database.row("SELECT 1")

    def customer(self, customer_id):
        return self._database.row("SELECT id, name, email, country FROM customers WHERE id = %s", (customer_id,))

    def customer_by_email(self, email):
        return self._database.row(
            "SELECT id, name, email, country, password_hash FROM customers WHERE email = %s", (email,))

    def save(self, customer_id, lines, quote, charge_id, request_id):
        """Writes the order and its lines, and returns its row."""
        def work(cursor):
            cursor.execute(
                "INSERT INTO orders (customer_id, status, subtotal_cents, discount_cents, shipping_cents, tax_cents,"
                " total_cents, charge_id, request_id) VALUES (%s, 'paid', %s, %s, %s, %s, %s, %s, %s) RETURNING *",
                (customer_id, quote["subtotal_cents"], quote["discount_cents"], quote["shipping_cents"],
                 quote["tax_cents"], quote["total_cents"], charge_id, request_id))
            order = cursor.fetchone()
            for number, (line, priced) in enumerate(zip(lines, quote["lines"]), 1):
                cursor.execute(
                    "INSERT INTO order_lines (order_id, line, product_id, quantity, unit_cents, discount_cents)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    (order["id"], number, line["product_id"], line["quantity"], line["unit_cents"],
                     priced["discount_cents"]))
            return order
        return self._database.run(work)

    def order(self, order_id):
        return self._database.row("SELECT * FROM orders WHERE id = %s", (order_id,))

    def lines(self, order_id):
        return self._database.rows(
            "SELECT l.product_id, p.name, l.quantity, l.unit_cents, l.discount_cents FROM order_lines l"
            " JOIN products p ON p.id = l.product_id WHERE l.order_id = %s ORDER BY l.line", (order_id,))

    def orders_of(self, customer_id, count):
        return self._database.rows(
            "SELECT * FROM orders WHERE customer_id = %s ORDER BY id DESC LIMIT %s", (customer_id, count))

    def reports(self, days):
        return self._database.rows(
            "SELECT day, orders, items, revenue_cents FROM daily_reports ORDER BY day DESC LIMIT %s", (days,))
