"""Runs the package's objects in a machine of QEMU's with the board's core."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mcuformer.errors import ToolMissingError
from mcuformer.targets.batch import read_inferences, write_inputs
from mcuformer.targets.child import child, words_of
from mcuformer.targets.cores import machine_of
from mcuformer.targets.faults import FirmwareError
from mcuformer.targets.limits import DEFAULT_S
from mcuformer.targets.result import RunResult

_TICK_NS, _INSTRUCTION_NS = 40, 64  # of the 25 MHz timer; of -icount shift=6
_WHY = "QEMU's machine has another memory map: Unicorn measures on the board's own"


def run(
    elf: Path,
    inputs: Sequence[bytes],
    *,
    trace: bool = False,
    core: str,
    timeout_s: float = DEFAULT_S,
    variant: int | None = None,
) -> RunResult:
    """`elf` from build_firmware(..., qemu=True); `trace` needs trace=True there too.

    EndlessError where QEMU has not ended after `timeout_s`.
    """
    with tempfile.TemporaryDirectory(prefix="mcuformer-") as name:
        folder = Path(name)
        write_inputs(folder, inputs, variant)
        _qemu(elf, core, folder, timeout_s)
        inferences = read_inferences(folder, len(inputs), trace, _instructions)
    why = dict.fromkeys(("sram_high_water_bytes", "stack_high_water_bytes"), _WHY)
    return RunResult("qemu", tuple(inferences), why=why)


def qemu_command() -> str:
    path = shutil.which("qemu-system-arm")
    if path is None:
        raise ToolMissingError(
            "qemu-system-arm is not installed", "apt-get install qemu-system-arm"
        )
    return path


def _qemu(elf: Path, core: str, folder: Path, timeout_s: float) -> None:
    machine = machine_of(core).name
    argv = [
        qemu_command(), "-M", machine, "-nographic", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native", "-icount", "shift=6",
        "-kernel", str(elf.resolve()),
    ]  # fmt: skip
    with child(argv, folder) as process:
        words = words_of(process, "QEMU", timeout_s, timeout_s)
    if process.returncode:
        raise FirmwareError(f"QEMU: {words[-2000:] or f'exit {process.returncode}'}")


def _instructions(ticks: int) -> int:
    return round(ticks * _TICK_NS / _INSTRUCTION_NS)
