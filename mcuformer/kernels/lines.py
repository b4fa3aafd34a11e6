"""Which lines of an image the output lines of an operator read, as a rule that repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lines:
    """`count` output lines. Line i, with n, r = divmod(i, up), reads no more than the input lines from
    n*down + first[r] to before n*down + end[r]; both grow with i, perhaps beyond the image."""

    count: int
    up: int
    down: int
    first: tuple[int, ...]
    end: tuple[int, ...]

    @staticmethod
    def of_windows(kernel: int, stride: int, pad: int, count: int) -> Lines:
        """A convolution or a pool."""
        return Lines(count, 1, stride, (-pad,), (kernel - pad,))

    @staticmethod
    def same(count: int) -> Lines:
        """Line i of line i."""
        return Lines(count, 1, 1, (0,), (1,))

    @staticmethod
    def paced(count: int, height: int) -> Lines:
        """Lines of which none is read, but `height` of them are made while `count` lines are."""
        shared = math.gcd(count, height)
        up, down = count // shared, height // shared
        first = tuple(r * down // up for r in range(up))
        return Lines(count, up, down, first, tuple(-(-(r + 1) * down // up) for r in range(up)))

    @staticmethod
    def of_table(rows: Sequence[int], taps: int, height: int) -> Lines:
        """Line i reads `taps` lines from rows[i] on, and the border for what lies beyond it."""
        shared = math.gcd(len(rows), height)
        up, down = len(rows) // shared, height // shared
        first, end = [height] * up, [-height] * up
        for i, row in enumerate(rows):
            (n, r), last = divmod(i, up), height - 1
            first[r] = min(first[r], min(max(row, 0), last) - n * down)
            end[r] = max(end[r], min(max(row + taps - 1, 0), last) + 1 - n * down)
        grown = range(up)
        first = [min((*first[r:], *(f + down for f in first[:r]))) for r in grown]
        end = [max((*end[: r + 1], *(e - down for e in end[r + 1 :]))) for r in grown]
        return Lines(len(rows), up, down, tuple(first), tuple(end))

    def reads_from(self, line: int) -> int:
        """The first input line that output line `line` reads."""
        n, r = divmod(line, self.up)
        return n * self.down + self.first[r]

    def reads_to(self, end: int) -> int:
        """One past the last input line that output lines up to `end` read."""
        n, r = divmod(end - 1, self.up)
        return n * self.down + self.end[r]

    def overlap(self, line: int) -> int:
        """Input lines that output line `line` reads again after the one above it."""
        return max(0, self.reads_to(line) - self.reads_from(line))
