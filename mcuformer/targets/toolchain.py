"""The cross compiler: arm-none-eabi-gcc where installed, else zig from the `ziglang` wheel."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from mcuformer.errors import ToolFailedError, ToolMissingError
from mcuformer.targets.blame import blamed
from mcuformer.targets.cores import CORES
from mcuformer.targets.tool import made_by, run_tool

# Same meaning in every compiler: no fused multiply-add, so that floats (if any) give the same bits.
COMMON_FLAGS = (
    "-std=c11", "-O3", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections",
    "-ffp-contract=off", "-fno-math-errno",
)  # fmt: skip
# zig adds sanitizer traps, frame pointers and debug information unless told not to.
_ZIG_FLAGS = ("-fno-sanitize=undefined", "-fomit-frame-pointer", "-g0")
# Loops that must not become library calls: of themselves in memory.c, of strlen in semihost.c.
_PLAIN_LOOPS = ("memory.c", "semihost.c")
_NO_IDIOMS: Mapping[str, tuple[str, ...]] = {
    "gcc": ("-fno-builtin", "-fno-tree-loop-distribute-patterns"),
    "zig": ("-fno-builtin",),
}


@dataclass(frozen=True, slots=True)
class Toolchain:
    name: Literal["gcc", "zig"]
    command: tuple[str, ...]
    version: str

    def compile_flags(self, core: str) -> tuple[str, ...]:
        own = () if self.name == "gcc" else _ZIG_FLAGS
        return (*self.core_flags(core), *COMMON_FLAGS, *own)

    def core_flags(self, core: str) -> tuple[str, ...]:
        return CORES[core].gcc_flags if self.name == "gcc" else CORES[core].zig_flags

    def compile_command(self, core: str, source: Path, extra: tuple[str, ...]) -> tuple[str, ...]:
        """All but the names of source and object."""
        idioms = _NO_IDIOMS[self.name] if source.name in _PLAIN_LOOPS else ()
        return (*self.command, *self.compile_flags(core), *idioms, *extra, "-c")

    def link(self, core: str, objects: list[Path], script: Path, target: Path) -> None:
        flags = self.core_flags(core)
        link = ["-nostdlib", "-T", str(script), "-Wl,--gc-sections", "-Wl,-e,Reset_Handler"]
        library = ["-lgcc", "-Wl,--no-warn-rwx-segments"] if self.name == "gcc" else []
        names = [str(path) for path in objects]
        what = f"linking {target.name}"
        target.unlink(missing_ok=True)
        words = [*self.command, *flags]
        try:
            run_tool([*words, *link, *names, *library, "-o", str(target)], what)
        except ToolFailedError as error:
            bare = ["-nostdlib", "-Wl,-e,main", *library[:1]]
            raise blamed(error, [*self.command, *self.compile_flags(core)], bare) from error
        made_by(self.command, what, target)


@cache
def find_toolchain(name: str | None = None) -> Toolchain:
    """The preferred installed toolchain, or the one called `name` (gcc, zig)."""
    candidates = [t for t in (_gcc(), _zig()) if t is not None and name in (None, t.name)]
    if not candidates:
        raise ToolMissingError(
            f"no cross compiler for Cortex-M{f' called {name}' if name else ''}",
            "apt-get install gcc-arm-none-eabi, or pip install ziglang",
        )
    return candidates[0]


def first_line(argv: list[str]) -> str | None:
    """A tool's version line, None when it does not run."""
    try:
        result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = (result.stdout + result.stderr).strip().splitlines()
    return lines[0] if result.returncode == 0 and lines else None


def _gcc() -> Toolchain | None:
    path = shutil.which("arm-none-eabi-gcc")
    line = path and first_line([path, "--version"])
    match = re.search(r"(\d+\.\d+\.\d+)", line.split(")")[-1]) if line else None
    return Toolchain("gcc", (path,), match[1] if match else str(line)) if path and line else None


def _zig() -> Toolchain | None:
    if importlib.util.find_spec("ziglang") is None:
        return None
    command = (sys.executable, "-m", "ziglang")
    version = first_line([*command, "version"])
    return Toolchain("zig", (*command, "cc"), version) if version else None
