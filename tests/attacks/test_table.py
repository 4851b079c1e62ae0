"""docs/SECURITY.md says of each attack what its test shows."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import table  # noqa: E402


class Document(unittest.TestCase):

    def test_the_table_of_attacks_is_what_the_tests_declare(self):
        self.maxDiff = None
        self.assertEqual(table.documented(), table.render(), "python3 tests/attacks/table.py --write brings it up to date")


if __name__ == "__main__":
    unittest.main(verbosity=2)
