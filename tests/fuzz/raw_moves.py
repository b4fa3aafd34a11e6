"""Raw nodes that move elements: shapes, slices, joins, selections, pads, resizing."""

from __future__ import annotations

import math

import numpy as np

from fuzz.graph import Shape, TooLarge
from fuzz.raw_graph import Raw


def transpose(r: Raw, x: str) -> str:
    rank = r.rank(x)
    rest = list(range(1, rank)) if r.chance(85) else list(range(rank))
    perm = [] if len(rest) == rank else [0]
    while rest:
        perm.append(rest.pop(r.number(0, len(rest) - 1)))
    return r.node("Transpose", [x], perm=perm)


def reshape(r: Raw, x: str) -> str:
    """Axes split and joined; 0 and -1 where they say the same."""
    shape = list(r.shapes[x])
    for _ in range(r.number(1, 2)):
        if len(shape) > 1 and r.chance(50):
            at = r.number(1 if r.chance(80) else 0, len(shape) - 2)
            shape[at : at + 2] = [math.prod(shape[at : at + 2])]
        elif shape:
            at = r.number(0, len(shape) - 1)
            parts = [n for n in range(1, shape[at] + 1) if shape[at] % n == 0]
            first = r.one_of(parts)
            shape[at : at + 1] = [first, shape[at] // first]
    if r.chance(10):
        shape = [math.prod(shape)]
    if shape and r.chance(30):
        shape[r.number(0, len(shape) - 1)] = -1
    for i, n in enumerate(r.shapes[x][: len(shape)]):
        if shape[i] == n and r.chance(20):
            shape[i] = 0
    return r.node("Reshape", [x, r.ints(*shape)])


def flatten(r: Raw, x: str) -> str:
    return r.node("Flatten", [x], axis=r.number(0, r.rank(x)))


def squeeze(r: Raw, x: str) -> str:
    ones = [i for i, n in enumerate(r.shapes[x]) if n == 1]
    if ones and r.chance(50):
        return r.with_axes("Squeeze", x, [r.one_of(ones)])
    return r.with_axes("Unsqueeze", x, [r.number(0, r.rank(x))])


def cut(r: Raw, x: str) -> str:
    """Backwards and in steps, too."""
    at = r.axis(x)
    size = r.shapes[x][at]
    step = r.one_of((1, 1, 1, 2, -1, 3, -2))
    start, stop = sorted((r.number(0, size), r.number(0, size)))
    if step < 0:
        start, stop = stop - 1, start - 1 - (size if start == 0 else 0)
    elif r.chance(20):
        stop = 2**31 - 1
    elif r.chance(20) and start:
        start -= size
    numbers = [r.ints(n) for n in (start, stop, at, step)]
    return r.node("Slice", [x, *(numbers if step != 1 or r.chance(50) else numbers[:3])])


def split(r: Raw, x: str) -> str:
    at = r.axis(x)
    size = r.shapes[x][at]
    if size < 2:
        raise TooLarge
    count = r.number(2, min(4, size))
    sizes = [size // count] * (count - 1)
    sizes.append(size - sum(sizes))
    if r.chance(30):
        sizes[0], sizes[1] = 1, sizes[0] + sizes[1] - 1
    if min(sizes) < 1:
        raise TooLarge
    if r.opset >= 13:
        found = r.several("Split", [x, r.ints(*sizes)], count, axis=at)
    else:
        found = r.several("Split", [x], count, axis=at, split=sizes)
    return r.one_of(found)


def join(r: Raw, x: str) -> str:
    at = r.axis(x)
    shape = r.shapes[x]
    at = at % len(shape)
    fitting = [
        n for n, s in r.shapes.items()
        if n not in r.integers and len(s) == len(shape)
        and all(a == b for i, (a, b) in enumerate(zip(s, shape, strict=True)) if i != at)
    ]  # fmt: skip
    parts = [x, *(r.one_of(fitting) for _ in range(r.number(1, 2)))]
    if r.chance(25):
        other = [*shape]
        other[at] = r.number(1, 3)
        parts.insert(r.number(0, len(parts)), r.normal(*other))
    return r.node("Concat", parts, axis=at)


def gather(r: Raw, x: str) -> str:
    at = r.axis(x)
    size = r.shapes[x][at]
    shape: Shape = r.one_of(
        [(), (r.number(1, size + 2),), (2, r.number(1, 3)), (r.number(1, size),)]
    )
    salt = r.number(0, 99)
    index = np.random.default_rng([salt, *shape]).integers(-size, size, shape)
    return r.node("Gather", [x, r.const(np.asarray(index, np.int64))], axis=at)


def gather_elements(r: Raw, x: str) -> str:
    at, shape = r.axis(x), list(r.shapes[x])
    size = shape[at]
    shape[at] = r.number(1, size)
    salt = r.number(0, 99)
    index = np.random.default_rng([salt, *shape]).integers(0, size, shape)
    return r.node("GatherElements", [x, r.const(index)], axis=at)


def scatter_elements(r: Raw, x: str) -> str:
    """Constants, or elements of x itself, in constant places, no place twice."""
    at, shape = r.axis(x), list(r.shapes[x])
    size = shape[at]
    shape[at] = r.number(1, size)
    rng = np.random.default_rng([r.number(0, 99), *shape])
    index = np.argsort(rng.random(r.shapes[x]), axis=at).take(range(shape[at]), axis=at)
    news = r.normal(*shape)
    if r.chance(60):
        news = r.node("Slice", [x, r.ints(0), r.ints(shape[at]), r.ints(at)])
        x = r.node("Relu", [x]) if r.chance(50) else x
    return r.node("ScatterElements", [x, r.const(index.astype(np.int64)), news], axis=at)


def trilu(r: Raw, x: str) -> str:
    if r.opset < 14:
        return transpose(r, x)
    k = [r.const(np.asarray(r.number(0, 6) - 3, np.int64))] if r.chance(50) else []
    return r.node("Trilu", [x, *k], upper=r.number(0, 1))


def tile(r: Raw, x: str) -> str:
    if r.chance(50):
        return r.node("Tile", [x, r.ints(*(r.one_of((1, 1, 2)) for _ in r.shapes[x]))])
    wanted = [r.number(2, 3) if n == 1 and r.chance(50) else n for n in r.shapes[x]]
    return r.node("Expand", [x, r.ints(*wanted)])


def pad(r: Raw, x: str) -> str:
    rank = r.rank(x)
    sides = [
        0 if i % rank == 0 and r.chance(90) else r.one_of((0, 0, 1, 2, -1)) for i in range(2 * rank)
    ]
    mode = r.one_of(("constant", "constant", "reflect", "edge", "wrap"))
    more = (
        [r.const(np.float32(r.one_of((0.0, 0.0, 1.5))))]
        if mode == "constant" and r.chance(70)
        else []
    )
    if mode != "constant":
        sides = [max(0, n) for n in sides]
    return r.node("Pad", [x, r.ints(*sides), *more], mode=mode)


def blocks(r: Raw, x: str) -> str:
    if r.chance(50):
        return r.node("SpaceToDepth", [x], blocksize=2)
    return r.node("DepthToSpace", [x], blocksize=2, mode=r.one_of(("DCR", "CRD")))


def shuffle(r: Raw, x: str) -> str:
    """Channels in groups, written in the other order."""
    n, c, *rest = r.shapes[x]
    groups = r.one_of([g for g in range(1, c + 1) if c % g == 0])
    parts = r.node("Reshape", [x, r.ints(n, groups, c // groups, *rest)])
    turned = r.node("Transpose", [parts], perm=[0, 2, 1, *range(3, 3 + len(rest))])
    return r.node("Reshape", [turned, r.ints(n, c, *rest)])


def resize(r: Raw, x: str) -> str:
    mode = r.one_of(("nearest", "linear", "cubic", "nearest", "linear"))
    ways = r.one_of(("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"))
    shape = r.shapes[x]
    attrs = {"mode": mode, "coordinate_transformation_mode": ways}
    if mode == "nearest":
        attrs["nearest_mode"] = r.one_of(
            ("floor", "round_prefer_floor", "ceil", "round_prefer_ceil")
        )
    if r.chance(50):
        sizes = [*shape[:2], *(max(1, r.number(n // 2, 2 * n)) for n in shape[2:])]
        return r.node("Resize", [x, "", "", r.ints(*sizes)], **attrs)
    scales = [1.0, 1.0, *(r.one_of((1.0, 2.0, 0.5, 1.5, 3.0)) for _ in shape[2:])]
    return r.node("Resize", [x, "", r.const(np.array(scales, np.float32))], **attrs)


def nhwc(r: Raw, x: str) -> str:
    """An image's channels to the end, or back."""
    rank = r.rank(x)
    if rank < 3:
        raise TooLarge
    last = [0, *range(2, rank), 1]
    return r.node(
        "Transpose", [x], perm=last if r.chance(50) else [0, rank - 1, *range(1, rank - 1)]
    )


def roll(r: Raw, x: str) -> str:
    at = r.axis(x)
    size = r.shapes[x][at]
    if size < 2:
        raise TooLarge
    by = r.number(1, size - 1)
    parts = [
        r.node("Slice", [x, r.ints(a), r.ints(b), r.ints(at)]) for a, b in ((by, size), (0, by))
    ]
    return r.node("Concat", parts, axis=at)
