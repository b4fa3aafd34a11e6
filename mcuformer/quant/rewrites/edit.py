"""What every rewrite does: walk the operations in order, replace some, end with a pruned graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Builder, Graph, Op, distinct, same_ops
from mcuformer.ir.placeholders import placeholder
from mcuformer.ir.types import TensorType


class Rewrite:
    """A new graph under construction: `keep` an operation or `emit` others in its place."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.b = Builder(graph.name, graph.stage)
        self.b.values = dict(graph.values)
        self._renamed: dict[str, str] = {}

    @property
    def producers(self) -> Mapping[str, Op]:
        return self.graph.producers()

    @property
    def consumers(self) -> Mapping[str, Sequence[Op]]:
        return self.graph.consumers()

    def resolve(self, name: str) -> str:
        return self._renamed.get(name, name)

    def rename(self, old: str, new: str) -> None:
        """Later readers of `old` read `new`."""
        self._renamed[old] = self.resolve(new)

    def keep(self, op: Op) -> None:
        if self._renamed:
            op = op.replace(inputs=tuple(None if n is None else self.resolve(n) for n in op.inputs))
        self.b.ops.append(op)

    def emit(self, op: Op, inputs: list[str | None], **changes: Any) -> None:
        """`op` with other inputs (and kind, attrs, name ...), writing the same value."""
        self.keep(op.replace(inputs=tuple(inputs), **changes))

    def emit_new(
        self, op: Op, inputs: list[str | None], shape: tuple[int, ...], **changes: Any
    ) -> str:
        """A copy of `op` that writes a new float32 value of `shape`; returns its name."""
        out = self.b.add_value(str(changes.get("name", op.name)), TensorType(shape, "float32"))
        self.keep(op.replace(inputs=tuple(inputs), outputs=(out,), **changes))
        return out

    def const(self, stem: str, shape: tuple[int, ...], make: Callable[[], NDArray]) -> str:
        """A float32 constant of this shape; `make` computes it where there are numbers."""
        type_ = TensorType(shape, "float32")
        if self.graph.shapes_only:
            return self.b.add_value(stem, type_, placeholder("float32", shape))
        data = make().astype(np.float32, copy=False)
        assert data.shape == shape, f"{stem}: {data.shape}, not {shape}"
        return self.b.add_value(stem, type_, data)

    def only_reader(self, value: str) -> Op | None:
        """The single operation that reads an activation that is not a graph output."""
        readers = self.consumers[value]
        return readers[0] if len(readers) == 1 and value not in self.graph.outputs else None

    def done(self) -> Graph:
        if not self._renamed and same_ops(self.b.ops, self.graph.ops):
            return self.graph
        outputs = tuple(self.resolve(n) for n in self.graph.outputs)
        done = self.graph.replace(ops=tuple(self.b.ops), values=self.b.values, outputs=outputs)
        done = done.pruned()
        named = distinct(done.ops)
        return done if named is done.ops else done.replace(ops=named)
