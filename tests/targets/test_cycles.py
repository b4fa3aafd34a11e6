"""mcuformer/targets/cycles.py: blocks as llvm-mca wants them, and what it makes of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcuformer.targets.cycles import block_cycles, block_text, port_functions

needs_mca = pytest.mark.skipif(
    not any(map(shutil.which, ("llvm-mca-19", "llvm-mca"))), reason="llvm-mca is not installed"
)


def test_block_text() -> None:
    block = [
        ("ite", "eq"), ("moveq", "r0, #1"), ("movne.w", "r0, #2"), ("mul.w", "r3, r4, r3"),
        ("bl", "8006830 "), ("cbz", "r0, 80000a0 "),
    ]  # fmt: skip
    text = "mov r0, #1\nmov r0, #2\nmul r3, r4, r3\nb #4\nb #4"
    assert block_text(block) == text


@needs_mca
def test_dependent_multiplies_cost_more_than_free_additions() -> None:
    chain = "\n".join(["mul r0, r0, r1"] * 8)
    free = "\n".join(f"add r{n}, r1, r2" for n in (0, 3, 4, 5, 6, 7, 8, 9))
    slow, fast = block_cycles([chain, free], "cortex-m7")
    assert slow >= 16 and 3.9 < fast < 8


def test_port_functions(tmp_path: Path) -> None:
    (tmp_path / "uart.c").write_text("static int put(int c) {\n    if (c) {\n}\nvoid on(void) {\n")
    (tmp_path / "memory.c").write_text("void *memcpy(void *a) {\n")
    assert port_functions(tmp_path) == {"put", "on"}
