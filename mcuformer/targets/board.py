"""A board as its TOML file states it: memory, clock, pins, and the tools that reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HOST = "host"  # the core of the board that is this computer
MemoryKind = Literal["ram", "ccm", "itcm", "flash", "qspi"]
WeightsFlash = Literal["internal", "qspi"]  # the flash that holds the weights
WantedFlash = Literal["internal", "qspi", "auto"]


@dataclass(frozen=True, slots=True)
class MemoryRegion:
    """`fast_bytes` at the start of a RAM are tightly coupled to the core (DTCM)."""

    name: str
    kind: MemoryKind
    base: int
    size_bytes: int
    fast_bytes: int = 0

    @property
    def end(self) -> int:
        return self.base + self.size_bytes

    @property
    def is_sram(self) -> bool:
        """Holds data that a plan may place."""
        return self.kind in ("ram", "ccm")

    @property
    def executable(self) -> bool:
        return self.kind in ("flash", "itcm")

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.base <= address < self.end


@dataclass(frozen=True, slots=True)
class Clock:
    """Without a family only `cpu_hz` says something."""

    hse_hz: int
    hse_bypass: bool  # an external clock signal instead of a crystal
    cpu_hz: int


@dataclass(frozen=True, slots=True)
class Uart:
    """Pins are written as PA9; `*_af` is the alternate function that carries the USART there."""

    name: str
    tx: str
    tx_af: int
    rx: str
    rx_af: int
    baud: int


@dataclass(frozen=True, slots=True)
class Qspi:
    """A quad SPI NOR flash that answers `read_command` with address and data on four lines.

    `pins` are written as PB2/9 (pin / alternate function); its clock is HCLK / prescaler.
    """

    read_command: int
    dummy_cycles: int
    prescaler: int
    pins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Runners:
    emulators: tuple[str, ...] = ("host",)
    flash: tuple[str, ...] = ()
    openocd_config: str | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """`core` names a row of cores.py, or HOST; `family` one of families.py.

    `family` None: the host, or a chip whose start-up code is the user's: it gets the inference
    library, and no firmware.
    """

    name: str
    aliases: tuple[str, ...]
    description: str
    core: str
    family: str | None
    stack_bytes: int
    memory: tuple[MemoryRegion, ...]
    clock: Clock | None
    uart: Uart | None
    qspi: Qspi | None
    runners: Runners

    @property
    def is_host(self) -> bool:
        """This computer: its memory has no map and its flash no end."""
        return self.core == HOST

    @property
    def has_firmware(self) -> bool:
        """Whether an ELF with start-up code is linked for it."""
        return self.family is not None

    @property
    def arenas(self) -> tuple[MemoryRegion, ...]:
        """SRAM regions in the order of the arena sections `.mcf_arena`, `.mcf_arena1`, ...

        The first also holds the stack, .data and .bss.
        """
        return tuple(r for r in self.memory if r.is_sram)

    @property
    def sram_bytes(self) -> int:
        return sum(r.size_bytes for r in self.arenas)

    @property
    def flash(self) -> MemoryRegion:
        """The internal flash."""
        return next(r for r in self.memory if r.kind == "flash")

    @property
    def qspi_region(self) -> MemoryRegion | None:
        return next((r for r in self.memory if r.kind == "qspi"), None)

    @property
    def itcm(self) -> MemoryRegion | None:
        return next((r for r in self.memory if r.kind == "itcm"), None)

    @property
    def flash_bytes(self) -> int:
        """Internal flash and QSPI together."""
        return sum(r.size_bytes for r in self.flashes)

    @property
    def flashes(self) -> tuple[MemoryRegion, ...]:
        """Internal flash and QSPI."""
        return tuple(r for r in self.memory if r.kind in ("flash", "qspi"))

    def region_of(self, address: int) -> MemoryRegion | None:
        return next((r for r in self.memory if address in r), None)
