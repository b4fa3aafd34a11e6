"""The committed zoo of exported models: their paths, inputs and expected outputs."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

ZOO = Path(__file__).parents[1] / "data" / "zoo"
PLAIN = sorted(p.stem for p in ZOO.glob("*.onnx") if not p.stem.startswith("qdq"))
QDQ = sorted(p.stem for p in ZOO.glob("qdq*.onnx"))


def path(name: str) -> Path:
    return ZOO / f"{name}.onnx"


@functools.cache
def _table() -> dict[str, NDArray]:
    return dict(np.load(ZOO / "expected.npz"))


def shape(name: str) -> tuple[int, ...]:
    return tuple(int(d) for d in _table()[f"{name.split('.', maxsplit=1)[0]}.shape"])


def expected(name: str) -> list[NDArray]:
    """What torch computed for `zoo_input(shape)`, one array per output."""
    model, table, found = name.split(".", maxsplit=1)[0], _table(), []
    while f"{model}.{len(found)}" in table:
        found.append(table[f"{model}.{len(found)}"])
    return found


def zoo_input(size: tuple[int, ...]) -> NDArray:
    """The input behind expected.npz (tests/data/make_zoo.py)."""
    return np.random.default_rng(7).standard_normal(size).astype(np.float32)


def onnxruntime_outputs(model: str | bytes, x: NDArray) -> list[NDArray]:
    """The reference: onnxruntime with graph optimisations off."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = ort.InferenceSession(model, options)
    return list(session.run(None, {session.get_inputs()[0].name: x}))


def relative(a: NDArray, b: NDArray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())
