"""What all lowering functions share: the int graph being built and the two running traces.

A lowering function says what structure decides: kinds, operands, shapes, types. The numbers are
computed in a function that it hands over, which is called only where there are statistics; without
them the result is the outline of the int graph (operators/outline.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.placeholders import constant
from mcuformer.ir.types import QParams, TensorType, Value
from mcuformer.operators.interpreter import run_op
from mcuformer.operators.lowering import Const, Numbers
from mcuformer.operators.outline import STAGE, nominal
from mcuformer.quant.assignment import Assignment
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.policy import has_multiples
from mcuformer.quant.refine import Rounding, alone
from mcuformer.quant.trace import Trace


class Context:
    """One lowering run. `bits` of the weights by operation; 8 where it says nothing.

    Without `stats` it makes an outline, and the assignment has no scales.
    """

    def __init__(
        self,
        graph: Graph,
        plan: Assignment,
        bits: Mapping[str, int] | None = None,
        stats: CalibrationStats | None = None,
        sample_count: int = 0,
        rounding: Rounding = alone,
    ) -> None:
        self.graph, self.plan, self.bits, self.rounding = graph, plan, bits or {}, rounding
        self._stats = stats
        activations = {n for n, v in graph.values.items() if not v.is_const}
        stage = STAGE if stats is None else "int"
        self.b = Builder(graph.name, stage, reserved=activations)
        for name in graph.inputs:
            self.b.values[name] = Value(name, self.int_type(name))
        self.trace: Trace | None = None
        if stats is not None and stats.samples is not None and sample_count > 0:
            x = stats.some(slice(sample_count))
            pairs = zip(graph.inputs, x, strict=True)
            x_int = [self.qparams(n).quantise(a, self.dtype(n)) for n, a in pairs]
            usual = self._variance if sample_count < stats.count else None
            self.trace = Trace(graph, x, x_int, usual)

    def _variance(self, name: str) -> NDArray:
        """Of a value's integers, by channel, over the sampled rows of all calibration samples."""
        rows = self.stats.values[name].rows
        steps = np.broadcast_to(self.qparams(name).scale, rows.shape[-1:])
        return np.asarray(rows.var(axis=0, dtype=np.float64) / np.square(steps))

    @property
    def stats(self) -> CalibrationStats:
        """Only where numbers are computed."""
        assert self._stats is not None
        return self._stats

    def qparams(self, name: str) -> QParams:
        return self.plan.qparams[name]

    def dtype(self, name: str) -> str:
        return self.plan.dtypes[name]

    def shape(self, name: str | None) -> tuple[int, ...]:
        return self.graph.type(str(name)).shape

    def const(self, name: str | None) -> NDArray | None:
        return self.graph.const(name)

    def has_multiples(self, name: str) -> bool:
        """Whether the channels of an activation have scales that are multiples of one."""
        narrow = self.plan.dtypes[name] == "int8"
        return narrow and has_multiples(self.graph, self.plan.policies[name])

    def int_type(self, name: str) -> TensorType:
        qparams = None if self._stats is None else self.qparams(name)
        return TensorType(self.shape(name), self.dtype(name), qparams)

    def raw_type(self, name: str, dtype: str, qparams: Callable[[], QParams]) -> TensorType:
        """Of a value on another grid than the float graph's value `name`."""
        return TensorType(self.shape(name), dtype, None if self._stats is None else qparams())

    def holds(self, usual: bool, test: Callable[[], bool]) -> bool:
        """What numbers decide; `usual` where there are none."""
        return usual if self._stats is None else test()

    def emit(
        self,
        kind: str,
        op: Op,
        operands: Sequence[str | Const | None],
        attrs: Mapping[str, Any],
        numbers: Callable[[], Numbers] | None = None,
        usual: Mapping[str, Any] | None = None,
        out: str | None = None,
        out_type: TensorType | None = None,
    ) -> str:
        """An integer operation for the float `op`, writing its value unless `out` is given.

        `numbers` makes the data of the Consts and more attributes, of which an outline has `usual`
        ones. Consts are stored in the order in which `numbers` names them.
        """
        name = out or op.outputs[0]
        type_ = out_type or self.int_type(name)
        if self._stats is None:
            inputs = [self._placeholder(o) if isinstance(o, Const) else o for o in operands]
            result = self.b.result(name, type_)
            whole = {**attrs, **usual} if usual else attrs
            made = Op(kind, op.name, tuple(inputs), (result,), whole, op.origin)
            self.b.ops.append(nominal(made, self._type))
            return result
        more, arrays = numbers() if numbers else ({}, {})
        stored = {n: self.b.const(n, data) for n, data in arrays.items() if data is not None}
        inputs = [self._stored(o, stored) if isinstance(o, Const) else o for o in operands]
        plain = {k: _plain(v) for k, v in {**attrs, **more}.items()}
        result = self.b.op(kind, op.name, inputs, type_, plain, op.origin, name)
        if self.trace is not None:
            graph = Graph("", "int", (), (), (), self.b.values)
            self.trace.ints[result] = run_op(graph, self.b.ops[-1], self.trace.ints)
        return result

    def _type(self, name: str) -> TensorType:
        return self.b.values[name].type

    def _placeholder(self, const: Const) -> str | None:
        if not const.usual:
            return None
        name = self.b.fresh(const.name)
        self.b.values[name] = constant(name, const.dtype, const.shape)
        return name

    def _stored(self, const: Const, stored: Mapping[str, str]) -> str | None:
        name = stored.get(const.name)
        if name is not None:
            made = self._type(name)
            assert (made.dtype, made.shape) == (const.dtype, const.shape), f"{name}: {made}"
        return name

    def step(self, index: int, op: Op) -> None:
        """Bring the float trace up to `op`, which has been lowered."""
        if self.trace is not None:
            self.trace.advance(index, op)

    def done(self, meta: Mapping[str, Any]) -> Graph:
        return self.b.done(self.graph.inputs, self.graph.outputs, meta)


def _plain(value: Any) -> Any:
    """Attributes hold Python numbers and tuples only."""
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return value.item() if isinstance(value, np.generic) else value
