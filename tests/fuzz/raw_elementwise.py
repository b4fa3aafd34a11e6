"""Raw nodes that compute element by element: functions, sums, products, bounds, choices."""

from __future__ import annotations

from typing import Any

import numpy as np

from fuzz.graph import Shape
from fuzz.raw_graph import Raw

FUNCTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Relu", {}), ("Sigmoid", {}), ("Tanh", {}), ("Gelu", {}), ("Gelu", {"approximate": "tanh"}),
    ("LeakyRelu", {}), ("LeakyRelu", {"alpha": 0.2}), ("Elu", {}), ("Elu", {"alpha": 0.5}), ("Selu", {}),
    ("Celu", {"alpha": 0.7}), ("Softplus", {}), ("Mish", {}), ("HardSigmoid", {}),
    ("HardSigmoid", {"alpha": 1 / 6}), ("HardSwish", {}), ("Erf", {}), ("Neg", {}), ("Abs", {}),
    ("Exp", {}), ("Softsign", {}), ("ThresholdedRelu", {"alpha": 0.5}), ("Sin", {}), ("Cos", {}),
    ("Atan", {}), ("Sinh", {}), ("Cosh", {}), ("Asinh", {}), ("Identity", {}), ("Dropout", {}),
    ("Cast", {"to": 1}), ("Swish", {}), ("Swish", {"alpha": 1.5}), ("Floor", {}), ("Sign", {}), ("Round", {}),
    ("Shrink", {"lambd": 0.5, "bias": 0.5}), ("Shrink", {"lambd": 0.3}), ("Ceil", {}), ("Tan", {}),
    ("HardSwish", {}),
)  # fmt: skip
ABOVE_ZERO: tuple[str, ...] = ("Sqrt", "Reciprocal", "Log", "Sqrt", "Reciprocal")
INSIDE_ONE: tuple[str, ...] = ("Asin", "Acos", "Atanh")


def function(r: Raw, x: str) -> str:
    kind, attrs = r.one_of(FUNCTIONS)
    return r.node(kind, [x], **attrs)


def positive(r: Raw, x: str) -> str:
    """Of x made larger than 0, where the function is known."""
    kind = r.one_of(ABOVE_ZERO)
    way = r.number(0, 3)
    if way == 0:
        x = r.node("Add", [r.node("Abs", [x]), r.const(0.3)])
    elif way == 1:
        x = r.node("Add", [r.node("Sigmoid", [x]), r.const(np.full(1, 0.2))])
    elif way == 2:
        x = r.node("Clip", [x, r.const(r.one_of((0.2, 1.0))), ""])
    else:
        x = r.node("Exp", [r.node("Mul", [x, r.const(0.4)])])
    return r.node(kind, [x])


def inside(r: Raw, x: str) -> str:
    small = r.node("Mul", [r.node("Tanh", [x]), r.const(0.9)])
    return r.node(r.one_of(INSIDE_ONE), [small])


def other_shape(r: Raw, shape: Shape) -> Shape:
    """One that is broadcast with `shape`: a scalar, an axis, all, more axes."""
    way = r.number(0, 6)
    if way == 0 or not shape:
        return r.one_of([(), (1,)])
    if way == 1:
        return shape[-1:]
    if way == 2 and len(shape) > 2:
        return (shape[1], *(1,) * (len(shape) - 2))
    if way == 3:
        return shape
    if way == 4:
        return (1, *shape) if len(shape) < 5 else shape
    kept = tuple(n if r.chance(60) else 1 for n in shape)
    if way == 5:
        return tuple(r.number(2, 4) if n == 1 and r.chance(25) else n for n in kept)
    return kept[r.number(0, len(shape) - 1) :]


def constant(r: Raw, x: str) -> str:
    """With a constant on either side."""
    kind = r.one_of(("Add", "Mul", "Sub", "Div", "Max", "Min", "Mul", "Sum", "Mean", "Pow"))
    shape = other_shape(r, r.shapes[x])
    if kind == "Pow":
        exponent = r.one_of((2.0, 3.0, 1.0, 4.0, 0.5, -1.0, -0.5, 1.5, 0.0, 5.0))
        if exponent not in (1.0, 2.0, 3.0, 4.0, 5.0, 0.0):
            x = r.node("Add", [r.node("Abs", [x]), r.const(0.3)])
        if r.chance(15):
            base = r.node("Mul", [x, r.const(0.5)])
            return r.node("Pow", [r.const(r.one_of((2.0, 0.5))), base])
        return r.node("Pow", [x, r.const(np.full(shape if r.chance(20) else (), exponent))])
    if kind == "Div" and r.chance(70):
        c = r.normal(*shape, scale=0.3, offset=r.one_of((2.0, -2.0, 8.0)))
        return r.node("Div", [x, c])
    if kind == "Div":
        x = r.node("Add", [r.node("Abs", [x]), r.const(0.4)])
        return r.node("Div", [r.normal(*shape), x])
    c = r.normal(*shape, scale=r.one_of((1.0, 0.2)), offset=r.one_of((0.0, 0.0, 1.0, -0.5)))
    if r.chance(10):
        c = r.const(np.full(shape, r.one_of((0.0, 1.0, -1.0, 2.0))))
    return r.node(kind, [c, x] if r.chance(40) else [x, c])


def clip(r: Raw, x: str) -> str:
    low, high = r.one_of(
        ((0.0, None), (0.0, 6.0), (-1.0, 1.0), (1e-6, None), (None, 0.5), (None, None), (0.2, 0.9), (-3.0, 3e38))
    )  # fmt: skip
    ends = ["" if b is None else r.const(np.float32(b)) for b in (low, high)]
    return r.node("Clip", [x, *ends])


def prelu(r: Raw, x: str) -> str:
    shape = r.shapes[x]
    options: list[Shape] = [(1,), shape[1:2] + (1,) * (len(shape) - 2), shape[-1:], shape[1:]]
    return r.node("PRelu", [x, r.normal(*r.one_of(options), scale=0.3)])


def pair(r: Raw, x: str) -> str:
    """Of two values; where shapes do not match, onnx says so and there is no node."""
    y = partner(r, x)
    kind = r.one_of(("Add", "Mul", "Sub", "Add", "Mul", "Max", "Min", "Sum", "Mean", "Div"))
    if kind == "Div":
        y = r.node("Add", [r.node(r.one_of(("Abs", "Exp", "Sigmoid")), [y]), r.const(0.4)])
    ends = [y, x] if r.chance(40) else [x, y]
    if kind in ("Sum", "Mean", "Max", "Min") and r.chance(30):
        ends.append(x)
    return r.node(kind, ends)


def partner(r: Raw, x: str) -> str:
    """Another value that fits, or one that is made of x."""
    shape = r.shapes[x]
    fitting = [n for n, s in r.shapes.items() if n not in r.integers and _fits(s, shape)]
    if r.chance(50):
        return r.one_of(fitting)
    way = r.number(0, 3)
    if way == 0:
        return r.with_axes("ReduceMean", x, [r.axis(x)], keepdims=1)
    if way == 1:
        return r.node("Sigmoid", [x])
    if way == 2:
        at = r.axis(x)
        return r.node("Slice", [x, r.ints(0), r.ints(1), r.ints(at)])
    return r.with_axes("ReduceMax", x, [r.axis(x)], keepdims=1)


def _fits(a: Shape, b: Shape) -> bool:
    pairs = zip(reversed(a), reversed(b), strict=False)
    return all(m == n or 1 in (m, n) for m, n in pairs)


def where(r: Raw, x: str) -> str:
    shape = other_shape(r, r.shapes[x])
    salt = r.number(0, 99)
    mask = r.const(np.random.default_rng([salt, *shape]).random(shape) < r.one_of((0.5, 0.2, 1.0)))
    other = partner(r, x) if r.chance(40) else r.const(r.one_of((0.0, 1.0, -2.0)))
    return r.node("Where", [mask, *([other, x] if r.chance(50) else [x, other])])


def branches(r: Raw, x: str) -> str:
    """A leaky ReLU, an ELU, a ReLU spelled as a choice between two functions of x."""
    zero, slope = r.const(0.0), r.one_of((0.1, 0.01, 0.5, 1.3))
    above = r.chance(60)
    mask = r.node("Greater" if above else "Less", [x, zero])
    way = r.number(0, 3)
    below = zero
    if way == 1:
        many = r.normal(*r.shapes[x][-1:]) if r.chance(40) else r.const(slope)
        below = r.node("Mul", [x, many])
    elif way > 1:
        less = r.node("Sub", [r.node("Exp", [r.node("Min", [x, zero])]), r.const(1.0)])
        below = r.node("Mul", [less, r.const(slope)])
    return r.node("Where", [mask, x, below] if above else [mask, below, x])


def gelu(r: Raw, x: str) -> str:
    """Spelled, and its middle values are values like others: somebody may read them."""
    half, root = r.const(0.5), r.const(np.sqrt(2.0))
    way = r.number(0, 4)
    if way == 3:
        return r.node("Mul", [x, r.node("Sigmoid", [r.node("Mul", [x, r.const(1.702)])])])
    if way == 4:
        cube = r.node("Mul", [r.node("Pow", [x, r.const(3.0)]), r.const(0.044715)])
        inner = r.node("Mul", [r.node("Add", [x, cube]), r.const(np.sqrt(2 / np.pi))])
        one = r.node("Add", [r.node("Tanh", [inner]), r.const(1.0)])
        return r.node("Mul", [r.node("Mul", [x, half]), one])
    erf = r.node("Erf", [r.node("Div", [x, root])])
    one = r.node("Add", [erf, r.const(1.0)])
    if way == 0:
        return r.node("Mul", [r.node("Mul", [x, one]), half])
    if way == 1:
        return r.node("Mul", [r.node("Mul", [x, half]), one])
    return r.node("Mul", [x, r.node("Mul", [one, half])])


def silu(r: Raw, x: str) -> str:
    gate = r.node(r.one_of(("Sigmoid", "HardSigmoid", "Tanh")), [x])
    if r.chance(30):
        gate = r.node("Tanh", [r.node("Softplus", [x])])
    return r.node("Mul", [gate, x] if r.chance(50) else [x, gate])
