from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_model import ARENA_BYTES, LINE_BYTES

from mcuformer.targets.board_file import load_board
from mcuformer.targets.elf import Elf, Section, Segment, read_elf, usage
from mcuformer.targets.flash import region_image


def test_usage_adds_up(firmware: Callable) -> None:
    path, board = firmware()
    elf = read_elf(path)
    used = usage(elf, board)
    assert used.arena_bytes == ARENA_BYTES and used.stack_bytes == 2048
    assert used.regions["qspi"] == LINE_BYTES + 16
    assert 0 < used.static_bytes < 200
    assert used.regions["sram"] == used.arena_bytes + used.stack_bytes + used.static_bytes


@pytest.mark.parametrize("name", ["stm32f746", "nucleo-h743zi", "stm32f429", "nucleo-f446re"])
def test_usage_is_what_is_flashed(firmware: Callable, name: str) -> None:
    """Bytes between the sections too, which alignment leaves."""
    path, board = firmware(name)
    elf = read_elf(path)
    for region in board.flashes:
        assert usage(elf, board).regions[region.name] == len(region_image(elf, region))


def test_gaps_count() -> None:
    def section(name: str, address: int, size_bytes: int) -> Section:
        return Section(name, address, size_bytes, stored=False, executable=False)

    board = load_board("stm32f746")
    code = Segment(0x08000000, bytes(10)), Segment(0x08000020, bytes(4))
    base = 0x20000000
    sections = section(".stack", base, 1024), section(".bss", base + 1024, 4)
    arena = section(".mcf_arena", base + 1032, 100)
    used = usage(Elf(Path(), code, (*sections, arena), (), ()), board)
    assert used.regions == {"itcm": 0, "sram": 1132, "flash": 36, "qspi": 0}
    assert (used.stack_bytes, used.arena_bytes, used.static_bytes) == (1024, 100, 8)


def test_addresses_have_names(firmware: Callable) -> None:
    elf = read_elf(firmware()[0])
    assert elf.where(elf.address("dot") + 6) == "dot+0x6"
    assert elf.where(elf.address("arena")) == "arena"
    assert elf.where(0x60000000) == "0x60000000"
