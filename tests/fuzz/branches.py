"""Draws of parallel branches that meet: each at half the lines of the one before, all added to all."""

from __future__ import annotations

from fuzz.blocks import depthwise, pointwise
from fuzz.graph import Draw, small
from fuzz.layers import function


def branches(d: Draw, x: str) -> str | None:
    """Two or three branches of an image, blocks in each, once or twice each the sum of all; the first
    one, or all side by side at its size."""
    _, c, h, w = d.shapes[x]
    count = d.number(2, 3 if min(h, w) > 4 else 2)
    if min(h, w) < 2 or c > 24 or not small(2 * c, h, w):
        return None
    widths = [c, *(d.number(1, 16) for _ in range(count - 1))]
    found = [x]
    for n in widths[1:]:
        found.append(_halved(d, found[-1], n))
    for _ in range(d.number(1, 2)):
        found = [_block(d, b) if d.chance(60) else b for b in found]
        found = [_met(d, found, i) for i in range(count)]
    if d.chance(60):
        return found[0]
    parts = [found[0], *(_as_large(d, b, found[0]) for b in found[1:])]
    return d.node("Concat", parts, (1, sum(widths), h, w), axis=1)


def _halved(d: Draw, x: str, n: int) -> str:
    """Half the lines and columns, by a convolution of all channels or of each; n channels."""
    _, c, h, w = d.shapes[x]
    if d.chance(50):
        return pointwise(d, depthwise(d, x, 3, 2), n)
    size = ((h + 1) // 2, (w + 1) // 2)
    operands = [x, d.normal(n, c, 3, 3, scale=(9 * c) ** -0.5), d.normal(n, scale=0.2)]
    return d.node("Conv", operands, (1, n, *size), pads=[1] * 4, strides=[2, 2])


def _block(d: Draw, x: str) -> str:
    """A residual block: a pointwise layer between functions, or a depthwise convolution."""
    c = d.shapes[x][1]
    y = depthwise(d, x, 3, 1) if d.chance(50) else pointwise(d, x, c)
    y = pointwise(d, function(d, y), c)
    return d.node("Add", [x, y], d.shapes[x])


def _met(d: Draw, found: list[str], i: int) -> str:
    """All branches at the size and width of branch i, added up."""
    total, n = found[i], d.shapes[found[i]][1]
    for j, x in enumerate(found):
        if j > i:
            x = _as_large(d, pointwise(d, x, n), found[i])
        for step in range(j, i):
            x = _halved(d, x, n if step == i - 1 else d.shapes[x][1])
        if j != i:
            total = d.node("Add", [total, x], d.shapes[total])
    return function(d, total) if d.chance(60) else total


def _as_large(d: Draw, x: str, like: str) -> str:
    """With the lines and columns of another: to the nearest pixel where it has twice as many, or between."""
    _, c, h, w = d.shapes[x]
    size = (1, c, *d.shapes[like][2:])
    attrs = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if size[2] % h == 0 and size[3] % w == 0 and d.chance(50):
        attrs = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
    return d.node("Resize", [x, "", "", d.ints(*size)], size, **attrs)
