"""`validate`: the compiled model against labels, the float model, and the integer interpreter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import McuformerError
from mcuformer.inputs.codec import InputCodec, device_bytes
from mcuformer.inputs.dataset import load_dataset
from mcuformer.ir.layout import onnx_shape
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import CompiledPackage
from mcuformer.package.execution import codec_of
from mcuformer.package.outputs import Output, split
from mcuformer.validate.compare import Compared, accuracy, worst
from mcuformer.validate.reference import FloatReference

if TYPE_CHECKING:
    from mcuformer.util.progress import Progress

Device = Callable[[Sequence[bytes]], list[bytes]]  # bytes of all inputs in, of all outputs out
_CHUNK = 200
_INTERPRETER_SAMPLES, _INTERPRETER_MACS = 16, 4e9


@dataclass(slots=True)
class Seen:
    """Real numbers [n, numbers] of one output; `differing`: samples of other bits than the
    interpreter's."""

    output: Output
    ours: list[NDArray] = field(default_factory=list)
    floats: list[NDArray] = field(default_factory=list)
    differing: list[int] = field(default_factory=list)

    def compared(self) -> Compared:
        floats = np.concatenate(self.floats) if self.floats else None
        return Compared(self.output, np.concatenate(self.ours), floats, not self.differing)


@dataclass(slots=True)
class Comparison:
    """All outputs, sample by sample; `samples` of them the interpreter ran too."""

    package: CompiledPackage
    codec: InputCodec
    device: Device
    reference: FloatReference | None
    outputs: tuple[Seen, ...]
    samples: int = 0

    def add(self, samples: Sequence[NDArray]) -> None:
        """More samples, an array [n, ...] per input."""
        ints = self.codec.to_int(samples)
        table = self.package.outputs
        results = [split(table, data) for data in self.device(device_bytes(ints))]
        got = [np.stack(rows) for rows in zip(*results, strict=True)]
        self._interpret(ints, got)
        floats = self.reference.run(self.codec.to_file(samples)) if self.reference else ()
        for i, seen in enumerate(self.outputs):
            seen.ours.append(seen.output.reals(got[i]).reshape(len(got[i]), -1))
            seen.floats += [floats[i]] if floats else []

    def _interpret(self, ints: Sequence[NDArray], got: Sequence[NDArray]) -> None:
        wanted = min(interpreter_samples(self.package) - self.samples, len(got[0]))
        if wanted <= 0:
            return
        expected = run_int(self.package.graph, [x[:wanted] for x in ints])
        for seen, rows in zip(self.outputs, got, strict=True):
            pairs = zip(expected[seen.output.value], rows, strict=False)
            seen.differing += [
                self.samples + i for i, (e, g) in enumerate(pairs) if not np.array_equal(e, g)
            ]
        self.samples += wanted

    @property
    def differing(self) -> list[int]:
        return sorted({i for seen in self.outputs for i in seen.differing})


def validate(
    package: CompiledPackage, data: Path, limit: int | None, model: Path | None, emulator: str,
    device: Device, progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    """The document of `validate --json`, without layers. `limit` None: all samples."""
    codec = codec_of(package)
    dataset = load_dataset(data, codec.inputs)
    indices = dataset.spread(limit)
    why: dict[str, str] = {}
    reference = float_reference(package, model, why)
    seen = tuple(Seen(output) for output in package.outputs)
    run = Comparison(package, codec, device, reference, seen)
    for done, chunk in _chunks(indices):
        progress(f"validating in {emulator}", done, len(indices))
        run.add(dataset.take(chunk))
    outputs = [one.compared() for one in seen]
    labels = None if dataset.labels is None else dataset.labels[indices]
    return {
        "schema_version": 1,
        "emulator": emulator,
        "model": package.report["model"]["path"],
        "board": package.report["board"]["name"],
        "samples": len(indices),
        "samples_available": len(dataset),
        "accuracy": accuracy(outputs, labels, f"{dataset.path} has no labels", why),
        "agreement": worst(outputs),
        "outputs": [one.document() for one in outputs],
        "bit_exact": {
            "samples": run.samples,
            "equal": not run.differing,
            "differing": [int(indices[i]) for i in run.differing],
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
        graph = package.graph
        return FloatReference(path, [onnx_shape(graph, i) for i in range(len(graph.inputs))])
    except McuformerError as error:
        why["agreement"] = error.message
        return None


def _chunks(indices: NDArray) -> Iterator[tuple[int, NDArray]]:
    for first in range(0, len(indices), _CHUNK):
        yield first, indices[first : first + _CHUNK]
