"""Draws of convolutions and pools."""

from __future__ import annotations

import numpy as np

from fuzz.graph import MOST_WEIGHTS, Draw, Shape, small
from fuzz.layers import LEAST_NORM, layernorm, linear
from fuzz.moves import image, join, tokens

Window = tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]


def _window(d: Draw, shape: Shape, most_pad: int) -> tuple[Window, tuple[int, int]]:
    """Kernel, strides, pads (top, left, bottom, right), each side by itself; the grid."""
    _, _, h, w = shape
    even = d.chance(50)
    kernel = [d.number(1, min(5, s + 1)) for s in (h, w)]
    strides = [d.number(1, 3), d.number(1, 3)]
    pads = [d.number(0, min(most_pad, k - 1)) for k in (*kernel, *kernel)]
    if even:
        kernel = [min(kernel[0], h, w)] * 2
        strides = [strides[0]] * 2
        pads = [min(most_pad, kernel[0] // 2)] * 4
    for i, size in enumerate((h, w)):  # at least one window
        kernel[i] = min(kernel[i], size + pads[i] + pads[i + 2])
    grid = [(s + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i, s in enumerate((h, w))]
    window = (kernel[0], kernel[1]), (strides[0], strides[1]), tuple(pads)
    return window, (grid[0], grid[1])  # type: ignore[return-value]


def _conv(d: Draw, x: str, n: int, group: int) -> str | None:
    shape = d.shapes[x]
    ((kh, kw), strides, pads), grid = _window(d, shape, 2)
    per = shape[1] // group
    if not small(n, *grid) or n * per * kh * kw > MOST_WEIGHTS:
        return None
    operands = [x, d.normal(n, per, kh, kw, scale=(kh * kw * per) ** -0.5)]
    if d.chance(70):
        operands.append(d.normal(n, scale=0.2))
    attrs = {"kernel_shape": [kh, kw], "strides": list(strides), "pads": list(pads)}
    return d.node("Conv", operands, (1, n, *grid), group=group, **attrs)


def conv(d: Draw, x: str) -> str | None:
    return _conv(d, x, d.number(1, 24), 1)


def depthwise(d: Draw, x: str) -> str | None:
    c = d.shapes[x][1]
    return _conv(d, x, c, c)


def grouped(d: Draw, x: str) -> str | None:
    c = d.shapes[x][1]
    group = next((g for g in (2, 3, 5) if c % g == 0), 1)
    return _conv(d, x, group * d.number(1, 6), group)


def dilated(d: Draw, x: str) -> str | None:
    """A kernel with gaps over all or each of the channels, the image keeping its size."""
    _, c, h, w = d.shapes[x]
    n = c if d.chance(40) else d.number(1, 16)
    gaps, group = (d.number(1, 3), d.number(2, 4)), c if n == c and d.chance(50) else 1
    if not small(n, h, w) or n * c // group * 9 > MOST_WEIGHTS:
        return None
    operands = [x, d.normal(n, c // group, 3, 3, scale=(9 * c // group) ** -0.5)]
    attrs = {"dilations": list(gaps), "pads": [*gaps, *gaps], "group": group}
    return d.node("Conv", operands, (1, n, h, w), **attrs)


def transposed(d: Draw, x: str) -> str | None:
    """A larger image, by all or each of the channels."""
    _, c, h, w = d.shapes[x]
    each = d.chance(30)
    n = c if each else d.number(1, 12)
    strides = (d.number(1, 3), d.number(1, 3))
    kernel = [s + d.number(0, 2) for s in strides]
    size = [(k_in - 1) * s + k for k_in, s, k in zip((h, w), strides, kernel, strict=True)]
    if not small(n, *size) or n * c * kernel[0] * kernel[1] > MOST_WEIGHTS:
        return None
    operands = [x, d.normal(c, 1 if each else n, *kernel, scale=(c if not each else 1) ** -0.5)]
    attrs = {"strides": list(strides), "group": c if each else 1}
    return d.node("ConvTranspose", operands, (1, n, *size), **attrs)


def row_conv(d: Draw, x: str) -> str | None:
    """Along tokens."""
    _, t, c = d.shapes[x]
    n, k = d.number(1, 16), d.number(1, min(5, t))
    if n * c * k > MOST_WEIGHTS:
        return None
    turned = d.transpose(x, (0, 2, 1), None)
    y = d.node("Conv", [turned, d.normal(n, c, k, scale=(c * k) ** -0.5)], None)
    return d.transpose(y, (0, 2, 1), (1, t - k + 1, n))


def normed(d: Draw, x: str) -> str | None:
    """Convolution and BatchNormalization, as it is trained."""
    y = conv(d, x) or x
    c = d.shapes[y][1]
    scale, var = d.const(1 + 0.2 * d.random(c)), d.const(0.5 + d.random(c) ** 2)
    params = [scale, d.normal(c, scale=0.2), d.normal(c, scale=0.2), var]
    return d.node("BatchNormalization", [y, *params], d.shapes[y])


def residual(d: Draw, x: str) -> str | None:
    """A depthwise convolution of 3x3 and x itself (ConvNeXt, position by convolution)."""
    c = d.shapes[x][1]
    operands = [x, d.normal(c, 1, 3, 3, scale=1 / 3), d.normal(c, scale=0.2)]
    y = d.node("Conv", operands, d.shapes[x], pads=[1] * 4, group=c)
    return d.node(d.one_of(("Add", "Sum")), [x, y], d.shapes[x])


def patches(d: Draw, x: str) -> str:
    """A patch embedding: tokens, perhaps with positions and a class token."""
    _, c, h, w = d.shapes[x]
    side, n = d.number(1, min(6, h, w)), d.number(1, 40)
    operands = [x, d.normal(n, c, side, side, scale=(side * side * c) ** -0.5)]
    y = d.node("Conv", operands, (1, n, h // side, w // side), strides=[side] * 2)
    y = tokens(d, y)
    y = (join(d, y) or y) if d.chance(40) else y
    return d.node("Add", [y, d.normal(*d.shapes[y])], d.shapes[y]) if d.chance(50) else y


def merging(d: Draw, x: str) -> str | None:
    """A norm or none, and patches of tokens: a convolution, or the rows of quads side by side."""
    t, c = d.shapes[x][1:]
    if d.chance(40):
        h = next((n for n in (2, 4, 6, 8) if t % (2 * n) == 0), 0)
        if not h:
            return None
        apart = d.reshape(x, (h // 2, 2, t // h // 2, 2, c), kept=False)
        quads = d.reshape(d.transpose(apart, (0, 2, 3, 1, 4), None), (1, t // 4, 4 * c))
        return linear(d, layernorm(d, quads), d.number(1, 24))
    y = image(d, layernorm(d, x) if d.chance(60) else x)
    return None if min(d.shapes[y][2:]) < 2 else patches(d, y)


def token_conv(d: Draw, x: str) -> str:
    """A convolution between transformer blocks, or merging."""
    if d.chance(40):
        return merging(d, x) or x
    y = image(d, x)
    return tokens(d, (depthwise if d.chance(50) else conv)(d, y) or y)


def _pool(d: Draw, x: str, kind: str, most_pad: int, **attrs: int) -> str | None:
    ((kh, kw), strides, pads), grid = _window(d, d.shapes[x], most_pad)
    # a window of padding alone has no largest number
    if (grid[0] - 1) * strides[0] - pads[0] >= d.shapes[x][2]:
        return None
    if (grid[1] - 1) * strides[1] - pads[1] >= d.shapes[x][3]:
        return None
    known = {"kernel_shape": [kh, kw], "strides": list(strides), "pads": list(pads)}
    return d.node(kind, [x], (1, d.shapes[x][1], *grid), **known, **attrs)


def maxpool(d: Draw, x: str) -> str | None:
    return _pool(d, x, "MaxPool", 2)


def avgpool(d: Draw, x: str) -> str | None:
    """Padding may count or not."""
    if d.chance(40):
        return _pool(d, x, "AveragePool", 0)
    return _pool(d, x, "AveragePool", 2, count_include_pad=d.number(0, 1))


def resized(d: Draw, x: str) -> str | None:
    """To any size, by any rule for where samples lie."""
    _, c, h, w = d.shapes[x]
    even = d.one_of((0, 2, 3))
    size = (1, c, even * h, even * w) if even else (1, c, d.number(1, 24), d.number(1, 24))
    if not small(*size):
        return None
    attrs = {
        "mode": d.one_of(("linear", "linear", "linear", "cubic")),
        "coordinate_transformation_mode": d.one_of(
            ("half_pixel", "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
        ),
    }
    return d.node("Resize", [x, "", "", d.ints(*size)], size, **attrs)


def whole_pool(d: Draw, x: str) -> str:
    """One number per channel, as a token."""
    c = d.shapes[x][1]
    kind = d.one_of(("GlobalAveragePool", "GlobalMaxPool"))
    return d.reshape(d.node(kind, [x], (1, c, 1, 1)), (1, 1, c))


def group_norm(d: Draw, x: str) -> str:
    """Over all positions and the channels of a group, native or as torch exports it before opset 18."""
    _, c, h, w = shape = d.shapes[x]
    groups = d.one_of([g for g in (1, 1, 2, 3, 4, c) if c % g == 0])
    if c // groups * h * w < LEAST_NORM:
        return x
    scale, shift = d.const(1 + 0.3 * d.random(c)), d.normal(c, scale=0.2)
    if groups == c and d.chance(20):
        return d.node("MeanVarianceNormalization", [x], shape)
    if groups == c and d.chance(50):
        return d.node("InstanceNormalization", [x, scale, shift], shape)
    if d.chance(30):
        return d.node("GroupNormalization", [x, scale, shift], shape, num_groups=groups)
    flat = d.node("Reshape", [x, d.ints(0, groups, -1)], None)
    ones, zeros = d.const(np.ones(groups)), d.const(np.zeros(groups))
    y = d.node("InstanceNormalization", [flat, ones, zeros], None)
    y = d.node("Reshape", [y, d.ints(*shape)], None)
    y = d.node("Mul", [y, d.const(1 + 0.3 * d.random(c, 1, 1))], None)
    return d.node("Add", [y, d.normal(c, 1, 1, scale=0.2)], shape)


def response_norm(d: Draw, x: str) -> str:
    """Times each channel's norm over the mean of all of them (GRN), or over its own deviation."""
    _, c, h, w = shape = d.shapes[x]
    if h * w < LEAST_NORM:
        return x
    norm = d.node("ReduceL2", [x, d.ints(2, 3)], (1, c, 1, 1), keepdims=1)
    mean = d.node("ReduceMean", [norm, d.ints(1)], None, keepdims=1)
    least = d.node("Add", [mean, d.const(np.array(1e-6))], None)
    response = d.node("Div", [norm, least], (1, c, 1, 1))
    y = d.node("Mul", [x, response], shape)
    if d.chance(50):
        return y
    y = d.node("Mul", [y, d.normal(c, 1, 1)], None)
    return d.node("Add", [x, d.node("Add", [y, d.normal(c, 1, 1, scale=0.2)], None)], shape)


def by_deviation(d: Draw, x: str) -> str:
    """x / sqrt(var + eps) without its mean, as EvoNorm has it."""
    shape = d.shapes[x]
    if shape[2] * shape[3] < LEAST_NORM:
        return x
    mean = d.node("ReduceMean", [x, d.ints(2, 3)], None, keepdims=1)
    apart = d.node("Sub", [x, mean], None)
    var = d.node("ReduceMean", [d.node("Mul", [apart, apart], None), d.ints(2, 3)], None)
    root = d.node("Sqrt", [d.node("Add", [var, d.const(np.array(0.05))], None)], None)
    if d.chance(50):
        return d.node("Div", [x, root], shape)
    return d.node("Mul", [x, d.node("Reciprocal", [root], None)], shape)


def channel_norm(d: Draw, x: str) -> str:
    """LayerNorm over the channels of every pixel."""
    _, c, h, w = d.shapes[x]
    if c < 5:
        return x
    last = d.transpose(x, (0, 2, 3, 1), None)
    operands = [last, d.const(np.asarray(1 + 0.3 * d.random(c))), d.normal(c, scale=0.2)]
    y = d.node("LayerNormalization", operands, None, axis=-1)
    return d.transpose(y, (0, 3, 1, 2), (1, c, h, w))
