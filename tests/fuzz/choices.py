"""The numbers that a draw consists of: recorded in blocks, so that a failing draw can be shrunk.

A draw is a function of its blocks: replayed, shortened or lowered they give another, smaller draw.
The number 0 is always the simplest choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Blocks = tuple[tuple[int, ...], ...]
T = TypeVar("T")


class Choices:
    """Draws from `rng`, or replays `blocks` (0 where they end)."""

    def __init__(self, rng: np.random.Generator | None, blocks: Blocks = ()) -> None:
        self._rng, self._given = rng, blocks
        self._made: list[list[int]] = []

    @classmethod
    def fresh(cls, seed: int, index: int) -> Choices:
        return cls(np.random.default_rng([seed, index]))

    def block(self) -> None:
        """What follows belongs together: a mode, an input, an operator."""
        self._made.append([])

    def more(self, most: int) -> int:
        """How many blocks are to follow: the given ones, or a random number."""
        if self._rng is None:
            return max(0, len(self._given) - len(self._made))
        return int(self._rng.integers(1, most + 1))

    def number(self, low: int, high: int) -> int:
        """Of low..high, both included."""
        at, made = len(self._made) - 1, self._made[-1]
        if self._rng is not None:
            n = int(self._rng.integers(0, high - low + 1))
        else:
            given = self._given[at] if at < len(self._given) else ()
            n = min(given[len(made)] if len(made) < len(given) else 0, high - low)
        made.append(n)
        return low + n

    def chance(self, percent: int) -> bool:
        return self.number(0, 99) >= 100 - percent

    def one_of(self, options: Sequence[T]) -> T:
        return options[self.number(0, len(options) - 1)]

    @property
    def made(self) -> Blocks:
        return tuple(tuple(b) for b in self._made)
