"""What planning thousands of candidates needs to be quick: the one place for it (docs/adr/0011).

`@record`: a dataclass whose instances are cheap to make, for what schedules and plans consist of.
Nothing assigns to a field of one. mypy sees a frozen dataclass and says so; at run time the fields are
plain slots, since a frozen class stores each of them by a call of object.__setattr__.

`keep`: a table that does not grow for ever. `uncollected`: no looking for cycles. `together`: which trials
one call makes.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen, slots, eq=True):
        assert frozen
        return dataclass(slots=slots, eq=eq, unsafe_hash=eq)


MOST_KEPT = 1 << 16
_TOGETHER = 1 << 14
K = TypeVar("K")
T = TypeVar("T")


def keep(table: dict[K, T], key: K, value: T, most: int = MOST_KEPT) -> T:
    """`value` in a table that is emptied when it has `most`."""
    if len(table) >= most:
        table.clear()
    table[key] = value
    return value


def together(trials: int, numbers: int) -> Iterator[slice]:
    """Which of some trials, on as many `numbers` each, are made by one call."""
    count = at_once(numbers)
    yield from (slice(first, first + count) for first in range(0, trials, count))


def at_once(numbers: int) -> int:
    """How many trials, on as many `numbers` each, one call makes: a call on few numbers costs by the call, on
    many by their memory."""
    return max(1, _TOGETHER // max(1, numbers))


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection: a candidate makes a hundred thousand objects that die with their last
    reference, and looking for cycles among them and all that is remembered takes an eighth of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


__all__ = ["at_once", "keep", "record", "together", "uncollected"]
