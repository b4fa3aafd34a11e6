"""(x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) -> LayerNormalization(x, 1), and
x / sqrt(mean(x^2) + eps) -> RMSNormalization(x, 1).

Gamma and beta follow as Mul and Add, which `fold_affine` takes in later.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value


def fuse_layernorm(graph: Graph) -> Graph:
    made = graph.producers()
    values = dict(graph.values)
    ops: list[Op] = []
    skipped: list[str] = []
    for op in graph.ops:
        if "error" in op.attrs or -1 in graph.type(op.outputs[0]).shape:
            ops.append(op)
            continue
        found = _match(graph, made, op)
        reason = _near_miss(graph, made, op) if found is None else None
        if reason is not None:
            skipped.append(f"{op.origin[0]}: {reason}")
        if found is not None:
            x, eps, centred = found
            size = graph.type(x).shape[-1]
            ones = f"{op.outputs[0]}\0ones"
            data = np.ones(size, np.float32)
            values[ones] = Value(ones, TensorType((size,), "float32"), data)
            attrs = {"axis": -1, "epsilon": eps}
            kind = "LayerNormalization" if centred else "RMSNormalization"
            op = op.replace(kind=kind, inputs=(x, ones), attrs=attrs)
        ops.append(op)
    meta = {**graph.meta, "skipped": tuple(skipped)}
    return graph.replace(ops=tuple(ops), values=values, meta=meta).pruned()


class _Reader:
    """Small steps up the graph; every step gives None when the shape of the graph is another."""

    def __init__(self, graph: Graph, made: Mapping[str, Op]) -> None:
        self.graph, self.made = graph, made

    def op(self, name: str | None, *kinds: str) -> Op | None:
        op = self.made.get(name) if name is not None else None
        ok = op is not None and op.kind in kinds and "error" not in op.attrs
        return op if ok else None

    def scalar(self, name: str | None) -> float | None:
        data = self.graph.const(name)
        return float(data.reshape(-1)[0]) if data is not None and data.size == 1 else None

    def mean(self, name: str | None) -> str | None:
        """x of ReduceMean(x) over the last axis, kept."""
        op = self.op(name, "ReduceMean")
        if op is None or not op.attrs.get("keepdims", 1) or op.inputs[0] is None:
            return None
        axes = op.attrs.get("axes")
        if len(op.inputs) > 1:
            data = self.graph.const(op.inputs[1])
            axes = None if data is None else data.tolist()
        rank = len(self.graph.type(op.inputs[0]).shape)
        last = axes is not None and [a % rank for a in axes] == [rank - 1]
        return op.inputs[0] if last else None

    def centred(self, name: str | None) -> str | None:
        """x of x - mean(x)."""
        op = self.op(name, "Sub")
        if op is None or self.mean(op.inputs[1]) != op.inputs[0]:
            return None
        return op.inputs[0]

    def mean_square(self, name: str | None) -> str | None:
        """v of mean(v^2)."""
        squared = self.mean(name)
        op = self.op(squared, "Pow", "Mul")
        if op is None:
            return None
        alone = op.kind == "Pow" and self.scalar(op.inputs[1]) == 2.0
        return op.inputs[0] if alone or op.inputs[0] == op.inputs[1] else None

    def deviation(self, name: str | None) -> tuple[str, float] | None:
        """(v, eps) of sqrt(mean(v^2) + eps), also as (...)^0.5."""
        op = self.op(name, "Sqrt", "Pow")
        if op is None or (op.kind == "Pow" and self.scalar(op.inputs[1]) != 0.5):
            return None
        return self.stabilised(op.inputs[0])

    def stabilised(self, name: str | None) -> tuple[str, float] | None:
        op = self.op(name, "Add")
        if op is None:
            return None
        for var, eps in (op.inputs, op.inputs[::-1]):
            v, value = self.mean_square(var), self.scalar(eps)
            if v is not None and value is not None:
                return v, value
        return None

    def inverse_deviation(self, name: str | None) -> tuple[str, float] | None:
        """(v, eps) of 1 / deviation."""
        op = self.op(name, "Reciprocal", "Div", "Pow")
        if op is None:
            return None
        if op.kind == "Reciprocal":
            return self.deviation(op.inputs[0])
        if op.kind == "Div":
            return self.deviation(op.inputs[1]) if self.scalar(op.inputs[0]) == 1.0 else None
        return self.stabilised(op.inputs[0]) if self.scalar(op.inputs[1]) == -0.5 else None


def _match(graph: Graph, made: Mapping[str, Op], op: Op) -> tuple[str, float, bool] | None:
    """x, eps, and whether the mean was subtracted."""
    reader = _Reader(graph, made)
    if op.kind == "Div":
        return _normed(reader, op.inputs[0], reader.deviation(op.inputs[1]))
    if op.kind == "Mul":
        for dividend, inverse in (op.inputs, op.inputs[::-1]):
            found = _normed(reader, dividend, reader.inverse_deviation(inverse))
            if found is not None:
                return found
    return None


def _normed(
    reader: _Reader, dividend: str | None, deviation: tuple[str, float] | None
) -> tuple[str, float, bool] | None:
    """`dividend` over a deviation (v, eps): v itself, or another x - mean(x) of the same x."""
    if deviation is None or dividend is None:
        return None
    v, eps = deviation
    x = reader.centred(v)
    if x is not None and reader.centred(dividend) == x:
        return x, eps, True
    return (v, eps, False) if dividend == v else None


def _near_miss(graph: Graph, made: Mapping[str, Op], op: Op) -> str | None:
    """Why x / sqrt(mean(...) + eps) is no LayerNorm, None where it does not look like one."""
    reader = _Reader(graph, made)
    root = reader.op(op.inputs[1], "Sqrt") if op.kind == "Div" else None
    shifted = reader.op(root.inputs[0], "Add") if root is not None else None
    if shifted is None:
        return None
    mean = next((m for i in shifted.inputs if (m := reader.op(i, "ReduceMean"))), None)
    if mean is None:
        return None
    if reader.mean(mean.outputs[0]) is None:
        return "its mean is not over the last axis alone"
    v = reader.mean_square(mean.outputs[0])
    if v is None or reader.centred(v) is None:
        return "its divisor is no standard deviation"
    return "its dividend is not x - mean(x)"
