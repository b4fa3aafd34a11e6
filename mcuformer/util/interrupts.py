"""Ctrl-C, SIGTERM and SIGHUP: all unwind the stack alike, and only where Python can unwind it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN_S = 0.05
_Handler = Callable[[int, FrameType | None], object]


def is_interruption(error: BaseException) -> bool:
    """Ctrl-C, or what the clean-up of a library stumbled over because of it."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__context__
    return seen is not None


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP become KeyboardInterrupt, so that temporary directories are removed."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled(("SIGTERM", "SIGHUP"), interrupt):
        yield


@contextmanager
def interrupt_afterwards(stop: Callable[[], object], until: float | None = None) -> Iterator[None]:
    """While C code runs that may never return by itself: `stop` is called, from another thread, when a
    signal comes and at time.monotonic() `until`; KeyboardInterrupt after a signal, at the block's end.

    In a callback from that code into Python an exception would be printed and lost.
    """
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        stop()

    with _handled(("SIGINT", "SIGTERM", "SIGHUP"), note) as numbers, _watched(numbers, stop, until):
        yield
    if seen:
        raise KeyboardInterrupt


@contextmanager
def _watched(
    numbers: Collection[int], stop: Callable[[], object], until: float | None
) -> Iterator[None]:
    """A thread that calls `stop`: Python sees a signal only when the C code has returned, but its
    number is written to a pipe at once."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        thread = threading.Thread(target=_watch, args=(ours, numbers, stop, until), daemon=True)
        before = (
            signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False) if numbers else None
        )
        thread.start()
        try:
            yield
        finally:
            if before is not None:
                signal.set_wakeup_fd(before)
            theirs.shutdown(socket.SHUT_WR)
            thread.join()


def _watch(
    wakeups: socket.socket, numbers: Collection[int], stop: Callable[[], object],
    until: float | None,
) -> None:  # fmt: skip
    """Until the other end is shut. `stop` is called again: the C code may not have begun."""
    while True:
        wakeups.settimeout(None if until is None else max(until - time.monotonic(), 1e-6))
        try:
            found = wakeups.recv(64)
            if not found:
                return
            if not set(found) & set(numbers):
                continue
        except TimeoutError:
            pass
        stop()
        until = time.monotonic() + _AGAIN_S


@contextmanager
def _handled(names: Iterable[str], handler: _Handler) -> Iterator[list[int]]:
    """Signals that this system knows go to `handler`: their numbers. Only the main thread may say so.
    What is ignored (by nohup, or as a job in the background) stays so, and a handler that is not
    Python's stays."""
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    known = [s for s in (getattr(signal, n, None) for n in names) if s]
    numbers = [s for s in known if signal.getsignal(s) not in (None, signal.SIG_IGN)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield list(numbers)
    finally:
        for number, old in before.items():
            signal.signal(number, old)
