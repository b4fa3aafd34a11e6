"""Which lines of which image a chain of convolutions makes in which step.

Image 0 is the chain's input, image k the output of its k-th convolution. A step makes a strip of
`lines` lines of the last image and, of every image before it, just the lines that the next
convolution then wants. The line that image k has reached after step i is affine in i,
`reached(k, i)`, and clipped to the image; so all steps but the first and the last few are alike.

A window of image k begins with the `kept` lines that the next convolution reads again (kernel less
stride of them), then come the lines that the step makes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from mcuformer.kernels.lines import Lines

LineRange = tuple[int, int]  # first line, one past the last


@dataclass(frozen=True, slots=True)
class Strips:
    """`lines`, `per_step`: of the last image and of every image in one step; `limits`: lines of every
    image (what no convolution reads is left out of image 0 only); `before`: reached(k, -1);
    `unused`: lines at the top of every window that no step needs."""

    convs: tuple[Lines, ...]
    lines: int
    steps: int
    per_step: tuple[int, ...]
    limits: tuple[int, ...]
    before: tuple[int, ...]
    unused: tuple[int, ...] = ()

    @staticmethod
    def of(convs: tuple[Lines, ...], height: int, lines: int) -> Strips:
        """Strips of `lines` lines, or all in one step where that is more than there are; `height`: of image 0.

        A few more where another number would move the lines of some image by a fraction.
        """
        first = convs[0]
        limits = (min(height, max(0, first.reads_to(first.count))), *(c.count for c in convs))
        before, (scale, unit) = _before(convs), _scales(convs)
        gaps = zip(limits, before, scale, strict=True)
        whole = _multiple(max(math.ceil((n - b) / s) for n, b, s in gaps), unit)
        lines = min(_multiple(lines, unit), whole)
        per_step = tuple(int(lines * s) for s in scale)
        found = Strips(convs, lines, -(-whole // lines), per_step, limits, before)
        return replace(found, unused=tuple(found._unused(k) for k in range(len(convs))))

    def overlap(self, k: int) -> int:
        """Lines of image k that a strip in the middle reads again after the strip above it."""
        return self.convs[k].overlap(self.before[k + 1])

    def reached(self, k: int, i: int) -> int:
        return self.before[k] + (i + 1) * self.per_step[k]

    def made(self, k: int, i: int) -> LineRange:
        """Lines of image k that step i makes."""
        start = self.reached(k, i - 1) if i else 0
        return self._clip(k, start), self._clip(k, self.reached(k, i))

    def read(self, k: int, i: int) -> LineRange:
        """Lines of image k that the next convolution reads in step i."""
        first, end = self.made(k + 1, i)
        conv = self.convs[k]
        low = self._clip(k, conv.reads_from(first))
        return (low, max(low, self._clip(k, conv.reads_to(end)))) if end > first else (low, low)

    def kept(self, k: int, i: int) -> LineRange:
        """Lines of image k that were there before step i and are still wanted."""
        end = self.made(k, i)[0]
        if self.made(k + 1, i)[0] == self.limits[k + 1]:
            return end, end
        first = self.convs[k].reads_from(self.made(k + 1, i)[0])
        return min(end, self._clip(k, first)), end

    def top(self, k: int, i: int) -> int:
        """The line of image k at the top of its window in step i (perhaps above the image)."""
        return self.top_kept(k, i) + self.unused[k]

    def top_kept(self, k: int, i: int) -> int:
        """The first line of image k that a strip in the middle would keep for step i."""
        return self.reached(k, i - 1) - self.overlap(k)

    def window(self, k: int) -> int:
        """Lines of the window of image k."""
        used = [self.made(k, i)[1] - self.top(k, i) for i in range(self.steps)]
        return max(used)

    def _unused(self, k: int) -> int:
        lows = []
        for i in range(self.steps):
            low = min(self.kept(k, i)[0], self.made(k, i)[0])
            if low < self.made(k, i)[1]:
                lows.append(low - self.top_kept(k, i))
        return min(lows, default=0)

    def steady(self) -> range:
        """The steps that are alike but for where they are."""
        alike = [i for i in range(self.steps) if self._is_steady(i)]
        return range(alike[0], alike[-1] + 1) if len(alike) > 1 else range(0)

    def _is_steady(self, i: int) -> bool:
        for k in range(len(self.convs) + 1):
            whole = (self.reached(k, i - 1), self.reached(k, i))
            if i == 0 or self.made(k, i) != whole:
                return False
            if k < len(self.convs):
                first, end = self.kept(k, i)
                if end - first != self.overlap(k):
                    return False
        return True

    def _clip(self, k: int, line: int) -> int:
        return max(0, min(self.limits[k], line))


def _multiple(lines: int, unit: int) -> int:
    return -(-lines // unit) * unit


def _scales(convs: tuple[Lines, ...]) -> tuple[list[Fraction | int], int]:
    """Lines of every image to one of the last, and the least number of these for which all are whole."""
    scale: list[Fraction | int] = [1]
    unit = 1
    for conv in reversed(convs):
        if conv.up == 1:
            scale.insert(0, scale[0] * conv.down)
            continue
        periods = Fraction(scale[0]) / conv.up
        unit = math.lcm(unit, periods.denominator)
        scale.insert(0, periods * conv.down)
    return scale, unit


def _before(convs: tuple[Lines, ...]) -> tuple[int, ...]:
    """Where the images stand before step 0: no further than what a window keeps, so that step 0 fits
    like any other; the last image may then start above its first line."""
    end = 0
    while True:
        before = [end]
        for conv in reversed(convs):
            before.insert(0, conv.reads_to(before[0]))
        ends = zip(convs, before, before[1:], strict=False)
        if all(at <= conv.overlap(line) for conv, at, line in ends):
            return tuple(before)
        end -= 1


def line_choices(convs: tuple[Lines, ...], height: int) -> list[int]:
    """Strip heights worth trying, highest (whole images) first: equal cuts."""
    whole = Strips.of(convs, height, 1 << 30).lines
    unit = _scales(convs)[1]
    return sorted({_multiple(-(-whole // n), unit) for n in range(1, whole + 1)}, reverse=True)
