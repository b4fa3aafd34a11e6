"""Add, Sub, Mul, Div and the activation functions on views: they commute with moving elements."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import Probs, Scores, Tensor, Unsupported, View

Operand = View | NDArray


def unary(emit: Emitter, x: View, fn: str) -> View:
    x = emit.unscaled(x)
    assert isinstance(x.base, Tensor)
    return View(emit.op("unary", [x.base.name], {"fn": fn}, ""), x.index)


def scaled(x: View, factor: float) -> View:
    """A scalar factor is only noted, for attention to gather."""
    return replace(x, scale=x.scale * factor)


def add(emit: Emitter, a: Operand, b: Operand) -> View:
    if isinstance(a, View) and isinstance(b, View):
        return _add_views(emit, a, b)
    view, const = (a, b) if isinstance(a, View) else (b, a)
    assert isinstance(view, View) and isinstance(const, np.ndarray)
    view = _grown(view, const.shape)
    if not const.any():
        return view
    if isinstance(view.base, Scores):
        return _add_bias(view, const)
    view = emit.ordered(view)
    assert isinstance(view.base, Tensor)
    # s*x + c = s*(x + c/s)
    operand = emit.const("const", in_base_order(view, const / view.scale))
    return replace(view, base=emit.op("add", [view.base.name, operand]))


def _add_views(emit: Emitter, a: View, b: View) -> View:
    shape = np.broadcast_shapes(a.shape, b.shape)
    if a.shape != shape:  # lay the result out like the operand that is not repeated
        a, b = b, a
    if a.shape != shape:
        a = _grown(a, shape)
    b = _grown(b, shape)
    if a.scale != b.scale:
        a, b = emit.unscaled(a), emit.unscaled(b)
    a = emit.ordered(a)
    other = emit.place(b, _aligned(a, b), keep_scale=True)
    assert isinstance(a.base, Tensor)
    return replace(a, base=emit.op("add", [a.base.name, other.name]))


def multiply(emit: Emitter, a: Operand, b: Operand) -> View:
    if isinstance(a, View) and isinstance(b, View):
        return _multiply_views(emit, a, b)
    view, const = (a, b) if isinstance(a, View) else (b, a)
    assert isinstance(view, View) and isinstance(const, np.ndarray)
    view = _grown(view, const.shape)
    if const.size and (const == const.flat[0]).all():
        return scaled(view, float(const.flat[0]))
    view = emit.ordered(view)
    assert isinstance(view.base, Tensor)
    operand = emit.const("const", in_base_order(view, const))
    return replace(view, base=emit.op("mul", [view.base.name, operand]))


def _multiply_views(emit: Emitter, a: View, b: View) -> View:
    shape = np.broadcast_shapes(a.shape, b.shape)
    if a.shape != shape:
        a, b = b, a
    a, b = emit.ordered(_grown(a, shape)), _grown(b, shape)
    other = emit.place(b, _aligned(a, b), keep_scale=True)
    assert isinstance(a.base, Tensor)
    product = emit.op("mul", [a.base.name, other.name])
    return replace(a, base=product, scale=a.scale * b.scale)


def divide(emit: Emitter, a: Operand, b: Operand) -> View:
    if isinstance(b, View) or not isinstance(a, View):
        raise Unsupported("division by an activation")
    if not b.all():
        raise Unsupported("division by zero")
    if (b == b.flat[0]).all():
        return scaled(_grown(a, b.shape), 1.0 / float(b.flat[0]))
    return multiply(emit, a, 1.0 / b.astype(np.float64))


def power(emit: Emitter, a: Operand, b: Operand) -> View:
    exponent = None if isinstance(b, View) or b.size != 1 else float(b.reshape(-1)[0])
    if not isinstance(a, View) or exponent not in (1.0, 2.0):
        raise Unsupported("a power other than 1 or 2")
    return a if exponent == 1.0 else multiply(emit, a, a)


def in_base_order(view: View, const: NDArray) -> NDArray:
    """const, broadcast to the bijective view: [C] where all rows agree, else shaped as the base."""
    flat = np.empty(view.base_size, np.float64)
    flat[view.index.reshape(-1)] = np.broadcast_to(const, view.shape).reshape(-1)
    table = flat.reshape(-1, view.base.shape[-1])
    return table[0] if (table == table[0]).all() else flat.reshape(view.base.shape)


def _grown(view: View, shape: tuple[int, ...]) -> View:
    wanted = np.broadcast_shapes(view.shape, shape)
    return view if wanted == view.shape else view.with_index(np.broadcast_to(view.index, wanted))


def _aligned(a: View, b: View) -> NDArray:
    """b's elements in the order in which a's base holds its own; a is bijective."""
    order = np.empty(a.base_size, np.int64)
    order[a.index.reshape(-1)] = b.index.reshape(-1)
    return order.reshape(a.base.shape)


def _add_bias(view: View, const: NDArray) -> View:
    if isinstance(view.base, Probs) or not view.is_bijective():
        raise Unsupported("a bias on part of the attention scores")
    scores = view.base
    assert isinstance(scores, Scores)
    flat = np.empty(view.base_size, np.float64)
    flat[view.index.reshape(-1)] = np.broadcast_to(const, view.shape).reshape(-1)
    # the view's scale s is outside of the base: s*scores + c = s*(scores + c/s)
    bias = flat.reshape(scores.shape) / view.scale
    total = bias if scores.bias is None else scores.bias + bias
    return replace(view, base=replace(scores, bias=total))
