"""From a package directory to an ELF: the very file that a board, Unicorn or Renode runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mcuformer.errors import DoesNotFitError, McuformerError, ToolFailedError, UsageError
from mcuformer.targets.board import Board, MemoryRegion
from mcuformer.targets.cores import machine_of
from mcuformer.targets.elf import read_elf
from mcuformer.targets.objects import compile_objects
from mcuformer.targets.port import PORT, PortPlan, linker_script, mpu_header
from mcuformer.targets.tool import DOCTOR
from mcuformer.targets.toolchain import Toolchain, find_toolchain

_MORE_FLASH = (
    "compile with --weight-bits auto or 4, with --weights qspi, or for a board with more flash"
)


def build_firmware(
    directory: Path,
    board: Board,
    toolchain: Toolchain | None = None,
    *,
    profile: bool = True,
    trace: bool = False,
    qemu: bool = False,
    build: Path | None = None,
    defines: Iterable[str] = (),
) -> Path:
    """Compile and link the package in `directory`; the ELF lies in `build` (DIR/build).

    `profile` counts cycles per layer, `trace` shows every layer's rows to an emulator, `qemu` links
    for QEMU's mps2 machine instead of the board. DoesNotFitError when a region overflows.
    """
    if board.is_host or not (board.has_firmware or qemu):
        raise UsageError(f"{board.name} has no firmware", "build a host program instead")
    toolchain = toolchain or find_toolchain()
    build = build or directory / "build"
    build.mkdir(parents=True, exist_ok=True)
    name = "qemu" if qemu else "firmware"
    name += ("" if profile else "-plain") + ("-trace" if trace else "")
    sources = [
        *model_sources(directory),
        *(_qemu_sources(directory) if qemu else _port_sources(directory)),
    ]
    script = _qemu_files(build / "qemu", board) if qemu else directory / "link.ld"
    port_includes = [build / "qemu", PORT] if qemu else [directory / "port"]
    includes = [
        directory,
        directory / "runtime" / "include",
        directory / "runtime" / "src",
        *port_includes,
    ]
    flags = (
        *(("-DMCF_PROFILE",) if profile else ()),
        *(("-DMCF_TRACING",) if trace else ()),
        *(f"-D{define}" for define in defines),
        *(f"-I{path}" for path in includes),
    )
    objects = compile_objects(
        sources, includes, lambda source: toolchain.compile_command(board.core, source, flags),
        toolchain.version, build / "objects",
    )  # fmt: skip
    elf = build / f"{name}.elf"
    try:
        toolchain.link(board.core, objects, script, elf)
    except McuformerError as error:
        raise _overflow(error, board) from None
    if read_elf(elf).symbol("Reset_Handler") is None:
        raise ToolFailedError(f"linking {elf.name}: the program has no functions", DOCTOR)
    return elf


def model_sources(directory: Path) -> list[Path]:
    """The inference library: generated C, weights, and the kernels it uses."""
    if not (directory / "model.c").is_file():
        raise UsageError(
            f"{directory} holds no compiled model", "mcuformer compile MODEL.onnx -o DIR makes one"
        )
    found = (
        directory.glob("*.c"),
        directory.glob("*.S"),
        (directory / "runtime" / "src").glob("*.c"),
    )
    return [path for group in found for path in sorted(group)]


def _port_sources(directory: Path) -> list[Path]:
    return sorted((directory / "port").glob("*.c"))


def _qemu_sources(directory: Path) -> list[Path]:
    shared = [PORT / name for name in ("startup.c", "mpu.c", "batch.c", "profile.c", "memory.c")]
    return [directory / "port" / "main.c", *shared, *sorted((PORT / "qemu").glob("*.c"))]


def qemu_board(board: Board) -> Board:
    """The board's memory where QEMU's mps2 has some: code at 0, SRAM at 0x20000000, PSRAM for QSPI.

    Its 4 MB of SRAM hold all regions, one behind the other: one span for the MPU. The first gets
    64 KB more than the board has, for the stack of the semihosting code: what a plan needs is
    measured in Unicorn, on the board's own map.
    """
    memory = [MemoryRegion(board.flash.name, "flash", 0, 4 << 20)]
    base = 0x20000000
    for region in board.arenas:
        extra = 64 << 10 if not memory[1:] else 0
        memory.append(MemoryRegion(region.name, "ram", base, region.size_bytes + extra))
        base = memory[-1].end
    # a name that no region of a board file can have
    memory.append(MemoryRegion("PSRAM", "qspi", machine_of(board.core).psram, 16 << 20))
    return replace(board, memory=tuple(memory), family="qemu", stack_bytes=16 << 10)


def _qemu_files(build: Path, board: Board) -> Path:
    build.mkdir(parents=True, exist_ok=True)
    script = build / "link.ld"
    plan = PortPlan(model="", arena_bytes=0, layers=0, stack_bytes=16 << 10, qspi=True)
    machine = qemu_board(board)
    script.write_text(linker_script(machine, plan), encoding="utf-8")
    (build / "mcf_board.h").write_text(mpu_header(machine), encoding="utf-8")
    return script


def _overflow(error: McuformerError, board: Board) -> McuformerError:
    """The linker's 'region `sram' overflowed by 512 bytes' as the error of the contract."""
    found = re.findall(r"region [`'](\w+)' overflowed by (\d+) bytes", error.message)
    found += [
        (n, b)
        for n, b in re.findall(
            r"will not fit in region '(\w+)': overflowed by (\d+)", error.message
        )
    ]
    if not found:
        return error
    region, over = max(found, key=lambda f: int(f[1]))
    full = next((r for r in board.memory if r.name == region), None)
    has = f" of {full.size_bytes:,} B" if full else ""
    hint = _MORE_FLASH if full and full.kind == "flash" else None
    return DoesNotFitError(f"{region}{has} overflows by {int(over):,} B at link time", hint)
