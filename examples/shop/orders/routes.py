"""The HTTP interface of orders."""
import hashlib
import hmac

from kit.server import Refused
from orders import present

LIST_MAX = 20


def routes(store, checkout):
    def health(_request):
        store.ping()
        return 200, {"ok": True}

    def verify(request):
        body = request.json()
        row = store.customer_by_email(str(body.get("email", "")))
        if row is None or not password_matches(row, str(body.get("password", ""))):
            raise Refused(401, "wrong email or password")
        return 200, present.customer(row)

    def place(request):
        body = request.json()
        order = checkout.place(body.get("customer_id"), body.get("lines"), request.context)
        return 201, present.order_with_lines(order, store.lines(order["id"]))

    def show(request):
        row = store.order(int(request.arguments[0]))
        if row is None:
            raise Refused(404, "no such order")
        return 200, present.order_with_lines(row, store.lines(row["id"]))

    def recent(request):
        customer_id = request.integer("customer_id", 0, 0, 2**31 - 1)
        return 200, {"orders": [present.order(row) for row in store.orders_of(customer_id, LIST_MAX)]}

    def daily(request):
        rows = store.reports(request.integer("days", 7, 1, 366))
        return 200, {"days": [present.report(row) for row in rows]}

    return [
        ("GET", "/healthz", health),
        ("POST", "/customers/verify", verify),
        ("POST", "/orders", place),
        ("GET", "/orders", recent),
        ("GET", r"/orders/(\d{1,9})", show),
        ("GET", "/reports/daily", daily),
    ]


def password_matches(row, password):
    digest = hashlib.sha256(f"{row['id']}:{password}".encode()).hexdigest()
    return hmac.compare_digest(digest, row["password_hash"])
