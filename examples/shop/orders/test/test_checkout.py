"""Checkout with every neighbour mocked."""
import unittest
from datetime import datetime, timezone
from unittest.mock import Mock

from kit.client import Client, Unreachable
from kit.redis import Redis
from kit.server import Refused
from orders.checkout import Checkout, check
from orders.store import Store

QUOTE = {"currency": "EUR", "subtotal_cents": 9980, "discount_cents": 998, "shipping_cents": 0, "tax_cents": 1707,
         "total_cents": 10689, "lines": [{"product_id": 2, "units": 2, "gross_cents": 9980, "discount_cents": 998,
                                          "net_cents": 8982}]}
CONTEXT = {"x-request-id": "r1", "traceparent": "00-1-2-01"}
WANTED = [{"product_id": 2, "quantity": 2}]


class CheckoutTest(unittest.TestCase):
    def setUp(self):
        self.product = {"id": 2, "name": "Quiet Oak Mug", "price_cents": 4990, "stock": 12}
        self.catalog, self.pricing, self.bank = Mock(spec=Client), Mock(spec=Client), Mock(spec=Client)
        self.queue, self.store = Mock(spec=Redis), Mock(spec=Store)
        self.catalog.get.side_effect = self.catalog_get
        self.pricing.post.return_value = (200, QUOTE)
        self.bank.post.return_value = (201, {"id": "ch_1", "status": "succeeded"})
        self.store.customer.return_value = {"id": 1, "country": "DE"}
        self.store.save.return_value = {"id": 60001, "created_at": datetime(2026, 7, 1, 9, 30, tzinfo=timezone.utc)}
        self.checkout = Checkout(self.catalog, self.pricing, self.bank, self.queue, self.store)

    def catalog_get(self, path, _context):
        if path.startswith("/promotions"):
            return 200, {"promotions": [{"product_id": 2, "percent": 10}]}
        return 200, self.product

    def place(self):
        return self.checkout.place(1, WANTED, CONTEXT)

    def refusal(self):
        with self.assertRaises(Refused) as caught:
            self.place()
        return caught.exception.status

    def test_pricing_gets_the_price_and_the_promotion(self):
        self.place()
        line = {"product_id": 2, "quantity": 2, "unit_cents": 4990, "discount_percent": 10}
        self.pricing.post.assert_called_once_with("/quote", {"country": "DE", "lines": [line]}, CONTEXT)

    def test_the_bank_is_charged_the_total(self):
        self.place()
        body = {"amount_cents": 10689, "currency": "EUR", "customer": 1}
        self.bank.post.assert_called_once_with("/v1/charges", body, CONTEXT)

    def test_the_order_is_written_once_and_then_announced(self):
        self.place()
        self.store.save.assert_called_once()
        words = self.queue.call.call_args.args
        self.assertEqual(words[:5], ("XADD", "orders", "*", "order_id", 60001))

    def test_too_little_stock_is_a_conflict_and_charges_nobody(self):
        self.product["stock"] = 1
        self.assertEqual(self.refusal(), 409)
        self.bank.post.assert_not_called()

    def test_a_declined_card_writes_nothing(self):
        self.bank.post.return_value = (402, {"error": "declined"})
        self.assertEqual(self.refusal(), 402)
        self.store.save.assert_not_called()

    def test_a_neighbour_that_fails_is_a_bad_gateway(self):
        self.pricing.post.return_value = (500, {"error": "no"})
        self.assertEqual(self.refusal(), 502)

    def test_a_neighbour_that_is_away_is_503(self):
        self.pricing.post.side_effect = Unreachable("pricing: refused")
        self.assertEqual(self.refusal(), 503)

    def test_a_lost_queue_connection_is_tried_again(self):
        self.queue.call.side_effect = [ConnectionError("gone"), "1-1"]
        self.place()
        self.assertEqual(self.queue.call.call_count, 2)


class CheckTest(unittest.TestCase):
    def test_lines_out_of_range_are_refused(self):
        for wanted in (None, [], [{}], [{"product_id": 1, "quantity": 0}], [{"product_id": "1", "quantity": 1}],
                       [{"product_id": 1, "quantity": 1}] * 51):
            with self.subTest(wanted=wanted), self.assertRaises(Refused):
                check(wanted)
