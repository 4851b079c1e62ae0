"""The table of attacks in docs/SECURITY.md. Without an argument prints it; --write puts it into the document."""

import importlib
import inspect
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import attack  # noqa: E402

MODULES = ("middle", "origination", "impersonation", "replay", "downgrade", "detour", "exhaustion")
DOCUMENT = os.path.join(HERE, "..", "..", "docs", "SECURITY.md")
BEGIN, END = "<!-- attacks: begin -->\n", "<!-- attacks: end -->\n"
HEAD = "\n| attack | without Remora | with Remora | reason in the log |\n|---|---|---|---|\n"


def _groups(module):
    """The test cases that have attacks, in their order in the file."""
    cases = [case for _, case in inspect.getmembers(module, inspect.isclass)
             if issubclass(case, attack.Case) and case.__module__ == module.__name__ and attack.rows_of(case)]
    return sorted(cases, key=lambda case: inspect.getsourcelines(case)[1])


def _line(row):
    cells = (row.what, row.without, row.with_remora, ", ".join(f"`{reason}`" for reason in row.reasons) or "none")
    assert not any("|" in cell or "\n" in cell for cell in cells), row.what
    return "| " + " | ".join(cells) + " |\n"


def render():
    """The table, from what the tests declare."""
    text = ""
    for name in MODULES:
        for case in _groups(importlib.import_module(f"test_{name}")):
            text += f"\n**{case.title}**\n" + HEAD + "".join(_line(row) for row in attack.rows_of(case))
    return text.lstrip("\n")


def _parts():
    """The document before, in and after the table."""
    with open(DOCUMENT, encoding="utf-8") as file:
        before, begin, rest = file.read().partition(BEGIN)
    table, end, after = rest.partition(END)
    assert begin and end, "docs/SECURITY.md has no place for the table"
    return before + begin, table, end + after


def documented():
    """The table as the document has it."""
    return _parts()[1]


def write():
    before, _, after = _parts()
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(before + render() + after)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        print(render(), end="")
