"""What products look like."""
import unittest
from decimal import Decimal

from catalog import present

ROW = {"id": 7, "sku": "HP-00007", "name": "Quiet Oak Mug", "category": "Mugs", "price_cents": 4990, "stock": 12,
       "rating": Decimal("4.2")}


class PresentTest(unittest.TestCase):
    def test_a_product_has_a_name_a_price_and_a_stock(self):
        product = present.product(ROW)
        self.assertEqual((product["name"], product["price_cents"], product["stock"]), ("Quiet Oak Mug", 4990, 12))

    def test_a_rating_is_a_number(self):
        self.assertEqual(present.product(ROW)["rating"], 4.2)

    def test_pages_are_rounded_up_and_at_least_one(self):
        self.assertEqual(present.page([ROW], 1, 25, 12)["pages"], 3)
        self.assertEqual(present.page([], 1, 0, 12)["pages"], 1)
