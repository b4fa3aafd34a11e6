"""ONNX files drawn at random: a few operators on tokens and images, with residuals, slices, gathers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
UNARY = ("Relu", "Gelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Clip", "LeakyRelu", "Elu")


@dataclass
class Draw:
    """A graph under construction: `shapes` of tokens [1, T, C] and images [1, C, H, W] by name."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, NDArray] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def node(
        self, kind: str, inputs: list[str], shape: Shape, stem: str = "", **attrs: object
    ) -> str:
        name = f"n{len(self.nodes)}_{stem or kind}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attrs))
        self.shapes[name] = shape
        return name

    def const(self, data: NDArray) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(data, np.int64 if data.dtype.kind == "i" else np.float32)
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        return self.const(self.rng.normal(size=shape) * scale)

    def pick(self, rank: int, fits: Callable[[Shape], bool] = lambda _: True) -> str | None:
        """A value of this rank, a late one more often than an early one."""
        found = [n for n, s in self.shapes.items() if len(s) == rank and fits(s)]
        at = int(len(found) * self.rng.random() ** 0.3)
        return found[at] if found else None

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))


def _other(d: Draw, x: str) -> str | None:
    """Another value of the shape of x."""
    found = [n for n, s in d.shapes.items() if s == d.shapes[x] and n != x]
    return found[d.number(0, len(found) - 1)] if found else None


def linear(d: Draw, x: str, channels: int | None = None) -> str:
    _, t, c = d.shapes[x]
    n = channels or d.number(1, 40)
    y = d.node("MatMul", [x, d.normal(c, n, scale=c**-0.5)], (1, t, n))
    return d.node("Add", [y, d.normal(n, scale=0.3)], (1, t, n)) if d.rng.random() < 0.7 else y


def layernorm(d: Draw, x: str) -> str:
    c = d.shapes[x][-1]
    # little more than signs, or than rounding (behind a closed gate), would be left
    if c < 5 or "Softmax" in x or "Gated" in x:
        return x
    operands = [x, d.const(1 + 0.3 * d.rng.normal(size=c)), d.normal(c, scale=0.2)]
    return d.node("LayerNormalization", operands, d.shapes[x], axis=-1)


def unary(d: Draw, x: str) -> str:
    kind = UNARY[d.number(0, len(UNARY) - 1)]
    if kind == "Clip":
        low, high = ((0.0, 6.0), (-0.5, 0.7), (0.0, 1.0))[d.number(0, 2)]
        bounds = [d.const(np.array(low)), d.const(np.array(high))]
        return d.node(kind, [x, *bounds], d.shapes[x])
    attrs = {"alpha": float(d.rng.uniform(0.1, 0.5)), "beta": 0.4} if kind == "HardSigmoid" else {}
    if kind in ("LeakyRelu", "Elu"):
        attrs = {"alpha": float(d.rng.uniform(0.05, 1.2))}
    return d.node(kind, [x], d.shapes[x], **attrs)


def gate(d: Draw, x: str) -> str | None:
    """Add or Mul with a row, a column or a number: one made for it, or any that there is."""
    shape = d.shapes[x]
    narrow = [(1, *(1 if i in kept else s for i, s in enumerate(shape[1:]))) for kept in _KEPT]
    other = d.pick(len(shape), lambda s: s != shape and s in narrow)
    if other is None or d.rng.random() < 0.7:
        other = (_token_gate if len(shape) == 3 else _image_gate)(d, x)
    operands = [x, other] if d.rng.random() < 0.5 else [other, x]
    return d.node("Mul" if d.rng.random() < 0.7 else "Add", operands, shape, "Gated")


_KEPT = ((0,), (1,), (0, 1), (1, 2), (0, 1, 2))  # axes behind the batch that are repeated


def _token_gate(d: Draw, x: str) -> str:
    _, t, c = d.shapes[x]
    if d.rng.random() < 0.5:
        return unary(d, linear(d, mean(d, d.pick(3) or x), c))
    return unary(d, linear(d, d.pick(3, lambda s: s[1] == t) or x, 1))


def _image_gate(d: Draw, x: str) -> str:
    """Squeeze and excite, or a number for every pixel."""
    c, n = d.shapes[x][1], 1
    if d.rng.random() < 0.5:
        kind, n = ("GlobalAveragePool", "GlobalMaxPool", "ReduceMax")[d.number(0, 2)], c
        axes = [d.const(np.array([2, 3]))] if kind == "ReduceMax" else []
        x = d.node(kind, [x, *axes], (1, c, 1, 1))
    w = d.normal(n, c, 1, 1, scale=c**-0.5)
    return unary(d, d.node("Conv", [x, w], (1, n, *d.shapes[x][2:])))


def constant(d: Draw, x: str) -> str:
    """Add or Mul by a constant that is repeated along some axes."""
    shape = d.shapes[x]
    kept = [s if d.rng.random() < 0.5 else 1 for s in shape[1:]]
    if d.rng.random() < 0.4:
        kept = [1] * (len(kept) - 1) + [shape[-1]] if len(shape) == 3 else [shape[1], 1, 1]
    return d.node("Add" if d.rng.random() < 0.5 else "Mul", [x, d.normal(*kept)], shape)


def both(d: Draw, x: str) -> str | None:
    other = _other(d, x)
    kind = ("Add", "Add", "Sub", "Mul")[d.number(0, 3)]
    return None if other is None else d.node(kind, [x, other], d.shapes[x])


def cut(d: Draw, x: str) -> str:
    """A slice of rows or of channels."""
    axis, shape = d.number(1, 2), list(d.shapes[x])
    start = d.number(0, shape[axis] - 1)
    stop = d.number(start + 1, shape[axis])
    numbers = [d.const(np.array([n])) for n in (start, stop, axis)]
    shape[axis] = stop - start
    return d.node("Slice", [x, *numbers], tuple(shape))


def gather(d: Draw, x: str) -> str:
    _, t, c = d.shapes[x]
    rows = d.rng.permutation(t) if d.rng.random() < 0.4 else d.rng.integers(0, t, d.number(1, 12))
    return d.node("Gather", [x, d.const(rows)], (1, len(rows), c), axis=1)


def join(d: Draw, x: str) -> str:
    """Rows of x with those of another value of its width, or with a constant token."""
    _, t, c = d.shapes[x]
    other = d.pick(3, lambda s: s[2] == c)
    if other is None or other == x or d.rng.random() < 0.4:
        other, rows = d.normal(1, 1, c), 1
    else:
        rows = d.shapes[other][1]
    parts = [x, other] if d.rng.random() < 0.5 else [other, x]
    return d.node("Concat", parts, (1, t + rows, c), axis=1)


def attention(d: Draw, x: str) -> str:
    """Self-attention over projections, over slices of one projection, or over x itself."""
    _, t, c = d.shapes[x]
    heads, size = d.number(1, 3), d.number(1, 8)
    way, width = d.number(0, 3), heads * size
    x = layernorm(d, x) if d.rng.random() < 0.5 else x
    if way == 0:
        q = k = v = linear(d, x, width)
    elif way == 1:
        joint = linear(d, x, 3 * width)
        q, k, v = (_channels(d, joint, i * width, (i + 1) * width) for i in range(3))
    else:
        q, k, v = (linear(d, x, width) for _ in range(3))
        q = layernorm(d, q) if way == 3 else q

    def split(value: str, order: list[int], shape: Shape) -> str:
        apart = d.const(np.array([1, t, heads, size]))
        part = d.node("Reshape", [value, apart], (0,))
        return d.node("Transpose", [part], shape, perm=order)

    a, b = split(q, [0, 2, 1, 3], (0,)), split(k, [0, 2, 3, 1], (0,))
    s = d.node("Mul", [d.node("MatMul", [a, b], (0,)), d.const(np.array(size**-0.5))], (0,))
    p = d.node("Softmax", [s], (0,), axis=-1)
    o = d.node("MatMul", [p, split(v, [0, 2, 1, 3], (0,))], (0,))
    o = d.node("Transpose", [o], (0,), perm=[0, 2, 1, 3])
    o = d.node("Reshape", [o, d.const(np.array([1, t, width]))], (1, t, width))
    if d.rng.random() < 0.4:
        return o
    y = linear(d, o, c)
    return d.node("Add", [x, y], d.shapes[y]) if d.rng.random() < 0.6 else y


def _channels(d: Draw, x: str, start: int, stop: int) -> str:
    numbers = [d.const(np.array([n])) for n in (start, stop, 2)]
    return d.node("Slice", [x, *numbers], (*d.shapes[x][:2], stop - start))


def mlp(d: Draw, x: str) -> str:
    y = linear(d, unary(d, linear(d, layernorm(d, x))), d.shapes[x][-1])
    return d.node("Add", [x, y], d.shapes[x])


def mean(d: Draw, x: str) -> str:
    return d.node("ReduceMean", [x, d.const(np.array([1]))], (1, 1, d.shapes[x][2]), keepdims=1)


def softmax(d: Draw, x: str) -> str:
    return d.node("Softmax", [x], d.shapes[x], axis=-1)


def mixer(d: Draw, x: str) -> str:
    """A linear layer over tokens."""
    _, t, c = d.shapes[x]
    n = d.number(1, 20)
    turned = d.node("Transpose", [x], (0,), perm=[0, 2, 1])
    y = d.node("MatMul", [turned, d.normal(t, n, scale=t**-0.5)], (0,))
    return d.node("Transpose", [y], (1, n, c), perm=[0, 2, 1])


def reshape(d: Draw, x: str) -> str:
    _, t, c = d.shapes[x]
    factor = next((f for f in (2, 3, 5) if c % f == 0), 1)
    shape = (1, t * factor, c // factor)
    return d.node("Reshape", [x, d.const(np.array(shape))], shape)


def conv(d: Draw, x: str) -> str:
    _, c, h, w = d.shapes[x]
    kernel, depthwise = (1, 3)[d.number(0, 1)], d.rng.random() < 0.3
    stride, n = d.number(1, 2) if min(h, w) > 2 else 1, c if depthwise else d.number(1, 16)
    group = c if depthwise else 1
    scale = (kernel * kernel * c // group) ** -0.5
    operands = [x, d.normal(n, c // group, kernel, kernel, scale=scale), d.normal(n, scale=0.2)]
    pads, attrs = [kernel // 2] * 4, {"kernel_shape": [kernel] * 2, "strides": [stride] * 2}
    size = [(s + 2 * (kernel // 2) - kernel) // stride + 1 for s in (h, w)]
    return d.node("Conv", operands, (1, n, *size), pads=pads, group=group, **attrs)


def patches(d: Draw, x: str) -> str:
    """A patch embedding: tokens, perhaps with positions and a class token."""
    _, c, h, w = d.shapes[x]
    side, n = d.number(1, min(4, h, w)), d.number(1, 16)
    operands = [x, d.normal(n, c, side, side, scale=(side * side * c) ** -0.5)]
    y = d.node("Conv", operands, (1, n, h // side, w // side), strides=[side] * 2)
    y = tokens(d, y)
    y = join(d, y) if d.rng.random() < 0.5 else y
    return d.node("Add", [y, d.normal(*d.shapes[y])], d.shapes[y]) if d.rng.random() < 0.5 else y


def tokens(d: Draw, x: str) -> str:
    _, c, h, w = d.shapes[x]
    flat = d.node("Reshape", [x, d.const(np.array([1, c, h * w]))], (0,))
    return d.node("Transpose", [flat], (1, h * w, c), perm=[0, 2, 1])


def pool(d: Draw, x: str) -> str:
    n, c = d.shapes[x][:2]
    y = d.node("GlobalAveragePool", [x], (n, c, 1, 1))
    return d.node("Reshape", [y, d.const(np.array([1, 1, c]))], (1, 1, c))


def window(d: Draw, x: str) -> str | None:
    """A pool whose windows reach beyond the image, unevenly."""
    kind, shape = ("AveragePool", "AveragePool", "MaxPool")[d.number(0, 2)], d.shapes[x]
    size = [d.number(1, min(3, n)) for n in shape[2:]]
    pads = [d.number(0, k - 1) for k in (*size, *size)]
    strides, ceil = [d.number(1, 2), d.number(1, 2)], d.number(0, 1)
    attrs = {"kernel_shape": size, "strides": strides, "pads": pads}
    if kind == "AveragePool":
        attrs["count_include_pad"] = d.number(0, 1) * (1 - ceil)
    room = [n + pads[a] + pads[a + 2] - size[a] for a, n in enumerate(shape[2:])]
    out = [-(-r // s) + 1 if ceil else r // s + 1 for r, s in zip(room, strides, strict=True)]
    inside = zip(out, strides, shape[2:], pads, strict=False)  # ceil_mode drops a last one outside
    out = [n - (ceil and (n - 1) * s >= most + p) for n, s, most, p in inside]
    return d.node(kind, [x], (*shape[:2], *out), ceil_mode=ceil, **attrs)


ON_TOKENS = (
    linear, linear, layernorm, unary, unary, constant, both, both, both, cut, cut, gather, join,
    attention, attention, mlp, mean, softmax, mixer, reshape, gate, gate,
)  # fmt: skip
ON_IMAGES = (
    conv, conv, conv, unary, constant, both, both, tokens, patches, pool, gate, gate, window, window,
)  # fmt: skip


def random_model(seed: int) -> tuple[onnx.ModelProto, NDArray[np.float32]]:
    """The model and its samples, [N, ...] in the layout of the input."""
    d = Draw(np.random.default_rng(seed))
    image = d.rng.random() < 0.4
    shape = (
        (1, d.number(1, 4), *[d.number(3, 12)] * 2)
        if image
        else (1, d.number(1, 40), d.number(1, 40))
    )
    d.shapes["x"] = shape
    size = d.number(2, 12)
    last = "x"
    for _ in range(size):
        x = d.pick(4) if image and d.rng.random() < 0.6 else d.pick(3)
        if x is None:
            x = d.pick(4) or "x"
        makers = ON_TOKENS if len(d.shapes[x]) == 3 else ON_IMAGES
        last = makers[d.number(0, len(makers) - 1)](d, x) or last
    if last == "x":
        last = (linear if len(shape) == 3 else conv)(d, "x")
    return _model(d, last), d.rng.normal(size=(24, *shape[1:])).astype(np.float32)


def _model(d: Draw, output: str) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        d.nodes,
        "drawn",
        [info("x", TensorProto.FLOAT, d.shapes["x"])],
        [info(output, TensorProto.FLOAT, d.shapes[output])],
        [numpy_helper.from_array(a, n) for n, a in d.weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
