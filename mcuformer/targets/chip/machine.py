"""A board in Unicorn: its memory map, fake peripherals, and a serial port whose host end is Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from unicorn import (
    UC_ARCH_ARM,
    UC_HOOK_MEM_INVALID,
    UC_MEM_FETCH,
    UC_MEM_FETCH_PROT,
    UC_MEM_FETCH_UNMAPPED,
    UC_MEM_READ,
    UC_MEM_READ_PROT,
    UC_MEM_READ_UNMAPPED,
    UC_MODE_MCLASS,
    UC_MODE_THUMB,
    Uc,
    UcError,
)
from unicorn.arm_const import (
    UC_ARM_REG_LR,
    UC_ARM_REG_PC,
    UC_ARM_REG_SP,
    UC_CPU_ARM_CORTEX_M4,
    UC_CPU_ARM_CORTEX_M7,
)

from mcuformer.targets.board import Board, Region
from mcuformer.targets.chip.chip import Chip
from mcuformer.targets.chip.counter import Code, make_counter
from mcuformer.targets.chip.mpu_model import EXECUTE, READ, WRITE
from mcuformer.targets.elf import Elf
from mcuformer.targets.faults import FirmwareError

Stop = Literal["waiting", "asleep"]
_CPUS = {"cortex-m7": UC_CPU_ARM_CORTEX_M7, "cortex-m4": UC_CPU_ARM_CORTEX_M4}
_PPB, _PPB_BYTES = 0xE0000000, 0x100000
# What the bus allows before the MPU narrows it. ITCM is filled by the core itself.
_BUS = {"flash": READ | EXECUTE, "itcm": READ | WRITE | EXECUTE, "ram": READ | WRITE, "ccm": READ | WRITE}
_ACCESSES = {
    UC_MEM_READ: "read", UC_MEM_READ_UNMAPPED: "read", UC_MEM_READ_PROT: "read",
    UC_MEM_FETCH: "execution", UC_MEM_FETCH_UNMAPPED: "execution", UC_MEM_FETCH_PROT: "execution",
}  # fmt: skip
# Fake time that passes while the firmware waits for a byte that does not come.
_STARVED_MS = 10


class Machine:
    """Runs an ELF until it waits for input (`resume` returns "waiting") or sleeps for good ("asleep").

    `dead` names ready bits that never come (see chip.clocks, chip.quadspi, chip.ppb).
    RAM starts as reproducible noise, so that `written` tells which bytes the firmware touched.
    """

    def __init__(self, elf: Elf, board: Board, dead: Collection[str] = (), seed: int = 0) -> None:
        self.elf, self.board = elf, board
        self.uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(_CPUS[board.core])
        self.memory = {region.name: _buffer(region, seed) for region in board.memory}
        self.paint = {r.name: bytes(self.memory[r.name]) for r in board.arenas}
        self.qspi_mapped = False
        self.permissions: list[tuple[int, int, int]] = []  # start, end, allowed: as the engine has them
        self.wanted_permissions = self.permissions
        self.skipped_ticks = 0
        self.starved = False
        self.fault: tuple[str, int, int] | None = None
        self._map_memory()
        self._load()
        self.counter = make_counter(self.uc, self._codes())
        self.chip = Chip(board, dead, self.ticks, self._starving, self._qspi, self._permissions)
        self._map_peripherals()
        self.uc.hook_add(UC_HOOK_MEM_INVALID, self._invalid)
        vectors = self.read(board.flash.base, 8)
        self.uc.reg_write(UC_ARM_REG_SP, int.from_bytes(vectors[:4], "little"))
        self.pc = int.from_bytes(vectors[4:], "little")

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
        ctypes.memmove(ctypes.addressof(self.memory[region.name]) + address - region.base, data, len(data))

    def written(self, region: Region) -> NDArray[np.bool_]:
        """One flag per byte of a RAM: did it change since the start?"""
        now = np.frombuffer(self.memory[region.name], dtype=np.uint8)
        return now != np.frombuffer(self.paint[region.name], dtype=np.uint8)

    def call_hook(self, address: int, function: Callable[[Uc], None]) -> None:
        """Calls `function` whenever the instruction at `address` runs."""
        from unicorn import UC_HOOK_CODE

        self.uc.hook_add(UC_HOOK_CODE, lambda uc, *_: function(uc), begin=address, end=address)

    def resume(self) -> Stop:
        """Run on. Without new input time passes, so that the firmware's own time-outs come."""
        if self.starved and not self.chip.usart.received:
            assert self.board.clock is not None
            self.skipped_ticks += self.board.clock.cpu_hz // 1000 * _STARVED_MS
        self.starved = False
        while True:
            try:
                self.uc.emu_start(self.pc | 1, 0xFFFFFFFE)
            except UcError as error:
                raise FirmwareError(self._fault_text(error)) from None
            self.pc = self.uc.reg_read(UC_ARM_REG_PC)
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
            pointer = ctypes.addressof(self.memory[region.name])
            self.uc.mem_map_ptr(region.base, region.size_bytes, _BUS.get(region.kind, 0), pointer)

    def _load(self) -> None:
        for segment in self.elf.segments:
            try:
                self.write(segment.load_address, segment.data)
            except FirmwareError:
                raise FirmwareError(
                    f"a segment at 0x{segment.load_address:08x} lies in no memory of {self.board.name}"
                ) from None

    def _codes(self) -> list[Code]:
        """Executable regions, cut at the last address that holds code."""
        result = []
        for region in self.board.memory:
            ends = [s.end for s in self.elf.sections if s.executable and s.address in region]
            if ends:
                result.append(Code(region.base, (max(ends) - region.base + 1) // 2 * 2, self.memory[region.name]))
        return result

    def _map_peripherals(self) -> None:
        for base, size in ((0x40000000, 0x20000000), (0xA0001000, 0x1000), (_PPB, _PPB_BYTES)):
            self.uc.mmio_map(base, size, self._read_at(base), None, self._write_at(base), None)

    def _read_at(self, base: int) -> Callable[..., int]:
        return lambda _uc, offset, _size, _user: self.chip.read(base + offset)

    def _write_at(self, base: int) -> Callable[..., None]:
        return lambda _uc, offset, _size, value, _user: self.chip.write(base + offset, value)

    def _starving(self) -> None:
        self.starved = True
        self.uc.emu_stop()

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
            self.uc.emu_stop()

    def _bus(self, region: Region) -> int:
        return (READ if self.qspi_mapped else 0) if region.kind == "qspi" else _BUS[region.kind]

    def _protect(self) -> None:
        for start, end, allowed in self.wanted_permissions:
            self.uc.mem_protect(start, end - start, allowed)
        self.permissions = self.wanted_permissions

    def _invalid(self, _uc: Uc, access: int, address: int, size: int, _value: int, _user: Any) -> bool:
        self.fault = (_ACCESSES.get(access, "write"), address, size)
        return False

    def _fault_text(self, error: UcError) -> str:
        pc, lr = self.uc.reg_read(UC_ARM_REG_PC), self.uc.reg_read(UC_ARM_REG_LR)
        at = f"in {self.elf.where(pc)} (pc 0x{pc:08x}, called from {self.elf.where(lr & ~1)})"
        if self.fault is None:
            return f"{error} {at}"
        kind, address, size = self.fault
        region = self.board.region_of(address)
        if address < 0x1000:
            place = "a NULL pointer"
        elif region is None:
            place = f"outside of every memory of {self.board.name}{self._beyond(address)}"
        elif region.kind == "qspi" and not self.qspi_mapped:
            place = "QSPI, which is not memory-mapped yet"
        else:
            place = f"forbidden in {region.name}"
        return f"{kind} of {size} bytes at 0x{address:08x}, {place}, {at}"

    def _beyond(self, address: int) -> str:
        sp = self.uc.reg_read(UC_ARM_REG_SP)
        for region in self.board.arenas:
            if region.end <= address < region.end + 0x100000:
                return f", {address - region.end + 1:,} B past the end of {region.name}"
            if region.base - 0x10000 <= address < region.base:
                grown = " (the stack overflowed)" if abs(sp - address) < 0x10000 else ""
                return f", {region.base - address:,} B below {region.name}{grown}"
        return ""


def _buffer(region: Region, seed: int) -> ctypes.Array:
    """Erased flash, noise in RAM."""
    if region.is_sram or region.kind == "itcm":
        noise = np.random.default_rng([seed, region.base]).bytes(region.size_bytes)
        return ctypes.create_string_buffer(noise, region.size_bytes)
    buffer = ctypes.create_string_buffer(region.size_bytes)
    ctypes.memset(buffer, 0xFF, region.size_bytes)
    return buffer
