"""ONNX nodes written as text, with drawn weights: through all stages, values and bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from chain import follow, scheduled, signal_db
from numpy.typing import NDArray

from mcuformer import quant
from mcuformer.frontend import load_model
from mcuformer.ir.graph import Graph

EVERYWHERE = ("host", "unicorn", "qemu")


def weights_of(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray]:
    """Of layers: what goes in and what comes out are about as large."""
    rng = np.random.default_rng(5)
    made = {}
    for name, shape in shapes.items():
        fan = np.prod(shape[1:]) if len(shape) > 1 else 4
        made[name] = (rng.normal(size=shape) * fan**-0.5).astype(np.float32)
    return made


def imported(
    tmp_path: Path,
    nodes: str,
    shape: tuple[int, ...],
    weights: Mapping[str, NDArray],
    opset: int = 17,
) -> Graph:
    """A graph from input x of `shape` to output y."""
    size = ",".join(map(str, shape))
    text = f"<ir_version: 8, opset_import: ['' : {opset}]> g (float[{size}] x) => (float y) {{ {nodes} }}"
    model = onnx.parser.parse_model(text.replace("'", '"'))
    for name, data in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(data), name))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return load_model(path)


def followed(
    tmp_path: Path, graph: Graph, least: float, *, activations: str = "8", mode: str = "bands",
    optimize: str = "ram", emulators: tuple[str, ...] = ("host",),
) -> Graph:  # fmt: skip
    """SQNR of at least `least` dB, and all bits; the integer graph."""
    shape = graph.meta["input_shapes"][0]
    rng = np.random.default_rng(3)
    x = rng.normal(size=(24, *shape[1:])).astype(np.float32)
    stats = quant.calibrate(graph, x)
    lowered = quant.lower(graph, stats, activations)  # type: ignore[arg-type]
    inner = np.moveaxis(x, 1, -1) if graph.meta["input_layouts"][0] == "NCHW" else x
    inner = inner.reshape(len(x), *graph.type(graph.inputs[0]).shape)
    decibels = signal_db(stats.graph, lowered, inner)
    assert decibels > least
    follow(scheduled(lowered, mode, optimize), tmp_path, emulators)
    return lowered
