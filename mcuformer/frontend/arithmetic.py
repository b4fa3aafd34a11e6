"""Add, Sub, Mul, Div and the activation functions on views: they commute with moving elements."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend import products, statistics
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import OwnFault, Scores, Tensor, Unsupported, View
from mcuformer.ir.functions import named
from mcuformer.passes.edit import is_uniform

Operand = View | NDArray
_MOST_DOUBLINGS = 16


def unary(emit: Emitter, x: View, fn: str) -> View:
    x = emit.unscaled(x)
    assert isinstance(x.base, Tensor)
    return View(emit.op("unary", [x.base.name], {"fn": fn}, ""), x.index)


def scaled(x: View, factor: float) -> View:
    """A scalar factor is only noted, for attention to gather."""
    return replace(x, scale=x.scale * factor)


def times(x: Operand, factor: float) -> Operand:
    return scaled(x, factor) if isinstance(x, View) else np.asarray(x * factor)


def add(emit: Emitter, a: Operand, b: Operand) -> View:
    if isinstance(a, View) and isinstance(b, View):
        return _add_views(emit, a, b)
    view, const = (a, b) if isinstance(a, View) else (b, a)
    assert isinstance(view, View) and isinstance(const, np.ndarray)
    view = grown(view, const.shape)
    if not const.any():
        return view
    biased = _add_bias(view, const) if isinstance(view.base, Scores) else None
    if biased is not None:
        return biased
    # a mask, and no range of numbers
    if const.min() < products.HIDDEN <= const.max() <= -products.HIDDEN:
        return products.biased(emit, view, const)
    view = _before_const(emit, view, const) if view.scale else emit.unscaled(view)
    assert isinstance(view.base, Tensor)
    # s*x + c = s*(x + c/s)
    operand = emit.const("const", in_base_order(view, const / view.scale))
    return replace(view, base=emit.op("add", [view.base.name, operand]))


def _add_views(emit: Emitter, a: View, b: View) -> View:
    if a.scale != b.scale:
        a, b = emit.unscaled(a), emit.unscaled(b)
    return _binary(emit, "add", a, b, a.scale)


def multiply(emit: Emitter, a: Operand, b: Operand) -> View:
    if isinstance(a, View) and isinstance(b, View):
        return _multiply_views(emit, a, b)
    view, const = (a, b) if isinstance(a, View) else (b, a)
    assert isinstance(view, View) and isinstance(const, np.ndarray)
    view = grown(view, const.shape)
    if const.size == 1 or (isinstance(view.base, Scores) and is_uniform(const)):
        return scaled(view, float(const.flat[0]))
    if (const == 1).all():
        return view
    by_part = _scaled_scores(emit, view, const) if isinstance(view.base, Scores) else None
    if by_part is not None:
        return by_part
    view = _before_const(emit, view, const)
    assert isinstance(view.base, Tensor)
    operand = emit.const("const", in_base_order(view, const))
    return replace(view, base=emit.op("mul", [view.base.name, operand]))


def _before_const(emit: Emitter, view: View, const: NDArray) -> View:
    """`ordered`, but pixels of a convolution stay an image: it takes in one number per channel."""
    convolved = isinstance(view.base, Tensor) and view.base.name in emit.convolved
    if convolved and view.is_bijective() and in_base_order(view, const).ndim == 1:
        return view
    return emit.ordered(view)


def _scaled_scores(emit: Emitter, view: View, const: NDArray) -> View | None:
    """A factor per head or query goes into q, one per key into k: (s q) k = s (q k). None of others."""
    scores = view.base
    assert isinstance(scores, Scores)
    if not view.is_bijective():
        return None
    table = _in_flat_order(view, const).reshape(scores.shape)
    bias = None if scores.bias is None else scores.bias * table
    if (table == table[:, :, :1]).all() and not emit.is_const(scores.a):
        a = multiply(emit, scores.a, table[:, :, :1])
        assert isinstance(a, View)
        return replace(view, base=replace(scores, a=a, bias=bias))
    if (table == table[:, :1]).all() and not emit.is_const(scores.b):
        b = multiply(emit, scores.b, table[:, 0, :, None])
        assert isinstance(b, View)
        return replace(view, base=replace(scores, b=b, bias=bias))
    return None


def _in_flat_order(view: View, const: NDArray) -> NDArray:
    """const, broadcast to the bijective view, in the order of its base."""
    flat = np.empty(view.base_size, np.float64)
    flat[view.index.reshape(-1)] = np.broadcast_to(const, view.shape).reshape(-1)
    return flat


def _multiply_views(emit: Emitter, a: View, b: View) -> View:
    return _binary(emit, "mul", a, b, a.scale * b.scale)


def _binary(emit: Emitter, kind: str, a: View, b: View, scale: float) -> View:
    """add or mul of two activations, laid out like the one that is not repeated."""
    shape = np.broadcast_shapes(a.shape, b.shape)
    if a.shape != shape:
        a, b = b, a
    if a.shape != shape:
        return _outer(emit, kind, a, b, scale, shape)
    a = emit.ordered(a)
    assert isinstance(a.base, Tensor)
    target = _aligned(a, grown(b, shape))
    repeated = _once(target.reshape(-1, target.shape[-1]))
    if repeated.size == target.size:
        other = emit.place(b, target, keep_scale=True)
        return View(emit.op(kind, [a.base.name, other.name]), a.index, scale)
    other = emit.place(b, repeated, keep_scale=True)
    return View(emit.op(kind, [emit.tokens(a.base).name, other.name]), a.index, scale)


def _outer(
    emit: Emitter, kind: str, a: View, b: View, scale: float, shape: tuple[int, ...]
) -> View:
    """Both operands are repeated: [T, 1] with [1, C]; images have their channels last."""
    order = np.arange(math.prod(shape)).reshape(shape)
    last = np.moveaxis(order, 1, -1) if len(shape) == 4 else order
    flat = last.reshape(-1, last.shape[-1])
    parts = [grown(x, shape).index.reshape(-1)[flat] for x in (a, b)]
    names = [
        emit.place(x, _once(p), keep_scale=True).name for x, p in zip((a, b), parts, strict=True)
    ]
    index = np.empty(order.size, np.int64)
    index[flat.reshape(-1)] = np.arange(order.size)
    return View(emit.op(kind, names), index.reshape(shape), scale)


def _once(table: NDArray) -> NDArray:
    """[T, C] element numbers as [1, C] or [T, 1] where rows or columns are all the same."""
    if len(table) > 1 and (table == table[:1]).all():
        return table[:1]
    return table[:, :1] if table.shape[1] > 1 and (table == table[:, :1]).all() else table


def divide(emit: Emitter, a: Operand, b: Operand) -> View:
    """By an activation: times its reciprocal, in 16 bits."""
    if isinstance(b, View):
        return multiply(emit, a, statistics.power(emit, b, -1.0))
    if not b.all():
        raise OwnFault("looked for a divisor other than 0, found 0 in the constant")
    return multiply(emit, a, np.asarray(1.0 / b.astype(np.float64)))


def power(emit: Emitter, a: Operand, b: Operand) -> View:
    """A small whole exponent is a product, which keeps the sign of odd ones."""
    if isinstance(a, np.ndarray) and isinstance(b, View) and (a > 0).all():
        return unary(emit, multiply(emit, b, np.asarray(np.log(a))), "exp")
    if not isinstance(a, View) or isinstance(b, View) or not is_uniform(b):
        raise (Unsupported if isinstance(b, View) else OwnFault)(
            "looked for an exponent that is one constant, or a constant base above 0, found others: Mul, "
            "such a power, or an activation of `mcuformer ops` works"
        )
    a, exponent = grown(a, b.shape), float(b.flat[0])
    if exponent in (-1.0, 0.5, -0.5):
        return statistics.power(emit, a, exponent)
    if exponent not in (1.0, 2.0, 3.0, 4.0):
        return unary(emit, a, named("pow", exponent))
    if exponent == 1.0:
        return a
    square = multiply(emit, a, a)
    if exponent == 2.0:
        return square
    return multiply(emit, square, a if exponent == 3.0 else square)


def larger(emit: Emitter, a: Operand, b: Operand) -> Operand:
    """max(a, b), exactly: numbers that are equal stay so. Of one constant bound it is a function."""
    if not isinstance(a, View):
        a, b = b, a
    if not isinstance(a, View):
        assert isinstance(b, np.ndarray)
        return np.asarray(np.maximum(a, b))
    if isinstance(b, np.ndarray) and is_uniform(b):
        return unary(emit, grown(a, b.shape), named("clip", float(b.flat[0]), math.inf))
    if isinstance(b, View):
        return _larger_view(emit, a, b)
    a = emit.ordered(_outside(emit, grown(a, b.shape)))
    assert isinstance(a.base, Tensor)
    least = float(np.finfo(np.float32).min)  # -inf bounds nothing, and neither does this
    operand = emit.const(
        "const", in_base_order(a, np.maximum(b.astype(np.float64) / a.scale, least))
    )
    return replace(a, base=emit.op("max", [a.base.name, operand]))


def _larger_view(emit: Emitter, a: View, b: View) -> View:
    if _is_same(a, b):
        return a
    if a.scale != b.scale:
        a, b = emit.unscaled(a), emit.unscaled(b)
    a, b = _outside(emit, a), _outside(emit, b)
    return _binary(emit, "max", a, b, a.scale)


def _is_same(a: View, b: View) -> bool:
    one = a.base is b.base or (isinstance(a.base, Tensor) and a.base == b.base)
    return one and (a.scale, a.fill) == (b.scale, b.fill) and np.array_equal(a.index, b.index)


def _outside(emit: Emitter, x: View) -> View:
    """Of max(s x, s y), s stays outside where it turns nothing, rounds nothing and leaves no number
    that is beyond all grids."""
    part, exponent = math.frexp(x.scale)
    return x if part == 0.5 and abs(exponent) <= _MOST_DOUBLINGS else emit.unscaled(x)


def in_base_order(view: View, const: NDArray) -> NDArray:
    """const, broadcast to the bijective view: [C] where all rows agree, else shaped as the base."""
    flat = _in_flat_order(view, const)
    table = flat.reshape(-1, view.base.shape[-1])
    return table[0] if (table == table[0]).all() else flat.reshape(view.base.shape)


def grown(view: View, shape: tuple[int, ...]) -> View:
    """Repeated along the axes that `shape` has more of."""
    wanted = np.broadcast_shapes(view.shape, shape)
    return view if wanted == view.shape else view.with_index(np.broadcast_to(view.index, wanted))


def _aligned(a: View, b: View) -> NDArray:
    """b's elements in the order in which a's base holds its own; a is bijective."""
    order = np.empty(a.base_size, np.int64)
    order[a.index.reshape(-1)] = b.index.reshape(-1)
    return order.reshape(a.base.shape)


def _add_bias(view: View, const: NDArray) -> View | None:
    """Scores with a constant added; None where it is added to a part of them."""
    scores = view.base
    assert isinstance(scores, Scores)
    if not view.is_bijective() or not view.scale:
        return None
    # the view's scale s is outside of the base: s*scores + c = s*(scores + c/s)
    bias = _in_flat_order(view, const).reshape(scores.shape) / view.scale
    total = bias if scores.bias is None else scores.bias + bias
    return replace(view, base=replace(scores, bias=total))
