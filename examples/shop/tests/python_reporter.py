"""Runs the Python unit tests: one JSON line per test, for tests/unit.mjs."""
import json
import sys
import time
import unittest

SERVICES = ("catalog", "orders", "worker", "kit")


class Result(unittest.TestResult):
    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def report(self, test, failure=None):
        name = test.id().split(".")[-1].removeprefix("test_").replace("_", " ")
        path = type(test).__module__.replace(".", "/") + ".py"
        line = {"name": name, "file": path, "seconds": time.monotonic() - self.started}
        if failure:
            line["failure"] = failure
        print(json.dumps(line))

    def addSuccess(self, test):
        self.report(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.report(test, f"{err[0].__name__}: {err[1]}")

    addError = addFailure


loader = unittest.TestLoader()
suite = unittest.TestSuite(loader.discover(f"{name}/test", top_level_dir=".") for name in SERVICES)
result = Result()
suite.run(result)
sys.exit(not result.wasSuccessful())
