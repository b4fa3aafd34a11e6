"""Which lines of which image a region of convolutions and row-wise operations makes in which step.

Images stand in the order of their making: first what the region reads (sources), last its target.
A step makes a strip of `lines` lines of the target and, of every image before it, just the lines
that its readers then want. The line that image k has reached after step i, `reached(k, i)`, is affine
in i and clipped to the image; so all steps but the first and the last few are alike. Where an image
moves by a fraction of a line in a step, this holds for every `period` steps together.

A window of image k begins with the `kept` lines that some reader reads again (kernel less stride
of them, or as many as a residual waits for), then come the lines that the step makes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from mcuformer.kernels.lines import Lines
from mcuformer.program.running import LineRange

Reader = tuple[int, Lines]  # the image that is made, and which lines it reads


@dataclass(frozen=True, slots=True)
class Flow:
    """`heights`: lines of every image. `readers[k]`: what is made of image k; none of the last. The
    first `sources` images are read, not made."""

    heights: tuple[int, ...]
    readers: tuple[tuple[Reader, ...], ...]
    sources: int = 1

    def reaches(self, end: int) -> tuple[int, ...]:
        """How many lines of every image there must be for `end` lines of the target."""
        found = [end] * len(self.heights)
        for k in reversed(range(len(found) - 1)):
            found[k] = max(lines.reads_to(found[r]) for r, lines in self.readers[k])
        return tuple(found)

    def starts(self, k: int, made: Sequence[int]) -> int:
        """The first line of image k that is read for the next lines, where `made` are there."""
        return min(lines.reads_from(made[r]) for r, lines in self.readers[k])

    def overlap(self, k: int, made: Sequence[int]) -> int:
        """Lines of image k that are there by then and read again."""
        return max(0, made[k] - self.starts(k, made)) if self.readers[k] else 0

    def scales(self) -> tuple[tuple[Fraction, ...], int] | None:
        """Lines of every image to one of the target, and the least number of these for which all are
        whole; None where the readers of an image do not agree."""
        found = [Fraction(1)] * len(self.heights)
        unit = 1
        for k in reversed(range(len(found) - 1)):
            wanted: set[Fraction] = set()
            for r, lines in self.readers[k]:
                if lines.up == lines.down == 1:
                    wanted.add(found[r])
                    continue
                periods = found[r] / lines.up
                unit = math.lcm(unit, periods.denominator) if lines.up > 1 else unit
                wanted.add(periods * lines.down)
            if len(wanted) != 1:
                return None
            (found[k],) = wanted
        return tuple(found), unit


@dataclass(frozen=True, slots=True)
class Strips:
    """`lines`: of the target in one step; `per_period`: of every image in `period` steps; `limits`: lines
    of every image (what nobody reads is left out of sources only); `table[r]`: reached(k, r - 1) for
    the steps of the first period; `unused`: lines at the top of every window that no step needs."""

    flow: Flow
    lines: int
    steps: int
    per_period: tuple[int, ...]
    limits: tuple[int, ...]
    table: tuple[tuple[int, ...], ...]
    unused: tuple[int, ...] = ()

    @staticmethod
    def of(flow: Flow, lines: int) -> Strips:
        """Strips of `lines` lines, or all in one step where that is more than there are."""
        return Strips.without_windows(flow, lines).with_windows()

    @staticmethod
    def without_windows(flow: Flow, lines: int) -> Strips:
        """The same for those who ask which lines are made, and not where they lie."""
        found = flow.scales()
        assert found is not None, "the lines of an image are read at two speeds"
        (scale, unit), before, limits = found, _before(flow), _limits(flow)
        gaps = zip(limits, before, scale, strict=True)
        whole = _multiple(max(math.ceil((n - b) / s) for n, b, s in gaps), unit)
        lines = min(lines, whole)
        period = unit // math.gcd(lines, unit)
        per_period = tuple(int(lines * period * s) for s in scale)
        table = tuple(flow.reaches(before[-1] + r * lines) for r in range(period))
        return Strips(flow, lines, -(-whole // lines), per_period, limits, table)

    def with_windows(self) -> Strips:
        return replace(self, unused=tuple(self._unused(k) for k in range(len(self.limits))))

    @property
    def period(self) -> int:
        return len(self.table)

    def overlap(self, k: int) -> int:
        """Most lines of image k that a strip in the middle reads again after the strip above it."""
        return max(self.flow.overlap(k, made) for made in self.table)

    def most(self, k: int) -> int:
        """Most lines of image k that a step makes."""
        steps = range(self.period)
        return min(self.limits[k], max(self.reached(k, i) - self.reached(k, i - 1) for i in steps))

    def reached(self, k: int, i: int) -> int:
        n, r = divmod(i + 1, self.period)
        return self.table[r][k] + n * self.per_period[k]

    def made(self, k: int, i: int) -> LineRange:
        """Lines of image k that step i makes."""
        start = self.reached(k, i - 1) if i else 0
        return self._clip(k, start), self._clip(k, self.reached(k, i))

    def read(self, k: int, reader: Reader, i: int) -> LineRange:
        """Lines of image k that `reader` reads in step i."""
        r, lines = reader
        first, end = self.made(r, i)
        low = self._clip(k, lines.reads_from(first))
        return (low, max(low, self._clip(k, lines.reads_to(end)))) if end > first else (low, low)

    def kept(self, k: int, i: int) -> LineRange:
        """Lines of image k that were there before step i and are still wanted."""
        end = self.made(k, i)[0]
        starts = [
            lines.reads_from(at)
            for r, lines in self.flow.readers[k]
            if (at := self.made(r, i)[0]) < self.limits[r]
        ]
        return min(end, self._clip(k, min(starts, default=end))), end

    def top(self, k: int, i: int) -> int:
        """The line of image k at the top of its window in step i (perhaps above the image)."""
        return self.top_kept(k, i) + self.unused[k]

    def top_kept(self, k: int, i: int) -> int:
        """The first line of image k that a strip in the middle would keep for step i."""
        return self.reached(k, i - 1) - self.overlap(k)

    def _unused(self, k: int) -> int:
        lows = []
        for i in range(self.steps):
            low = min(self.kept(k, i)[0], self.made(k, i)[0])
            if low < self.made(k, i)[1]:
                lows.append(low - self.top_kept(k, i))
        return min(lows, default=0)

    def steady(self) -> range:
        """The steps that are alike but for where they are: whole periods."""
        alike = [i for i in range(self.steps) if self._is_steady(i)]
        count = len(alike) // self.period
        return range(alike[0], alike[0] + count * self.period) if count > 1 else range(0)

    def _is_steady(self, i: int) -> bool:
        last = len(self.limits) - 1
        for k in range(last + 1):
            whole = (self.reached(k, i - 1), self.reached(k, i))
            if i == 0 or self.made(k, i) != whole:
                return False
            if k < last:
                first, end = self.kept(k, i)
                if end - first != self.flow.overlap(k, self.table[i % self.period]):
                    return False
        return True

    def _clip(self, k: int, line: int) -> int:
        return max(0, min(self.limits[k], line))


def _multiple(lines: int, unit: int) -> int:
    return -(-lines // unit) * unit


def _limits(flow: Flow) -> tuple[int, ...]:
    found = list(flow.heights)
    for k in range(flow.sources):
        read = max(lines.reads_to(found[r]) for r, lines in flow.readers[k])
        found[k] = min(found[k], max(0, read))
    return tuple(found)


def _before(flow: Flow) -> tuple[int, ...]:
    """Where the images stand before step 0: no further than what a window keeps, so that step 0 fits
    like any other; the target may then start above its first line."""
    end = 0
    while True:
        before = flow.reaches(end)
        ends = range(len(before) - 1)
        if all(before[k] <= flow.overlap(k, before) for k in ends):
            return before
        end -= 1


def line_choices(flow: Flow) -> list[int]:
    """Strip heights worth trying, highest (whole images) first: equal cuts."""
    whole = Strips.of(flow, 1 << 30).lines
    found = flow.scales()
    unit = 1 if found is None else found[1]
    equal = {_multiple(-(-whole // n), unit) for n in range(1, whole + 1)}
    return sorted(equal | set(range(1, unit)), reverse=True)
