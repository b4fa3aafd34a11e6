"""Runs every command in README.md's ```console blocks and writes its true output below it.

    python scripts/refresh_readme.py            # rewrites README.md
    python scripts/refresh_readme.py --check    # shows where the README is not what is printed, and exits 1

A block may hold several commands; a line that ends in a backslash goes on in the next one.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def commands(block: str) -> Iterator[str]:
    """The commands of a block, continuation lines included."""
    lines = iter(block.splitlines())
    for line in lines:
        if line.startswith("$ "):
            text = line
            while text.endswith("\\"):
                text += "\n" + next(lines)
            yield text


def run(command: str) -> str:
    """What the command prints on stdout; the environment's own tools come first on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-c", command.removeprefix("$ ")], cwd=ROOT, check=True, text=True,
        stdout=subprocess.PIPE, env={**os.environ, "PATH": path, "COLUMNS": "100"},
    )  # fmt: skip
    return "\n".join(line.rstrip() for line in result.stdout.splitlines())


def refreshed(text: str) -> str:
    def block(match: re.Match[str]) -> str:
        shown = ((command, run(command)) for command in commands(match[0]))
        return "".join(f"{command}\n{out}\n" if out else f"{command}\n" for command, out in shown)

    return _BLOCK.sub(block, text)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    asked = parser.parse_args()
    before = README.read_text(encoding="utf-8")
    after = refreshed(before)
    if asked.check:
        texts = before.splitlines(), after.splitlines()
        for line in difflib.unified_diff(*texts, "README.md", "printed", n=1, lineterm=""):
            print(line)
        return int(before != after)
    README.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
