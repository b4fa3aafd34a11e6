"""Cores by name: what a compiler, an emulator, the start-up code and the planner must know of each.

A core without a row does not exist: a board file cannot name it. The host is no row: its compiler
and its memory are whatever the machine has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mcuformer.errors import UsageError
from mcuformer.kernels.costs import CORTEX_M4, CORTEX_M7, CORTEX_M33, CostSet

Mpu = Literal["armv6-m", "armv7-m", "armv8-m"]
"""armv6-m and armv7-m: powers of two with disabled eighths (RBAR, RASR); armv8-m: any span of 32 B."""


@dataclass(frozen=True, slots=True)
class QemuMachine:
    """A machine of QEMU with code at 0 and SRAM at 0x20000000, whose PSRAM stands for a QSPI flash."""

    name: str
    psram: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """`fpu` None: soft float. `dsp`: the kernels' loops in assembly (MCF_DSP), else portable C.

    `mpu`: the unit that chips of this core have, if any. `cache_line_bytes`: 0 without caches.
    `dwt_lock`: the cycle counter counts only once its lock is open. `unicorn`: the model in Unicorn,
    by the end of its constant's name; `qemu` None: no machine whose memory the port's code knows.
    `costs` None: the kernels were not measured there, so nothing can be planned for it.
    """

    name: str  # as gcc, LLVM and Renode spell it
    triple: str  # the architecture, as LLVM spells it
    fpu: str | None
    dsp: bool
    mve: bool = False
    mpu: Mpu
    cache_line_bytes: int = 0
    dwt_lock: bool = False
    zig_cpu: str
    unicorn: str
    qemu: QemuMachine | None
    costs: CostSet | None = None

    @property
    def abi(self) -> Literal["hard", "soft"]:
        return "hard" if self.fpu else "soft"

    @property
    def gcc_flags(self) -> tuple[str, ...]:
        fpu = (f"-mfpu={self.fpu}",) if self.fpu else ()
        return (f"-mcpu={self.name}", "-mthumb", *fpu, f"-mfloat-abi={self.abi}")

    @property
    def zig_flags(self) -> tuple[str, ...]:
        abi = "eabihf" if self.fpu else "eabi"
        return ("-target", f"thumb-freestanding-{abi}", f"-mcpu={self.zig_cpu}")


# Plain -mcpu=cortex_m7 would silently compile soft float in zig: its CPUs are spelled with their FPU.
_ROWS = (
    Core(
        name="cortex-m7", triple="thumbv7em-none-eabi", fpu="fpv5-sp-d16", dsp=True, mpu="armv7-m",
        cache_line_bytes=32, dwt_lock=True, zig_cpu="cortex_m7-fp64+fp_armv8d16sp",
        unicorn="CORTEX_M7", qemu=QemuMachine("mps2-an500", 0x60000000), costs=CORTEX_M7,
    ),
    Core(
        name="cortex-m4", triple="thumbv7em-none-eabi", fpu="fpv4-sp-d16", dsp=True, mpu="armv7-m",
        zig_cpu="cortex_m4+vfp4d16sp",
        unicorn="CORTEX_M4", qemu=QemuMachine("mps2-an386", 0x21000000), costs=CORTEX_M4,
    ),
    Core(
        name="cortex-m33", triple="thumbv8m.main-none-eabi", fpu="fpv5-sp-d16", dsp=True, mpu="armv8-m",
        zig_cpu="cortex_m33+dsp+fp_armv8d16sp",
        unicorn="CORTEX_M33", qemu=None,  # mps2-an505 begins at 0x10000000
        costs=CORTEX_M33,
    ),
    Core(
        name="cortex-m3", triple="thumbv7m-none-eabi", fpu=None, dsp=False, mpu="armv7-m",
        zig_cpu="cortex_m3",
        unicorn="CORTEX_M3", qemu=QemuMachine("mps2-an385", 0x21000000),
    ),
    Core(
        name="cortex-m0plus", triple="thumbv6m-none-eabi", fpu=None, dsp=False, mpu="armv6-m",
        zig_cpu="cortex_m0plus",
        unicorn="CORTEX_M0", qemu=None,  # the same instructions; QEMU's microbit has 16 KB of RAM
    ),
)  # fmt: skip
CORES: Mapping[str, Core] = {row.name: row for row in _ROWS}


def machine_of(core: str) -> QemuMachine:
    """QEMU's machine with this core; UsageError where there is none."""
    machine = CORES[core].qemu
    if machine is None:
        raise UsageError(f"no machine of QEMU runs a {core}'s firmware", "use unicorn or host")
    return machine


def costs_of(core: str) -> CostSet:
    """What programs are planned by; those of the host as for a Cortex-M7."""
    row = CORES.get(core)
    costs = CORTEX_M7 if row is None else row.costs
    if costs is None:
        raise UsageError(f"what the kernels cost on a {core} is not measured")
    return costs
