"""Runs every test and writes JUnit XML."""
import sys
import unittest
from xml.sax.saxutils import quoteattr


class Result(unittest.TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.cases = []

    def addSuccess(self, test):
        super().addSuccess(test)
        self.cases.append((test.id(), None))

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.cases.append((test.id(), str(error[1])))

    def addError(self, test, error):
        super().addError(test, error)
        self.cases.append((test.id(), str(error[1])))


suite = unittest.defaultTestLoader.discover("test", top_level_dir=".")
result = unittest.TextTestRunner(resultclass=Result).run(suite)
with open("report.xml", "w") as out:
    out.write("<testsuites><testsuite name=\"tiny\">")
    for name, why in result.cases:
        group, _, case = name.rpartition(".")
        body = "" if why is None else f"<failure message={quoteattr(why)}/>"
        out.write(f"<testcase classname={quoteattr(group)} name={quoteattr(case)}>{body}</testcase>")
    out.write("</testsuite></testsuites>")
sys.exit(not result.wasSuccessful())
