"""Small helpers that the canonical passes share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value


class Edit:
    """A graph being rewritten: `ops` grows in order, `values` gains constants and activations."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values: dict[str, Value] = dict(graph.values)
        self.ops: list[Op] = []

    def fresh(self, stem: str) -> str:
        name, n = stem, 1
        while name in self.values:
            name, n = f"{stem}.{n}", n + 1
        return name

    def const(self, stem: str, data: NDArray) -> str:
        name = self.fresh(stem)
        array = np.ascontiguousarray(data, np.float32)
        self.values[name] = Value(name, TensorType(array.shape, "float32"), array)
        return name

    def activation(self, stem: str, shape: tuple[int, ...]) -> str:
        name = self.fresh(stem)
        self.values[name] = Value(name, TensorType(shape, "float32"))
        return name

    def data(self, name: str | None) -> NDArray | None:
        return None if name is None else self.values[name].data

    def done(self, ops: Iterable[Op] | None = None) -> Graph:
        kept = tuple(self.ops if ops is None else ops)
        return self.graph.replace(ops=kept, values=self.values).pruned()


def uses(graph: Graph) -> Counter[str]:
    """How often each value is read; a graph output counts as a reader."""
    count: Counter[str] = Counter(i for op in graph.ops for i in op.inputs if i is not None)
    count.update(graph.outputs)
    return count


def operand(op: Op, i: int) -> str | None:
    return op.inputs[i] if i < len(op.inputs) else None
