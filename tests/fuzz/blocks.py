"""Draws of blocks of convolutions that run in strips of lines."""

from __future__ import annotations

from fuzz.graph import MOST_WEIGHTS, Draw, small


def pointwise(d: Draw, x: str, n: int) -> str:
    """n channels of every pixel."""
    _, c, h, w = d.shapes[x]
    operands = [x, d.normal(n, c, 1, 1, scale=c**-0.5), d.normal(n, scale=0.2)]
    return d.node("Conv", operands, (1, n, h, w))


def depthwise(d: Draw, x: str, side: int, stride: int) -> str:
    """Each channel by itself; of stride 1 the image keeps its size."""
    _, c, h, w = d.shapes[x]
    operands = [x, d.normal(c, 1, side, side, scale=1 / side), d.normal(c, scale=0.2)]
    size = [(n - 1) // stride + 1 for n in (h, w)]
    attrs = {"pads": [side // 2] * 4, "strides": [stride] * 2}
    return d.node("Conv", operands, (1, c, *size), group=c, **attrs)


def inverted(d: Draw, x: str) -> str | None:
    """Wide, depthwise, narrow (MobileNetV2), perhaps around it a residual, perhaps another reader of x."""
    _, c, h, w = d.shapes[x]
    wide, side, stride = c * d.number(1, 4), d.one_of((3, 3, 5)), d.one_of((1, 1, 2))
    if not small(wide, h, w) or wide * c > MOST_WEIGHTS:
        return None
    kind = d.one_of(("Relu", "HardSwish", "Sigmoid"))
    y = d.node(kind, [pointwise(d, x, wide)], (1, wide, h, w))
    y = depthwise(d, y, side, stride)
    y = d.node(kind, [y], d.shapes[y]) if d.chance(70) else y
    n = c if stride == 1 else d.number(1, 16)
    y = pointwise(d, y, n)
    if stride > 1 or not d.chance(70):
        return y
    other = pointwise(d, x, n) if d.chance(30) else x
    return d.node("Add", [other, y], d.shapes[y])


def excited(d: Draw, x: str) -> str | None:
    """Squeeze and excite, wide, depthwise, and squeeze and excite again: a mean keeps the images whole, so
    that rows widen in place and the depthwise layer lies over its image (PP-LCNet)."""
    _, c, h, w = d.shapes[x]
    wide, side = c * d.number(1, 4), d.one_of((3, 5, 5, 7))
    if not small(wide, h, w) or wide * wide > MOST_WEIGHTS:
        return None
    x = _excite(d, x) if d.chance(70) else x
    y = d.node("Relu", [pointwise(d, x, wide)], (1, wide, h, w))
    y = _excite(d, y) if d.chance(40) else y
    y = depthwise(d, y, side, d.one_of((1, 1, 2)))
    y = d.node("HardSwish", [y], d.shapes[y]) if d.chance(70) else y
    return _excite(d, y)


def squeezed(d: Draw, x: str) -> str | None:
    """Wide, depthwise, gated by its mean, narrow (EfficientNet): what two sweeps can make without the wide image."""
    _, c, h, w = d.shapes[x]
    wide, stride = c * d.number(2, 6), d.one_of((1, 1, 2))
    if not small(wide, h, w) or wide * wide > MOST_WEIGHTS:
        return None
    y = d.node("HardSwish", [pointwise(d, x, wide)], (1, wide, h, w))
    y = depthwise(d, y, d.one_of((3, 3, 5)), stride)
    y = d.node("Relu", [y], d.shapes[y]) if d.chance(70) else y
    y = _excite(d, y, d.number(1, 4))
    y = pointwise(d, y, c if stride == 1 else d.number(1, 2 * c))
    return d.node("Add", [x, y], d.shapes[y]) if stride == 1 and d.chance(70) else y


def _excite(d: Draw, x: str, ratio: int = 0) -> str:
    """`ratio`: by which the gate is narrower inside; 0: it has no inside."""
    c = d.shapes[x][1]
    mean = d.node("GlobalAveragePool", [x], (1, c, 1, 1))
    if ratio:
        inside = max(1, c // ratio)
        mean = d.node("Relu", [pointwise(d, mean, inside)], (1, inside, 1, 1))
    gate = d.node("Sigmoid", [pointwise(d, mean, c)], (1, c, 1, 1))
    return d.node("Mul", [x, gate], d.shapes[x])
