"""ONNX operators that move elements and never compute with them.

They run on any dtype: on weights, on activations, and on arrays of element indices, which is how
the frontend learns what a chain of them does (index maps, docs/adr/0001).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import (
    FIRST,
    Args,
    Attrs,
    NodeEvaluation,
    NodeShapeRule,
    OnnxOp,
    Shape,
    Types,
    axes_of,
    by_zeros,
    ints,
    ints_of,
    need,
    optional,
    same_shape,
    shape_of,
    wrapped,
)


def reshape(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, shape = need(args, 0), ints(args, 1)
    assert shape is not None
    if not attrs.get("allowzero", 0):
        shape = [x.shape[i] if s == 0 else s for i, s in enumerate(shape)]
    return (x.reshape(shape),)


def transpose(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (need(args, 0).transpose(attrs.get("perm")),)


def squeeze(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    axes = axes_of(attrs, args, 1)
    return (np.squeeze(need(args, 0), None if axes is None else tuple(axes)),)


def unsqueeze(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.expand_dims(need(args, 0), tuple(axes_of(attrs, args, 1) or ())),)


def flatten(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, axis = need(args, 0), attrs.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return (x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])),)


def slice_(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x = need(args, 0)
    starts, ends = ints(args, 1) or [], ints(args, 2) or []
    axes = ints(args, 3) or list(range(len(starts)))
    steps = ints(args, 4) or [1] * len(starts)
    index: list[slice] = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = _clamped(start, end, step, x.shape[axis])
    return (x[tuple(index)],)


def _clamped(start: int, end: int, step: int, size: int) -> slice:
    """ONNX clamps a negative end to -1 on a backward slice; Python would count it from the end."""
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end == -1 else end, step)


def split(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, axis = need(args, 0), attrs.get("axis", 0)
    sizes = ints(args, 1) or attrs.get("split")
    if sizes is None:
        count = attrs.get("num_outputs", n_out)
        chunk = -(-x.shape[axis] // count)
        sizes = [chunk] * (count - 1) + [x.shape[axis] - chunk * (count - 1)]
    if sum(sizes) != x.shape[axis]:
        raise ValueError(f"split sizes {list(sizes)} do not add up to {x.shape[axis]}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


def concat(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.concatenate([a for a in args if a is not None], attrs["axis"]),)


def gather(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.take(need(args, 0), need(args, 1), attrs.get("axis", 0)),)


def gather_elements(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.take_along_axis(need(args, 0), need(args, 1), attrs.get("axis", 0)),)


def gather_nd(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, index, batch = need(args, 0), need(args, 1), attrs.get("batch_dims", 0)
    lead = x.shape[:batch]
    rows = math.prod(lead)
    flat_x = x.reshape(rows, *x.shape[batch:])
    flat_i = index.reshape(rows, *index.shape[batch:])
    picked = [xi[tuple(np.moveaxis(ii, -1, 0))] for xi, ii in zip(flat_x, flat_i, strict=True)]
    out = np.stack(picked)
    return (out.reshape(*lead, *out.shape[1:]),)


def expand(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, shape = need(args, 0), ints(args, 1) or []
    return (np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape))),)


def tile(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    return (np.tile(need(args, 0), ints(args, 1) or ()),)


def pad(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, pads, mode = need(args, 0), ints(args, 1) or [], attrs.get("mode", "constant")
    fill = optional(args, 2)
    axes = ints(args, 3) or list(range(x.ndim))
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        widths[axis] = (pads[i], pads[i + len(axes)])
    for axis, (low, high) in enumerate(widths):  # negative pads crop
        crop = slice(max(-low, 0), x.shape[axis] - max(-high, 0))
        x = x[(slice(None),) * axis + (crop,)]
    grow = [(max(low, 0), max(high, 0)) for low, high in widths]
    if mode == "constant":
        value = x.dtype.type(0) if fill is None else fill.reshape(-1)[0]
        return (np.pad(x, grow, constant_values=value),)
    if mode not in ("reflect", "edge", "wrap"):
        raise ValueError(f"padding of mode {mode}")
    return (np.pad(x, grow, mode=mode),)


def depth_to_space(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, b = need(args, 0), attrs["blocksize"]
    n, c, h, w = x.shape
    if attrs.get("mode", "DCR") == "DCR":
        y = x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return (y.reshape(n, c // (b * b), h * b, w * b),)


def space_to_depth(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, b = need(args, 0), attrs["blocksize"]
    n, c, h, w = x.shape
    y = x.reshape(n, c, h // b, b, w // b, b)
    y = y.transpose((0, 3, 5, 1, 2, 4) if attrs.get("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4))
    return (y.reshape(n, c * b * b, h // b, w // b),)


def trilu(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, k = need(args, 0), (ints(args, 1) or [0])[0]
    k = max(min(k, x.shape[-1]), -x.shape[-2])
    return (np.triu(x, k) if attrs.get("upper", 1) else np.tril(x, k),)


_SCATTER: Mapping[str, np.ufunc | None] = {
    "none": None, "add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum,
}  # fmt: skip


def scatter_nd(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, index, updates = need(args, 0).copy(), need(args, 1), need(args, 2)
    where = tuple(np.moveaxis(index, -1, 0))
    combine = _SCATTER[attrs.get("reduction", "none")]
    if combine is None:
        x[where] = updates
    else:
        combine.at(x, where, updates)
    return (x,)


def scatter_elements(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, index, updates = need(args, 0).copy(), need(args, 1), need(args, 2)
    axis = wrapped(attrs.get("axis", 0), x.ndim)
    where = [np.asarray(i) for i in np.indices(index.shape)]
    where[axis] = np.where(index < 0, index + x.shape[axis], index)
    combine = _SCATTER[attrs.get("reduction", "none")]
    if combine is None:
        x[tuple(where)] = updates
    else:
        combine.at(x, tuple(where), updates)
    return (x,)


def _joined(op: Op, types: Types, data: Args) -> list[Shape]:
    shapes = [t.shape for t in types if t is not None]
    axis = wrapped(op.attrs["axis"], len(shapes[0]))
    rests = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
    if len(rests) != 1 or any(len(s) != len(shapes[0]) for s in shapes):
        raise ValueError(f"cannot join {shapes} along axis {axis}")
    first = shapes[0]
    return [(*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :])]


def _gathered(op: Op, types: Types, data: Args) -> list[Shape]:
    x, axis = shape_of(types, 0), op.attrs.get("axis", 0)
    axis = wrapped(axis, len(x))
    return [(*x[:axis], *shape_of(types, 1), *x[axis + 1 :])]


def _expanded(op: Op, types: Types, data: Args) -> list[Shape]:
    return [np.broadcast_shapes(shape_of(types, 0), tuple(ints_of(data, 1, "the shape")))]


def _tiled(op: Op, types: Types, data: Args) -> list[Shape]:
    repeats = ints_of(data, 1, "the repeat count")
    return [tuple(s * r for s, r in zip(shape_of(types, 0), repeats, strict=True))]


def _padded(op: Op, types: Types, data: Args) -> list[Shape]:
    shape, pads = list(shape_of(types, 0)), ints_of(data, 1, "the padding")
    axes = ints(data, 3) or range(len(shape))
    for i, axis in enumerate(axes):
        shape[axis] += pads[i] + pads[i + len(axes)]
    return [tuple(shape)]


def _moved(
    name: str, evaluate: NodeEvaluation, shape: NodeShapeRule | None = None, notes: str = ""
) -> OnnxOp:
    return OnnxOp(name, "moved", shape or by_zeros(evaluate), FIRST, evaluate, notes)


ROWS = (
    _moved("Reshape", reshape), _moved("Transpose", transpose), _moved("Squeeze", squeeze),
    _moved("Unsqueeze", unsqueeze), _moved("Flatten", flatten), _moved("Slice", slice_),
    _moved("Split", split), _moved("Concat", concat, _joined),
    _moved("Gather", gather, _gathered, "constant indices"),
    _moved("GatherElements", gather_elements, notes="constant indices"),
    _moved("GatherND", gather_nd, notes="constant indices"),
    _moved("Expand", expand, _expanded), _moved("Tile", tile, _tiled),
    _moved("Pad", pad, _padded, "with zeros"), _moved("DepthToSpace", depth_to_space),
    _moved("SpaceToDepth", space_to_depth),
    OnnxOp("Trilu", "compiled", by_zeros(trilu), FIRST, trilu, "constant k"),
    OnnxOp("ScatterND", "moved", same_shape, FIRST, scatter_nd, "constant indices"),
    OnnxOp("ScatterElements", "moved", same_shape, FIRST, scatter_elements, "constant indices"),
)  # fmt: skip
