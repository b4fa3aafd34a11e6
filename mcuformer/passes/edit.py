"""Small helpers that the canonical passes share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op, distinct, fresh_name, same_ops
from mcuformer.ir.placeholders import constant
from mcuformer.ir.types import TensorType, Value


class Edit:
    """A graph being rewritten: `ops` grows in order, `values` gains constants and activations."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[str, Value] = dict(graph.values)
        self.ops: list[Op] = []
        self._tried: dict[str, int] = {}
        self.qdq = dict(graph.meta.get("qdq", {}))
        self.weight_scales = dict(graph.meta.get("qdq_weights", {}))

    def fresh(self, stem: str) -> str:
        return fresh_name(stem, self.values, tried=self._tried)

    def const(self, stem: str, shape: tuple[int, ...], make: Callable[[], NDArray]) -> str:
        """A float32 constant of this shape; `make` computes it where there are numbers."""
        name = self.fresh(stem)
        if self.graph.shapes_only:
            self.values[name] = constant(name, "float32", shape)
            return name
        array = np.ascontiguousarray(make(), np.float32)
        assert array.shape == shape, f"{stem}: {array.shape}, not {shape}"
        self.values[name] = Value(name, TensorType(shape, "float32"), array)
        return name

    def activation(self, stem: str, shape: tuple[int, ...], like: str | None = None) -> str:
        """A new activation; `like` names a value whose quantisation it shares (QDQ models)."""
        name = self.fresh(stem)
        self.values[name] = Value(name, TensorType(shape, "float32"))
        self.share(like, name)
        return name

    def share(self, like: str | None, name: str) -> None:
        if like in self.qdq and like is not None:
            self.qdq.setdefault(name, self.qdq[like])

    def rescaled(self, old: str, new: str, factor: NDArray) -> None:
        """`new` holds old * factor: its quantisation follows where the factor is one positive number."""
        if old in self.qdq and (factor == factor.flat[0]).all() and factor.flat[0] > 0:
            scale, zero, dtype = self.qdq[old]
            self.qdq.setdefault(new, (scale * float(factor.flat[0]), zero, dtype))

    def scales(self, old: str | None, new: str, change: Callable[[NDArray], NDArray]) -> None:
        """Weight scales per output channel follow from constant `old` to `new`."""
        if old is not None and old in self.weight_scales:
            self.weight_scales[new] = np.abs(change(self.weight_scales[old]))

    def data(self, name: str | None) -> NDArray | None:
        return None if name is None else self.values[name].data

    def done(self, ops: Iterable[Op] | None = None) -> Graph:
        kept = tuple(self.ops if ops is None else ops)
        if same_ops(kept, self.graph.ops) and "qdq" not in self.graph.meta:
            return self.graph
        meta = dict(self.graph.meta)
        if "qdq" in meta:
            meta |= {"qdq": self.qdq, "qdq_weights": self.weight_scales}
        done = self.graph.replace(ops=kept, values=self.values, meta=meta).pruned()
        named = distinct(done.ops)
        return done if named is done.ops else done.replace(ops=named)


def uses(graph: Graph) -> Counter[str]:
    """How often each value is read; a graph output counts as a reader."""
    count: Counter[str] = Counter(i for op in graph.ops for i in op.inputs if i is not None)
    count.update(graph.outputs)
    return count


def is_affine(graph: Graph, op: Op) -> bool:
    """x + c or x * c with a constant per channel."""
    if op.kind not in ("add", "mul"):
        return False
    return any(c is not None and c.ndim == 1 for c in map(graph.const, op.inputs))


def is_row_selection(op: Op) -> bool:
    return op.kind == "gather" or (op.kind == "slice" and op.attrs["axis"] == 0)


def is_uniform(const: NDArray) -> bool:
    """One number, however often."""
    return bool(const.size and (const == const.flat[0]).all())
