"""Operators that move elements run on index maps; Concat of several tensors joins rows or channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.resizing import resize
from mcuformer.frontend.views import OwnFault, Tensor, Unsupported, View
from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import wrapped
from mcuformer.ir.optable import ONNX

_SCATTERS = ("ScatterND", "ScatterElements")
MOVED_NODES = frozenset(row.name for row in ONNX.values() if row.use == "moved")


def move(emit: Emitter, op: Op, args: Sequence[Operand | None]) -> Sequence[Operand]:
    if op.kind == "Concat":
        return [concat(emit, [a for a in args if a is not None], op.attrs["axis"])]
    if op.kind in _SCATTERS:
        return [_scattered(emit, op, args)]
    x, rest = args[0], list(args[1:])
    if not isinstance(x, View) or any(isinstance(a, View) for a in rest):
        raise Unsupported(
            "looked for constant sizes, indices or order, found ones that depend on the model's input"
        )
    if op.kind == "Pad":
        x, rest = _padding(emit, op, x, rest)
    arrays = [a for a in rest if not isinstance(a, View)]
    if op.kind in ("Resize", "Upsample"):
        return [resize(emit, op, x, arrays)]
    moved = ONNX[op.kind].evaluate(op.attrs, [x.index, *arrays], len(op.outputs))
    return [x.with_index(index) for index in moved]


def _padding(
    emit: Emitter, op: Op, x: View, rest: list[Operand | None]
) -> tuple[View, list[Operand | None]]:
    """The view that has the padding's value as its fill, and the operands of a Pad of its indices."""
    given = rest[1] if len(rest) > 1 else None
    assert not isinstance(given, View)
    if op.attrs.get("mode", "constant") != "constant":
        return x, [rest[0], None, *rest[2:]]
    value = 0.0 if given is None or not given.size else float(given.reshape(-1)[0])
    if value and not x.scale:
        x = emit.unscaled(x)
    fill = value / x.scale if value else 0.0
    if fill != x.fill:
        if x.index.size and x.index.min() < 0:
            x = emit.ordered(x)
        x = replace(x, fill=fill)
    return x, [rest[0], np.asarray(-1), *rest[2:]]


def _scattered(emit: Emitter, op: Op, args: Sequence[Operand | None]) -> Operand:
    """Elements of one tensor in some places of another."""
    given, at, news = args
    assert given is not None and news is not None
    if isinstance(at, View) or op.attrs.get("reduction", "none") != "none":
        raise OwnFault(
            "looked for elements that take constant places, found places that depend on the model's input, "
            "or elements that are added: Add of a padded tensor works"
        )
    if not math.prod(news.shape):
        return given
    old, new = (x if isinstance(x, View) else emit.constant(np.asarray(x)) for x in (given, news))
    table = np.arange(old.index.size).reshape(old.shape)
    numbers = old.index.size + np.arange(new.index.size).reshape(new.shape)
    (where,) = ONNX[op.kind].evaluate(op.attrs, [table, np.asarray(at), numbers], 1)
    if (where >= old.index.size).all():
        if isinstance(news, np.ndarray):
            return news.reshape(-1)[where - old.index.size]
        return new.with_index(new.index.reshape(-1)[where - old.index.size])
    parts = [x.with_index(x.index.reshape(-1)) for x in (old, new)]
    both = concat(emit, list(parts), 0)
    return both.with_index(both.index[where])


def concat(emit: Emitter, parts: list[Operand], axis: int) -> View:
    first = next(p for p in parts if isinstance(p, View))
    same = all(
        isinstance(p, View)
        and p.base is first.base
        and (p.scale, p.fill) == (first.scale, first.fill)
        for p in parts
    )
    if same:
        joined = [p.index for p in parts if isinstance(p, View)]
        return first.with_index(np.concatenate(joined, axis))
    axis = wrapped(axis, len(first.shape))
    channels = _channel_concat(emit, parts, axis)
    if channels is not None:
        return channels
    order = _layout(parts, axis)
    at = order.index(axis)
    if math.prod(first.shape[a] for a in order[:at]) > 1:
        return _joined(emit, parts, order, at, None)
    vectors = at == len(order) - 1  # pieces of a length that divides them all become rows
    width = math.gcd(*(p.shape[axis] for p in parts)) if vectors else first.shape[order[-1]]
    return _joined(emit, parts, order, at, width)


def _layout(parts: list[Operand], axis: int) -> list[int]:
    """The axes from the slowest to the fastest, as the largest part lies in its base.

    The axis that joins images of one channel is their fastest.
    """
    views = sorted((p for p in parts if isinstance(p, View)), key=lambda p: -p.index.size)
    tables = [steps for p in views if (steps := _steps(p)) is not None]
    steps = dict(next((t for t in tables if axis in t), tables[0] if tables else {}))
    rank = len(parts[0].shape)
    if axis == 1 and rank == 4:
        steps.setdefault(axis, 0)
    return [a for a in range(rank) if a not in steps] + sorted(steps, key=lambda a: -steps[a])


def _steps(part: View) -> dict[int, int] | None:
    """How far apart neighbours along every axis are, at most; None where some lie backwards."""
    apart = {a: np.diff(part.index, axis=a) for a, n in enumerate(part.shape) if n > 1}
    if any((d < 0).any() for d in apart.values()):
        return None
    return {a: int(d.max()) for a, d in apart.items()}


def _joined(
    emit: Emitter, parts: list[Operand], order: list[int], at: int, width: int | None
) -> View:
    """The parts along axis order[at]: as rows of `width` elements one behind the other, or (None)
    side by side, what stands before that axis being rows."""
    names = []
    for part in parts:
        table = np.arange(math.prod(part.shape)).reshape(part.shape).transpose(order)
        channels = width or math.prod(part.shape[a] for a in order[at:])
        names.append(_rows(emit, part, table.reshape(-1, channels)))
    out = emit.op("concat", names, {"axis": 0 if width else 1})
    shape = list(parts[0].shape)
    shape[order[at]] = sum(p.shape[order[at]] for p in parts)
    numbers = np.arange(math.prod(shape)).reshape([shape[a] for a in order])
    return View(out, numbers.transpose(np.argsort(order)))


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


def _rows(emit: Emitter, part: Operand, order: NDArray) -> str:
    """A concat operand holding the part's elements `order`."""
    if isinstance(part, View):
        return emit.place(part, part.index.reshape(-1)[order]).name
    return emit.const("token", part.reshape(-1)[order])
