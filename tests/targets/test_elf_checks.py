from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_model import write_small_model

from mcuformer.targets.board_file import load_board
from mcuformer.targets.elf import read_elf
from mcuformer.targets.elf_checks import elf_problems
from mcuformer.targets.firmware import build_firmware


@pytest.mark.parametrize("name", ["stm32f746", "nucleo-h743zi", "stm32f429", "nucleo-f446re"])
def test_firmware_is_clean(firmware: Callable, name: str) -> None:
    assert elf_problems(read_elf(firmware(name)[0])) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One package whose model changes: its other objects are compiled once."""
    return tmp_path_factory.mktemp("package")


def problems_of(folder: Path, extra: str, body: str) -> str:
    board = load_board("stm32f746")
    package = write_small_model(folder, board, extra=extra, body=body)
    return "\n".join(elf_problems(read_elf(build_firmware(package, board))))


def test_heap_and_libc_are_found(folder: Path) -> None:
    extra = "void *malloc(unsigned n); __attribute__((noinline)) void *malloc(unsigned n) {"
    extra += ' static char heap[64]; __asm volatile("" : "+r"(n)); return heap + n; }'
    found = problems_of(folder, extra, "sums[0] = *(char *)malloc(8);")
    assert "malloc is linked in: no heap" in found


def test_soft_doubles_are_found(folder: Path) -> None:
    extra = "static volatile double factor = 1.5;"
    found = problems_of(folder, extra, "sums[0] = (int32_t)(sums[1] * factor);")
    assert "__aeabi_dmul is linked in: double precision" in found


def test_f64_instructions_are_found(folder: Path) -> None:
    code = r"vmul.f64 d0, d1, d2\n vldr d3, [%0]\n vmov.f32 s0, s1"
    body = f'__asm volatile(".fpu fpv5-d16\\n {code}" :: "r"(sums));'
    found = problems_of(folder, "", body)
    assert found.count("double precision instruction at invoke+0x") == 1
