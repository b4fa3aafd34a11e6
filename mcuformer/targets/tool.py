"""Calls of a compiler or linker: what it leaves, or how it failed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mcuformer.errors import ToolFailedError

_LONGEST_S = 600  # of one call: large weights take a minute
DOCTOR = "mcuformer doctor shows which compiler this is; try another, or install it again"


def run_tool(argv: list[str], what: str) -> str:
    """Its stdout; a failure shows the tool's own words."""
    try:
        result = subprocess.run(
            argv, capture_output=True, text=True, check=False, errors="replace",
            stdin=subprocess.DEVNULL, timeout=_LONGEST_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ToolFailedError(f"{what}: {argv[0]} hangs ({_LONGEST_S} s)", DOCTOR) from None
    except OSError as error:
        raise ToolFailedError(f"{what}: {argv[0]}: {error.strerror}", DOCTOR) from error
    if result.returncode:
        words = (result.stderr.strip() or result.stdout.strip())[-4000:] or "it says nothing"
        failure = ToolFailedError(f"{what} failed (exit {result.returncode}):\n{words}", DOCTOR)
        failure.complains = result.returncode > 0 and "internal compiler error" not in words
        raise failure
    return result.stdout


def made_by(argv: Sequence[str], what: str, path: Path) -> Path:
    """`path`, which a tool has just made: an ELF file; ToolFailedError where it is none."""
    with suppress(OSError), path.open("rb") as file:
        if file.read(4) == b"\x7fELF":
            return path
    raise ToolFailedError(f"{what}: {argv[0]} ends well and leaves no ELF file", DOCTOR)
