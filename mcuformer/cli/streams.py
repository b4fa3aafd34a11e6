"""stdin, stdout and stderr that may be closed, full, or read by nobody any more."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any

from mcuformer.errors import UsageError


class StdoutError(UsageError):
    """What a command prints cannot leave; `nobody` reads it any more, which is no failure."""

    def __init__(self, error: OSError) -> None:
        self.nobody = isinstance(error, BrokenPipeError)
        super().__init__(
            f"stdout: {error.strerror}; the result is not printed",
            "send it to another place; files that the command had finished are there",
        )


class _Stdout(io.FileIO):
    """Fails once, by an error that is nobody else's, and drops what is printed after it."""

    failed = False

    def write(self, data: Any, /) -> int:
        try:
            return len(memoryview(data)) if self.failed else super().write(data)
        except OSError as error:
            self.failed = True
            raise StdoutError(error) from None


def open_standard_streams() -> bool:
    """Every closed one becomes /dev/null, stdout fails with StdoutError; whether stdout was open.

    Else the next file that is opened would get the number of stdout, and what a tool prints.
    """
    was_open = True
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
            was_open = was_open and name != "stdout"
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115, it stays open
    raw, old = _Stdout(1, "w", closefd=False), sys.stdout
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw), old.encoding, old.errors, line_buffering=old.isatty()
    )
    return was_open


def flush_stdout() -> None:
    """What is printed is out, or the error is raised here and not when Python ends."""
    with suppress(ValueError):  # closed by the command
        sys.stdout.flush()
