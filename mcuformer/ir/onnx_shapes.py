"""Result types of ONNX operators, computed without touching or allocating data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.numpy_ops import KERNELS, elementwise, nn, resize
from mcuformer.ir.numpy_ops.base import wrapped
from mcuformer.ir.types import TensorType

Shape = tuple[int, ...]
Rule = Callable[[Op, Sequence[TensorType | None], Sequence[NDArray | None]], list[Shape]]

_BOOLEAN = {"Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor", "Not",
            "IsInf", "IsNaN"}  # fmt: skip
_INDICES = {"Shape", "Size", "ArgMax", "ArgMin", "NonZero"}


def infer(
    op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]
) -> list[TensorType]:
    """Types of the results; `data`: the inputs that are constants. ValueError where ill-formed."""
    rule = _RULES.get(op.kind, _by_dummy)
    if op.kind in elementwise.KERNELS and op.kind not in _RULES:
        rule = _broadcast
    first = _dtype(op, types, data)
    later = {"Dropout": "bool", "MaxPool": "int64", "LayerNormalization": "float32"}
    return [
        TensorType(tuple(int(d) for d in shape), later.get(op.kind, first) if i else first)
        for i, shape in enumerate(rule(op, types, data))
    ]


def _dtype(
    op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]
) -> str:  # fmt: skip
    if op.kind in _BOOLEAN:
        return "bool"
    if op.kind in _INDICES:
        return "int64"
    if op.kind == "Cast":
        return str(op.attrs["to"])
    if op.kind == "ConstantOfShape":
        return str(np.asarray(op.attrs.get("value", np.zeros(1, np.float32))).dtype)
    if op.kind == "QuantizeLinear":
        zero = data[2] if len(data) > 2 else None
        chosen = op.attrs.get("output_dtype", "uint8")
        return str(chosen) if zero is None else str(zero.dtype)
    first = {"Where": 1, "DequantizeLinear": 1}.get(op.kind, 0)
    present = [t for t in types[first:] if t is not None]
    return present[0].dtype if present else "float32"


def _shape(types: Sequence[TensorType | None], i: int) -> Shape:
    if i >= len(types):
        raise ValueError(f"input {i} is missing")
    t = types[i]
    if t is None:
        raise ValueError(f"input {i} is missing")
    return t.shape


def _ints(data: Sequence[NDArray | None], i: int, what: str) -> list[int]:
    value = data[i] if i < len(data) else None
    if value is None:
        raise ValueError(f"{what} is not constant")
    return [int(v) for v in np.asarray(value).reshape(-1)]


def _broadcast(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    if op.kind == "Clip":  # its bounds are scalars
        types = types[:1]
    shape = np.broadcast_shapes(*(t.shape for t in types if t is not None))
    return [shape] * len(op.outputs)


def _by_dummy(
    op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]
) -> list[Shape]:
    """Run the operator on zeros that occupy one byte: for those that view or shrink their input."""
    if op.kind not in KERNELS:
        raise ValueError(f"operator {op.kind} is unknown")
    if types[0] is None:
        raise ValueError("input 0 is missing")
    for i, (t, d) in enumerate(zip(types[1:], data[1:], strict=True), 1):
        if t is not None and d is None:
            raise ValueError(f"input {i} is not constant")
    zeros = np.broadcast_to(np.zeros((), np.int8), types[0].shape)
    return [y.shape for y in KERNELS[op.kind](op.attrs, [zeros, *data[1:]], len(op.outputs))]


def _matmul(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    a, b = _shape(types, 0), _shape(types, 1)
    if not a or not b:
        raise ValueError("MatMul of a scalar")
    left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    if left[-1] != right[-2]:
        raise ValueError(f"cannot multiply {a} by {b}")
    lead = np.broadcast_shapes(left[:-2], right[:-2])
    tail = left[-2:-1] * (len(a) > 1) + right[-1:] * (len(b) > 1)
    return [(*lead, *tail)]


def _gemm(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    a, b = _shape(types, 0), _shape(types, 1)
    if len(a) != 2 or len(b) != 2:
        raise ValueError(f"Gemm of {a} and {b}")
    (m, k), (k2, n) = a[:: -1 if op.attrs.get("transA", 0) else 1], (
        b[:: -1 if op.attrs.get("transB", 0) else 1])  # fmt: skip
    if k != k2:
        raise ValueError(f"Gemm of {a} and {b}")
    return [(m, n)]


def _windowed(op: Op, size: Shape, kernel: Shape) -> Shape:
    n = len(kernel)
    strides = op.attrs.get("strides") or [1] * n
    dilations = op.attrs.get("dilations") or [1] * n
    if len(size) != n or len(strides) != n or len(dilations) != n or min(*strides, *dilations) < 1:
        raise ValueError(f"kernel {kernel}, strides {strides} on {size}")
    pads = nn.spatial_pads(op.attrs, size, kernel, strides, dilations)
    spans = [s + sum(p) - (k - 1) * d - 1
             for s, p, k, d in zip(size, pads, kernel, dilations, strict=True)]  # fmt: skip
    if min(spans) < 0:
        raise ValueError(f"kernel {kernel} is larger than the padded image {size}")
    if op.attrs.get("ceil_mode", 0):
        rows = zip(size, spans, strides, pads, strict=True)
        return tuple(nn.ceil_count(s, span, st, p[0]) for s, span, st, p in rows)
    return tuple(span // st + 1 for span, st in zip(spans, strides, strict=True))


def _conv(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    x, w = _shape(types, 0), _shape(types, 1)
    if len(x) != len(w) or len(x) < 3 or x[1] != w[1] * op.attrs.get("group", 1):
        raise ValueError(f"cannot convolve {x} with weights {w}")
    return [(x[0], w[0], *_windowed(op, x[2:], w[2:]))]


def _pool(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    x = _shape(types, 0)
    return [(*x[:2], *_windowed(op, x[2:], tuple(op.attrs["kernel_shape"])))] * len(op.outputs)


def _global(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    x = _shape(types, 0)
    return [(*x[:2], *[1] * (len(x) - 2))]


def _same(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    x = _shape(types, 0)
    if op.kind == "LayerNormalization":
        axis = wrapped(op.attrs.get("axis", -1), len(x))
        return [x, *[(*x[:axis], *[1] * (len(x) - axis))] * 2][: len(op.outputs)]
    return [x] * len(op.outputs)


def _dims_of(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    rank = len(_shape(types, 0))
    return [(len(range(rank)[op.attrs.get("start", 0) : op.attrs.get("end", rank)]),)]


def _concat(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    shapes = [t.shape for t in types if t is not None]
    axis = wrapped(op.attrs["axis"], len(shapes[0]))
    rests = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
    if len(rests) != 1 or any(len(s) != len(shapes[0]) for s in shapes):
        raise ValueError(f"cannot join {shapes} along axis {axis}")
    first = shapes[0]
    return [(*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :])]


def _gather(op: Op, types: Sequence[TensorType | None], data: object) -> list[Shape]:
    x, axis = _shape(types, 0), op.attrs.get("axis", 0)
    axis = wrapped(axis, len(x))
    return [(*x[:axis], *_shape(types, 1), *x[axis + 1 :])]


def _expand(
    op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]
) -> list[Shape]:
    return [np.broadcast_shapes(_shape(types, 0), tuple(_ints(data, 1, "the shape")))]


def _tile(
    op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]
) -> list[Shape]:
    repeats = _ints(data, 1, "the repeat count")
    return [tuple(s * r for s, r in zip(_shape(types, 0), repeats, strict=True))]


def _pad(op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]) -> list[Shape]:
    shape, pads = list(_shape(types, 0)), _ints(data, 1, "the padding")
    axes = _ints(data, 3, "axes") if len(data) > 3 and data[3] is not None else range(len(shape))
    for i, axis in enumerate(axes):
        shape[axis] += pads[i] + pads[i + len(axes)]
    return [tuple(shape)]


def _resize(
    op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]
) -> list[Shape]:
    shape = list(_shape(types, 0))
    axes = [a % len(shape) for a in op.attrs.get("axes") or range(len(shape))]
    scales, sizes = (data[i] if len(data) > i else None for i in (2, 3))
    _, out = resize.target_sizes(op.attrs, shape, axes, scales, sizes)
    for axis, size in zip(axes, out, strict=True):
        shape[axis] = size
    return [tuple(shape)]


def _filled(
    op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]
) -> list[Shape]:
    return [tuple(_ints(data, 0, "the shape"))]


def _range(
    op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]
) -> list[Shape]:
    if any(d is None or d.size != 1 for d in data[:3]) or len(data) < 3:
        raise ValueError("Range wants three constant numbers")
    start, limit, delta = (float(d.reshape(-1)[0]) for d in data[:3] if d is not None)
    return [(max(math.ceil((limit - start) / delta), 0),)]


_RULES: dict[str, Rule] = {
    "MatMul": _matmul, "Gemm": _gemm, "Conv": _conv, "MaxPool": _pool, "AveragePool": _pool,
    "GlobalAveragePool": _global, "GlobalMaxPool": _global, "Softmax": _same, "LogSoftmax": _same,
    "LayerNormalization": _same, "BatchNormalization": _same, "QuantizeLinear": _same,
    "DequantizeLinear": _same, "CumSum": _same, "Cast": _same, "Shape": _dims_of,
    "Size": lambda op, types, data: [()], "Concat": _concat, "Gather": _gather,
    "Expand": _expand, "Tile": _tile, "Pad": _pad, "ConstantOfShape": _filled, "Range": _range,
    "ScatterND": _same, "Resize": _resize,
}  # fmt: skip
