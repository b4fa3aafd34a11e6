"""Operators that move elements run on index maps; Concat of several tensors joins their rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import Tensor, Unsupported, View
from mcuformer.ir.graph import Op
from mcuformer.ir.numpy_ops import KERNELS, movement
from mcuformer.ir.numpy_ops.base import wrapped

MOVES = (frozenset(movement.KERNELS) - {"Trilu", "ScatterND"}) | {"Resize"}


def move(emit: Emitter, op: Op, args: Sequence[Operand | None]) -> list[View]:
    if op.kind == "Concat":
        return [_concat(emit, [a for a in args if a is not None], op.attrs["axis"])]
    x, rest = args[0], list(args[1:])
    if not isinstance(x, View) or any(isinstance(a, View) for a in rest):
        raise Unsupported("where elements go must be constant")
    if op.kind == "Pad":
        rest = _zero_padding(op, rest)
    arrays = [a for a in rest if not isinstance(a, View)]
    if op.kind == "Resize" and op.attrs.get("mode", "nearest") != "nearest":
        raise Unsupported("resizing an activation other than to the nearest cell")
    moved = KERNELS[op.kind](op.attrs, [x.index, *arrays], len(op.outputs))
    return [x.with_index(index) for index in moved]


def _zero_padding(op: Op, rest: list[Operand | None]) -> list[Operand | None]:
    fill = rest[1] if len(rest) > 1 else None
    assert not isinstance(fill, View)
    if op.attrs.get("mode", "constant") == "constant" and fill is not None and fill.any():
        raise Unsupported("padding with a value other than 0")
    return [rest[0], np.asarray(-1), *rest[2:]]


def _concat(emit: Emitter, parts: list[Operand], axis: int) -> View:
    first = next(p for p in parts if isinstance(p, View))
    same = all(
        isinstance(p, View) and p.base is first.base and p.scale == first.scale for p in parts
    )
    if same:
        joined = [p.index for p in parts if isinstance(p, View)]
        return first.with_index(np.concatenate(joined, axis))
    axis = wrapped(axis, len(first.shape))
    channels = _channel_concat(emit, parts, axis)
    if channels is not None:
        return channels
    last = axis == len(first.shape) - 1
    width = math.gcd(*(p.shape[-1] for p in parts)) if last else first.shape[-1]
    names, numbers, offset = [], [], 0
    for part in parts:
        order = np.moveaxis(np.arange(math.prod(part.shape)).reshape(part.shape), axis, 0)
        if last:
            order = np.moveaxis(order, 0, axis)
        name, count = _rows(emit, part, order.reshape(-1, width))
        names.append(name)
        place = np.empty(count, np.int64)
        place[order.reshape(-1)] = np.arange(count) + offset
        numbers.append(place.reshape(part.shape))
        offset += count
    out = emit.op("concat", names, {"axis": 0})
    return View(out, np.concatenate(numbers, axis))


def _channel_concat(emit: Emitter, parts: list[Operand], axis: int) -> View | None:
    """Tensors whose rows lie alike, joined along what are their bases' channels."""
    tensors: list[tuple[Tensor, NDArray]] = []
    for part in parts:
        if not isinstance(part, View) or not isinstance(part.base, Tensor) or part.scale != 1.0:
            return None
        width = part.shape[axis]
        index = np.moveaxis(part.index, axis, -1).reshape(-1, width)
        rows = index[:, 0] // width
        whole = part.base.shape[-1] == width and part.is_bijective()
        if not whole or (index != rows[:, None] * width + np.arange(width)).any():
            return None
        tensors.append((emit.tokens(part.base), rows))
    rows = tensors[0][1]
    if rows.size == 1 or any(not np.array_equal(r, rows) for _, r in tensors):
        return None
    out = emit.op("concat", [t.name for t, _ in tensors], {"axis": 1})
    numbers = rows[:, None] * out.shape[1] + np.arange(out.shape[1])
    lead = [d for a, d in enumerate(parts[0].shape) if a != axis]
    return View(out, np.moveaxis(numbers.reshape(*lead, -1), -1, axis))


def _rows(emit: Emitter, part: Operand, order: NDArray) -> tuple[str, int]:
    """A concat operand holding the part's elements `order`."""
    if isinstance(part, View):
        target = part.index.reshape(-1)[order]
        return emit.place(part, target).name, order.size
    return emit.const("token", part.reshape(-1)[order]), order.size
