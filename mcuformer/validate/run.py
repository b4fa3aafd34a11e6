"""`validate`: the compiled model against labels, the float model, and the integer interpreter."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import McuformerError
from mcuformer.execution import codec_of
from mcuformer.inputs.codec import InputCodec
from mcuformer.inputs.dataset import Dataset, load_dataset
from mcuformer.ir.interp_int import run_int
from mcuformer.ir.types import DTYPES
from mcuformer.package import CompiledPackage
from mcuformer.validate.metrics import Agreement, agreement, percent, rmse, top1
from mcuformer.validate.reference import FloatReference

if TYPE_CHECKING:
    from mcuformer.pipeline import Progress

Device = Callable[[Sequence[NDArray]], list[bytes]]  # device integers in, output bytes out
_CHUNK = 200
_INTERPRETER_SAMPLES, _INTERPRETER_MACS = 16, 4e9


@dataclass(slots=True)
class Outputs:
    """Real numbers [n, outputs] of the same samples; `differing`: samples of unequal bits."""

    ours: list[NDArray] = field(default_factory=list)
    reference: list[NDArray] = field(default_factory=list)
    compared: int = 0
    differing: list[int] = field(default_factory=list)


def validate(
    package: CompiledPackage, data: Path, limit: int | None, model: Path | None, emulator: str,
    device: Device, progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """The document of `validate --json`, without layers. `limit` None: all samples."""
    codec = codec_of(package)
    dataset = load_dataset(data, codec.sample_shape)
    indices = dataset.spread(limit)
    why: dict[str, str] = {}
    reference = float_reference(package, model, why)
    outputs = Outputs()
    for done, chunk in _chunks(indices):
        progress(f"validating in {emulator}", done, len(indices))
        _compare(package, codec, dataset.take(chunk), device, reference, outputs)
    ours = np.concatenate(outputs.ours)
    floats = np.concatenate(outputs.reference) if reference else None
    return {
        "schema_version": 1,
        "emulator": emulator,
        "model": package.report["model"]["path"],
        "board": package.report["board"]["name"],
        "samples": len(indices),
        "samples_available": len(dataset),
        "accuracy": _accuracy(package, dataset, indices, ours, floats, why),
        "agreement": _agreement(package, ours, floats),
        "bit_exact": {
            "samples": outputs.compared,
            "equal": not outputs.differing,
            "differing": [int(indices[i]) for i in outputs.differing],
        },
        "why": why,
    }


def interpreter_samples(package: CompiledPackage) -> int:
    """How many samples the interpreter also runs: enough to be sure, few enough to be quick."""
    macs = max(1, package.report["model"]["macs"])
    return int(np.clip(_INTERPRETER_MACS / macs, 2, _INTERPRETER_SAMPLES))


def float_reference(
    package: CompiledPackage, model: Path | None, why: dict[str, str]
) -> FloatReference | None:
    """The ONNX file that was compiled, or None and why."""
    path = model or Path(package.report["model"]["path"])
    if not path.is_file():
        why["agreement"] = f"the float model {path} is not there; --model says where it is"
        return None
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.report["model"]["sha256"]:
        why["agreement"] = f"{path} is not the file that was compiled"
        return None
    try:
        return FloatReference(path, package.input_shape)
    except McuformerError as error:
        why["agreement"] = error.message
        return None


def _chunks(indices: NDArray) -> Iterator[tuple[int, NDArray]]:
    for first in range(0, len(indices), _CHUNK):
        yield first, indices[first : first + _CHUNK]


def _compare(
    package: CompiledPackage, codec: InputCodec, samples: NDArray, device: Device,
    reference: FloatReference | None, outputs: Outputs,
) -> None:  # fmt: skip
    ints = codec.to_int(samples)
    results = device(list(ints))
    type_ = package.graph.type(package.graph.outputs[0])
    got = np.stack([np.frombuffer(r, DTYPES[type_.dtype]).reshape(type_.shape) for r in results])
    wanted = interpreter_samples(package) - outputs.compared
    if wanted > 0:
        expected = run_int(package.graph, ints[:wanted])[package.graph.outputs[0]]
        for e, g in zip(expected, got, strict=False):
            if not np.array_equal(e, g):
                outputs.differing.append(outputs.compared)
            outputs.compared += 1
    assert type_.qparams is not None
    outputs.ours.append(type_.qparams.dequantise(got).reshape(len(got), -1))
    if reference is not None:
        outputs.reference.append(reference.run(codec.to_float(samples)))


def _accuracy(
    package: CompiledPackage, dataset: Dataset, indices: NDArray, ours: NDArray,
    floats: NDArray | None, why: dict[str, str],
) -> dict[str, float | None]:  # fmt: skip
    result: dict[str, float | None] = {"percent": None, "float_percent": None}
    if dataset.labels is None:
        why["accuracy"] = f"{dataset.path} has no labels"
        return result
    labels = dataset.labels[indices]
    if package.gives_index and ours.shape[1] > 1:
        why["accuracy"] = "an index of every row is no class of the sample"
        return result
    classes = _first if package.gives_index else top1
    result["percent"] = percent(classes(ours) == labels)
    if floats is not None:
        result["float_percent"] = percent(classes(floats) == labels)
    return result


def _first(outputs: NDArray) -> NDArray:
    return outputs[:, 0]


def _agreement(
    package: CompiledPackage, ours: NDArray, floats: NDArray | None
) -> dict[str, Any] | None:
    if floats is None:
        return None
    if package.gives_index:  # scores are not known: equal or not is all there is to say
        equal = percent(np.all(ours == floats, axis=1))
        found = Agreement(len(ours), None, None, rmse(floats, ours), equal)
        return dataclasses.asdict(found)
    shape = package.output_shape
    classifies = ours.shape[1] > 1 and max(shape) == ours.shape[1]
    return dataclasses.asdict(agreement(floats, ours, classifies))
