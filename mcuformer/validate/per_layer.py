"""`validate --per-layer`: SQNR of every layer, and the first layer whose bits differ.

All of it comes from what the emulator or the board itself computed on the samples whose outputs
`validate` compares with the interpreter's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import ValidationError
from mcuformer.frontend import load_model
from mcuformer.inputs.codec import device_bytes
from mcuformer.inputs.dataset import load_dataset
from mcuformer.ir.layout import Feeds
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import CompiledPackage
from mcuformer.package.execution import codec_of
from mcuformer.targets.result import Inference, LayerBytes
from mcuformer.validate.device import Tracer
from mcuformer.validate.layers import LayerError, layer_errors, shown_layers
from mcuformer.validate.run import interpreter_samples

InterpreterValues = Mapping[str, NDArray]  # of the interpreter: [samples, ...]


def per_layer(
    package: CompiledPackage,
    data: Path,
    model: Path | None,
    tracer: Tracer,
    limit: int | None,
    differing: Sequence[int],
) -> list[dict[str, Any]]:
    """One row per layer, as in report.json: `sqnr_db` and `equal`, null where it shows no layers.

    `differing` are the samples that `validate` found; ValidationError where the tracing build, which
    is another program, computes other outputs than that.
    """
    if tracer.run is None:
        return _rows(package, {}, {})
    codec = codec_of(package)
    dataset = load_dataset(data, codec.inputs)
    indices = dataset.spread(limit)[: interpreter_samples(package)]
    samples = dataset.take(indices)
    ints = codec.to_int(samples)
    values = run_int(package.graph, ints)
    inferences = tracer.run(device_bytes(ints))
    _same_outputs(package, inferences, values, indices, differing)
    traces = [i.trace or {} for i in inferences]
    meanings = package.graph.meta["traces"]
    equal: dict[str, bool] = {}
    for i, trace in enumerate(traces):
        for name, same in traced_equal(
            meanings, trace, {n: v[i] for n, v in values.items()}
        ).items():
            equal[name] = equal.get(name, True) and same
    seen = values | traced_values(meanings, traces, values)
    errors = {e.name: e for e in _errors(package, model, codec.to_float(samples), seen)}
    return _rows(package, equal, errors)


def traced_equal(
    meanings: Sequence[tuple[str, int]], trace: LayerBytes, values: InterpreterValues
) -> dict[str, bool]:
    """Whether all that was traced of a value equals it; `meanings`: (value, first byte)."""
    equal: dict[str, bool] = {}
    for number, rows in trace.items():
        name, first = meanings[number]
        whole = np.ascontiguousarray(values[name]).view(np.uint8)
        expected = whole.reshape(len(rows), -1)[:, first : first + rows.shape[1]]
        equal[name] = equal.get(name, True) and np.array_equal(rows, expected)
    return equal


def traced_values(
    meanings: Sequence[tuple[str, int]], traces: Sequence[LayerBytes], values: InterpreterValues
) -> dict[str, NDArray]:
    """The traced values [samples, ...] with the bytes that were traced of them."""
    found: dict[str, NDArray] = {}
    for i, trace in enumerate(traces):
        for number, rows in trace.items():
            name, first = meanings[number]
            whole = found.setdefault(name, np.array(values[name], order="C"))
            into = whole[i].view(np.uint8).reshape(len(rows), -1)
            into[:, first : first + rows.shape[1]] = rows
    return found


def first_difference(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((row for row in rows if row["equal"] is False), None)


def _rows(
    package: CompiledPackage, equal: Mapping[str, bool], errors: Mapping[str, LayerError]
) -> list[dict[str, Any]]:
    rows = []
    for number, op in enumerate(shown_layers(package.graph)):
        same = equal.get(op.outputs[0])
        error = errors.get(op.name) if same is not None else None
        rows.append(
            {
                "id": number, "name": op.name, "op": op.kind,
                "sqnr_db": error.sqnr_db if error else None,
                "equal": same,
            }
        )  # fmt: skip
    return rows


def _same_outputs(
    package: CompiledPackage,
    inferences: Sequence[Inference],
    values: InterpreterValues,
    indices: NDArray,
    differing: Sequence[int],
) -> None:
    for i, inference in enumerate(inferences):
        expected = b"".join(
            np.ascontiguousarray(values[o][i]).tobytes() for o in package.graph.outputs
        )
        if (inference.output != expected) != (int(indices[i]) in differing):
            raise ValidationError(
                f"built with traces the program computes other outputs for sample {int(indices[i])} "
                "than without",
                "that is a fault of the compiler or of the C: please report it",
            )


def _errors(
    package: CompiledPackage, model: Path | None, floats: Feeds, ints: InterpreterValues
) -> list[LayerError]:
    path = model or Path(package.report["model"]["path"])
    if not path.is_file():
        return []
    shapes = {k: tuple(v) for k, v in package.report["options"]["input_shapes"].items()}
    return layer_errors(package.graph, load_model(path, shapes), floats, ints)


__all__ = ["first_difference", "per_layer", "traced_equal", "traced_values"]
