"""One exported model through the compiler: planned, run, measured. A process of its own for each."""

from __future__ import annotations

import json
import logging
import multiprocessing
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import coverage_sqnr as sqnr
import numpy as np
from numpy.typing import NDArray

from mcuformer.cli.failure import classify
from mcuformer.codegen.package import write_package
from mcuformer.compile.figures import Figures, build_report
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import plan_model
from mcuformer.errors import DoesNotFitError, McuformerError
from mcuformer.inputs.codec import InputCodec, device_bytes
from mcuformer.operators.interpreter import run_int
from mcuformer.targets import host_runner, unicorn_runner
from mcuformer.targets.firmware import build_firmware
from mcuformer.targets.result import RunResult
from mcuformer.validate.per_layer import traced_equal

BOARDS = ("stm32f746", "host")  # the second where the first is too small
MOST_EMULATED = 2_000_000_000  # instructions
EMULATION_S = 300.0
OBJECTS = "objects"

Samples = tuple[NDArray, NDArray]  # to calibrate with, and to measure


@dataclass(frozen=True)
class Row:
    """Of one model by one exporter. `result`: ok, exit N, no export, timeout or died.

    `host` and `unicorn`: equal, or the first value that differs, or why it was not run.
    """

    source: str
    family: str
    name: str
    exporter: str
    result: str = "timeout"
    message: str = ""
    board: str = ""
    sram: int | None = None
    instructions: int | None = None
    host: str = ""
    unicorn: str = ""
    db: float | None = None
    ort_db: float | None = None
    seconds: float = 0.0
    commit: str = ""  # of mcuformer, as git calls it

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Row:
        return Row(**json.loads(path.read_text(encoding="utf-8")))


def followed(
    row: Row,
    model: Path,
    shape: tuple[int, ...],
    path: Path,
    stages: Sequence[Stage],
    seconds: float,
) -> Row:
    """What `path` says after at most `seconds`: a crash and a hang are results like others."""
    row.write(path)
    start = time.monotonic()
    work = multiprocessing.get_context("fork").Process(
        target=_follow, args=(row, model, shape, path, stages)
    )
    work.start()
    work.join(seconds)
    if work.is_alive():
        work.kill()
        work.join()
    found = Row.read(path)
    if found.result == "timeout" and work.exitcode not in (0, -9):
        found = replace(found, result="died", message=f"signal or status {work.exitcode}")
    found = replace(found, seconds=round(time.monotonic() - start, 1))
    found.write(path)
    return found


def _follow(
    row: Row, model: Path, shape: tuple[int, ...], path: Path, stages: Sequence[Stage]
) -> None:
    logging.disable(logging.WARNING)  # what onnxruntime's quantiser says of every weight
    calibration, others = sqnr.samples(shape)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        np.savez(work / "calibration.npz", x=calibration)
        try:
            figures = planned(model, work)
        except BaseException as error:  # noqa: BLE001, its row says what it was
            _failed(row, error, _runs_elsewhere(model, others)).write(path)
            return
        report = build_report(figures)
        row = replace(
            row, result="ok", board=figures.board.name, sram=report.memory.sram_total_bytes,
            instructions=sum(la.estimated_instructions for la in report.layers),
        )  # fmt: skip
        row.write(path)
        for stage in stages:
            row = stage(row, figures, model, work, path.parent.parent, (calibration, others))
            row.write(path)


def planned(model: Path, work: Path, activations: Literal["8", "auto", "16"] = "8") -> Figures:
    """On the first board where it fits, calibrated on what lies in `work`."""
    data = work / "calibration.npz"
    for board in BOARDS:
        options = CompileOptions(
            model=model, board=board, calibration=data, activations=activations
        )
        figures = plan_model(options, _silent, needs_data=True)
        if not isinstance(figures.error, DoesNotFitError):
            break
    if figures.error is not None:
        raise figures.error
    return figures


def _runs_elsewhere(model: Path, x: NDArray) -> bool:
    try:
        sqnr.of_file(model, x[:1])
    except Exception:  # noqa: BLE001, onnxruntime fails with anything
        return False
    return True


def _failed(row: Row, error: BaseException, elsewhere: bool) -> Row:
    """A bug has where it was raised, too. `elsewhere`: whether onnxruntime runs the file."""
    failure = classify(error)
    message = failure.message
    if not isinstance(error, McuformerError):
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno} {last.name}"
        message = f"{type(error).__name__}: {error} ({where})"
    message = message if elsewhere else f"(onnxruntime does not run it either) {message}"
    return replace(row, result=f"exit {failure.exit_code}", message=message)


def _bits_on_host(row: Row, f: Figures, model: Path, work: Path, root: Path, x: Samples) -> Row:
    package = _package(f, work)

    def run(images: list[bytes]) -> RunResult:
        program = host_runner.build_host(package, trace=True, sanitize=True, build=root / OBJECTS)
        return host_runner.run(program, images, trace=True, processes=1)

    return replace(row, host=_compared(f, x[1], run))


def _bits_in_unicorn(row: Row, f: Figures, model: Path, work: Path, root: Path, x: Samples) -> Row:
    if f.board.core == "host":
        return replace(row, unicorn="too large for the board")
    if (row.instructions or 0) > MOST_EMULATED:
        return replace(row, unicorn="over 2 G instructions")

    def run(images: list[bytes]) -> RunResult:
        elf = build_firmware(_package(f, work), f.board, trace=True, build=root / OBJECTS)
        return unicorn_runner.run(elf, f.board, images, trace=True, timeout_s=EMULATION_S)

    return replace(row, unicorn=_compared(f, x[1], run))


def _sqnr(row: Row, f: Figures, model: Path, work: Path, root: Path, x: Samples) -> Row:
    """Beside onnxruntime's, whose numbers are kept beside the model: they are the same for every commit."""
    known = sqnr.reference(model, *x, model.with_suffix(".npz"))
    row = replace(row, db=sqnr.centred_db(known.exact, sqnr.ours(f.graph, x[1])))
    if known.quantised is None:
        return row
    return replace(row, ort_db=sqnr.centred_db(known.exact, known.quantised))


def _package(f: Figures, work: Path) -> Path:
    folder = work / "package"
    if not folder.exists():
        folder.mkdir()
        write_package(folder, f.program, f.plan, f.board, f.weights)
    return folder


def _compared(f: Figures, x: NDArray, run) -> str:  # type: ignore[no-untyped-def]
    """Every traced value and the output of one inference: equal, or what differs first."""
    ints = InputCodec.of(f.graph).to_int((x[:1],))
    values = {name: v[0] for name, v in run_int(f.graph, ints).items()}
    try:
        inference = run(device_bytes(ints)).inferences[0]
    except McuformerError as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    meanings = [(t.value, t.first_byte) for t in f.program.traces]
    same = traced_equal(meanings, inference.trace or {}, values)
    wrong = next((name for name, equal in same.items() if not equal), None)
    if wrong is not None:
        return f"differs at {wrong}"
    output = b"".join(np.ascontiguousarray(values[o]).tobytes() for o in f.graph.outputs)
    return "equal" if inference.output == output else "differs in the output"


Stage = Callable[[Row, Figures, Path, Path, Path, Samples], Row]
RUNS: tuple[Stage, ...] = (_bits_on_host, _sqnr)
EMULATION: Stage = _bits_in_unicorn


def _silent(stage: str, done: int = 0, total: int = 0) -> None:
    pass
