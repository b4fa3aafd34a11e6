"""Means, the largest, logarithms of shares: what is computed along axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend import arithmetic
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import View, is_arange


def largest(emit: Emitter, x: View, axes: Sequence[int], keepdims: bool) -> View:
    """The largest along axes: those elements become an image of one column, under one window."""
    target, shape = x.along(axes, keepdims)
    if len(target) == 1:
        return x.with_index(x.index.reshape(shape))
    ordered = x.scale > 0
    target, restore = _cheapest_order(emit, x, target)
    rows = emit.place(x, target, keep_scale=ordered)
    column = emit.reshape(rows, (rows.shape[0], 1, rows.shape[1]))
    spec = {"kernel": (len(target), 1), "strides": (1, 1), "pads": (0, 0, 0, 0)}
    out = emit.op("maxpool", [column.name], spec)
    return View(out, restore.reshape(shape), x.scale if ordered else 1.0)


def mean(emit: Emitter, x: View, axes: Sequence[int], keepdims: bool) -> View:
    """Mean over axes: those elements become rows, all others channels."""
    target, shape = x.along(axes, keepdims)
    if len(target) == 1:
        return x.with_index(x.index.reshape(shape))
    target, restore = _cheapest_order(emit, x, target)
    if target.shape[1] == 1 and x.base.shape[0] == 1:  # of one row, which stays one
        row = emit.place(x, target.T, keep_scale=True)
        share = emit.weight(np.full((len(target), 1), 1.0 / len(target)), None)
        return View(emit.op("linear", [row.name, share]), restore.reshape(shape), x.scale)
    rows = emit.place(x, target, keep_scale=True)
    out = emit.op("mean", [rows.name])
    return View(out, restore.reshape(shape), x.scale)


def _cheapest_order(emit: Emitter, x: View, target: NDArray) -> tuple[NDArray, NDArray]:
    """Rows in base order: a mean does not mind, and whole rows need no gather."""
    rows = target[np.argsort(target[:, 0], kind="stable")]
    order = np.argsort(rows[0], kind="stable")
    if is_arange(order):
        return rows, np.arange(target.shape[1])
    restore = np.empty_like(order)
    restore[order] = np.arange(len(order))
    return rows[:, order], restore


def log_softmax(emit: Emitter, x: View, axis: int) -> View:
    """z - log(sum exp(z)), z = x - max(x)."""
    z = _below_top(emit, x, largest(emit, x, [axis], True))
    return arithmetic.add(emit, z, arithmetic.scaled(_log_total(emit, z, [axis]), -1.0))


def log_sum_exp(emit: Emitter, x: View, axes: Sequence[int], keepdims: bool) -> View:
    """max(x) + log(sum exp(z)), z = x - max(x)."""
    top = largest(emit, x, axes, True)
    y = arithmetic.add(emit, top, _log_total(emit, _below_top(emit, x, top), axes))
    return y.with_index(y.index.reshape(x.along(axes, keepdims)[1]))


def _below_top(emit: Emitter, x: View, top: View) -> View:
    return arithmetic.add(emit, x, arithmetic.scaled(top, -1.0))


def _log_total(emit: Emitter, z: View, axes: Sequence[int]) -> View:
    """log(1 + (sum exp(z) - 1)) of numbers up to 0, one of them 0: of numbers no less than 0."""
    with emit.below("sum"):
        total = mean(emit, arithmetic.unary(emit, z, "decay"), axes, True)
        total = arithmetic.scaled(total, math.prod(z.shape[a] for a in axes))
        return arithmetic.unary(emit, arithmetic.add(emit, total, np.array(-1.0)), "log1p")


def argmax(emit: Emitter, x: View, axis: int, keepdims: bool) -> View:
    """Index of the largest along one axis: those elements become the channels of rows."""
    moved = np.moveaxis(x.index, axis, -1)
    rows = emit.place(x, moved.reshape(-1, moved.shape[-1]), keep_scale=x.scale > 0)
    index = np.arange(rows.shape[0]).reshape(moved.shape[:-1])
    out = emit.op("argmax", [rows.name])
    return View(out, np.expand_dims(index, axis) if keepdims else index)
