"""What the services share."""
import io
import unittest

from kit.redis import RedisError, decode, encode
from kit.server import Refused, Request


class RedisTest(unittest.TestCase):
    def test_a_command_is_an_array_of_counted_strings(self):
        self.assertEqual(encode(["XADD", 7]), b"*2\r\n$4\r\nXADD\r\n$1\r\n7\r\n")

    def test_every_kind_of_answer_is_decoded(self):
        for data, value in ((b"+OK\r\n", "OK"), (b":7\r\n", 7), (b"$-1\r\n", None), (b"*-1\r\n", None),
                            (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", ["a", [1]])):
            self.assertEqual(decode(io.BytesIO(data)), value)

    def test_an_error_is_raised_and_so_is_a_hang_up(self):
        with self.assertRaises(RedisError):
            decode(io.BytesIO(b"-ERR no\r\n"))
        with self.assertRaises(ConnectionError):
            decode(io.BytesIO(b"$5\r\nab"))


class RequestTest(unittest.TestCase):
    def test_the_context_is_what_is_carried_on(self):
        headers = {"traceparent": "t", "x-request-id": "r", "authorization": "secret"}
        self.assertEqual(Request("", {}, headers, b"", ()).context, {"traceparent": "t", "x-request-id": "r"})

    def test_a_body_that_is_not_an_object_is_400(self):
        for raw in (b"[1]", b"{"):
            with self.assertRaises(Refused) as caught:
                Request("", {}, {}, raw, ()).json()
            self.assertEqual(caught.exception.status, 400)
