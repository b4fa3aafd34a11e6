"""The float model in onnxruntime, graph optimisations off: what everything is measured against."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import ToolMissingError, UnsupportedModelError

_BATCH = 32
_TYPES: Mapping[str, str] = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}  # fmt: skip


class FloatReference:
    """One session; `run` takes samples one by one, or in batches where the file's batch is free.

    `shapes`: of every input in the file's order, batch axis included.
    """

    def __init__(self, path: Path, shapes: Sequence[tuple[int, ...]], threads: int = 0) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            hint = "pip install 'mcuformer[validate]'"
            raise ToolMissingError("the float reference needs onnxruntime", hint) from error
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes of its own for a bad file
            raise _refused("load", path, error) from error
        self._path = path
        self._inputs = self._session.get_inputs()
        self._shapes = tuple(shapes)
        self.version: str = ort.__version__

    @property
    def batch(self) -> int:
        """Samples of one call: many where all inputs and results are declared to begin with one free axis.
        A file may mix samples, or take only one, for all that its input says."""
        results = self._session.get_outputs()
        first = {given.shape[0] if given.shape else 1 for given in (*self._inputs, *results)}
        named = len(first) == 1 and all(isinstance(axis, str) for axis in first)
        return _BATCH if named and all(shape[0] == 1 for shape in self._shapes) else 1

    def run(self, samples: Sequence[NDArray[np.float32]]) -> tuple[NDArray, ...]:
        """All outputs, each [n, numbers], of samples [n, ...] per input (ONNX layout)."""
        parts = [
            self._call([x[first : first + self.batch] for x in samples])
            for first in range(0, len(samples[0]), self.batch)
        ]
        return tuple(np.concatenate(found) for found in zip(*parts, strict=True))

    def _call(self, samples: Sequence[NDArray]) -> list[NDArray]:
        count = len(samples[0])
        shapes = [(count, *s[1:]) if self.batch > 1 else s for s in self._shapes]
        rows = zip(self._inputs, samples, shapes, strict=True)
        feeds = {i.name: x.reshape(s).astype(_TYPES.get(i.type, x.dtype)) for i, x, s in rows}
        try:
            found = self._session.run(None, feeds)
        except Exception as error:  # of a file whose tensors do not fit each other
            raise _refused("run", self._path, error) from error
        return [np.asarray(y).reshape(count, -1) for y in found]


def _refused(what: str, path: Path, error: Exception) -> UnsupportedModelError:
    first = str(error).splitlines()[0][:300]
    return UnsupportedModelError(f"onnxruntime does not {what} {path}: {first}")
