"""Runs the tests of this folder, all or the named ones. Started by scripts/interop."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "harness")]

from pods import require_root  # noqa: E402


class Result(unittest.TextTestResult):
    """Counts what succeeded, too. A class that cannot be set up is an error of no test."""

    num_passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.num_passed += 1


def main():
    require_root()
    loader = unittest.TestLoader()
    names = [name if name.startswith("test_") else f"test_{name}" for name in sys.argv[1:]]
    suite = loader.loadTestsFromNames(names) if names else loader.discover(HERE, top_level_dir=HERE)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(suite)
    print(f"{result.num_passed} passed, {len(result.failures) + len(result.errors)} failed, {len(result.skipped)} skipped")
    return 0 if result.wasSuccessful() and result.num_passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
