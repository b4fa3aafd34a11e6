"""The directory that an engineer drops into a project: C, runtime, port, build files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcuformer.codegen.model_c import Sources, generate
from mcuformer.codegen.render import render
from mcuformer.kernels.table import KERNELS
from mcuformer.memory.model import MemoryPlan
from mcuformer.paths import RUNTIME_C
from mcuformer.schedule.program import Program
from mcuformer.targets.board import Board
from mcuformer.targets.port import PortPlan, write_port
from mcuformer.targets.toolchain import GCC_CORE_FLAGS


@dataclass(frozen=True, slots=True)
class Package:
    """What was written, and what only packing tells."""

    directory: Path
    model_id: bytes
    weights_bytes: int
    sources: Sources


def write_package(
    directory: Path, program: Program, plan: MemoryPlan, board: Board, weights: str = "internal"
) -> Package:
    """Write the C package into `directory` (which exists); `weights` is "internal" or "qspi"."""
    sources = generate(program, plan, weights)
    for name, text in sources.files.items():
        (directory / name).write_text(text, encoding="utf-8")
    runtime = copy_runtime(directory / "runtime", sources.kernels)
    used = [u.used_bytes for u in plan.regions]
    image = program.inputs[0].size_bytes if program.input_mode == "flash" else 0
    write_port(
        directory,
        board,
        PortPlan(
            used[0],
            len(program.layers),
            board.stack_bytes,
            weights == "qspi",
            image,
            sources.model_id,
        ),
    )
    chip = board.family is not None
    fields: dict[str, Any] = {
        **sources.fields,
        "board_name": board.name,
        "chip": chip,
        "qspi": weights == "qspi",
        "core": board.core,
        "core_flags": " ".join(GCC_CORE_FLAGS.get(board.core, ())),
        "compiler": "arm-none-eabi-gcc" if chip else "cc",
        "archiver": "arm-none-eabi-ar" if chip else "ar",
        "library": ["model.c", "weights.c", *(f"runtime/src/{n}" for n in runtime)],
        "port": sorted(f"port/{p.name}" for p in (directory / "port").glob("*.c")),
        "input_mode": program.input_mode,
    }
    names = ["CMakeLists.txt", "Makefile", "README.md", *(["toolchain.cmake"] if chip else [])]
    for name in names:
        (directory / name).write_text(render(f"{name}.j2", **fields), encoding="utf-8")
    return Package(directory, sources.model_id, sources.weights_bytes, sources)


def copy_runtime(directory: Path, kernels: Iterable[str]) -> list[str]:
    """Copy the kernels' C files and the headers they include; the names of the C files."""
    names = sorted({s for k in kernels for s in KERNELS[k].SOURCES})
    (directory / "src").mkdir(parents=True, exist_ok=True)
    (directory / "include").mkdir(exist_ok=True)
    wanted = {"mcf_model.h"}
    for name in names:
        source = RUNTIME_C / "src" / name
        shutil.copyfile(source, directory / "src" / name)
        wanted |= includes(source)
    done: set[str] = set()
    while wanted - done:
        for name in sorted(wanted - done):
            done.add(name)
            header = find_header(name)
            shutil.copyfile(
                header, directory / ("src" if header.parent.name == "src" else "include") / name
            )
            wanted |= includes(header)
    return names


def includes(path: Path) -> set[str]:
    return set(
        re.findall(r'^#include "(mcf_\w+\.h)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    )


def find_header(name: str) -> Path:
    for folder in ("include", "src"):
        path = RUNTIME_C / folder / name
        if path.is_file():
            return path
    raise FileNotFoundError(name)
