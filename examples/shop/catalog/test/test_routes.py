"""The catalog's HTTP interface over a mocked store."""
import unittest
from decimal import Decimal
from unittest.mock import Mock

from catalog.routes import routes
from catalog.store import Store, tsquery
from kit.server import Refused, Request

ROW = {"id": 7, "sku": "HP-00007", "name": "Quiet Oak Mug", "category": "Mugs", "price_cents": 4990, "stock": 12,
       "rating": Decimal("4.2")}


class RoutesTest(unittest.TestCase):
    def setUp(self):
        self.store = Mock(spec=Store)
        self.handlers = {f"{method} {pattern}": handle for method, pattern, handle in routes(self.store)}

    def ask(self, route, query=None, *arguments):
        return self.handlers[route](Request("", query or {}, {}, b"", arguments))

    def test_a_page_is_asked_for_with_words_and_category(self):
        self.store.page.return_value = ([ROW], 1)
        status, body = self.ask("GET /products", {"page": "3", "q": "oak", "category": "Mugs"})
        self.store.page.assert_called_once_with(3, "oak", "Mugs")
        self.assertEqual((status, body["total"], body["page"]), (200, 1, 3))

    def test_a_product_that_is_not_there_is_404(self):
        self.store.product.return_value = None
        with self.assertRaises(Refused) as caught:
            self.ask(r"GET /products/(\d{1,9})", {}, "7")
        self.assertEqual(caught.exception.status, 404)

    def test_promotions_are_looked_up_by_id(self):
        self.store.promotions.return_value = [{"product_id": 2, "percent": 10}]
        self.ask("GET /promotions", {"ids": "2,3,x"})
        self.store.promotions.assert_called_once_with([2, 3])

    def test_a_page_that_is_not_a_number_is_400(self):
        with self.assertRaises(Refused) as caught:
            self.ask("GET /products", {"page": "two"})
        self.assertEqual(caught.exception.status, 400)

    def test_words_search_by_their_beginnings(self):
        self.assertEqual(tsquery("Oak cha"), "oak:* & cha:*")
        self.assertEqual(tsquery("'); DROP & |"), "drop:*")
