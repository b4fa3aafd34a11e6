"""`validate --per-layer`: SQNR of every layer, and the first layer whose bits differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.execution import Executor, codec_of
from mcuformer.frontend import load_model
from mcuformer.inputs.codec import device_bytes
from mcuformer.inputs.dataset import load_dataset
from mcuformer.ir.interp_int import run_int
from mcuformer.ir.layout import Feeds
from mcuformer.package import CompiledPackage
from mcuformer.targets.result import Trace
from mcuformer.validate.layers import LayerError, layer_errors
from mcuformer.validate.run import interpreter_samples


def per_layer(
    package: CompiledPackage, data: Path, model: Path | None, emulator: str
) -> list[dict[str, Any]]:
    """One row per layer of report.json: `sqnr_db` over some samples, `equal` for the first one."""
    codec = codec_of(package)
    dataset = load_dataset(data, codec.inputs)
    samples = dataset.take(dataset.spread(interpreter_samples(package)))
    ints = codec.to_int(samples)
    values = run_int(package.graph, ints)
    errors = {e.name: e for e in _errors(package, model, codec.to_float(samples), values)}
    with Executor(package, emulator, trace=True) as executor:
        trace = executor.run(device_bytes(ints)[:1]).inferences[0].trace or {}
    first = {name: value[0] for name, value in values.items()}
    equal = traced_equal(package.graph.meta["traces"], trace, first)
    outputs = {op.name: op.outputs[0] for op in package.graph.ops}
    rows = []
    for layer in package.report["layers"]:
        error = errors.get(layer["name"])
        rows.append(
            {
                "id": layer["id"], "name": layer["name"], "op": layer["op"],
                "sqnr_db": error.sqnr_db if error else None,
                "equal": equal.get(outputs[layer["name"]]),
            }
        )  # fmt: skip
    return rows


def traced_equal(
    meanings: Sequence[tuple[str, int]], trace: Trace, values: Mapping[str, NDArray]
) -> dict[str, bool]:
    """Whether all that was traced of a value equals it; `meanings`: (value, first byte)."""
    equal: dict[str, bool] = {}
    for number, rows in trace.items():
        name, first = meanings[number]
        whole = np.ascontiguousarray(values[name]).view(np.uint8)
        expected = whole.reshape(len(rows), -1)[:, first : first + rows.shape[1]]
        equal[name] = equal.get(name, True) and np.array_equal(rows, expected)
    return equal


def first_difference(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((row for row in rows if row["equal"] is False), None)


def _errors(
    package: CompiledPackage, model: Path | None, floats: Feeds, ints: Mapping[str, NDArray]
) -> list[LayerError]:
    path = model or Path(package.report["model"]["path"])
    if not path.is_file():
        return []
    shapes = {k: tuple(v) for k, v in package.report["options"]["input_shapes"].items()}
    return layer_errors(package.graph, load_model(path, shapes), floats, ints)


__all__ = ["first_difference", "per_layer", "traced_equal"]
