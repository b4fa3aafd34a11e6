"""Draws that only move: slices, joins, gathers, reshapes, windows, on tokens and images."""

from __future__ import annotations

import numpy as np

from fuzz.graph import Draw, small


def cut(d: Draw, x: str) -> str:
    """A slice of rows, channels, lines or columns."""
    shape = d.shapes[x]
    axis = d.number(1, len(shape) - 1)
    start = d.number(0, shape[axis] - 1)
    return d.slice(x, axis, start, d.number(start + 1, shape[axis]))


def halves(d: Draw, x: str) -> str | None:
    """A Split whose parts go different ways and may meet again."""
    shape = d.shapes[x]
    axis = d.number(1, 2)
    if shape[axis] < 2:
        return None
    first = d.number(1, shape[axis] - 1)
    rest = shape[axis] - first
    a = d.node("Split", [x, d.ints(first, rest)], None, axis=axis)
    b = f"{a}_rest"
    d.nodes[-1].output.append(b)
    for name, size in ((a, first), (b, rest)):
        d.shapes[name] = (*shape[:axis], size, *shape[axis + 1 :])
    if d.chance(50):
        return a
    return d.node("Concat", [b, a], shape, axis=axis)


def join(d: Draw, x: str) -> str | None:
    """x with another value along any axis, or with a constant token, which is forty times as large at times."""
    shape = d.shapes[x]
    axis = d.number(1, len(shape) - 1)
    rest = shape[:axis] + shape[axis + 1 :]
    other = d.pick(len(shape), lambda s: s[:axis] + s[axis + 1 :] == rest)
    if axis == 1 and len(shape) == 3 and d.chance(30):
        token = d.random(1, 1, shape[2])
        other, size = d.const(token * (40.0 if token[0, 0, 0] > 0.5 else 1.0)), 1
    else:
        assert other is not None  # x itself fits
        size = d.shapes[other][axis]
    made = (*shape[:axis], shape[axis] + size, *shape[axis + 1 :])
    if not small(*made) or made[axis] > 150:
        return None
    parts = [x, other] if d.chance(50) else [other, x]
    return d.node("Concat", parts, made, axis=axis)


def gather(d: Draw, x: str) -> str:
    _, t, c = d.shapes[x]
    salt = np.random.default_rng(d.number(0, 999))
    rows = salt.permutation(t) if d.chance(40) else salt.integers(0, t, d.number(1, 12))
    return d.node("Gather", [x, d.const(rows)], (1, len(rows), c), axis=1)


def gather_nd(d: Draw, x: str) -> str:
    """Rows by their numbers, as GatherND has them."""
    _, t, c = d.shapes[x]
    rows = [(0, d.number(0, t - 1)) for _ in range(d.number(1, 6))]
    indices = d.const(np.array([rows], np.int64))
    return d.node("GatherND", [x, indices], (1, len(rows), c))


def repeated(d: Draw, x: str) -> str | None:
    """Rows several times: Tile, or Expand of one row."""
    _, t, c = d.shapes[x]
    count = d.number(2, 4)
    if not small(t * count, c):
        return None
    if t == 1 and d.chance(60):
        return d.node("Expand", [x, d.ints(1, count, c)], (1, count, c))
    return d.node("Tile", [x, d.ints(1, count, 1)], (1, t * count, c))


def one_row(d: Draw, x: str) -> str:
    """Expand of one token beside all others, as class tokens are made."""
    _, t, c = d.shapes[x]
    row = d.slice(x, 1, 0, 1)
    many = d.node("Expand", [row, d.ints(1, t, c)], (1, t, c))
    return d.node("Add", [x, many], (1, t, c))


def axes(d: Draw, x: str) -> str:
    """An axis of 1 that comes and goes, or one row of everything."""
    shape = d.shapes[x]
    if d.chance(50):
        flat = d.node("Flatten", [x], None, axis=1)
        return d.reshape(flat, shape)
    more = d.node("Unsqueeze", [x, d.ints(2)], None)
    return d.node("Squeeze", [more, d.ints(2)], shape)


def roll(d: Draw, x: str) -> str | None:
    """Shifted windows: the last rows in front."""
    t = d.shapes[x][1]
    if t < 2:
        return None
    at = d.number(1, t - 1)
    parts = [d.slice(x, 1, at, t), d.slice(x, 1, 0, at)]
    return d.node("Concat", parts, d.shapes[x], axis=1)


def reshape(d: Draw, x: str) -> str:
    _, t, c = d.shapes[x]
    factor = next((f for f in (2, 3, 5) if c % f == 0), 1)
    return d.reshape(x, (1, t * factor, c // factor))


def tokens(d: Draw, x: str) -> str:
    """[1, C, H, W] -> [1, H*W, C]."""
    _, c, h, w = d.shapes[x]
    flat = d.reshape(x, (1, c, h * w), kept=False)
    return d.transpose(flat, (0, 2, 1), (1, h * w, c))


def image(d: Draw, x: str) -> str:
    """[1, T, C] -> [1, C, H, W]."""
    _, t, c = d.shapes[x]
    sides = [h for h in range(1, t + 1) if t % h == 0]
    h = sides[len(sides) // 2]
    turned = d.transpose(x, (0, 2, 1), None)
    return d.reshape(turned, (1, c, h, t // h))


def larger(d: Draw, x: str) -> str | None:
    """Every pixel twice along both axes."""
    _, c, h, w = d.shapes[x]
    if not small(c, 2 * h, 2 * w):
        return None
    scales = d.const(np.array([1.0, 1.0, 2.0, 2.0]))
    attrs = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
             "nearest_mode": "floor"}  # fmt: skip
    return d.node("Resize", [x, "", scales], (1, c, 2 * h, 2 * w), **attrs)


def space_to_depth(d: Draw, x: str) -> str | None:
    for axis in (2, 3):
        size = d.shapes[x][axis]
        if size > 2 and size % 2:
            x = d.slice(x, axis, 0, size - 1)
    _, c, h, w = d.shapes[x]
    if h % 2 == 0 and w % 2 == 0:
        return d.node("SpaceToDepth", [x], (1, 4 * c, h // 2, w // 2), blocksize=2)
    if c % 4 == 0:
        return d.node("DepthToSpace", [x], (1, c // 4, 2 * h, 2 * w), blocksize=2)
    return None


def merged(d: Draw, x: str) -> str | None:
    """Patch merging: every second pixel, four times, along channels."""
    _, c, h, w = d.shapes[x]
    h, w = h // 2 * 2, w // 2 * 2
    if h == 0 or w == 0:
        return None
    parts = [d.slice(d.slice(x, 2, top, h, 2), 3, left, w, 2) for top in (0, 1) for left in (0, 1)]
    return d.node("Concat", parts, (1, 4 * c, h // 2, w // 2), axis=1)


def padded(d: Draw, x: str) -> str:
    _, c, h, w = d.shapes[x]
    top, left, bottom, right = (d.number(0, 2) for _ in range(4))
    pads = d.ints(0, 0, top, left, 0, 0, bottom, right)
    return d.node("Pad", [x, pads], (1, c, h + top + bottom, w + left + right))
