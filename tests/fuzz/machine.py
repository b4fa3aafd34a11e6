"""Where the emitted C runs. The sanitized runtime is built once; a draw compiles its model alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fuzz.errors import Mismatch
from mcuformer.codegen.package import write_package, write_variants
from mcuformer.compile.emitted import variants
from mcuformer.compile.figures import Figures
from mcuformer.targets import host_runner, unicorn_runner
from mcuformer.targets.firmware import build_firmware
from mcuformer.targets.result import RunResult
from mcuformer.validate.per_layer import traced_equal

_OF_A_MODEL = ("model-*.o", "weights-*.o", "main-*.o", "startup-*.o", "mpu-*.o")


class Machine:
    """Keeps the objects of the runtime between draws; `objects` may be shared by several."""

    def __init__(self, objects: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-objects-")
        self._build = objects or Path(self._folder.name)

    def package(self, work: Path, figures: Figures) -> Path:
        folder = work / "package"
        folder.mkdir()
        write_package(folder, figures.program, figures.plan, figures.board, figures.weights)
        return folder

    def variants(self, work: Path, figures: Figures) -> Path:
        """Of several programs."""
        folder = work / "package"
        folder.mkdir()
        write_variants(folder, variants(figures), figures.board, figures.weights, None)
        return folder

    def compare(
        self, emulator: str, package: Path, figures: Figures,
        inputs: Sequence[tuple[NDArray, ...]], values: Sequence[Mapping[str, NDArray]],
        variant: int | None = None,
    ) -> None:  # fmt: skip
        """Mismatch where a traced row or an output is not the interpreter's. `figures`: of the program
        that runs, number `variant` of several."""
        images = [joined(x) for x in inputs]
        try:
            result = self._run(emulator, package, figures, images, variant)
        finally:
            self._tidy()
        meanings = [(t.value, t.first_byte) for t in figures.program.traces]
        for inference, expected in zip(result.inferences, values, strict=True):
            trace = inference.trace or {}
            if set(trace) != set(range(len(meanings))):
                raise Mismatch("values without a trace")
            equal = traced_equal(meanings, trace, expected)
            wrong = [name for name, same in equal.items() if not same]
            if wrong:
                raise Mismatch(f"bits differ first at {wrong[0]}")
            wanted = joined([expected[n] for n in figures.program.graph.outputs])
            found = inference.output  # as many bytes as the largest of several programs gives
            if (found if variant is None else found[: len(wanted)]) != wanted:
                raise Mismatch("bits of an output differ")

    def _run(
        self, emulator: str, package: Path, figures: Figures, images: Sequence[bytes],
        variant: int | None,
    ) -> RunResult:  # fmt: skip
        if emulator == "host":
            program = host_runner.build_host(package, trace=True, sanitize=True, build=self._build)
            return host_runner.run(program, images, trace=True, processes=1, variant=variant)
        elf = build_firmware(package, figures.board, trace=True, build=self._build)
        return unicorn_runner.run(elf, figures.board, images, trace=True, variant=variant)

    def _tidy(self) -> None:
        """What belongs to one model goes; kernels stay."""
        for pattern in _OF_A_MODEL:
            for path in (self._build / "objects").glob(pattern):
                path.unlink(missing_ok=True)


def joined(arrays: Sequence[NDArray]) -> bytes:
    """All inputs or outputs of an inference, one after the other."""
    return b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
