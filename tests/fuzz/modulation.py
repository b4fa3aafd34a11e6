"""Draws of focal modulation: contexts of growing convolutions, gated, added up, and one for the whole image."""

from __future__ import annotations

import numpy as np

from fuzz.graph import MOST_WEIGHTS, Draw, small
from fuzz.layers import function, layernorm, linear
from fuzz.moves import image, tokens


def modulation(d: Draw, x: str) -> str | None:
    """x + proj(q * h(sum of gates * contexts)), or a part of it."""
    _, t, c = d.shapes[x]
    if not small(t, 2 * c + 4) or c * (2 * c + 4) > MOST_WEIGHTS:
        return None
    n = layernorm(d, x) if d.chance(70) else x
    q, z = linear(d, n, c), image(d, linear(d, n, c))
    total = _contexts(d, n, z)
    y = linear(d, layernorm(d, total) if d.chance(20) else total, c)
    y = d.node("Mul", [q, y], d.shapes[x]) if d.chance(80) else y
    y = linear(d, y, c) if d.chance(80) else y
    return d.node("Add", [x, y], d.shapes[x]) if d.chance(80) else y


def _contexts(d: Draw, n: str, z: str) -> str:
    """Tokens of the sum; `z`: the image that the first convolution reads, `n`: what gates are made of."""
    shape, kernel = d.shapes[z], d.one_of((3, 3, 1, 5))
    c, levels, total = shape[1], d.number(1, 3), None
    for level in range(levels):
        size = kernel + 2 * level
        weights = d.normal(c, 1, size, size, scale=1 / size)
        z = d.node("Conv", [z, weights], shape, pads=[size // 2] * 4, group=c)
        z = function(d, z) if d.chance(80) else z
        total = _added(d, total, n, tokens(d, z))
    mean = d.node("ReduceMean", [z, d.ints(2, 3)], (1, c, 1, 1), keepdims=1)
    row = d.reshape(function(d, mean) if d.chance(80) else mean, (1, 1, c))
    total = _added(d, total, n, row)
    share = d.const(np.array(1 / (levels + 1)))
    return d.node("Mul", [total, share], d.shapes[total]) if d.chance(30) else total


def _added(d: Draw, total: str | None, n: str, z: str) -> str:
    """The sum and one more context times its gate."""
    shape = (1, d.shapes[n][1], d.shapes[z][2])
    if d.chance(85):
        z = d.node("Mul", [z, linear(d, n, 1)], shape)
    return z if total is None else d.node("Add", [total, z], shape)
