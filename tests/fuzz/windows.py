"""Draws of windows on a stream: rolled, padded at the ends and cropped again, summed with what they were made of."""

from __future__ import annotations

import numpy as np

from fuzz.attention import MOST_SCORES, attend, heads_of
from fuzz.graph import Draw
from fuzz.layers import layernorm, linear


def streams(d: Draw, x: str) -> str | None:
    """One or two blocks, the second one shifted against the first; some with relative positions."""
    _, t, c = d.shapes[x]
    sides = [(h, t // h) for h in range(2, t) if t % h == 0]
    if not sides:
        return None
    grid, window = d.one_of(sides), (d.number(2, 4), d.number(2, 4))
    whole = tuple(-(-n // w) * w for n, w in zip(grid, window, strict=True))
    count, n = whole[0] // window[0] * (whole[1] // window[1]), window[0] * window[1]
    heads, size = heads_of(d, n)
    if count == 1 or heads * count * n * n > MOST_SCORES or count * n > 4 * t:
        return None
    for shift in (0, d.number(1, min(window) - 1))[: d.number(1, 2)]:
        y = layernorm(d, x) if d.chance(70) else x
        parted = _parted(d, y, grid, whole, window, shift)
        q, k, v = (linear(d, parted, heads * size) for _ in range(3))
        bias = _positions(d, heads, window) if d.chance(50) else None
        o = linear(d, attend(d, q, k, v, heads, count, bias), c)
        x = d.node("Add", [x, _whole(d, o, grid, whole, window, shift)], (1, t, c))
    return x


def _positions(d: Draw, heads: int, window: tuple[int, ...]) -> str:
    """A bias by the distance between query and key."""
    a, b = window
    table = d.random(heads, 2 * a - 1, 2 * b - 1)
    y, x = np.divmod(np.arange(a * b), b)
    down, right = y[:, None] - y[None] + a - 1, x[:, None] - x[None] + b - 1
    return d.const(table[None, :, down, right])


def _rolled(d: Draw, x: str, shape: tuple[int, ...], shift: int) -> str:
    for axis in (1, 2) if shift else ():
        at = shift % shape[axis]
        if at:
            ends = [(at, shape[axis]), (0, at)]
            parts = [
                d.node("Slice", [x, *(d.ints(n) for n in (lo, hi, axis, 1))], None)
                for lo, hi in ends
            ]
            x = d.node("Concat", parts, None, axis=axis)
    return x


def _parted(
    d: Draw,
    x: str,
    grid: tuple[int, ...],
    whole: tuple[int, ...],
    window: tuple[int, ...],
    shift: int,
) -> str:
    (h, w), (a, b), c = whole, window, d.shapes[x][2]
    image = d.reshape(x, (1, *grid, c), kept=False)
    if whole != grid:
        ends = (0, 0, 0, 0, 0, h - grid[0], w - grid[1], 0)
        image = d.node("Pad", [image, d.ints(*ends)], None)
    image = _rolled(d, image, (1, h, w, c), shift)
    parts = d.reshape(image, (h // a, a, w // b, b, c), kept=False)
    return d.reshape(d.transpose(parts, (0, 2, 1, 3, 4), None), (1, h * w, c))


def _whole(
    d: Draw,
    x: str,
    grid: tuple[int, ...],
    whole: tuple[int, ...],
    window: tuple[int, ...],
    shift: int,
) -> str:
    (h, w), (a, b), c = whole, window, d.shapes[x][2]
    parts = d.reshape(x, (h // a, w // b, a, b, c), kept=False)
    image = d.reshape(d.transpose(parts, (0, 2, 1, 3, 4), None), (1, h, w, c), kept=False)
    image = _rolled(d, image, (1, h, w, c), -shift)
    for axis in (1, 2) if whole != grid else ():
        cut = [d.ints(n) for n in (0, grid[axis - 1], axis, 1)]
        image = d.node("Slice", [image, *cut], None)
    return d.reshape(image, (1, grid[0] * grid[1], c))
