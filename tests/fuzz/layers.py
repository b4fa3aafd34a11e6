"""Draws of linear layers, normalisations, functions, sums and products on tokens."""

from __future__ import annotations

import numpy as np

from fuzz.graph import MOST_WEIGHTS, Draw, Shape, TooLarge, in_opset
from mcuformer.ir.functions import FUNCTIONS

MOST_K = 4096
LEAST_NORM = 5  # of fewer channels little more than signs would be left
_ANYWHERE = [row for row in FUNCTIONS.values() if row.domain is None]  # numbers may be any
_SPELLINGS = [s for row in _ANYWHERE for s in row.onnx if not s.domain and in_opset(s.operator)]
SIMPLE = [s for s in _SPELLINGS if not s.numbers]
WITH_NUMBERS = [s for s in _SPELLINGS if s.numbers]
BOUNDS = (
    (0.0, 6.0), (-0.5, 0.7), (0.0, 1.0), (-1.0, np.inf), (-np.inf, 0.5), (-np.inf, np.inf),
)  # fmt: skip


def linear(d: Draw, x: str, channels: int | None = None) -> str:
    """MatMul or Gemm, with or without a bias."""
    _, t, c = d.shapes[x]
    n = channels or d.number(1, min(70, MOST_WEIGHTS // c))
    if n * c > MOST_WEIGHTS:
        raise TooLarge
    if channels is None and t == 1 and d.chance(75):
        flat = d.node("Reshape", [x, d.ints(1, c)], None)
        operands = [flat, d.normal(n, c, scale=c**-0.5), d.normal(n, scale=0.3)]
        return d.reshape(d.node("Gemm", operands, None, transB=1), (1, 1, n))
    y = d.node("MatMul", [x, d.normal(c, n, scale=c**-0.5)], (1, t, n))
    return d.node("Add", [y, d.normal(n, scale=0.3)], (1, t, n)) if d.chance(70) else y


def flat_linear(d: Draw, x: str) -> str:
    """All tokens as one row: long sums. The longest take seconds to quantise, so they are rare."""
    _, t, c = d.shapes[x]
    most = MOST_K if d.chance(15) else 600
    return linear(d, d.reshape(x, (1, 1, t * c)) if t * c <= most else x)


def mlp(d: Draw, x: str) -> str:
    c = d.shapes[x][-1]
    y = linear(d, function(d, linear(d, layernorm(d, x), d.number(1, 90))), c)
    return d.node(d.one_of(("Add", "Sum")), [x, y], d.shapes[x])


def mixer(d: Draw, x: str) -> str:
    """A linear layer over tokens."""
    _, t, c = d.shapes[x]
    n = d.number(1, 40)
    turned = d.transpose(x, (0, 2, 1), (1, c, t))
    y = d.node("MatMul", [turned, d.normal(t, n, scale=t**-0.5)], (1, c, n))
    return d.transpose(y, (0, 2, 1), (1, n, c))


def layernorm(d: Draw, x: str) -> str:
    c = d.shapes[x][-1]
    return x if c < LEAST_NORM else _norm(d, x, c, d.shapes[x])


def _norm(d: Draw, x: str, c: int, shape: Shape | None) -> str:
    scale = d.const(1 + 0.3 * d.random(c))
    if d.chance(60):
        kind = d.one_of(("RMSNormalization", "SimplifiedLayerNormalization"))
        return d.node(kind, [x, scale], shape, axis=-1)
    operands = [x, scale, *([d.normal(c, scale=0.2)] if d.chance(80) else [])]
    return d.node("LayerNormalization", operands, shape, axis=-1)


def head_norm(d: Draw, x: str) -> str:
    """LayerNorm of every head by itself."""
    _, t, c = d.shapes[x]
    heads = next((h for h in (4, 3, 2, 1) if c % h == 0 and c // h >= LEAST_NORM), 0)
    if not heads:
        return x
    apart = d.reshape(x, (1, t, heads, c // heads), kept=False)
    return d.reshape(_norm(d, apart, c // heads, None), (1, t, c))


def spelled_norm(d: Draw, x: str) -> str:
    """(x - mean) / sqrt(var + eps), as older exporters write it, or x / sqrt(mean(x^2) + eps)."""
    shape = d.shapes[x]
    if shape[-1] < LEAST_NORM:
        return x
    apart = x
    if d.chance(70):
        apart = d.node("Sub", [x, d.node("ReduceMean", [x, d.ints(-1)], None)], None)
    square = d.node("Pow", [apart, d.const(np.array(2.0))], None)
    var = d.node("ReduceMean", [square, d.ints(-1)], None)
    root = d.node("Sqrt", [d.node("Add", [var, d.const(np.array(1e-5))], None)], None)
    if d.chance(70):
        y = d.node("Mul", [apart, d.node("Reciprocal", [root], None)], None)
    else:
        y = d.node("Div", [apart, root], None)
    scaled = d.node("Mul", [y, d.const(1 + 0.3 * d.random(shape[-1]))], None)
    return d.node("Add", [scaled, d.normal(shape[-1], scale=0.2)], shape)


def l2_norm(d: Draw, x: str) -> str:
    """x / max(|x|, eps) over channels or tokens, as exporters write F.normalize."""
    shape, axis = d.shapes[x], d.one_of((-1, -1, 1))
    return x if shape[axis] < LEAST_NORM else unit(d, x, shape, axis)


def unit(d: Draw, x: str, shape: Shape | None, axis: int) -> str:
    least = d.const(np.array(1e-12))
    if d.chance(30):
        return d.node("LpNormalization", [x], shape, axis=axis, p=2)
    if d.chance(50):
        norm = d.node("ReduceL2", [x, d.ints(axis)], None, keepdims=1)
        return d.node("Div", [x, d.node("Clip", [norm, least], None)], shape)
    total = d.node("ReduceSumSquare", [x, d.ints(axis)], None, keepdims=1)
    root = d.node("Sqrt", [d.node("Max", [total, least], None)], None)
    return d.node("Mul", [x, d.node("Reciprocal", [root], None)], shape)


def quotient(d: Draw, x: str) -> str:
    """x over something positive: a number per token, a row, or one for each element."""
    shape = d.shapes[x]
    c = shape[-1]
    other = linear(d, x, d.one_of((1, c)))
    if d.chance(40):
        other = mean(d, other)
    positive = d.node("Add", [d.node("Sigmoid", [other], None), d.const(np.array(0.2))], None)
    if d.chance(30):
        positive = d.node("Sqrt", [positive], None)
    return d.node("Div", [x, positive], shape)


def function(d: Draw, x: str) -> str:
    """Any activation function, in a spelling of an exporter."""
    shape, way = d.shapes[x], d.number(0, 14)
    if way in (4, 10):
        return spelled_gelu(d, x)
    if way == 11:
        return d.node("Neg", [x], shape)
    if way == 12:
        way = 6  # more of what has numbers
    if way < 4 or way == 14:
        simple = d.one_of(SIMPLE)
        return d.node(simple.operator, [x], shape, **simple.fixed)
    if way == 5:
        bounds = [d.const(np.array(b)) for b in d.one_of(BOUNDS)]
        return d.node("Clip", [x, *bounds], shape)
    if way == 6:
        spelling = d.one_of(WITH_NUMBERS)
        numbers = {
            n.attribute: n.low + (n.high - n.low) * d.number(0, 10) / 10 for n in spelling.numbers
        }
        return d.node(spelling.operator, [x], shape, **spelling.fixed, **numbers)
    if way == 7:
        return d.node("Mul", [x, d.node("Sigmoid", [x], None)], shape)
    if way in (8, 13):
        kind = d.one_of(("Max", "Min"))
        return d.node(kind, [x, d.const(np.array(d.number(-5, 5) / 10))], shape)
    return d.node("PRelu", [x, d.const(np.array(d.number(0, 10) / 10))], shape)


def spelled_gelu(d: Draw, x: str) -> str:
    """x/2 * (1 + erf(x / sqrt 2)), or x * sigmoid(1.702 x)."""
    shape = d.shapes[x]
    if d.chance(20):
        inner = d.node("Mul", [x, d.const(np.array(1.702))], None)
        return d.node("Mul", [x, d.node("Sigmoid", [inner], None)], shape)
    erf = d.node("Erf", [d.node("Div", [x, d.const(np.array(2.0**0.5))], None)], None)
    half = d.node("Mul", [x, d.const(np.array(0.5))], None)
    return d.node("Mul", [half, d.node("Add", [erf, d.const(np.array(1.0))], None)], shape)


def constant(d: Draw, x: str) -> str:
    """Add, Mul, Max or Div with a constant that is repeated along some axes."""
    shape = d.shapes[x]
    kept = [s if d.chance(50) else 1 for s in shape[1:]]
    if d.chance(40):  # per channel
        kept = [1] * (len(kept) - 1) + [shape[-1]] if len(shape) == 3 else [shape[1], 1, 1]
    kind = d.one_of(("Add", "Mul", "Max", "Div"))
    data = d.random(*kept)
    return d.node(kind, [x, d.const(np.sign(data) + data if kind == "Div" else data)], shape)


def both(d: Draw, x: str) -> str | None:
    """Two values of one shape: a residual across whatever lies between."""
    other = d.pick(len(d.shapes[x]), lambda s: s == d.shapes[x])
    if other in (None, x):
        return None
    kind = d.one_of(("Add", "Add", "Sub", "Mul", "Sum", "Sum", "Max", "Min"))
    return d.node(kind, [x, str(other)], d.shapes[x])


_KEPT = ((0,), (1,), (0, 1), (1, 2), (0, 1, 2))  # axes behind the batch that are repeated


def gate(d: Draw, x: str) -> str:
    """Add, Mul or Max with a row, a column or a number: one made for it, or any that there is."""
    shape = d.shapes[x]
    narrow = [(1, *(1 if i in kept else s for i, s in enumerate(shape[1:]))) for kept in _KEPT]
    other = d.pick(len(shape), lambda s: s != shape and s in narrow)
    if other is None or d.chance(70):
        other = (_token_gate if len(shape) == 3 else _image_gate)(d, x)
    operands = [x, other] if d.chance(50) else [other, x]
    return d.node(d.one_of(("Mul", "Max", "Add")), operands, shape)


def _token_gate(d: Draw, x: str) -> str:
    _, t, c = d.shapes[x]
    if d.chance(50):
        return function(d, linear(d, mean(d, d.pick(3) or x), c))
    return function(d, linear(d, d.pick(3, lambda s: s[1] == t) or x, 1))


def _image_gate(d: Draw, x: str) -> str:
    """Squeeze and excite, or a number for every pixel."""
    c, n = d.shapes[x][1], 1
    if d.chance(50):
        kind, n = d.one_of(("GlobalAveragePool", "GlobalMaxPool", "ReduceMax")), c
        axes = [d.ints(2, 3)] if kind == "ReduceMax" else []
        x = d.node(kind, [x, *axes], (1, c, 1, 1))
    w = d.normal(n, c, 1, 1, scale=c**-0.5)
    return function(d, d.node("Conv", [x, w], (1, n, *d.shapes[x][2:])))


def mean(d: Draw, x: str) -> str:
    kind = "ReduceSum" if d.chance(20) else "ReduceMean"
    return d.node(kind, [x, d.ints(1)], (1, 1, d.shapes[x][2]), keepdims=1)


def largest_token(d: Draw, x: str) -> str:
    return d.node("ReduceMax", [x, d.ints(1)], (1, 1, d.shapes[x][2]), keepdims=1)


def softmax(d: Draw, x: str) -> str:
    return d.node("Softmax", [x], d.shapes[x], axis=-1)


def argmax(d: Draw, x: str) -> str:
    """At the end of the model: an output."""
    y = d.node("ArgMax", [x], None, axis=-1, keepdims=1)
    d.ends[y] = (*d.shapes[x][:-1], 1)
    return y
