"""The directory that an engineer drops into a project: C, runtime, port, build files."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcuformer.codegen.model_c import Sources, generate
from mcuformer.codegen.render import render
from mcuformer.codegen.runtime import copy_runtime
from mcuformer.codegen.variants import Variants, one
from mcuformer.files.paths import RUNTIME_C, TEMPLATES
from mcuformer.memory.model import MemoryPlan
from mcuformer.program.program import Program
from mcuformer.targets.board import Board, WantedFlash, WeightsFlash
from mcuformer.targets.cores import CORES
from mcuformer.targets.port import PortPlan, write_port
from mcuformer.util.names import model_identifier

# What CMake or a linker understands by a target's name: test, all, -lm
_CMAKE_OWN = frozenset(
    """all all_build clean default_target depend edit_cache help install list_install_components package
    package_source preinstall rebuild_cache run_tests test zero_check
    c dl g gcc m nosys pthread rdimon rt stdc""".split()
)


@dataclass(frozen=True, slots=True)
class Package:
    """What was written, and what only packing tells. `name` is the model's in C."""

    directory: Path
    name: str
    model_id: bytes
    weights: WeightsFlash
    weights_bytes: int


def write_package(
    directory: Path,
    program: Program,
    plan: MemoryPlan,
    board: Board,
    weights: WantedFlash = "internal",
    name: str | None = None,
) -> Package:
    """Write the C package of one program into `directory` (which exists); `weights` as `generate` has it.

    `name`: the prefix of all C names, by default made of the program's.
    """
    return write_variants(directory, one(program, plan), board, weights, name)


def write_variants(
    directory: Path, variants: Variants, board: Board, weights: WantedFlash, name: str | None
) -> Package:
    """The same of programs over the same weights, which one chooses at run time."""
    program = variants.first.program
    sources = generate(variants, board, weights, name or model_identifier(program.name))
    for file, text in sources.files.items():
        (directory / file).write_text(text, encoding="utf-8")
    runtime = copy_runtime(directory / "runtime")
    write_port(directory, board, _port_plan(variants, board, sources))
    _copy_styles(directory)
    fields = _build_fields(directory, board, sources, runtime) | {
        "input_mode": program.input_mode,
        "output_mode": program.output_mode,
        "qspi": sources.weights == "qspi",
    }
    names = [
        "CMakeLists.txt",
        "Makefile",
        "README.md",
        *([] if board.is_host else ["toolchain.cmake"]),
    ]
    for file in names:
        (directory / file).write_text(render(f"{file}.j2", **fields), encoding="utf-8")
    return Package(
        directory, sources.name, sources.model_id, sources.weights, sources.weights_bytes
    )


def _copy_styles(directory: Path) -> None:
    """For clang-format, which looks beside a file and above it: what is generated, what is copied."""
    shutil.copyfile(TEMPLATES / "clang-format", directory / ".clang-format")
    for folder in ("runtime", "port"):
        shutil.copyfile(RUNTIME_C / ".clang-format", directory / folder / ".clang-format")


def cmake_target(name: str) -> str:
    """The model's target: its name, unless CMake or a linker has a meaning for that."""
    return f"m_{name}" if name.lower() in _CMAKE_OWN else name


def _port_plan(variants: Variants, board: Board, sources: Sources) -> PortPlan:
    program = variants.first.program
    return PortPlan(
        model=sources.name,
        arena_bytes=variants.arena_bytes,
        layers=variants.layers,
        stack_bytes=board.stack_bytes,
        qspi=sources.weights == "qspi",
        image_bytes=program.inputs[0].size_bytes if program.input_mode == "flash" else 0,
        model_id=sources.model_id,
    )


def _build_fields(
    directory: Path, board: Board, sources: Sources, runtime: list[str]
) -> dict[str, Any]:
    cross = not board.is_host
    return {
        **sources.fields,
        "target": cmake_target(sources.name),
        "board_name": board.name,
        "firmware": board.has_firmware,
        "cross": cross,
        "core": board.core,
        "core_flags": " ".join(CORES[board.core].gcc_flags) if cross else "",
        "compiler": "arm-none-eabi-gcc" if cross else "cc",
        "archiver": "arm-none-eabi-ar" if cross else "ar",
        "runtime": [f"runtime/src/{n}" for n in runtime],
        "port": sorted(f"port/{p.name}" for p in (directory / "port").glob("*.c")),
    }
