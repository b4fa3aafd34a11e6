from __future__ import annotations

from dataclasses import replace

import pytest

from mcuformer.targets.board import Board, MemoryRegion
from mcuformer.targets.board_check import board_problems
from mcuformer.targets.board_file import load_board

F746 = load_board("stm32f746")


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
        (with_region(F746, "qspi", name="x; /* "), "is no name of lower-case letters"),
        (replace(F746, name="a*/b"), "is not made of"),
        (replace(F746, stack_bytes=100), "stack_bytes: 100"),
        (replace(F746, family="stm32f9"), "family: 'stm32f9' is none of"),
        (replace(F746, core="cortex-m4"), "stm32f7 is a cortex-m7"),
        (replace(F746, clock=replace(F746.clock, cpu_hz=400_000_000)), "at most, not 400,000,000"),
        (replace(F746, clock=replace(F746.clock, hse_hz=25_000_001)), "no PLL setting"),
        (replace(F746, clock=None), "clock: missing"),
        (replace(F746, uart=None), "uart: missing"),
        (replace(F746, uart=replace(F746.uart, name="UART9")), "'UART9' is none of"),
        (replace(F746, uart=replace(F746.uart, tx="PX1")), "'PX1' is no pin"),
        (replace(F746, uart=replace(F746.uart, baud=1)), "uart.baud: 1"),
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


def test_overlap() -> None:
    board = replace(F746, memory=(*F746.memory, MemoryRegion("more", "ram", 0x2004FC00, 0x1000)))
    assert "memory sram and more overlap at 0x2004fc00" in board_problems(board)
