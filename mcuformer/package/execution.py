"""Running a compiled package: input file -> device bytes -> an emulator -> outputs and counts."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import ToolMissingError, UsageError
from mcuformer.files.atomic import atomic_file
from mcuformer.inputs.codec import InputCodec, device_bytes
from mcuformer.inputs.sample import read_sample
from mcuformer.package.compiled import ELF, CompiledPackage
from mcuformer.package.outputs import split

if TYPE_CHECKING:
    from mcuformer.targets.result import Inference, RunResult
    from mcuformer.util.progress import Progress


def run_once(
    package: CompiledPackage, inputs: Sequence[str], raw: bool, emulator: str, progress: Progress,
    timeout_s: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The document of `run --json`; `inputs` as on the command line."""
    sample = device_bytes(read_sample(codec_of(package), inputs, raw))
    progress(f"running in {emulator}")
    why: dict[str, str] = {}
    cycles = None
    with Executor(package, emulator, timeout_s=timeout_s) as executor:
        result = executor.run(sample)
        try:
            cycles = estimated_cycles(package, executor.program(), result)
        except ToolMissingError as error:
            why["estimated_cycles"] = error.message
    inference = result.inferences[0]
    why |= result.why
    return {
        "schema_version": 1,
        "emulator": result.emulator,
        "outputs": _outputs(package, inference.output),
        "instructions": inference.instructions,
        "io_instructions": inference.io_instructions,
        "estimated_cycles": cycles,
        "sram_high_water_bytes": result.sram_high_water_bytes,
        "stack_high_water_bytes": result.stack_high_water_bytes,
        "layers": _layers(package, inference),
        "why": why,
    }


def codec_of(package: CompiledPackage) -> InputCodec:
    return InputCodec.of(package.graph)


class _How(TypedDict):
    """What all emulators take."""

    trace: bool
    timeout_s: float
    variant: int | None


class Executor:
    """Runs device integers of one package in one emulator; what it builds lives as long as it does.

    `trace` also brings every layer's rows. A run ends after `timeout_s` (None: what the estimate
    allows, generously) or with EndlessError.
    """

    def __init__(
        self, package: CompiledPackage, emulator: str, trace: bool = False,
        timeout_s: float | None = None,
    ) -> None:  # fmt: skip
        offered = package.board.runners.emulators
        if emulator not in offered:
            known = ", ".join(offered)
            raise UsageError(f"{package.board.name} does not run in {emulator}", f"but in {known}")
        self._package, self._emulator, self._trace = package, emulator, trace
        self._timeout_s = timeout_s
        self._folder = tempfile.TemporaryDirectory(prefix="mcuformer-")
        self._program: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._folder.cleanup()

    def run(self, images: Sequence[bytes]) -> RunResult:
        """Per sample the bytes of all inputs, one after the other; the outputs come alike."""
        result = self._run(images)
        own = self._package.own_output
        inferences = tuple(replace(i, output=own(i.output)) for i in result.inferences)
        return replace(result, inferences=inferences)

    def _run(self, images: Sequence[bytes]) -> RunResult:
        from mcuformer.targets import host_runner, qemu_runner, renode_runner, unicorn_runner

        program, board, trace = self.program(), self._package.board, self._trace
        limit_s = self._timeout_s or self._default_limit_s(len(images))
        how: _How = {"trace": trace, "timeout_s": limit_s, "variant": self._package.variant}
        if self._emulator == "host":
            return host_runner.run(program, images, **how)
        if self._emulator == "qemu":
            return qemu_runner.run(program, images, core=board.core, **how)
        if self._emulator == "renode":
            return renode_runner.run(program, board, images, **how)
        return unicorn_runner.run(program, board, images, **how)

    def _default_limit_s(self, inputs: int) -> float:
        from mcuformer.targets.limits import default_limit_s

        estimate = self._package.report.get("estimate", {}).get("instructions")
        return default_limit_s(self._emulator, estimate, inputs)

    def program(self) -> Path:
        """The package's own ELF where that will do, else one built for this emulator."""
        from mcuformer.targets.firmware import build_firmware
        from mcuformer.targets.host_runner import build_host

        directory, work = self._package.directory, Path(self._folder.name)
        ready = directory / ELF
        if self._program is None:
            if self._emulator == "host":
                self._program = build_host(directory, trace=self._trace, build=work)
            elif ready.is_file() and not self._trace and self._emulator != "qemu":
                self._program = ready
            else:
                qemu, board = self._emulator == "qemu", self._package.board
                self._program = build_firmware(
                    directory, board, trace=self._trace, qemu=qemu, build=work
                )
        return self._program


def own_firmware(package: CompiledPackage) -> Path:
    """The package's ELF; UsageError where `compile` made none."""
    elf = package.directory / ELF
    if elf.is_file():
        return elf
    if not package.board.has_firmware:
        raise UsageError(f"{package.board.name} has no firmware")
    raise UsageError(f"{elf} is missing", "compile without --emit-only")


def output_values(package: CompiledPackage, data: bytes) -> list[tuple[NDArray, NDArray]]:
    """Per output its integers and what they stand for, in the ONNX output's shape.

    Real numbers as float64; an index (of an ArgMax) stands for itself, as int64.
    """
    pairs = zip(package.outputs, split(package.outputs, data), strict=True)
    return [
        (o.arranged(ints).reshape(o.shape), o.reals(ints).reshape(o.shape)) for o, ints in pairs
    ]


def check_output_file(package: CompiledPackage, path: Path) -> None:
    """UsageError where the file cannot hold what the model gives."""
    count = len(package.outputs)
    if path.suffix != ".npz" and count > 1:
        raise UsageError(f"the model has {count} outputs, one .npy holds one", "give a .npz")


def save_outputs(document: Mapping[str, Any], path: Path) -> None:
    """A .npz holds all outputs by name, any other file the only one: float32, int64 of an index."""
    arrays = {output["name"]: _array(output["data"]) for output in document["outputs"]}
    with atomic_file(path) as work, work.open("wb") as file:
        if path.suffix == ".npz":
            np.savez(file, **arrays)  # type: ignore[arg-type]
        else:
            np.save(file, next(iter(arrays.values())))


def _array(data: Any) -> NDArray:
    array = np.asarray(data)
    return array.astype(np.int64 if array.dtype.kind == "i" else np.float32)


def estimated_cycles(package: CompiledPackage, elf: Path, result: RunResult) -> int:
    """Of one inference by LLVM's model of the core; ToolMissingError says why there is none."""
    from mcuformer.targets.cycles import estimate_cycles, port_functions
    from mcuformer.targets.elf import read_elf

    if result.blocks is None:
        raise ToolMissingError(f"{result.emulator} does not tell which blocks it executed")
    found, port = read_elf(elf), port_functions(package.directory / "port")
    blocks = {
        address: block for address, block in result.blocks.items()
        if found.where(address).split("+")[0] not in port
    }  # fmt: skip
    return estimate_cycles(found, blocks, package.board.core)


def _outputs(package: CompiledPackage, data: bytes) -> list[dict[str, Any]]:
    pairs = zip(package.outputs, output_values(package, data), strict=True)
    return [
        {
            "name": output.name,
            "shape": list(output.shape),
            "data": reals.tolist(),
            "data_int8": ints.tolist(),
        }
        for output, (ints, reals) in pairs
    ]


def _layers(package: CompiledPackage, inference: Inference) -> list[dict[str, Any]] | None:
    if inference.layers is None:
        return None
    return [{"id": i, "instructions": count} for i, count in enumerate(inference.layers)]
