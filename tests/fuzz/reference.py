"""A file's own numbers, by onnxruntime or by onnx."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from mcuformer.errors import McuformerError
from mcuformer.validate.reference import FloatReference


def numbers_of(path: Path, samples: Sequence[NDArray]) -> Sequence[NDArray]:
    """Every output [n, elements], of onnxruntime where it can."""
    found = by_onnxruntime(path, samples)
    return by_onnx(path, samples) if found is None else found


def by_onnxruntime(path: Path, samples: Sequence[NDArray]) -> Sequence[NDArray] | None:
    """None where it is not installed, or older than the opset."""
    shapes = [(1, *x.shape[1:]) for x in samples]
    try:
        return FloatReference(path, shapes, threads=1).run(list(samples))
    except McuformerError:
        return None


def by_onnx(path: Path, samples: Sequence[NDArray]) -> Sequence[NDArray]:
    """The same of onnx's own evaluator."""
    session = ReferenceEvaluator(str(path))
    rows = [
        session.run(None, dict(zip(session.input_names, (x[i : i + 1] for x in samples), strict=True)))
        for i in range(len(samples[0]))
    ]  # fmt: skip
    return [
        np.stack([np.asarray(y).reshape(-1) for y in found]) for found in zip(*rows, strict=True)
    ]
