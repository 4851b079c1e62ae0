"""Runs the commands of docs/walkthrough.md as they stand there, and compares what they print with what it says.

Everything happens in namespaces (network, mount, process) of this program's own, which the kernel takes down with all that is in
them when it ends, whatever way that is. Programs that a block needs beyond the usual ones are named on the command line; blocks
whose program is not named are left out:

    test_story.py [--with PROGRAM]... [--keep FILE TARGET]    --keep: copies a file that the commands have made
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

import document  # noqa: E402
from pods import require_root  # noqa: E402

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "walkthrough.md")
BLOCK_S = 60  # how long the commands of one block may take; far more than any of them needs
LOOK_S = 10   # how long until a log may say what it has to
POLL_S = 0.1
OWN = "/run"  # where a file system of our own is mounted: iproute2 keeps the names of namespaces there, and the story its files
BROWSER = "/etc/chromium"  # the same, where there is a browser: the story writes a policy for it
FOLDER = f"{OWN}/story"
PROGRAMS = f"{OWN}/programs"
HOME = f"{OWN}/home"
LOGS = ("agent.log", "access.log")


class Reader(unittest.TestCase):
    """What makes a document's blocks is itself worth a test: one that is never found would never fail."""

    def test_commands_and_what_they_print(self):
        blocks = document.read("Words\n```sh\n# on the client, with Chromium\nls\n```\n\n```text\na\n...\nb... c\n```\n```sh\ntrue\n```\n")
        self.assertEqual([(block.line, block.place, block.needs) for block in blocks], [(2, "client", "Chromium"), (12, None, None)])
        self.assertEqual(blocks[0].commands, "# on the client, with Chromium\nls\n")
        for output, expected in (("a\nb c\n", True), ("a\nbx c\n", True), ("a\n1\n2\nb, c\n", True), ("a\n1\nb c\nd\n", False),
                                 ("a\nb\n c\n", False), ("", False)):
            self.assertEqual(blocks[0].is_printed_by(output), expected, output)
        self.assertTrue(blocks[1].is_printed_by(""))
        self.assertFalse(blocks[1].is_printed_by("x\n"))

    def test_what_would_be_passed_over_is_an_error(self):
        for text in ("```text\na\n```\n", "```sh\na\n```\n```text\na\n```\n```text\na\n```\n", "```\na\n```\n", "```sh\na\n",
                     "```yaml\na\n```\n"):
            with self.assertRaises(ValueError, msg=text):
                document.read(text)


class Story(unittest.TestCase):

    needs = ()   # programs of the command line
    keep = None  # (file, target)

    @classmethod
    def setUpClass(cls):
        with open(DOCUMENT, encoding="utf-8") as file:
            cls.blocks = document.read(file.read())
        _take_over()

    def test_the_commands_print_what_the_document_says(self):
        self.assertTrue(self.blocks)
        self.assertLessEqual(set(self.needs), {block.needs for block in self.blocks})
        for block in self.blocks:
            if block.needs is None or block.needs in self.needs:
                self.check(block)
        if self.keep:
            shutil.copy(os.path.join(FOLDER, self.keep[0]), self.keep[1])

    def check(self, block):
        # A program writes its log a moment later: who looks too early looks again.
        looks = block.words()[0] == "grep"
        deadline = time.monotonic() + LOOK_S
        while True:
            status, output = run(block)
            if status == 0 and block.is_printed_by(output):
                print(f"line {block.line}: as it says\n{output}", end="", flush=True)
                return
            if not looks or time.monotonic() > deadline:
                self.fail(f"docs/walkthrough.md, line {block.line}: exit code {status}\n{block.commands}--- printed\n{output}"
                          f"--- instead of\n{block.printed}{logs()}")
            time.sleep(POLL_S)


def run(block):
    """Runs the commands as a shell would that ends at the first error; (exit code, output). What they start goes on."""
    where = ["ip", "netns", "exec", block.place] if block.place else []
    path = os.path.join(OWN, "output")
    with open(path, "wb") as out:
        try:
            status = subprocess.run([*where, "bash", "-e", "-c", block.commands], cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=out,
                                    stderr=subprocess.STDOUT, timeout=BLOCK_S, check=False).returncode
        except subprocess.TimeoutExpired:
            status = f"none within {BLOCK_S} s"
    return status, _content(path)


def logs():
    """The ends of the agent's logs, for whoever has to explain a failure."""
    text = ""
    for name in LOGS:
        path = os.path.join(FOLDER, name)
        if os.path.exists(path):
            text += "\n".join([f"--- {name}", *_content(path).splitlines()[-20:], ""])
    return text


def _content(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _take_over():
    """Gives this process a /run, a home and a browser's configuration of its own."""
    # The built programs may be where the agent's user may not go, or below what is covered here: they are mounted, too.
    built = os.open(os.environ.pop("REMORA_PROGRAMS"), os.O_PATH | os.O_CLOEXEC)
    for folder in (OWN, BROWSER):
        if os.path.isdir(folder):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder], check=True)
    for folder in (FOLDER, PROGRAMS, HOME):
        os.mkdir(folder, 0o755)
    subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}/fd/{built}", PROGRAMS], check=True)
    os.close(built)
    os.environ.update(PATH=f"{PROGRAMS}:{os.environ['PATH']}:/usr/sbin:/sbin", HOME=HOME)


def main():
    parser = argparse.ArgumentParser(description="Runs the commands of docs/walkthrough.md.")
    parser.add_argument("--with", dest="needs", action="append", default=[], metavar="PROGRAM")
    parser.add_argument("--keep", nargs=2, metavar=("FILE", "TARGET"))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.inside:
        require_root()
        os.execvp("unshare", ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                              sys.executable, "-B", *sys.argv, "--inside"])
    Story.needs, Story.keep = arguments.needs, arguments.keep
    unittest.main(argv=sys.argv[:1], verbosity=2)


if __name__ == "__main__":
    main()
