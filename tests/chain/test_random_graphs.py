"""Graphs drawn at random: planned, checked, replayed; the values right and the bits the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from chain import follow, scheduled
from numpy.typing import NDArray
from random_graphs import random_model

from mcuformer import quant
from mcuformer.frontend import load_model
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float
from mcuformer.ir.interp_int import run_int
from mcuformer.ir.layout import to_canonical

LEAST_DB = 15.0  # softmaxes and LayerNorms of nothing but noise, one behind the other
SHOWN = 8  # samples
FAILED_ONCE = (20059,)  # one layer as q, k and v, head by head


def drawn(folder: Path, seed: int) -> tuple[Graph, NDArray[np.float32]]:
    model, samples = random_model(seed)
    onnx.save(model, folder / "drawn.onnx")
    return load_model(folder / "drawn.onnx"), samples


def lowered(graph: Graph, samples: NDArray[np.float32], seed: int) -> Graph:
    """With 8 bits, or in every fifth draw with others."""
    stats = quant.calibrate(graph, samples)
    return quant.lower(graph, stats, {2: "16", 3: "mixed"}.get(seed % 5, "8"))  # type: ignore[arg-type]


def assert_values(graph: Graph, integers: Graph, samples: NDArray[np.float32]) -> None:
    """The interpreter's outputs against the float graph's."""
    x = to_canonical(graph, samples[:SHOWN])
    source, result = (integers.type(n) for n in (integers.inputs[0], integers.outputs[0]))
    assert source.qparams is not None and result.qparams is not None
    values = run_int(integers, source.qparams.quantise(x, source.dtype))
    y = result.qparams.dequantise(values[integers.outputs[0]]).reshape(SHOWN, -1)
    expected = [onnx_outputs(graph, run_float(graph, s))[0].reshape(-1) for s in samples[:SHOWN]]
    signal, noise = np.square(expected).mean(), np.square(y - expected).mean()
    if signal > 1e-9:  # a difference of equals is nothing but noise
        sqnr_db = 10 * np.log10(signal / max(noise, 1e-30))
        assert sqnr_db > LEAST_DB, f"{sqnr_db:.1f} dB"


def through(folder: Path, seed: int, emulators: tuple[str, ...]) -> None:
    graph, samples = drawn(folder, seed)
    if all(op.kind in ("reshape", "slice") for op in graph.ops):
        pytest.skip("this draw computes nothing")
    integers = lowered(graph, samples, seed)
    assert_values(graph, integers, samples)
    made = scheduled(
        integers, ("resident", "bands")[seed % 2], ("balanced", "ram", "speed")[seed % 3]
    )
    follow(made, folder, emulators)


@pytest.mark.parametrize("seed", range(40))
def test_plans_and_values(tmp_path: Path, seed: int) -> None:
    through(tmp_path, seed, ())


@pytest.mark.parametrize("seed", [*range(40, 52), *FAILED_ONCE])
def test_bits(tmp_path: Path, seed: int) -> None:
    through(tmp_path, seed, ("host",))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 300))
def test_more_bits(tmp_path: Path, seed: int) -> None:
    through(tmp_path, seed, ("host", "unicorn") if seed % 10 == 0 else ("host",))
