"""Names that come from a model file, made safe for C, paths, comments and terminals.

An ONNX name is any byte string: quotes, newlines, `*/`, `%`, terminal escapes, 10,000 characters.
"""

from __future__ import annotations

import hashlib
import re

_KEYWORDS = frozenset(
    # C11 and C23
    """alignas alignof asm auto bool break case char const constexpr continue default do double else
    enum extern false float for goto if inline int long main nullptr register restrict return short
    signed sizeof static static_assert struct switch thread_local true typedef typeof union unsigned
    void volatile while NULL""".split()  # noqa: SIM905
)
_LONGEST = 40


def c_identifier(text: str, prefix: str = "m") -> str:
    """A C identifier of at most 40 characters: letters, digits, single inner underscores.

    It starts with a letter, so it is also a file name that no shell or path rule treats specially.
    A name that had to be shortened ends in 8 digits of its hash, so two long names stay apart.
    """
    clean = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")
    if len(clean) > _LONGEST:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        clean = f"{clean[: _LONGEST - 9].rstrip('_')}_{digest}"
    if not clean or clean[0].isdigit() or clean in _KEYWORDS:
        clean = f"{prefix}_{clean}" if clean else prefix
    return clean


def unique_identifiers(texts: list[str], prefix: str = "m") -> list[str]:
    """`c_identifier` of each, with `_2`, `_3` ... where two would be the same."""
    taken: set[str] = set()
    result = []
    for text in texts:
        stem = name = c_identifier(text, prefix)
        number = 2
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name)
        result.append(name)
    return result


def printable(text: str, longest: int = 120) -> str:
    """One line for a terminal or a message: control characters escaped, cut in the middle."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(shown) <= longest:
        return shown
    half = (longest - 3) // 2
    return f"{shown[:half]}...{shown[-half:]}"


def c_comment(text: str, longest: int = 80) -> str:
    """Text that may stand inside a C comment: ASCII, no comment mark, no backslash, no trigraph."""
    ascii_only = "".join(c if " " <= c <= "~" and c not in "\\" else "?" for c in text)
    safe = ascii_only.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
    return printable(safe.replace("??", "? ?"), longest)
