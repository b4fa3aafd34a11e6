from __future__ import annotations

from dataclasses import replace

import pytest

from mcuformer.targets.board import Board, MemoryRegion, Runners
from mcuformer.targets.board_check import board_problems
from mcuformer.targets.board_file import load_board

F746, F446, H743 = map(load_board, ("stm32f746", "stm32f446", "stm32h743"))


def with_region(board: Board, name: str, /, **changes: object) -> Board:
    memory = tuple(replace(r, **changes) if r.name == name else r for r in board.memory)  # type: ignore[arg-type]
    return replace(board, memory=memory)


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (with_region(F746, "sram", size_bytes=0), "sram: size is 0"),
        (with_region(F746, "sram", size_bytes=327_681), "not a multiple of 1 KB"),
        (with_region(F746, "sram", fast_bytes=1 << 20), "exceeds its size"),
        (with_region(F746, "itcm", base=0), "is outside 0x00001000"),
        (with_region(F746, "sram", base=0x08080000), "where ram lies"),
        (with_region(F746, "qspi", name="sram"), "sram is listed twice"),
        (with_region(F746, "sram", size_bytes=1 << 80), "where ram lies"),
        (with_region(F746, "sram", name="o"), "'o' is a word of linker scripts"),
        (with_region(F746, "qspi", name="x; /* "), "is no name of at most 20 lower-case"),
        (replace(F746, name="a*/b"), "name: 'a*/b' is not made of"),
        (replace(F746, aliases=("a b",)), "aliases: 'a b' is not made of"),
        (replace(F746, description="\x1b[31m"), "description: holds a character"),
        (replace(F746, stack_bytes=100), "stack_bytes: 100"),
        (replace(F746, family="stm32f9"), "family: 'stm32f9' is none of"),
        (replace(F746, core="cortex-m4"), "stm32f7 is a cortex-m7"),
        (replace(F746, clock=replace(F746.clock, cpu_hz=400_000_000)), "at most, not 400,000,000"),
        (replace(F746, clock=replace(F746.clock, hse_hz=25_000_001)), "no PLL setting"),
        (replace(F746, clock=None), "clock: missing"),
        (replace(F746, clock=replace(F746.clock, hse_hz=0)), "clock.hse_hz: missing"),
        (replace(F746, uart=None), "uart: missing"),
        (replace(F746, uart=replace(F746.uart, name="UART9")), "'UART9' is none of"),
        (replace(F746, uart=replace(F746.uart, tx="PX1")), "'PX1' is no pin"),
        (replace(F746, uart=replace(F746.uart, baud=1)), "uart.baud: 1"),
        (replace(F746, uart=replace(F746.uart, baud=1200)), "108,000,000 Hz cannot be divided to 1,200"),
        (replace(F446, uart=replace(F446.uart, baud=2_000_000)), "45,000,000 Hz cannot be divided to"),
        (replace(F746, uart=replace(F746.uart, rx="PA9")), "pin PA9 is named 2 times"),
        (replace(F746, uart=replace(F746.uart, rx="PB2")), "pin PB2 is named 2 times"),
        (replace(F746, qspi=None), "belong together"),
        (replace(F746, qspi=replace(F746.qspi, pins=("PB2",))), "'PB2' is no pin with"),
        (replace(F746, qspi=replace(F746.qspi, dummy_cycles=99)), "qspi.dummy_cycles: 99"),
        (replace(F746, runners=replace(F746.runners, emulators=("bochs",))), "'bochs' is none of"),
        (replace(F746, runners=replace(F746.runners, openocd_config=None)), "openocd_config"),
        (replace(F746, memory=F746.memory[:2]), "no region of kind flash"),
        (replace(F746, memory=F746.memory[2:]), "first SRAM region must be of kind ram"),
    ],
)  # fmt: skip
def test_nonsense_is_found(board: Board, message: str) -> None:
    assert any(message in problem for problem in board_problems(board)), board_problems(board)


def with_ram(board: Board, *banks: tuple[int, int]) -> Board:
    """Banks of (base, KB) instead of its RAM."""
    rams = tuple(MemoryRegion(f"r{i}", "ram", b, kb << 10) for i, (b, kb) in enumerate(banks))
    return replace(board, memory=(*rams, *(r for r in board.memory if not r.is_sram)))


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (with_ram(F746, (0x20010000, 256), (0x20000000, 64)), "begins where r1 ends, which an overflow"),
        (with_ram(H743, (0x30000000, 128)), "r0: is off after a reset and cannot hold the stack"),
        (with_ram(F746, *((0x20000000 + i * 0x8000, 16) for i in range(6))), "MPU regions, the unit has 8"),
        (with_ram(H743, *((0x24000000 + i * 0x8000, 16) for i in range(7))), "7 SRAM regions, 6 are"),
    ],
)  # fmt: skip
def test_rams_that_cannot_be_so(board: Board, message: str) -> None:
    assert any(message in problem for problem in board_problems(board)), board_problems(board)


@pytest.mark.parametrize(
    "board",
    [
        with_ram(F746, (0x20000000, 64), (0x20010000, 240), (0x2004C000, 16)),  # neighbours: one span
        with_ram(H743, (0x20000000, 128), (0x24000000, 512), (0x30000000, 288), (0x38000000, 64)),
        replace(F446, uart=replace(F446.uart, name="UART4", tx="PC10", rx="PC11", tx_af=8, rx_af=8)),
    ],
)  # fmt: skip
def test_maps_and_ports_of_real_chips(board: Board) -> None:
    assert board_problems(board) == []


LIBRARY = replace(
    F446, family=None, uart=None, runners=Runners(("qemu", "host")),
    memory=(MemoryRegion("ram", "ram", 0x20200000, 512 << 10), MemoryRegion("nor", "flash", 0x60000000, 8 << 20)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (LIBRARY, None),
        (replace(LIBRARY, clock=None), None),
        (with_region(LIBRARY, "nor", base=0), None),
        (replace(LIBRARY, core="cortex-m33", runners=Runners(("host",))), None),
        (replace(LIBRARY, core="cortex-m33"), "runners.emulators: 'qemu' is none of host"),
        (replace(LIBRARY, core="cortex-m3"), "on a cortex-m3 is not measured, only on cortex-m7, "),
        (replace(LIBRARY, uart=F446.uart), "uart: is for the start-up code of a family"),
        (replace(LIBRARY, runners=F446.runners), "'unicorn' is none of qemu, host"),
        (replace(LIBRARY, runners=F446.runners), "runners.flash: there is no firmware"),
        (with_region(LIBRARY, "ram", base=0x40000000), "lies among the peripherals"),
        (with_region(LIBRARY, "ram", base=0xDFFFF000), "is outside 0x00000000..0xe0000000"),
    ],
)  # fmt: skip
def test_a_board_without_a_family(board: Board, message: str | None) -> None:
    found = board_problems(board)
    assert found == [] if message is None else any(message in problem for problem in found), found


def test_overlap() -> None:
    board = replace(F746, memory=(*F746.memory, MemoryRegion("more", "ram", 0x2004FC00, 0x1000)))
    assert "memory sram and more overlap at 0x2004fc00" in board_problems(board)
