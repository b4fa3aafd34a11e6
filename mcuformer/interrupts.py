"""Ctrl-C, SIGTERM and SIGHUP: all unwind the stack alike, and only where Python can unwind it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

_Handler = Callable[[int, FrameType | None], object]


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP become KeyboardInterrupt, so that temporary directories are removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled(("SIGTERM", "SIGHUP"), interrupt):
        yield


@contextmanager
def interrupt_afterwards(stop: Callable[[], object]) -> Iterator[None]:
    """While C code runs that calls back into Python, where an exception would be printed and lost:
    a signal calls `stop`, and KeyboardInterrupt is raised at the end of the block."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        stop()

    with _handled(("SIGINT", "SIGTERM", "SIGHUP"), note):
        yield
    if seen:
        raise KeyboardInterrupt


@contextmanager
def _handled(names: Iterable[str], handler: _Handler) -> Iterator[None]:
    """Signals that this system knows go to `handler`; only the main thread may say so. What is ignored
    (by nohup, or as a job in the background) stays so, and a handler that is not Python's stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = [s for s in (getattr(signal, n, None) for n in names) if s]
    numbers = [s for s in known if signal.getsignal(s) not in (None, signal.SIG_IGN)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
