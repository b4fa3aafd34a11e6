from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_model import write_small_model

from mcuformer.errors import DoesNotFitError, UsageError
from mcuformer.targets.board_file import load_board
from mcuformer.targets.elf import read_elf
from mcuformer.targets.firmware import build_firmware

F746 = load_board("stm32f746")


def test_identical_inputs_give_an_identical_elf(tmp_path: Path) -> None:
    elfs = [build_firmware(write_small_model(tmp_path / n, F746, qspi=True), F746) for n in "ab"]
    assert elfs[0].read_bytes() == elfs[1].read_bytes()


def test_objects_are_compiled_once(tmp_path: Path) -> None:
    package = write_small_model(tmp_path, F746)
    build_firmware(package, F746)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "build" / "objects").iterdir()}
    build_firmware(package, F746)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "build" / "objects").iterdir()}


@pytest.mark.parametrize(
    ("arena_bytes", "fits"), [(327_680 - 2048 - 64, True), (327_680 - 2048, False)]
)
def test_an_overflow_is_a_link_error(tmp_path: Path, arena_bytes: int, fits: bool) -> None:
    package = write_small_model(tmp_path, F746, arena_bytes=arena_bytes)
    if fits:
        build_firmware(package, F746)
    else:
        with pytest.raises(DoesNotFitError, match=r"sram of 327,680 B overflows by \d+ B"):
            build_firmware(package, F746)


def test_code_beyond_itcm_is_a_link_error(tmp_path: Path) -> None:
    extra = 'MCF_SECTION(".text.mcf_hot.attention_big") __attribute__((noinline))'
    extra += ' static void big(void) { __asm volatile(".space 13000"); }'
    package = write_small_model(tmp_path, F746, extra=extra, body="big();")
    with pytest.raises(DoesNotFitError, match="itcm of 12,288 B overflows"):
        build_firmware(package, F746)


def test_places(firmware: Callable) -> None:
    elf = read_elf(firmware()[0])
    assert elf.address("mcf_vectors") == 0x08000000
    assert elf.address("mcf_stack_top") == 0x20000800
    assert elf.address("dot") == 0x1000
    assert elf.address("weights") == 0x90000000
    assert 0x20000800 <= elf.address("arena") < 0x20001000


def test_without_qspi_and_itcm_all_lies_in_flash(firmware: Callable) -> None:
    elf = read_elf(firmware("stm32f429")[0])
    assert 0x08000000 < elf.address("dot") < 0x08010000
    assert 0x08000000 < elf.address("weights") < 0x08010000


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no compiled model"):
        build_firmware(tmp_path, F746)
