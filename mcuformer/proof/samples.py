"""What a check runs on: calibration samples, or seeded inputs within the grid of a QDQ model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import Diagnostic
from mcuformer.inputs.codec import device_bytes
from mcuformer.ir.graph import Graph
from mcuformer.ir.layout import to_file
from mcuformer.ir.types import DTYPES, QParams

SAMPLES = 2
_SEED = 20261128


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What quantisation knew: `prepared` is the float graph that was lowered.

    `samples`: per input real numbers [n, ...] in the graph's layout, None where there were no data.
    `diagnostics`: what is to be said about them and about the bits of weights and activations. `labels`:
    the samples' classes [n], None where the data have none.
    """

    prepared: Graph
    samples: tuple[NDArray[np.float32], ...] | None
    diagnostics: tuple[Diagnostic, ...] = ()
    labels: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The same inputs three times: per input [n, ...] as the firmware takes them, as the float graph
    does, and as the ONNX file does (each sample with its own batch axis of 1)."""

    ints: tuple[NDArray, ...]
    reals: tuple[NDArray[np.float32], ...]
    onnx: tuple[NDArray, ...]

    def __len__(self) -> int:
        return len(self.ints[0])

    def image(self, index: int) -> bytes:
        """All inputs of one sample, one behind the other: what a runner sends."""
        return device_bytes([x[index : index + 1] for x in self.ints])[0]


def draw_samples(graph: Graph, evidence: Evidence) -> Samples:
    """Two calibration samples, or two seeded inputs where quantisation had no data."""
    if evidence.samples is not None:
        real = tuple(_spread(x) for x in evidence.samples)
        ints = tuple(
            _qparams(graph, n).quantise(x, graph.type(n).dtype)
            for n, x in zip(graph.inputs, real, strict=True)
        )
    else:
        ints = tuple(_noise(graph, n) for n in graph.inputs)
        real = tuple(
            _qparams(graph, n).dequantise(x).astype(np.float32)
            for n, x in zip(graph.inputs, ints, strict=True)
        )
    return Samples(ints, real, tuple(to_file(graph, i, x) for i, x in enumerate(real)))


def _spread(x: Sequence | NDArray) -> NDArray:
    """The first and the last."""
    picked = np.linspace(0, len(x) - 1, min(SAMPLES, len(x))).round().astype(int)
    return np.asarray(x)[picked]


def _noise(graph: Graph, name: str) -> NDArray:
    """Integers [SAMPLES, ...]: noise that fills the input's grid."""
    type_ = graph.type(name)
    info = np.iinfo(DTYPES[type_.dtype])
    rng = np.random.default_rng(_SEED)
    noise = rng.normal(size=(SAMPLES, *type_.shape)) * (info.max - info.min) / 6
    ints = np.rint(noise + (info.max + info.min) / 2)
    return np.clip(ints, info.min, info.max).astype(type_.dtype)


def _qparams(graph: Graph, name: str) -> QParams:
    qparams = graph.type(name).qparams
    assert qparams is not None
    return qparams
