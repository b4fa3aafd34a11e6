"""Programs that run beside us, and that are gone when we are done with them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mcuformer.targets.limits import endless


@contextmanager
def child(argv: Sequence[str], folder: Path, *, talks: bool = True) -> Iterator[subprocess.Popen]:
    """`argv` started in `folder` as a process group, which is killed at the end of the block.

    So nothing is left after an error, a time limit or Ctrl-C. `talks`: its output is kept, with
    stderr in it; a line typed to it goes to its stdin.
    """
    process = subprocess.Popen(
        argv, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE if talks else subprocess.DEVNULL,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):  # nothing of the group is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def words_of(process: subprocess.Popen, what: str, left_s: float, limit_s: float) -> str:
    """All that it wrote until its end; EndlessError where it has not ended after `left_s`.

    `limit_s` is the time that it was given at its start.
    """
    try:
        words, _ = process.communicate(timeout=max(left_s, 0.0))
    except subprocess.TimeoutExpired:
        raise endless(what, limit_s) from None
    return str(words).strip()
