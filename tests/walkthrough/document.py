"""The commands of a Markdown document, and what it says that they print.

A fenced block of the language `sh` is commands; its first line may be a comment that says where they are run, "# on the PLACE" or "# on the
PLACE, with PROGRAM". A block of the language `text` that follows is what they print; without one they print nothing. There, `...`
stands for the rest of a line, or in a line of its own for any lines.
"""

import re

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_WHERE = re.compile(r"# on the (\w+)(?:, with (\w+))?\n")


class Block:
    """Attributes: `line`, where it begins; `commands`; `place` and `needs`, None where nothing is said; `printed`."""

    def __init__(self, line, commands, printed):
        where = _WHERE.match(commands)
        self.line = line
        self.commands = commands
        self.place, self.needs = where.groups() if where else (None, None)
        self.printed = printed

    def words(self):
        """Those of the first command."""
        return re.sub(r"^#.*\n", "", self.commands).split()

    def is_printed_by(self, output):
        """Whether the output is what the document says."""
        return re.fullmatch(_pattern(self.printed), output) is not None


def _pattern(printed):
    lines = [r"(?:[^\n]*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", r"[^\n]*") + r"\n"
             for line in printed.splitlines()]
    return "".join(lines)


def read(text):
    """The blocks of commands, in their order. What could be neither commands nor their output is a ValueError that names the line."""
    blocks = []
    for fence in _FENCE.finditer(text):
        language, content = fence.groups()
        line = text.count("\n", 0, fence.start()) + 1
        if language == "sh":
            blocks.append(Block(line, content, ""))
        elif language == "text" and blocks and not blocks[-1].printed:
            blocks[-1].printed = content
        else:
            raise ValueError(f"line {line}: a block of {language or 'no language'} belongs to no commands")
    if "```" in _FENCE.sub("", text):
        raise ValueError("a block is not closed")
    return blocks
