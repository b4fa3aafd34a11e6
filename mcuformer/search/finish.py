"""After the search: export, compile, and check on the emulator and on all test images."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from mcuformer.compile.options import CompileOptions
from mcuformer.files.atomic import atomic_file
from mcuformer.quant.stored import notes_of
from mcuformer.search.data import Data, Images
from mcuformer.search.figures import Planner
from mcuformer.search.networks import AnyNetwork
from mcuformer.search.products import TESTS

OPSET = 17
CALIBRATION_IMAGES = 256

Say = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Accuracies in percent of all test images; `emulator`: of `emulated` of them in Unicorn, where
    `high_water_bytes` of SRAM were written at most."""

    float_percent: float
    int8_percent: float
    emulator_percent: float
    emulated: int
    bit_exact: bool
    high_water_bytes: int | None
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Normalised:
    """What a file says of its images, where there are none."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]


def export(
    network: AnyNetwork,
    data: Data | Normalised,
    path: Path,
    dynamo: bool = False,
    rounded: str | None = None,
) -> None:
    """ONNX by either of torch's exporters; mean, std and classes go into the metadata.

    `rounded`: the ranges that the network was trained with (qat.py), for compile to keep; they name
    values as the older exporter does.
    """
    h, w, c = network.arch.image
    network = network.cpu().eval()
    x = torch.zeros(1, c, h, w)
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"]}
    notes = {
        "mcuformer.mean": ",".join(f"{v:.6f}" for v in data.mean),
        "mcuformer.std": ",".join(f"{v:.6f}" for v in data.std),
        "mcuformer.classes": ",".join(data.classes),
    }
    if rounded and not dynamo:
        notes |= notes_of(rounded)
    with atomic_file(path) as part, warnings.catch_warnings():
        # A network of one image size has nothing that another input could decide otherwise.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", "Constant folding")
        if dynamo:
            warnings.simplefilter("ignore", FutureWarning)  # of torch, to torch
            with _without_notes("torch.onnx"):
                torch.onnx.export(
                    network,
                    (x,),
                    str(part),
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                    **names,
                )
        else:
            torch.onnx.export(network, (x,), str(part), dynamo=False, opset_version=OPSET, **names)
        proto = onnx.load(part)
        onnx.helper.set_model_props(proto, notes)
        onnx.save(proto, part)


@contextmanager
def _without_notes(name: str) -> Iterator[None]:
    """What the logger and those below it say short of errors, such as that torchvision is not there."""
    loggers = [
        logging.getLogger(n) for n in (name, *logging.root.manager.loggerDict) if n.startswith(name)
    ]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def save_arrays(path: Path, **arrays: NDArray) -> None:
    """An .npz, whole or not at all."""
    with atomic_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def calibration(data: Data, path: Path) -> None:
    """Training images, evenly spread."""
    index = np.linspace(0, len(data.train) - 1, min(CALIBRATION_IMAGES, len(data.train)))
    some = data.train.take(index.round().astype(np.int64))
    save_arrays(path, x=some.x, y=some.y)


def compile_found(
    planner: Planner, board: str, model: Path, calibrate: Path, output: Path, say: Say
) -> dict[str, Any]:
    """report.json of the compiled network, under the options that the search planned with."""
    from mcuformer.compile.stages import compile_model

    limits = planner.limits
    options = CompileOptions(
        model=model,
        board=board,
        calibration=calibrate,
        ram=limits.ram,
        max_instructions=limits.max_instructions,
        input_mode=planner.input_mode,  # type: ignore[arg-type]
        optimize=planner.optimize,  # type: ignore[arg-type]
        accept_sqnr=0.0,  # the accuracy on all test images says what its numbers are worth
    )
    return compile_model(options, output, say).report


def check(build: Path, test: Images, classes: tuple[str, ...], emulated: int, say: Say) -> Outcome:
    """All test images by the generated C on the host, the first `emulated` in Unicorn too."""
    from mcuformer.package.compiled import open_package
    from mcuformer.package.execution import Executor
    from mcuformer.validate.run import validate

    package = open_package(build)
    whole, part = (build / name for name in TESTS)
    np.savez_compressed(whole, x=test.x, y=test.y, classes=np.array(classes))
    np.savez_compressed(part, x=test.x[:emulated], y=test.y[:emulated], classes=np.array(classes))
    documents, written = [], []
    for runner, data in (("host", whole), ("unicorn", part)):
        with Executor(package, runner) as executor:

            def device(images: Sequence[bytes], executor: Executor = executor) -> list[bytes]:
                result = executor.run(images)
                written.append(result.sram_high_water_bytes)
                return [i.output for i in result.inferences]

            documents.append(validate(package, data, None, None, runner, device, say))
    host, chip = documents
    return Outcome(
        float_percent=host["accuracy"]["float_percent"],
        int8_percent=host["accuracy"]["percent"],
        emulator_percent=chip["accuracy"]["percent"],
        emulated=chip["samples"],
        bit_exact=host["bit_exact"]["equal"] and chip["bit_exact"]["equal"],
        high_water_bytes=max((n for n in written if n is not None), default=None),
        report=package.report,
    )
