"""The ONNX file's own numbers: onnxruntime without optimisations, else our evaluator of its nodes."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import McuformerError
from mcuformer.frontend.load import load_raw
from mcuformer.frontend.names import origin
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.interp_float import run_onnx
from mcuformer.validate.reference import FloatReference

Inputs = Sequence[NDArray[np.float32]]  # per input [n, *shape in the file]


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFile:
    """The file that was compiled, and how its free axes were bound."""

    path: Path
    input_shapes: Mapping[str, tuple[int, ...]]

    def outputs(self, inputs: Inputs) -> list[NDArray]:
        """Every output [n, elements] of the file."""
        if importlib.util.find_spec("onnxruntime"):
            try:
                return self._onnxruntime(inputs)
            except McuformerError:
                pass  # an operator that is newer than onnxruntime
        names = load_raw(self.path, self.input_shapes).outputs
        runs = [self.tensors([x[i] for x in inputs]) for i in range(len(inputs[0]))]
        return [np.stack([run[name].reshape(-1) for run in runs]) for name in names]

    def tensors(self, sample: Inputs, exact: bool = False) -> dict[str, NDArray]:
        """All tensors for one sample; `exact`: the activations of a QDQ model stay real numbers."""
        raw = load_raw(self.path, self.input_shapes)
        if exact:
            raw = raw.replace(ops=tuple(_real(op, raw) for op in raw.ops))
        return run_onnx(raw, dict(zip(raw.inputs, sample, strict=True)))

    def nodes(self) -> Mapping[str, Sequence[str]]:
        """The tensors that each node writes, by its name as `Op.origin` has it."""
        raw = load_raw(self.path, self.input_shapes)
        found: dict[str, list[str]] = {}
        for op in raw.ops:
            for name in op.origin:
                found.setdefault(origin(name), []).extend(op.outputs)
        return found

    def _onnxruntime(self, inputs: Inputs) -> list[NDArray]:
        reference = FloatReference(self.path, [tuple(x.shape[1:]) for x in inputs])
        return list(reference.run(inputs))


def _real(op: Op, raw: Graph) -> Op:
    """A node that rounds an activation becomes the identity."""
    constant = bool(op.inputs) and raw.values[str(op.inputs[0])].is_const
    if op.kind not in ("QuantizeLinear", "DequantizeLinear") or constant:
        return op
    return op.replace(kind="Identity", inputs=op.inputs[:1], attrs={})
