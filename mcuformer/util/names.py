"""Names that come from a model file, made safe for C, paths, comments and terminals.

An ONNX name is any byte string: quotes, newlines, `*/`, `%`, terminal escapes, 10,000 characters.
"""

from __future__ import annotations

import hashlib
import re

from mcuformer.errors import UsageError

_KEYWORDS = frozenset(
    # C11 and C23
    """alignas alignof asm auto bool break case char const constexpr continue default do double else
    enum extern false float for goto if inline int long main nullptr register restrict return short
    signed sizeof static static_assert struct switch thread_local true typedef typeof union unsigned
    void volatile while NULL""".split()
)
_LONGEST = 40
# <name>_init would be a function of the C library, <name>.h one of its headers
_LIBRARY = frozenset(
    """aio assert call cnd complex ctype errno fanotify fenv float inotify inttypes limits locale math mtx
    sem setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string
    tgmath threads time uchar wchar wctype alloca arm_acle dirent dlfcn endian fcntl features glob grp
    iconv langinfo libgen malloc memory netdb poll pwd regex resolv sched semaphore spawn strings
    syscall sysexits syslog termios ucontext unistd utime wait""".split()
)
_FAMILIES = ("mcf", "pthread", "posix", "inet6")  # first words whose names are others'


def c_identifier(text: str, prefix: str = "m", longest: int = _LONGEST) -> str:
    """A C identifier of at most `longest` characters, 10 or more: letters, digits, single inner underscores.

    It starts with a letter, so it is also a file name that no shell or path rule treats specially.
    A name that had to be shortened ends in 8 digits of its hash, so two long names stay apart.
    """
    clean = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_")
    if len(clean) > longest:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        clean = f"{clean[: longest - 9].rstrip('_')}_{digest}"
    if not clean or clean[0].isdigit() or clean in _KEYWORDS:
        clean = f"{prefix}_{clean}" if clean else prefix
    return clean


def is_taken(name: str) -> bool:
    """Whether a model of this name would share symbols or headers with the runtime or with libc."""
    return name.lower() in _LIBRARY or name.lower().split("_")[0] in _FAMILIES


def model_identifier(stem: str) -> str:
    """The C name of a model from its file's: lower case, and never one that is taken."""
    name = c_identifier(stem).lower()
    return f"m_{name}" if is_taken(name) else name


def checked_model_name(name: str) -> str:
    """`name` itself where every symbol, macro and file that begins with it is the model's own.

    UsageError otherwise, with the nearest name that will do.
    """
    hint = f"try --name {model_identifier(name)}"
    if len(name) > _LONGEST or not re.fullmatch(r"[A-Za-z][0-9A-Za-z]*(_[0-9A-Za-z]+)*", name):
        raise UsageError(
            f"--name {printable(name)} is no name for C: up to {_LONGEST} letters, digits and single "
            "underscores between them, a letter first",
            hint,
        )
    if is_taken(name):
        raise UsageError(f"--name {name} belongs to the runtime or the C library", hint)
    return name


def unique_identifiers(texts: list[str], prefix: str = "m", longest: int = _LONGEST) -> list[str]:
    """`c_identifier` of each, with `_2`, `_3` ... where two would be the same."""
    taken: set[str] = set()
    result = []
    for text in texts:
        stem = name = c_identifier(text, prefix, longest)
        number = 2
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name)
        result.append(name)
    return result


def printable(text: str, longest: int = 120) -> str:
    """One line for a terminal or a message: control characters escaped, cut in the middle."""
    shown = text
    if not text.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(shown) <= longest:
        return shown
    half = (longest - 3) // 2
    return f"{shown[:half]}...{shown[-half:]}"


def c_comment(text: str, longest: int = 80) -> str:
    """Text that may stand inside a C comment: ASCII, no comment mark, no backslash, no trigraph."""
    ascii_only = text
    if not (text.isascii() and text.isprintable()) or "\\" in text:
        ascii_only = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)
    safe = ascii_only.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
    return printable(safe.replace("??", "? ?"), longest)


def counted(number: int, noun: str) -> str:
    """'1 head', '1,200 heads'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
