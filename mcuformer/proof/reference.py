"""The ONNX file's own numbers: onnxruntime without optimisations, else our evaluator of its nodes."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import McuformerError
from mcuformer.frontend.names import origin
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.interp_float import run_onnx
from mcuformer.ir.types import TensorType, Value, grid_ends
from mcuformer.passes.drop_qdq import grid_of
from mcuformer.validate.reference import FloatReference

Inputs = Sequence[NDArray[np.float32]]  # per input [n, *shape in the file]


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFile:
    """The file that was compiled; `raw`: its own nodes, with free axes bound (stage "onnx")."""

    path: Path
    raw: Graph

    def outputs(self, inputs: Inputs) -> list[NDArray]:
        """Every output [n, elements] of the file."""
        if importlib.util.find_spec("onnxruntime"):
            try:
                return self._onnxruntime(inputs)
            except McuformerError:
                pass  # an operator that is newer than onnxruntime
        names = self.raw.outputs
        runs = [self.tensors([x[i] for x in inputs]) for i in range(len(inputs[0]))]
        return [np.stack([run[name].reshape(-1) for run in runs]) for name in names]

    def tensors(self, sample: Inputs, exact: bool = False) -> dict[str, NDArray]:
        """All tensors for one sample; `exact`: those of a QDQ model are cut, not rounded."""
        raw = _unrounded(self.raw) if exact else self.raw
        return run_onnx(raw, dict(zip(raw.inputs, sample, strict=True)))

    def nodes(self) -> Mapping[str, Sequence[str]]:
        """The tensors that each node writes, by its name as `Op.origin` has it."""
        found: dict[str, list[str]] = {}
        for op in self.raw.ops:
            for name in op.origin:
                found.setdefault(origin(name), []).extend(op.outputs)
        return found

    def _onnxruntime(self, inputs: Inputs) -> list[NDArray]:
        reference = FloatReference(self.path, [tuple(x.shape[1:]) for x in inputs])
        return list(reference.run(inputs))


def _unrounded(raw: Graph) -> Graph:
    """Nodes that quantise an activation cut at the ends of its grid, and no more."""
    values = dict(raw.values)
    made, fixed = raw.producers(), {name for name, v in raw.values.items() if v.is_const}
    ops: list[Op] = []
    for op in raw.ops:  # weights may be rounded, and cut, by nodes of their own
        if all(name is None or name in fixed for name in op.inputs):
            fixed.update(op.outputs)
            ops.append(op)
        else:
            ops.append(_real(_real_clip(op, raw, made, values), raw, values))
    return raw.replace(ops=tuple(ops), values=values)


def _real_clip(op: Op, raw: Graph, made: Mapping[str, Op], values: dict[str, Value]) -> Op:
    """A Clip of integers, whose input becomes real: at the numbers that its bounds stand for."""
    source = made.get(str(op.inputs[0])) if op.kind == "Clip" else None
    grid = grid_of(raw, source) if source and source.kind == "QuantizeLinear" else None
    if grid is None:
        return op
    scale, zero, _ = grid
    ends: list[str | None] = []
    for side, bound in zip(("low", "high"), op.inputs[1:], strict=False):
        data = None if bound is None else raw.const(bound)
        name = None if data is None else f"{op.outputs[0]}/{side}"
        if name is not None and data is not None:
            real = np.asarray(scale * (float(data.reshape(-1)[0]) - zero), np.float32)
            values[name] = Value(name, TensorType((), "float32"), real)
        ends.append(name)
    return op.replace(inputs=(op.inputs[0], *ends))


def _real(op: Op, raw: Graph, values: dict[str, Value]) -> Op:
    """`values` gets the ends of the grid."""
    if op.kind not in ("QuantizeLinear", "DequantizeLinear"):
        return op
    grid = grid_of(raw, op)
    if grid is None or op.kind == "DequantizeLinear":
        return op.replace(kind="Identity", inputs=op.inputs[:1], attrs={})
    ends = []
    for end, number in zip(("least", "most"), grid_ends(*grid), strict=True):
        name = f"{op.outputs[0]}/{end}"
        values[name] = Value(name, TensorType((), "float32"), np.asarray(number, np.float32))
        ends.append(name)
    return op.replace(kind="Clip", inputs=(op.inputs[0], *ends), attrs={})
