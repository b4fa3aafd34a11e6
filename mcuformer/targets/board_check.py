"""Nonsense that a well-formed board file may still hold."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from mcuformer.targets.board import Board, Clock, MemoryRegion
from mcuformer.targets.clocks import clock_tree
from mcuformer.targets.cores import CORES
from mcuformer.targets.families import FAMILIES, Family
from mcuformer.targets.mpu import mpu_regions
from mcuformer.targets.pins import pin, pin_function
from mcuformer.targets.usarts import Usart

_LINKER_WORDS = ("org", "o", "len", "l")  # ORIGIN and LENGTH in a MEMORY command
MOST_ARENAS = 6  # MCF_ARENA5 is the last in mcf_model.h
FLASHERS = ("st-flash", "openocd")
_BAUD_ERROR = 0.02
# Address ranges of the ARMv7-M map where a kind of memory can lie.
_PLACES: Mapping[str, tuple[int, int]] = {
    "ram": (0x20000000, 0x40000000),
    "ccm": (0x10000000, 0x10100000),
    "itcm": (0x00001000, 0x00010000),
    "flash": (0x08000000, 0x10000000),
    "qspi": (0x90000000, 0xA0000000),
}


def board_problems(board: Board) -> list[str]:
    """The memory protection unit is only asked about a map that is sound."""
    memory = [*_memory_problems(board)]
    if board.has_firmware and not memory:
        memory += _raised("memory", lambda: mpu_regions(board))
    chip = _chip_problems if board.has_firmware else _library_problems
    return [*_name_problems(board), *memory, *(() if board.is_host else chip(board))]


def _name_problems(board: Board) -> Iterator[str]:
    """Names go into file names, linker scripts and C comments, the description onto a terminal."""
    for key, names in (("name", (board.name,)), ("aliases", board.aliases)):
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", name):
                yield f"{key}: {name[:60]!r} is not made of at most 40 letters, digits, '.', '_', '-'"
    for region in board.memory:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,19}", region.name):
            yield (
                f"memory: {region.name[:60]!r} is no name of at most 20 "
                "lower-case letters, digits and '_'"
            )
        elif region.name in _LINKER_WORDS:
            yield f"memory: {region.name!r} is a word of linker scripts"
    if not board.description.isprintable():
        yield "description: holds a character that cannot be printed"


def _memory_problems(board: Board) -> Iterator[str]:
    for region in board.memory:
        if region.size_bytes <= 0:
            yield f"memory {region.name}: size is {region.size_bytes}"
        elif region.size_bytes % 1024:
            yield f"memory {region.name}: size {region.size_bytes} is not a multiple of 1 KB"
        if not 0 <= region.fast_bytes <= max(region.size_bytes, 0):
            yield f"memory {region.name}: fast part of {region.fast_bytes} B exceeds its size"
        if not board.is_host:
            yield from _place_problems(region, board.has_firmware)
    yield from _overlaps(board)
    kinds = [region.kind for region in board.memory]
    for kind in ("flash", "qspi", "itcm"):
        if kinds.count(kind) > 1:
            yield f"memory: {kinds.count(kind)} regions of kind {kind}, one is possible"
    if "flash" not in kinds:
        yield "memory: no region of kind flash"
    if not board.arenas or board.arenas[0].kind != "ram":
        yield "memory: the first SRAM region must be of kind ram (it holds stack and data)"
    elif len(board.arenas) > MOST_ARENAS:
        yield f"memory: {len(board.arenas)} SRAM regions, {MOST_ARENAS} are possible"
    elif not 512 <= board.stack_bytes <= board.arenas[0].size_bytes // 2 or board.stack_bytes % 8:
        yield f"stack_bytes: {board.stack_bytes} is not a multiple of 8 from 512 to half of the RAM"
    else:
        yield from _stack_problems(board)


def _stack_problems(board: Board) -> Iterator[str]:
    """What lies below the stack has to fault, and the stack's own RAM to answer from a reset on."""
    first, family = board.arenas[0], FAMILIES.get(str(board.family))
    for below in board.memory:
        if below.end == first.base and board.has_firmware:
            yield (
                f"memory {first.name}: holds the stack and begins where {below.name} ends, which an "
                f"overflow would overwrite; list {below.name} first, or join them"
            )
    if family is not None and family.clocked(first):
        yield f"memory {first.name}: is off after a reset and cannot hold the stack; list another first"


def _overlaps(board: Board) -> Iterator[str]:
    for first, second in itertools.combinations(board.memory, 2):
        if first.base < second.end and second.base < first.end:
            at = max(first.base, second.base)
            yield f"memory {first.name} and {second.name} overlap at 0x{at:08x}"
        if first.name == second.name:
            yield f"memory {first.name} is listed twice"


def _place_problems(region: MemoryRegion, has_firmware: bool) -> Iterator[str]:
    """Where the start-up code knows memory; without it, where a core has any."""
    low, high = _PLACES[region.kind] if has_firmware else (0, 0xE0000000)
    if not has_firmware and region.base < 0x60000000 and region.end > 0x40000000:
        yield f"memory {region.name}: lies among the peripherals, 0x40000000..0x60000000"
    if not (low <= region.base and region.end <= high):
        yield (
            f"memory {region.name}: 0x{region.base:08x}..0x{region.end:08x} is outside "
            f"0x{low:08x}..0x{high:08x}, where {region.kind} lies"
        )


def _library_problems(board: Board) -> Iterator[str]:
    """A chip that no start-up code here knows: the library is compiled and planned for it."""
    yield from _core_problems(board.core)
    for key, given in (("uart", board.uart), ("qspi", board.qspi)):
        if given is not None:
            yield f"{key}: is for the start-up code of a family, and the file names none"
    if board.clock is not None and board.clock.cpu_hz <= 0:
        yield f"clock.cpu_hz: {board.clock.cpu_hz} is not above 0"
    qemu = ("qemu",) if CORES[board.core].qemu else ()
    yield from _unknown("runners.emulators", board.runners.emulators, (*qemu, "host"))
    if board.runners.flash:
        yield "runners.flash: there is no firmware to flash without a family"


def _core_problems(core: str) -> Iterator[str]:
    if CORES[core].costs is None:
        measured = ", ".join(name for name, row in CORES.items() if row.costs is not None)
        yield f"core: what the kernels cost on a {core} is not measured, only on {measured}"


def _chip_problems(board: Board) -> Iterator[str]:
    family, clock = FAMILIES.get(str(board.family)), board.clock
    if family is None:
        yield (
            f"family: {board.family!r} is none of {', '.join(FAMILIES)}, the chips that the start-up "
            "code knows; leave it out for the inference library alone"
        )
        return
    if family.core != board.core:
        yield f"core: {family.name} is a {family.core}, not a {board.core}"
    if clock is None:
        yield "clock: missing"
    elif clock.hse_hz <= 0:
        yield "clock.hse_hz: missing, or not above 0"
    else:
        yield from _raised("clock", lambda: clock_tree(family.name, clock))
    yield from _uart_problems(board, family)
    yield from _qspi_problems(board, family)
    yield from _pin_problems(board)
    yield from _unknown("runners.emulators", board.runners.emulators, _emulators(family))
    yield from _unknown("runners.flash", board.runners.flash, FLASHERS)
    if "openocd" in board.runners.flash and not board.runners.openocd_config:
        yield "runners.openocd_config: missing, the openocd runner needs it"


def _uart_problems(board: Board, family: Family) -> Iterator[str]:
    uart = board.uart
    if uart is None:
        yield "uart: missing"
        return
    if uart.name not in family.usarts:
        yield f"uart.name: '{uart.name}' is none of {', '.join(family.usarts)}"
    if not 1200 <= uart.baud <= 2_000_000:
        yield f"uart.baud: {uart.baud} is not from 1,200 to 2,000,000"
    for key, text, function in (("tx", uart.tx, uart.tx_af), ("rx", uart.rx, uart.rx_af)):
        yield from _raised(f"uart.{key}", partial(pin, text))
        if not 0 <= function <= 15:
            yield f"uart.{key}_af: {function} is not from 0 to 15"
    if uart.name in family.usarts and board.clock is not None and uart.baud > 0:
        yield from _baud_problems(family.usarts[uart.name], uart.baud, family, board.clock)


def _baud_problems(usart: Usart, baud: int, family: Family, clock: Clock) -> Iterator[str]:
    """What the port's clock divided by a whole number of 16 bits cannot be (16 samples a bit)."""
    try:
        tree = clock_tree(family.name, clock)
    except ValueError:  # said above
        return
    bus_hz = tree.apb1_hz if usart.bus == 1 else tree.apb2_hz
    divider = (bus_hz + baud // 2) // baud
    if not 16 <= divider < 1 << 16 or abs(bus_hz / divider / baud - 1) > _BAUD_ERROR:
        yield f"uart.baud: {bus_hz:,} Hz cannot be divided to {baud:,} baud"


def _pin_problems(board: Board) -> Iterator[str]:
    """A pin does one thing."""
    uart = (board.uart.tx, board.uart.rx) if board.uart else ()
    qspi = board.qspi.pins if board.qspi else ()
    names = [*uart, *(text.partition("/")[0] for text in qspi)]
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"pin {name} is named {names.count(name)} times"


def _qspi_problems(board: Board, family: Family) -> Iterator[str]:
    region, qspi = board.qspi_region, board.qspi
    if (region is None) != (qspi is None):
        yield "qspi: a [qspi] table and a memory region of kind qspi belong together"
    if region is None or qspi is None:
        return
    if family.quadspi is None:
        yield f"qspi: the start-up code for {board.family} does not drive a QSPI flash"
    if region.size_bytes & (region.size_bytes - 1):
        yield f"memory {region.name}: size {region.size_bytes} is no power of two"
    for text in qspi.pins:
        yield from _raised("qspi.pins", partial(pin_function, text))
    if len(qspi.pins) != 6:
        yield f"qspi.pins: {len(qspi.pins)} pins, six are needed (clock, select, four data)"
    for key, value, low, high in (
        ("read_command", qspi.read_command, 1, 255),
        ("dummy_cycles", qspi.dummy_cycles, 0, 31),
        ("prescaler", qspi.prescaler, 1, 256),
    ):
        if not low <= value <= high:
            yield f"qspi.{key}: {value} is not from {low} to {high}"


def _emulators(family: Family) -> tuple[str, ...]:
    """Those that have a model of its core, or of its chips."""
    qemu = ("qemu",) if CORES[family.core].qemu else ()
    return ("unicorn", *qemu, *(("renode",) if family.renode_usart else ()), "host")


def _unknown(key: str, values: tuple[str, ...], known: tuple[str, ...]) -> Iterator[str]:
    for value in values:
        if value not in known:
            yield f"{key}: '{value}' is none of {', '.join(known)}"


def _raised(key: str, action: Callable[[], object]) -> Iterator[str]:
    try:
        action()
    except ValueError as error:
        yield f"{key}: {error}"
