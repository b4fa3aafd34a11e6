"""Steps up an ONNX graph from the divisor of a normalisation to what it was computed from.

Every step gives None when the graph has another shape there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mcuformer.ir.graph import Graph, Op

NEGLIGIBLE = (
    1e-4  # a least norm, below which max(n, e), n + e and sqrt(n^2 + e^2) are the same to us
)
_SEEN_THROUGH = ("Expand", "Identity", "Cast", "Unsqueeze", "Reshape")  # keep order and numbers
_REDUCED = ("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2")


@dataclass(frozen=True, slots=True)
class Deviation:
    """x / deviation = factor * x / sqrt(mean(v^2) + eps), the mean over `axes` of v; `centred`: less
    mean(v)^2."""

    v: str
    axes: tuple[int, ...]
    eps: float
    factor: float
    centred: bool = False


class NormReader:
    def __init__(self, graph: Graph, made: Mapping[str, Op]) -> None:
        self.graph, self.made = graph, made

    def op(self, name: str | None, *kinds: str) -> Op | None:
        op = self.made.get(name) if name is not None else None
        ok = op is not None and op.kind in kinds and "error" not in op.attrs
        return op if ok else None

    def scalar(self, name: str | None) -> float | None:
        data = self.graph.const(name)
        return float(data.reshape(-1)[0]) if data is not None and data.size == 1 else None

    def source(self, name: str | None) -> str | None:
        """Before what repeats or reshapes one number per group."""
        while (op := self.op(name, *_SEEN_THROUGH)) is not None:
            name = op.inputs[0]
        return name

    def reduced(self, name: str | None, *kinds: str) -> tuple[Op, str, tuple[int, ...]] | None:
        """A reduction, its operand and its axes in order."""
        op = self.op(self.source(name), *kinds)
        if op is None or op.inputs[0] is None:
            return None
        rank, axes = len(self.graph.type(op.inputs[0]).shape), op.attrs.get("axes")
        if len(op.inputs) > 1 and op.inputs[1] is not None:
            data = self.graph.const(op.inputs[1])
            if data is None:
                return None
            axes = data.reshape(-1).tolist()
        if not axes:
            axes = () if op.attrs.get("noop_with_empty_axes", 0) else range(rank)
        if not axes or not all(-rank <= a < rank for a in axes):
            return None
        return op, op.inputs[0], tuple(sorted(a % rank for a in axes))

    def centred(self, name: str | None) -> tuple[str, tuple[int, ...]] | None:
        """x of x - mean(x), and the axes."""
        op = self.op(name, "Sub")
        found = None if op is None else self.reduced(op.inputs[1], "ReduceMean")
        if op is None or found is None or found[1] != op.inputs[0]:
            return None
        return (found[1], found[2]) if self.fits(op.inputs[1], found[1], found[2]) else None

    def squared(self, name: str | None) -> str | None:
        """v of v^2."""
        op = self.op(name, "Pow", "Mul")
        if op is None:
            return None
        alone = op.kind == "Pow" and self.scalar(op.inputs[1]) == 2.0
        if not alone and op.inputs[0] != op.inputs[1]:
            return None
        magnitude = self.op(op.inputs[0], "Abs")
        return op.inputs[0] if magnitude is None else magnitude.inputs[0]

    def mean_square(self, name: str | None) -> Deviation | None:
        """Of a mean or a sum of squares, or of a mean of squares less the square of the mean."""
        op = self.op(self.source(name), "Sub", "Max", "Relu")
        if op is not None:
            return self.fast_variance(op)
        found = self.reduced(name, *_REDUCED[:3])
        if found is None:
            return None
        op, operand, axes = found
        v = operand if op.kind == "ReduceSumSquare" else self.squared(operand)
        if v is None:
            return None
        count = math.prod(self.graph.type(v).shape[a] for a in axes)
        factor = 1.0 if op.kind == "ReduceMean" else 1 / math.sqrt(count)
        return Deviation(v, axes, 0.0, factor)

    def fast_variance(self, op: Op) -> Deviation | None:
        """max(mean(v^2) - mean(v)^2, 0), or without max, as Flax has it."""
        while op.kind != "Sub":
            bounds = [self.scalar(n) for n in op.inputs]
            inner = next((n for n, b in zip(op.inputs, bounds, strict=True) if b is None), None)
            found = self.op(inner, "Sub")
            if found is None or any(b not in (None, 0.0) for b in bounds):
                return None
            op = found
        square = self.reduced(op.inputs[0], "ReduceMean")
        v = None if square is None else self.squared(square[1])
        mean = self.reduced(self.squared(op.inputs[1]), "ReduceMean")
        if square is None or v is None or mean is None or mean[1:] != (v, square[2]):
            return None
        return Deviation(v, square[2], 0.0, 1.0, centred=True)

    def stabilised(self, name: str | None) -> Deviation | None:
        """Of mean(v^2) + eps; of max(mean(v^2), eps) where eps is next to nothing."""
        name = self.source(name)
        found = self.mean_square(name)
        if found is not None:
            return found
        inner, eps, exact = self.bounded(name)
        found = self.mean_square(inner)
        if found is None or not (exact or eps <= NEGLIGIBLE**2):
            return None
        return replace(found, eps=eps * found.factor**2)

    def deviation(self, name: str | None) -> Deviation | None:
        """Of sqrt(mean(v^2) + eps), (...)^0.5 or the L2 norm."""
        name = self.source(name)
        op = self.op(name, "Sqrt", "Pow")
        if op is not None and (op.kind == "Sqrt" or self.scalar(op.inputs[1]) == 0.5):
            return self.stabilised(op.inputs[0])
        found = self.reduced(name, "ReduceL2")
        if found is not None:
            _, v, axes = found
            count = math.prod(self.graph.type(v).shape[a] for a in axes)
            return Deviation(v, axes, 0.0, 1 / math.sqrt(count))
        inner, eps, _ = self.bounded(name)
        whole = self.deviation(inner) if inner is not None and eps <= NEGLIGIBLE else None
        if whole is None:
            return None
        return replace(whole, eps=whole.eps + (eps * whole.factor) ** 2)

    def bounded(self, name: str | None) -> tuple[str | None, float, bool]:
        """n and e of n + e (exact), max(n, e) and clip(n, e); None for others."""
        op = self.op(name, "Add", "Max", "Clip")
        if op is None:
            return None, 0.0, False
        if op.kind == "Clip":
            low = self.scalar(op.inputs[1]) if len(op.inputs) > 1 else op.attrs.get("min")
            above = op.inputs[2] if len(op.inputs) > 2 else op.attrs.get("max")
            if low is None or low < 0 or not (above is None or self.endless(above)):
                return None, 0.0, False
            return op.inputs[0], float(low), False
        for inner, other in (op.inputs, op.inputs[::-1]) if len(op.inputs) == 2 else ():
            eps = self.scalar(other)
            if eps is not None and eps >= 0:
                return inner, eps, op.kind == "Add"
        return None, 0.0, False

    def inverse_deviation(self, name: str | None) -> Deviation | None:
        """Of 1 / deviation."""
        op = self.op(self.source(name), "Reciprocal", "Div", "Pow")
        if op is None:
            return None
        if op.kind == "Reciprocal":
            return self.deviation(op.inputs[0])
        if op.kind == "Div":
            return self.deviation(op.inputs[1]) if self.scalar(op.inputs[0]) == 1.0 else None
        return self.stabilised(op.inputs[0]) if self.scalar(op.inputs[1]) == -0.5 else None

    def fits(self, name: str | None, x: str, axes: tuple[int, ...]) -> bool:
        """Whether `name` has one number for all that is normalised together, in the place of `axes`."""
        op = self.op(name, "Expand", "Identity", "Cast")
        while op is not None:
            name = op.inputs[0]
            op = self.op(name, "Expand", "Identity", "Cast")
        shape = self.graph.type(x).shape
        kept = tuple(1 if a in axes else d for a, d in enumerate(shape))
        given = () if name is None else self.graph.type(name).shape
        return (*(1,) * (len(kept) - len(given)), *given) == kept

    def endless(self, bound: str | float) -> bool:
        """Whether it bounds nothing."""
        value = self.scalar(bound) if isinstance(bound, str) else bound
        return value is not None and value > float(np.finfo(np.float32).max) / 2
