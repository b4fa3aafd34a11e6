from __future__ import annotations

import importlib.util
import random
import struct
from pathlib import Path

import pytest
from small_model import INPUT_BYTES, expected, write_small_model

from mcuformer.errors import McuformerError, ToolMissingError
from mcuformer.targets import unicorn_runner
from mcuformer.targets.board_file import load_board
from mcuformer.targets.elf import read_elf
from mcuformer.targets.elf_checks import elf_problems
from mcuformer.targets.firmware import build_firmware
from mcuformer.targets.toolchain import find_toolchain

needs_zig = pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="ziglang is not installed"
)


@pytest.fixture(autouse=True)
def forget_found_toolchains() -> None:
    find_toolchain.cache_clear()


@needs_zig
@pytest.mark.parametrize("name", ["stm32f746", "stm32f429"])
def test_zig_builds_the_same_firmware(tmp_path: Path, name: str) -> None:
    board, image = load_board(name), random.Random(1).randbytes(INPUT_BYTES)
    extra = "static volatile int counter = 41;"  # .data must be copied
    body = "counter++; if (counter < 42) return 1;"
    package = write_small_model(tmp_path, board, extra=extra, body=body)
    elf = build_firmware(package, board, find_toolchain("zig"))
    assert elf_problems(read_elf(elf)) == []
    result = unicorn_runner.run(elf, board, [image])
    assert list(struct.unpack("<6i", result.inferences[0].output)) == expected(image)[1]


def test_without_a_toolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match="no cross compiler") as caught:
        find_toolchain()
    assert "ziglang" in str(caught.value) and caught.value.exit_code == 6


def test_the_compilers_own_words_are_shown(tmp_path: Path) -> None:
    board = load_board("stm32f746")
    package = write_small_model(tmp_path, board, body="this is no C;")
    with pytest.raises(McuformerError, match=r"compiling model.c failed[\s\S]*error:"):
        build_firmware(package, board)
