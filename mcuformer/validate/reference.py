"""The float model in onnxruntime, graph optimisations off: what everything is measured against."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import ToolMissingError, UnsupportedModelError

_BATCH = 32


class FloatReference:
    """One session; `run` takes samples one by one, or in batches where the file's batch is free."""

    def __init__(self, path: Path, input_shape: tuple[int, ...], threads: int = 0) -> None:
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
            first = str(error).splitlines()[0][:300]
            raise UnsupportedModelError(f"onnxruntime does not load {path}: {first}") from error
        self._input = self._session.get_inputs()[0]
        self._shape = input_shape
        self.version: str = ort.__version__

    @property
    def batch(self) -> int:
        """Samples of one call."""
        free = not isinstance(self._input.shape[0], int) and self._shape[0] == 1
        return _BATCH if free else 1

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The first output of each of `samples` [n, ...] (ONNX layout): [n, ...]."""
        outputs = []
        for first in range(0, len(samples), self.batch):
            x = samples[first : first + self.batch]
            shape = (len(x), *self._shape[1:]) if self.batch > 1 else self._shape
            y = self._session.run(None, {self._input.name: x.reshape(shape)})[0]
            outputs.append(np.asarray(y).reshape(len(x), -1))
        return np.concatenate(outputs)
