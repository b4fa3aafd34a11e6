"""Commands that go on where they were stopped: what is said when they are."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcuformer.errors import Interrupted, UsageError
from mcuformer.util.interrupts import is_interruption

SAME_COMMAND = "the same command goes on after the last whole epoch"


@contextmanager
def continued(directory: Path, again: str) -> Iterator[None]:
    """What ends the block from outside: everything finished is in `directory`, and `again` goes on."""
    try:
        with _as_interruption(again):
            yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        where = f"{error.filename}: " if error.filename else f"{directory}: "
        raise UsageError(f"{where}{os.strerror(error.errno)}", f"make room; {again}") from error
    except Exception as error:
        if "disk is full" not in str(error) and "disk is full" not in str(error.__cause__):
            raise  # SQLite says so in the words of three libraries
        raise UsageError(f"{directory}: the disk is full", f"make room; {again}") from error


@contextmanager
def _as_interruption(again: str) -> Iterator[None]:
    """Ctrl-C, whatever the library that was at work made of it."""
    try:
        yield
    except BaseException as error:
        if not is_interruption(error):
            raise
        raise Interrupted("interrupted; what was finished is kept", again) from None
