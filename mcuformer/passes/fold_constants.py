"""f(constants) -> constant; Shape(x) -> constant; every remaining value gets its static shape.

A node that cannot be typed keeps a reason in its attribute "error"; the conversion reports all of
them at once. Where the file or the ONNX standard says what it makes, what follows is typed all the
same; its own reason is "" where it may fail just because of the node before it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.onnx_shapes import infer
from mcuformer.ir.optable import ONNX_STAGE
from mcuformer.ir.types import DTYPES, TensorType, Value
from mcuformer.passes.refused_types import refused_types

MAX_ELEMENTS = 2**26  # of one tensor: no microcontroller holds a hundredth of it
MAX_ACTIVATION = 2**24  # elements: 16 MB in int8, attention scores of 1,000 tokens and 16 heads
MAX_FOLDED_BYTES = 2**30  # of all folded constants together
KERNEL_ERRORS = (ValueError, TypeError, IndexError, KeyError, AssertionError, AttributeError,
                 ZeroDivisionError, OverflowError, MemoryError)  # fmt: skip


def fold_constants(graph: Graph) -> Graph:
    values = dict(graph.values)
    kept: list[Op] = []
    folded_bytes = 0
    unsure: set[str | None] = set()  # made by such a node, or sizes and places computed from that
    for op in graph.ops:
        data = [graph_const(values, i) for i in op.inputs]
        types = [None if i is None else values[i].type for i in op.inputs]
        try:
            results = _evaluate(op, types, data)
            if len(results) != len(op.outputs):
                raise ValueError(f"malformed: {len(op.outputs)} outputs")
        except KERNEL_ERRORS as error:
            blamed = "error" in op.attrs or unsure.isdisjoint(op.inputs)
            kept.append(_with_error(graph, op, values, _reason(error) if blamed else ""))
            unsure.update(op.outputs)
            continue
        if isinstance(results[0], np.ndarray):
            folded_bytes += sum(r.nbytes for r in results if isinstance(r, np.ndarray))
        if folded_bytes > MAX_FOLDED_BYTES:
            kept.append(_with_error(graph, op, values, "constants grow beyond 1 GiB"))
            unsure.update(op.outputs)
            continue
        values |= {n: _value(n, r) for n, r in zip(op.outputs, results, strict=True)}
        if isinstance(results[0], TensorType):
            kept.append(op)
            if not (results[0].dtype.startswith("float") or unsure.isdisjoint(op.inputs)):
                unsure.update(op.outputs)
    return graph.replace(ops=tuple(kept), values=values)


def _reason(error: Exception) -> str:
    """Empty for a node whose input is unknown: not its own fault."""
    return str(error) if isinstance(error, ValueError) else str(error) or type(error).__name__


def _value(name: str, result: TensorType | NDArray) -> Value:
    if isinstance(result, TensorType):
        return Value(name, result)
    return Value(name, TensorType(result.shape, str(result.dtype)), result)


def graph_const(values: dict[str, Value], name: str | None) -> NDArray | None:
    return None if name is None else values[name].data


def _with_error(graph: Graph, op: Op, values: dict[str, Value], reason: str) -> Op:
    types = refused_types(graph, op, values)
    values |= {n: Value(n, t) for n, t in zip(op.outputs, types, strict=True)}
    return op.replace(attrs={**op.attrs, "error": reason})


def _evaluate(
    op: Op, types: list[TensorType | None], data: list[NDArray | None]
) -> list[TensorType | NDArray]:
    """The results' values where all inputs are known, else their types."""
    if "error" in op.attrs:
        raise ValueError(op.attrs["error"])
    row = ONNX_STAGE.get(op.kind)
    if row is None:
        raise ValueError("")  # the conversion says it: an operator that the table does not know
    if any(t is not None and -1 in t.shape for t in types):
        raise ValueError("")  # poisoned by an earlier node
    if op.kind == "Constant":
        return list(row.evaluate(op.attrs, data, 1))
    if op.kind in ("Shape", "Size") and types[0] is not None:
        dummy = np.broadcast_to(np.zeros((), np.int8), types[0].shape)
        return list(row.evaluate(op.attrs, [dummy], 1))
    constant = all(t is None or d is not None for t, d in zip(types, data, strict=True))
    if constant and op.kind == "NonZero":
        return list(row.evaluate(op.attrs, data, 1))
    inferred = infer(op, types, data)
    _bounded(inferred, MAX_ELEMENTS if constant else MAX_ACTIVATION)
    if not constant:
        return [*inferred]
    results = row.evaluate(op.attrs, data, len(op.outputs))
    return [_supported(r) for r in results]


def _bounded(types: list[TensorType], most: int) -> None:
    for t in types:
        if any(d <= 0 for d in t.shape) and any(d < 0 for d in t.shape):
            raise ValueError(f"negative dimension in shape {list(t.shape)}")
        if t.dtype not in DTYPES:
            raise ValueError(f"element type {t.dtype} is not supported")
        if math.prod(t.shape) > most:
            raise ValueError(
                f"a tensor of shape {list(t.shape)} is too large: {most:,} elements are the most"
            )


def _supported(array: NDArray) -> NDArray:
    if str(array.dtype) not in DTYPES:
        raise ValueError(f"element type {array.dtype} is not supported")
    return np.asarray(array)
