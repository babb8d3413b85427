"""The consumer over a mocked queue."""
import unittest
from unittest.mock import Mock, call, patch

from kit.redis import Redis
from worker.consumer import Consumer


class ConsumerTest(unittest.TestCase):
    def setUp(self):
        self.queue, self.apply = Mock(spec=Redis), Mock(return_value="applied")
        self.consumer = Consumer(self.queue, self.apply)
        patch("worker.consumer.log").start()
        self.addCleanup(patch.stopall)

    def test_an_event_is_acknowledged_after_its_effect(self):
        self.consumer.handle("1-1", ["order_id", "7"])
        self.apply.assert_called_once_with({"order_id": "7"})
        self.queue.call.assert_called_once_with("XACK", "orders", "worker", "1-1")

    def test_an_event_that_cannot_be_applied_is_put_aside(self):
        self.apply.side_effect = KeyError("order_id")
        self.consumer.handle("1-1", ["x", "7"])
        self.assertEqual(self.queue.call.call_args_list, [
            call("XADD", "orders:dead", "*", "entry", "1-1", "x", "7"), call("XACK", "orders", "worker", "1-1")])

    def test_a_failing_database_leaves_the_event_unacknowledged(self):
        self.apply.side_effect = ConnectionError("gone")
        with self.assertRaises(ConnectionError):
            self.consumer.handle("1-1", ["order_id", "7"])
        self.queue.call.assert_not_called()
