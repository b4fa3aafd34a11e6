"""What all lowering functions share: the int graph being built and the two running traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.interp_float import eval_op
from mcuformer.ir.interp_int import run_op
from mcuformer.ir.types import QParams, TensorType, Value
from mcuformer.quant.assign import Assignment
from mcuformer.quant.calibrate import CalibrationStats


class Trace:
    """Float and integer activations of the refinement samples, operation by operation."""

    def __init__(self, graph: Graph, x: Sequence[NDArray], x_int: Sequence[NDArray]) -> None:
        reals = [np.asarray(a, np.float32) for a in x]
        self.real: dict[str, NDArray] = dict(zip(graph.inputs, reals, strict=True))
        self.ints: dict[str, NDArray] = dict(zip(graph.inputs, x_int, strict=True))
        self._last = {n: i for i, op in enumerate(graph.ops) for n in op.inputs if n is not None}

    def forget(self, index: int) -> None:
        """Drop what no operation after the `index`-th reads."""
        for name in [n for n in self.real if self._last.get(n, -1) <= index]:
            self.real.pop(name)
            self.ints.pop(name, None)


class Context:
    """One lowering run. `bits` of the weights by operation; 8 where it says nothing."""

    def __init__(
        self,
        stats: CalibrationStats,
        plan: Assignment,
        sample_count: int,
        bits: Mapping[str, int] | None = None,
    ) -> None:
        self.graph, self.stats, self.plan = stats.graph, stats, plan
        self.bits = bits or {}
        activations = {n for n, v in self.graph.values.items() if not v.is_const}
        self.b = Builder(self.graph.name, "int", reserved=activations)
        for name in self.graph.inputs:
            self.b.values[name] = Value(name, self.int_type(name))
        self.trace: Trace | None = None
        if stats.samples is not None and sample_count > 0:
            x = stats.some(slice(sample_count))
            pairs = zip(self.graph.inputs, x, strict=True)
            x_int = [self.qparams(n).quantise(a, self.dtype(n)) for n, a in pairs]
            self.trace = Trace(self.graph, x, x_int)

    def qparams(self, name: str) -> QParams:
        return self.plan.qparams[name]

    def dtype(self, name: str) -> str:
        return self.plan.dtypes[name]

    def const(self, name: str | None) -> NDArray | None:
        return self.graph.const(name)

    def int_type(self, name: str) -> TensorType:
        return TensorType(self.graph.type(name).shape, self.dtype(name), self.qparams(name))

    def emit(
        self,
        kind: str,
        op: Op,
        inputs: list[str | None],
        attrs: Mapping[str, Any],
        out: str | None = None,
        out_type: TensorType | None = None,
    ) -> str:
        """An integer operation for the float `op`, writing its value unless `out` is given."""
        name = out or op.outputs[0]
        plain = {k: _plain(v) for k, v in attrs.items()}
        result = self.b.op(
            kind, op.name, inputs, out_type or self.int_type(name), plain, op.origin, name
        )
        if self.trace is not None:
            graph = Graph("", "int", (), (), (), self.b.values)
            self.trace.ints[result] = run_op(graph, self.b.ops[-1], self.trace.ints)
        return result

    def step(self, index: int, op: Op) -> None:
        """Bring the float trace up to `op`, which has been lowered."""
        if self.trace is not None:
            self.trace.real[op.outputs[0]] = eval_op(self.graph, op, self.trace.real)
            self.trace.forget(index)

    def done(self, meta: Mapping[str, Any]) -> Graph:
        return self.b.done(self.graph.inputs, self.graph.outputs, meta)


def _plain(value: Any) -> Any:
    """Attributes hold Python numbers and tuples only."""
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return value.item() if isinstance(value, np.generic) else value
