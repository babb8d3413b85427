"""The HTTP interface of orders over a mocked store."""
import hashlib
import json
import unittest
from datetime import date, datetime, timezone
from decimal import Decimal
from unittest.mock import Mock

from kit.server import Refused, Request
from orders.checkout import Checkout
from orders.routes import routes
from orders.store import Store

ADA = {"id": 1, "name": "Ada Lindqvist", "email": "ada@example.com", "country": "DE",
       "password_hash": hashlib.sha256(b"1:sunflower").hexdigest()}
ORDER = {"id": 9, "customer_id": 1, "status": "paid", "subtotal_cents": 100, "discount_cents": 0, "shipping_cents": 490,
         "tax_cents": 112, "total_cents": 702, "charge_id": "ch_1", "request_id": "r",
         "created_at": datetime(2026, 7, 1, 9, 30, tzinfo=timezone.utc)}


class RoutesTest(unittest.TestCase):
    def setUp(self):
        self.store, self.checkout = Mock(spec=Store), Mock(spec=Checkout)
        self.handlers = {f"{method} {pattern}": handle for method, pattern, handle in routes(self.store, self.checkout)}

    def ask(self, route, body=None, query=None, arguments=()):
        return self.handlers[route](Request("", query or {}, {}, json.dumps(body or {}).encode(), arguments))

    def test_the_right_password_answers_with_the_customer_and_no_hash(self):
        self.store.customer_by_email.return_value = ADA
        status, body = self.ask("POST /customers/verify", {"email": "ada@example.com", "password": "sunflower"})
        self.assertEqual((status, body["name"]), (200, "Ada Lindqvist"))
        self.assertNotIn("password_hash", body)

    def test_a_wrong_password_and_an_unknown_email_look_the_same(self):
        for row in (ADA, None):
            self.store.customer_by_email.return_value = row
            with self.assertRaises(Refused) as caught:
                self.ask("POST /customers/verify", {"email": "x", "password": "rose"})
            self.assertEqual((caught.exception.status, str(caught.exception)), (401, "wrong email or password"))

    def test_a_placed_order_is_201_with_its_lines(self):
        self.checkout.place.return_value = ORDER
        self.store.lines.return_value = [{"product_id": 2, "quantity": 1}]
        status, body = self.ask("POST /orders", {"customer_id": 1, "lines": [{"product_id": 2, "quantity": 1}]})
        self.assertEqual((status, body["id"], len(body["lines"])), (201, 9, 1))
        self.assertEqual(body["created_at"], "2026-07-01T09:30:00.000+00:00")

    def test_the_report_is_numbers_and_a_day(self):
        self.store.reports.return_value = [
            {"day": date(2026, 6, 30), "orders": 97, "items": 482, "revenue_cents": Decimal(4177878)}]
        _, body = self.ask("GET /reports/daily")
        self.assertEqual(body["days"], [{"day": "2026-06-30", "orders": 97, "items": 482, "revenue_cents": 4177878}])
