"""What an event changes, over a mocked cursor."""
import unittest
from unittest.mock import Mock

from worker.effects import apply, quantity

EVENT = {"order_id": "60001", "day": "2026-07-01", "total_cents": "10689", "items": '[{"product_id":2,"quantity":3}]'}


class EffectsTest(unittest.TestCase):
    def setUp(self):
        self.cursor = Mock()
        self.cursor.fetchone.return_value = {"id": 60001}

    def values(self):
        return [call.args[1] for call in self.cursor.execute.call_args_list]

    def test_an_order_is_confirmed_counted_down_and_reported(self):
        self.assertEqual(apply(self.cursor, EVENT), "applied")
        self.assertEqual(self.values(), [(60001,), (3, 2), ("2026-07-01", 3, 10689)])

    def test_an_order_seen_before_changes_nothing(self):
        self.cursor.fetchone.return_value = None
        self.assertEqual(apply(self.cursor, EVENT), "seen")
        self.assertEqual(len(self.values()), 1)

    def test_an_event_without_an_order_is_an_error(self):
        with self.assertRaises(KeyError):
            apply(self.cursor, {})

    def test_an_item_of_old_is_one_piece(self):
        self.assertEqual(quantity({"product_id": 2}), 1)
