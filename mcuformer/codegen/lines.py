"""Lines of C that a reader's screen holds: arguments wrapped under the opening parenthesis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

WIDTH = 120


def call(pad: str, head: str, args: Iterable[str], tail: str = ");") -> Iterator[str]:
    """`head(a, b, c);` in as few lines as fit."""
    line = f"{pad}{head}("
    indent = " " * len(line)
    words = list(args)
    for i, word in enumerate(words):
        text = word + (tail if i == len(words) - 1 else ",")
        glue = "" if line.endswith("(") or line == indent else " "
        if len(line) + len(glue) + len(text) > WIDTH and line.strip() and not line.endswith("("):
            yield line
            line, glue = indent, ""
        line += glue + text
    yield line


def numbers(texts: Iterable[str], per_line: int) -> Iterator[str]:
    """`0x01, 0x02,` in lines of `per_line`."""
    items = list(texts)
    for first in range(0, len(items), per_line):
        yield ", ".join(items[first : first + per_line]) + ","


def commented(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """`code /* comment */`, the comments below each other."""
    width = max((len(code) for code, _ in rows), default=0)
    for code, comment in rows:
        yield f"{code:<{width}} /* {comment} */"
