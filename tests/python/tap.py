# SPDX-License-Identifier: Apache-2.0
"""Runs one file of unittest tests and prints TAP.

usage: tap.py FILE [PATTERN...]     PATTERN: only tests whose name contains one of these
"""
import importlib
import os
import sys
import traceback
import unittest


def one_line(text):
    return " ".join(str(text).split())


class Tap(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.n = 0
        self.broken = set()     # tests of which a subtest failed

    def line(self, test, ok, note=""):
        self.n += 1
        print(f"{'ok' if ok else 'not ok'} {self.n} {test._testMethodName}{note}", flush=True)

    def story(self, err):
        for line in "".join(traceback.format_exception(*err)).splitlines():
            print("# " + line)

    def addSuccess(self, test):
        if test not in self.broken:
            self.line(test, True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.story(err)
        if isinstance(test, unittest.TestCase):
            self.line(test, False)
        else:     # of a class or a module
            print(f"not ok {self.n + 1} {one_line(test)}")
            self.n += 1

    addError = addFailure

    def addSkip(self, test, reason):
        if hasattr(test, "_testMethodName"):
            self.line(test, True, " # skip " + one_line(reason))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            print("# " + one_line(subtest))
            self.story(err)
            if test not in self.broken:
                self.broken.add(test)
                self.line(test, False)


def flat(suite):
    for t in suite:
        yield from flat(t) if isinstance(t, unittest.TestSuite) else (t,)


def main(path, *patterns):
    # Found by name, so that processes started afresh can import what they are sent.
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    module = importlib.import_module(os.path.splitext(os.path.basename(path))[0])
    tests = list(flat(unittest.defaultTestLoader.loadTestsFromModule(module)))
    if patterns:
        tests = [t for t in tests if any(p in t.id() for p in patterns)]
    print(f"1..{len(tests)}", flush=True)
    result = Tap()
    unittest.TestSuite(tests).run(result)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
