import unittest

import greeting


class Greeting(unittest.TestCase):
    def test_it_greets(self):
        self.assertTrue(greeting.hello().startswith("hello"))
