"""A board in Unicorn: its memory map, fake peripherals, and a serial port that ends in Python."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Collection, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mcuformer.targets.board import Board, MemoryRegion
from mcuformer.targets.chip.chip import Chip
from mcuformer.targets.chip.counter import Code, make_counter
from mcuformer.targets.chip.engine import Engine, EngineError
from mcuformer.targets.chip.mpu_model import EXECUTE, READ, WRITE
from mcuformer.targets.elf import Elf
from mcuformer.targets.faults import FirmwareError, StackError
from mcuformer.targets.limits import endless

Stop = Literal["waiting", "asleep"]
_REGISTERS = ((0x40000000, 0x20000000), (0xA0001000, 0x1000), (0xE0000000, 0x100000))
# What the bus allows before the MPU narrows it. ITCM is filled by the core itself.
_BUS: Mapping[str, int] = {
    "flash": READ | EXECUTE,
    "itcm": READ | WRITE | EXECUTE,
    "ram": READ | WRITE,
    "ccm": READ | WRITE,
}
# Fake time that passes while the firmware waits for a byte that does not come.
_STARVED_MS = 10


class Machine:
    """Runs an ELF until it waits for input (`resume`: "waiting") or sleeps for good ("asleep").

    `dead` names ready bits that never come (see chip.clocks, chip.quadspi, chip.ppb).
    RAM starts as reproducible noise, so that `written` tells which bytes the firmware touched.
    """

    def __init__(self, elf: Elf, board: Board, dead: Collection[str] = (), seed: int = 0) -> None:
        self.elf, self.board = elf, board
        self.engine = Engine(board.core)
        self.memory = {region.name: _buffer(region, seed) for region in board.memory}
        self.paint = {r.name: bytes(self.memory[r.name]) for r in board.arenas}
        self.qspi_mapped = False
        self.permissions: list[
            tuple[int, int, int]
        ] = []  # start, end, allowed: as the engine has them
        self.wanted_permissions = self.permissions
        self.skipped_ticks = 0
        self.starved = False
        self.limit_s = 0.0
        self.until: float | None = None
        self.fault: tuple[str, int, int] | None = None
        self._map_memory()
        self._load()
        self.counter = make_counter(self.engine, self._codes())
        self.chip = Chip(board, dead, self.ticks, self._starving, self._qspi, self._permissions)
        for base, size in _REGISTERS:
            self.engine.map_registers(base, size, self.chip.read, self.chip.write)
        self.engine.on_invalid(self._invalid)
        vectors = self.read(board.flash.base, 8)
        self.engine.set("sp", int.from_bytes(vectors[:4], "little"))
        self.pc = int.from_bytes(vectors[4:], "little") & ~1

    @property
    def instructions(self) -> int:
        return self.counter.instructions

    def ticks(self) -> int:
        return self.counter.instructions + self.skipped_ticks

    def read(self, address: int, size_bytes: int) -> bytes:
        region = self.board.region_of(address)
        if region is None or address + size_bytes > region.end:
            raise FirmwareError(f"0x{address:08x} is no memory of {self.board.name}")
        start = address - region.base
        return bytes(memoryview(self.memory[region.name])[start : start + size_bytes])

    def write(self, address: int, data: bytes) -> None:
        """Into any memory, flash included, as a probe would."""
        region = self.board.region_of(address)
        if region is None or address + len(data) > region.end:
            raise FirmwareError(f"0x{address:08x} is no memory of {self.board.name}")
        ctypes.memmove(
            ctypes.addressof(self.memory[region.name]) + address - region.base, data, len(data)
        )

    def written(self, region: MemoryRegion) -> NDArray[np.bool_]:
        """One flag per byte of a RAM: did it change since the start?"""
        now = np.frombuffer(memoryview(self.memory[region.name]), dtype=np.uint8)
        return now != np.frombuffer(self.paint[region.name], dtype=np.uint8)

    def end_within(self, limit_s: float) -> None:
        """From now on by the wall's clock; `resume` then raises EndlessError."""
        self.limit_s, self.until = limit_s, time.monotonic() + limit_s

    def pass_time(self, seconds: float) -> None:
        """Of the emulated clock, in which no instruction runs."""
        assert self.board.clock is not None
        self.skipped_ticks += round(self.board.clock.cpu_hz * seconds)

    def resume(self) -> Stop:
        """Run on. Without new input time passes, so that the firmware's own time-outs come."""
        if self.starved and not self.chip.usart.received:
            self.pass_time(_STARVED_MS / 1000)
        self.starved = False
        while True:
            try:
                self.pc = self.engine.run(self.pc, self.until)
            except EngineError as error:
                raise self._fault(error) from None
            if self.until is not None and time.monotonic() >= self.until:
                raise endless("the firmware in Unicorn", self.limit_s, f"it is {self._at()}")
            if self.wanted_permissions != self.permissions:
                self.counter.repeat()
                self._protect()
            elif self.starved:
                self.counter.repeat()
                return "waiting"
            else:
                return "asleep"

    def _map_memory(self) -> None:
        for region in self.board.memory:
            self.engine.map_memory(region.base, self.memory[region.name], _BUS.get(region.kind, 0))

    def _load(self) -> None:
        for segment in self.elf.segments:
            try:
                self.write(segment.load_address, segment.data)
            except FirmwareError:
                raise FirmwareError(
                    f"a segment at 0x{segment.load_address:08x} is in no memory of this board"
                ) from None

    def _codes(self) -> list[Code]:
        """Executable regions, cut at the last address that holds code."""
        result = []
        for region in self.board.memory:
            ends = [s.end for s in self.elf.sections if s.executable and s.address in region]
            if ends:
                result.append(
                    Code(
                        region.base,
                        (max(ends) - region.base + 1) // 2 * 2,
                        self.memory[region.name],
                    )
                )
        return result

    def _starving(self) -> None:
        self.starved = True
        self.engine.stop()

    def _qspi(self, mapped: bool) -> None:
        self.qspi_mapped = mapped
        self._permissions()

    def _permissions(self) -> None:
        """Applied between two runs of the engine: changing them inside a callback is not safe.

        The engine then runs the instruction that brought the change once more, with no new effect.
        """
        self.wanted_permissions = [
            (start, end, self._bus(region) & allowed)
            for region in self.board.memory
            for start, end, allowed in self.chip.ppb.mpu.spans(region.base, region.end)
        ]
        if self.wanted_permissions != self.permissions:
            self.engine.stop()

    def _bus(self, region: MemoryRegion) -> int:
        if region.kind == "qspi":
            return READ if self.qspi_mapped else 0
        return _BUS[region.kind] if self.chip.is_clocked(region) else 0

    def _protect(self) -> None:
        for start, end, allowed in self.wanted_permissions:
            self.engine.protect(start, end, allowed)
        self.permissions = self.wanted_permissions

    def _invalid(self, kind: str, address: int, size: int) -> None:
        self.fault = (kind, address, size)

    def _fault(self, error: EngineError) -> FirmwareError:
        at = self._at()
        if self.fault is None:
            return FirmwareError(f"{error} {at}")
        kind, address, size = self.fault
        if self._overflows(address):
            return StackError(
                f"the stack of {self.board.stack_bytes:,} B overflows {at}",
                "raise stack_bytes in the board file",
            )
        region = self.board.region_of(address)
        if address < 0x1000:
            place = "a NULL pointer"
        elif region is None:
            place = f"outside of every memory of {self.board.name}{self._beyond(address)}"
        elif region.kind == "qspi" and not self.qspi_mapped:
            place = "QSPI, which is not memory-mapped yet"
        elif not self.chip.is_clocked(region):
            place = f"{region.name}, whose clock is off"
        else:
            place = f"forbidden in {region.name}"
        return FirmwareError(f"{kind} of {size} bytes at 0x{address:08x}, {place}, {at}")

    def _overflows(self, address: int) -> bool:
        """Below the RAM that begins with the stack, and near where the stack has grown to."""
        base = self.board.arenas[0].base
        return base - 0x10000 <= address < base and abs(self.engine.get("sp") - address) < 0x10000

    def _at(self) -> str:
        pc, lr = self.engine.get("pc"), self.engine.get("lr")
        return f"in {self.elf.where(pc)} (pc 0x{pc:08x}, called from {self.elf.where(lr & ~1)})"

    def _beyond(self, address: int) -> str:
        for region in self.board.arenas:
            if region.end <= address < region.end + 0x100000:
                return f", {address - region.end + 1:,} B past the end of {region.name}"
            if region.base - 0x10000 <= address < region.base:
                return f", {region.base - address:,} B below {region.name}"
        return ""


def _buffer(region: MemoryRegion, seed: int) -> ctypes.Array:
    """Erased flash, noise in RAM."""
    if region.is_sram or region.kind == "itcm":
        noise = np.random.default_rng([seed, region.base]).bytes(region.size_bytes)
        return ctypes.create_string_buffer(noise, region.size_bytes)
    buffer = ctypes.create_string_buffer(region.size_bytes)
    ctypes.memset(buffer, 0xFF, region.size_bytes)
    return buffer
