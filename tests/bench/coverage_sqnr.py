"""SQNR of outputs against the float model, ours and onnxruntime's, on the same samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime import quantization as q

from mcuformer.inputs.codec import InputCodec
from mcuformer.ir.graph import Graph
from mcuformer.operators.interpreter import run_int
from mcuformer.package.outputs import outputs_of

SEED = 20240229
CALIBRATION, MEASURED = 16, 32
CHUNK = 8  # samples that the interpreter holds at once

Outputs = Sequence[NDArray]  # per output: [samples, ...]


def samples(shape: tuple[int, ...]) -> tuple[NDArray, NDArray]:
    """To calibrate with, and to measure: smooth images of unit variance, or embeddings."""
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((CALIBRATION + MEASURED, *shape))
    if len(shape) == 3:
        x += 2 * np.repeat(np.repeat(x[..., ::8, ::8], 8, -2), 8, -1)[..., : shape[1], : shape[2]]
    x = (x / x.std()).astype(np.float32)
    return x[:CALIBRATION], x[CALIBRATION:]


def centred_db(reference: Outputs, got: Outputs) -> float:
    """Of the output that is worst; what an output says whatever the sample is no signal."""
    return min(
        _db(e.astype(float), y.reshape(e.shape)) for e, y in zip(reference, got, strict=True)
    )


def _db(e: NDArray, y: NDArray) -> float:
    signal = np.square(e - e.mean(0)).sum()
    noise = np.square(y - e).sum()
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-12 * signal, 1e-30)))


def ours(graph: Graph, x: NDArray) -> Outputs:
    """What the integers of the interpreter stand for."""
    parts = []
    for first in range(0, len(x), CHUNK):
        values = run_int(graph, InputCodec.of(graph).to_int((x[first : first + CHUNK],)))
        parts.append([o.reals(values[o.value]) for o in outputs_of(graph)])
    return [np.concatenate(of_one) for of_one in zip(*parts, strict=True)]


def of_file(model: Path, x: NDArray) -> Outputs:
    """onnxruntime's own run of a file, sample by sample, as it is written: without graph optimisations.

    With them a QDQ file runs in 8-bit kernels, which saturate on processors without VNNI: up to 13 dB less
    (hf_swin: 3.9 dB, and 16.8 as written), and another number on every machine.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    runs = [session.run(None, {name: sample[None]}) for sample in x]
    return [np.stack(of_one) for of_one in zip(*runs, strict=True)]


@dataclass(frozen=True)
class Reference:
    """onnxruntime's own numbers of a file: `exact`, and quantised; None where it does not quantise or run it."""

    exact: Outputs
    quantised: Outputs | None


def reference(model: Path, calibration: NDArray, x: NDArray, kept: Path) -> Reference:
    """Of `kept` where it is of this file and this onnxruntime, else computed (half of a small model's time)."""
    key = f"{hashlib.sha256(model.read_bytes()).hexdigest()} {ort.__version__} {len(calibration)} {len(x)}"
    found = _read(kept, key) if kept.exists() else None
    if found is None:
        found = Reference(of_file(model, x), _of_quantised(model, calibration, x, kept))
        arrays = {f"exact{i}": y for i, y in enumerate(found.exact)}
        arrays |= {f"quantised{i}": y for i, y in enumerate(found.quantised or ())}
        np.savez(kept, key=key, **arrays)
    return found


def _read(kept: Path, key: str) -> Reference | None:
    with np.load(kept) as data:
        if str(data["key"]) != key:
            return None
        named = [n for n in data.files if n != "key"]  # in the order in which they were saved
        parts = [[data[n] for n in named if n.startswith(part)] for part in ("exact", "quantised")]
    return Reference(parts[0], parts[1] or None)


def _of_quantised(model: Path, calibration: NDArray, x: NDArray, kept: Path) -> Outputs | None:
    to = kept.with_suffix(".qdq.onnx")
    try:
        return of_file(quantised(model, calibration, to), x)
    except Exception:  # noqa: BLE001, onnxruntime fails with anything
        return None
    finally:
        to.unlink(missing_ok=True)


def quantised(model: Path, calibration: NDArray, to: Path, wide: bool = False) -> Path:
    """onnxruntime's quantize_static: QDQ, per channel, signed 8 bits, MinMax; `wide`: int16 activations,
    symmetric."""
    type_ = q.QuantType.QInt16 if wide else q.QuantType.QInt8
    q.quantize_static(
        str(model), str(to), _Reader(model, calibration), quant_format=q.QuantFormat.QDQ,
        per_channel=True, activation_type=type_, weight_type=q.QuantType.QInt8,
        calibrate_method=q.CalibrationMethod.MinMax, extra_options={"ActivationSymmetric": wide},
    )  # fmt: skip
    return to


class _Reader(q.CalibrationDataReader):
    def __init__(self, model: Path, x: NDArray) -> None:
        name = onnx.load(str(model), load_external_data=False).graph.input[0].name
        self.rows: Iterator[dict[str, NDArray]] = iter([{name: sample[None]} for sample in x])

    def get_next(self) -> dict[str, NDArray] | None:  # type: ignore[override]
        return next(self.rows, None)
