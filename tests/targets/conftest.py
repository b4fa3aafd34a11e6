from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from small_model import write_small_model

from mcuformer.targets.board import Board
from mcuformer.targets.board_file import load_board
from mcuformer.targets.firmware import build_firmware

Build = Callable[..., tuple[Path, Board]]


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds the small model's firmware once per set of choices: (ELF, board)."""
    done: dict[str, tuple[Path, Board]] = {}

    def build(
        name: str = "stm32f746", *, stack_bytes: int = 2048, **choices: object
    ) -> tuple[Path, Board]:
        key = repr((name, stack_bytes, sorted(choices.items())))
        if key not in done:
            board = dataclasses.replace(load_board(name), stack_bytes=stack_bytes)
            build_choices = {
                k: choices.pop(k) for k in ("trace", "qemu", "profile") if k in choices
            }
            folder = tmp_path_factory.mktemp("package")
            choices.setdefault("qspi", board.qspi is not None)
            write_small_model(folder, board, **choices)  # type: ignore[arg-type]
            done[key] = (build_firmware(folder, board, **build_choices), board)  # type: ignore[arg-type]
        return done[key]

    return build
