from __future__ import annotations

from collections.abc import Callable

from small_model import ARENA_BYTES, LINE_BYTES

from mcuformer.targets.elf import read_elf, usage


def test_usage_adds_up(firmware: Callable) -> None:
    path, board = firmware()
    elf = read_elf(path)
    used = usage(elf, board)
    assert used.arena_bytes == ARENA_BYTES and used.stack_bytes == 2048
    assert used.qspi_bytes == used.regions["qspi"] == LINE_BYTES + 16
    assert 0 < used.static_bytes < 200
    assert used.regions["sram"] == used.arena_bytes + used.stack_bytes + used.static_bytes
    assert used.regions["flash"] == used.code_bytes + used.constants_bytes
    stored = sum(len(s.data) for s in elf.segments if s.load_address in board.flash)
    assert used.regions["flash"] == stored


def test_addresses_have_names(firmware: Callable) -> None:
    elf = read_elf(firmware()[0])
    assert elf.where(elf.address("dot") + 6) == "dot+0x6"
    assert elf.where(elf.address("arena")) == "arena"
    assert elf.where(0x60000000) == "0x60000000"
