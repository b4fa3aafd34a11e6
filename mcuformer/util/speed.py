"""What planning thousands of candidates needs to be quick: the one place for it (docs/adr/0011).

`@record`: a dataclass whose instances are cheap to make, for what schedules and plans consist of.
Nothing assigns to a field of one. mypy sees a frozen dataclass and says so; at run time the fields are
plain slots, since a frozen class stores each of them by a call of object.__setattr__.

`Numbers`: integers for long keys, which are cheaper to hash and to compare.
`keep`: a table that does not grow for ever. `uncollected`: no looking for cycles.
"""

from __future__ import annotations

import gc
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen, slots, eq=True):
        assert frozen
        return dataclass(slots=slots, eq=eq, unsafe_hash=eq)


MOST_KEPT = 1 << 16
K = TypeVar("K")
T = TypeVar("T")


def keep(table: dict[K, T], key: K, value: T) -> T:
    """`value` in a table that is emptied when it grows too large."""
    if len(table) >= MOST_KEPT:
        table.clear()
    table[key] = value
    return value


class Numbers:
    """A number for every key, never one that another key had."""

    __slots__ = ("_known", "_next")

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}
        self._next = count(1)

    def of(self, key: Hashable) -> int:
        return self._known.get(key) or keep(self._known, key, next(self._next))


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


__all__ = ["Numbers", "keep", "record", "uncollected"]
