import unittest

from money import money


class Money(unittest.TestCase):
    def test_decimals(self):
        self.assertEqual(money(1205), "12.05")

    def test_nothing(self):
        self.assertEqual(money(0), "0.00")
