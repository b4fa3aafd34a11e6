"""Puts a firmware on a board: st-flash for internal flash, openocd for QSPI."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcuformer.errors import FlashError, ToolMissingError, UsageError
from mcuformer.targets.board import Board, MemoryRegion
from mcuformer.targets.elf import Elf, read_elf

_PACKAGES: Mapping[str, str] = {"st-flash": "stlink-tools", "openocd": "openocd"}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool."""

    what: str
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.argv)


def plan_flash(
    elf_path: Path, board: Board, images: Path, runner: str | None = None
) -> list[ToolCall]:
    """The steps that write the firmware, weights first; their binary images are left in `images`.

    `runner`: st-flash writes internal flash and leaves QSPI to openocd; openocd writes both.
    """
    runner = runner or (board.runners.flash[0] if board.runners.flash else None)
    if runner is None or runner not in board.runners.flash:
        known = ", ".join(board.runners.flash)
        if not known:
            hint = "name st-flash or openocd in `flash` of [runners]"
            raise UsageError(f"the board file of {board.name} names no runner that flashes", hint)
        raise UsageError(f"{board.name} is not flashed by {runner}", f"its runners: {known}")
    elf = read_elf(elf_path)
    if runner == "openocd":
        return [_openocd(board, "all of the firmware", str(elf_path.resolve()))]
    steps = []
    images.mkdir(parents=True, exist_ok=True)
    qspi = board.qspi_region
    weights = region_image(elf, qspi) if qspi is not None else b""
    if qspi is not None and weights:
        path = _write(images / "qspi.bin", weights)
        steps.append(_openocd(board, f"{len(weights):,} B to QSPI", path, f" 0x{qspi.base:08x}"))
    code = region_image(elf, board.flash)
    path = _write(images / "flash.bin", code)
    argv = ("st-flash", "--reset", "write", path, f"0x{board.flash.base:08x}")
    steps.append(ToolCall(f"{len(code):,} B to internal flash", argv))
    return steps


def flash(steps: list[ToolCall], say: Callable[[ToolCall], object] = lambda step: None) -> None:
    """Run the steps, each told before; nothing is begun where a tool is missing.

    FlashError with the tool's words when one fails."""
    for step in steps:
        tool = step.argv[0]
        if shutil.which(tool) is None:
            raise ToolMissingError(f"{tool} is not installed", f"apt-get install {_PACKAGES[tool]}")
    for step in steps:
        say(step)
        result = subprocess.run(
            step.argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if result.returncode:
            words = result.stdout.strip()[-2000:]
            raise FlashError(
                f"{step.argv[0]} failed (exit {result.returncode}) writing {step.what}:\n{words}",
                "is the board connected, and may you use its USB device?",
            )


def region_image(elf: Elf, region: MemoryRegion) -> bytes:
    """What the ELF stores in a region, from its base to its last byte, gaps as erased flash."""
    parts = [
        (s.load_address - region.base, s.data) for s in elf.segments if s.load_address in region
    ]
    image = bytearray(b"\xff" * max((at + len(data) for at, data in parts), default=0))
    for at, data in parts:
        image[at : at + len(data)] = data
    return bytes(image)


def _openocd(board: Board, what: str, path: str, address: str = "") -> ToolCall:
    if board.runners.openocd_config is None:
        raise UsageError(f"{board.name} has no openocd_config, which writing QSPI needs")
    command = f"program {{{path}}}{address} verify reset exit"
    return ToolCall(what, ("openocd", "-f", board.runners.openocd_config, "-c", command))


def _write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path.resolve())
