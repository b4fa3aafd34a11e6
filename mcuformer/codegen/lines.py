"""Lines of C that a reader's screen holds, broken where clang-format breaks them.

A package brings its style as `.clang-format` (templates/clang-format). The style leaves few choices:
what does not fit one line breaks after its parenthesis and is filled, 4 columns deeper; a sum that
is too long for a line of its own breaks behind an operator. So no clang-format is needed to write it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from mcuformer.util.names import c_comment

WIDTH = 100
_INDENT = "    "
_LONGEST_PIECE = 84  # of a string literal, quotes included: beside `[1234] =` or `\`


def call(pad: str, head: str, args: Iterable[str], tail: str = ");") -> Iterator[str]:
    """`head(a, b, c);` in as few lines as fit."""
    words = list(args)
    line = f"{pad}{head}({', '.join(words)}{tail}"
    if len(line) <= WIDTH:
        yield line
        return
    yield f"{pad}{head}("
    yield from _filled(pad + _INDENT, [*(f"{word}," for word in words[:-1]), words[-1] + tail])


def returned(pad: str, value: str) -> Iterator[str]:
    """`return a + b;`, broken behind an operator, its operands below each other."""
    head = f"{pad}return "
    lines = list(_filled(" " * len(head), _terms(f"{value};")))
    yield head + lines[0].lstrip()
    yield from lines[1:]


def define(name: str, value: str) -> Iterator[str]:
    """`#define name value`; a long list or string goes on behind backslashes."""
    line = f"#define {name} {value}"
    if len(line) <= WIDTH:
        yield line
        return
    lines = [f"#define {name}"]
    if value.startswith('"'):
        lines += [_INDENT + piece for piece in pieces(value)]
    else:
        lines += _filled(_INDENT, re.split(r"(?<=,) ", value), _INDENT, WIDTH - 2)
    yield from (f"{text:<{WIDTH - 1}}\\" for text in lines[:-1])
    yield lines[-1]


def pieces(literal: str) -> list[str]:
    """A C string literal as shorter ones beside each other; no octal escape is cut."""
    if len(literal) <= _LONGEST_PIECE:
        return [literal]
    made, piece = [], ""
    for unit in re.findall(r"\\[0-7]{3}|.", literal[1:-1]):
        if len(piece) + len(unit) > _LONGEST_PIECE - 2:
            made.append(f'"{piece}"')
            piece = ""
        piece += unit
    return [*made, f'"{piece}"']


def element(index: int, literal: str) -> Iterator[str]:
    """`[3] = "label",` of an array of strings."""
    head = f"{_INDENT}[{index}] = "
    first, *rest = pieces(literal)
    lines = [head + first, *(" " * len(head) + piece for piece in rest)]
    yield from lines[:-1]
    yield f"{lines[-1]},"


def comment(*sentences: str) -> str:
    """A comment of its own; every sentence begins a line where the whole does not fit one."""
    whole = f"/* {' '.join(sentences)} */"
    if len(whole) <= WIDTH:
        return whole
    lines = [line for sentence in sentences for line in wrapped(sentence)]
    return f"/* {_STAR.join(lines)} */"


_STAR = "\n * "


def wrapped(sentence: str) -> list[str]:
    """Lines of a comment that leave room for its marks; what is indented stays so."""
    margin = sentence[: len(sentence) - len(sentence.lstrip())]
    return textwrap.wrap(
        sentence.strip(),
        WIDTH - len("/*  */"),
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
    )


def note(text: str, taken: int = 0) -> str:
    """`/* text */` behind `taken` columns; a long text is cut."""
    return f"/* {c_comment(text, WIDTH - taken - len('/*  */'))} */"


def noted(code: str, text: str) -> str:
    return f"{code} {note(text, len(code) + 1)}"


def numbers(texts: Iterable[str], per_line: int) -> Iterator[str]:
    """`0x01, 0x02,` in lines of `per_line`."""
    items = list(texts)
    for first in range(0, len(items), per_line):
        yield ", ".join(items[first : first + per_line]) + ","


def commented(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """`code /* comment */` in a block, the comments below each other."""
    width = max((len(code) for code, _ in rows), default=0)
    for code, text in rows:
        yield noted(f"{_INDENT}{code:<{width}}", text)


def _filled(pad: str, texts: Iterable[str], deeper: str = "", width: int = WIDTH) -> Iterator[str]:
    """Texts beside each other; lines behind the first are `deeper`. A sum of many lines stands alone."""
    line = pad
    for text in texts:
        glue = "" if line == pad else " "
        if len(line) + len(glue) + len(text) <= width:
            line += glue + text
            continue
        if line != pad:
            yield line
            pad, deeper = pad + deeper, ""
        line = pad
        if len(pad) + len(text) <= width:
            line += text
        elif len(parts := _terms(text)) > 1:
            yield from _filled(pad, parts, _INDENT)
        else:
            yield pad + text
    if line != pad:
        yield line


def _terms(text: str) -> list[str]:
    """Operands of a sum, each with the operator behind it."""
    return re.split(r"(?<= [+-]) ", text)
