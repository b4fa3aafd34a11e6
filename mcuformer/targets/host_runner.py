"""Builds the generated C for this machine and runs it on many inputs, on all cores."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from mcuformer.errors import ToolFailedError, ToolMissingError
from mcuformer.targets.batch import read_inferences, write_inputs
from mcuformer.targets.blame import blamed
from mcuformer.targets.child import child, words_of
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.firmware import model_sources
from mcuformer.targets.limits import DEFAULT_S
from mcuformer.targets.objects import compile_objects
from mcuformer.targets.port import PORT
from mcuformer.targets.result import Inference, RunResult
from mcuformer.targets.tool import run_tool
from mcuformer.targets.toolchain import first_line

_FAST = ("-O3", "-march=native")
_CHECKED = (
    "-O1",
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)
_WHY = "the host does not count instructions"


def build_host(
    directory: Path, *, trace: bool = False, sanitize: bool = False, build: Path | None = None
) -> Path:
    """The package as a program that reads inputs.bin and writes outputs.bin (mcf_batch.h)."""
    compiler = host_compiler()
    build = build or directory / "build"
    includes = [directory, directory / "runtime" / "include", directory / "runtime" / "src",
                directory / "port", PORT]  # fmt: skip
    flags = (
        "-std=c11", *(_CHECKED if sanitize else _FAST), "-Wall", "-Wextra", "-ffp-contract=off",
        "-DMCF_SECTION(name)=",
        *(("-DMCF_TRACING",) if trace else ()), *(f"-I{path}" for path in includes),
    )  # fmt: skip
    sources = [
        *model_sources(directory), directory / "port" / "main.c",
        PORT / "batch.c", PORT / "profile.c", PORT / "host" / "host.c",
    ]  # fmt: skip

    version = first_line([compiler, "--version"]) or ""
    objects = compile_objects(
        sources, includes, lambda _: (compiler, *flags, "-c"), version, build / "objects"
    )
    program = build / ("host" + ("-checked" if sanitize else "") + ("-trace" if trace else ""))
    link = [compiler, *(_CHECKED if sanitize else _FAST), *map(str, objects), "-o", str(program)]
    try:
        run_tool(link, f"linking {program.name}")
    except ToolFailedError as error:
        raise blamed(error, [compiler, *flags], ()) from error
    return program


def host_compiler() -> str:
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return path
    raise ToolMissingError("no host C compiler", "apt-get install gcc")


def run(
    program: Path, inputs: Sequence[bytes], *, trace: bool = False, processes: int | None = None,
    timeout_s: float = DEFAULT_S, variant: int | None = None,
) -> RunResult:  # fmt: skip
    """Inputs are shared out evenly to as many processes as there are cores (or `processes`).

    EndlessError where one of them has not ended after `timeout_s`.
    """
    count = max(1, min(processes or len(os.sched_getaffinity(0)), len(inputs)))
    size = -(-len(inputs) // count) if inputs else 0
    parts = [inputs[i : i + size] for i in range(0, len(inputs), size)] if inputs else []
    results = _run_parts(program, parts, trace, timeout_s, variant)
    why = dict.fromkeys(("instructions", "io_instructions", "layers"), _WHY)
    why |= dict.fromkeys(
        ("sram_high_water_bytes", "stack_high_water_bytes"), "the host has no SRAM to measure"
    )
    return RunResult("host", tuple(i for part in results for i in part), why=why)


def _run_parts(
    program: Path,
    parts: Sequence[Sequence[bytes]],
    trace: bool,
    timeout_s: float,
    variant: int | None,
) -> list[list[Inference]]:
    """A process for each of `parts`, all at once."""
    until = time.monotonic() + timeout_s
    with ExitStack() as stack:
        names = [stack.enter_context(TemporaryDirectory(prefix="mcuformer-")) for _ in parts]
        folders = [Path(name) for name in names]
        for folder, part in zip(folders, parts, strict=True):
            write_inputs(folder, part, variant)
        argv = [str(program.resolve())]
        started = [stack.enter_context(child(argv, folder)) for folder in folders]
        for process in started:
            words = words_of(process, "the host program", until - time.monotonic(), timeout_s)
            if process.returncode:
                words = words[-4000:] or f"exit {process.returncode}"
                raise FirmwareError(f"the host program failed: {words}")
        pairs = zip(folders, parts, strict=True)
        return [read_inferences(folder, len(part), trace, None) for folder, part in pairs]
