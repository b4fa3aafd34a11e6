"""Runs the reader's firmware in Unicorn on the chip's memory map, picture by picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcuformer.targets import unicorn_runner
from mcuformer.targets.board import Board

_SECONDS = 600.0  # of this machine for one picture: it may be slow


@dataclass(frozen=True, slots=True)
class Reading:
    """`turned_score` and `score` (the mean over the characters): 0 to 1."""

    text: str
    turned: bool
    turned_score: float
    score: float
    dropped: int
    instructions: int


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """`sram_bytes`: the most that was in use, stack included, as the emulator saw it."""

    found: tuple[Reading, ...]
    sram_bytes: int


def read(elf: Path, board: Board, pictures: Sequence[NDArray[np.uint8]]) -> Readings:
    """`pictures`: [48, 320, 3] uint8 each, in BGR."""
    result = unicorn_runner.run(
        elf, board, [p.tobytes() for p in pictures], timeout_s=_SECONDS * len(pictures)
    )
    found = tuple(_reading(i.output, i.instructions or 0) for i in result.inferences)
    return Readings(found, result.sram_high_water_bytes or 0)


def _reading(data: bytes, instructions: int) -> Reading:
    """An ocr_result_t of app.h."""
    turned, turned_score, kept, dropped = data[:4]
    character_sum, length = np.frombuffer(data[4:8], "<u2")
    text = data[8 : 8 + int(length)].decode()
    score = int(character_sum) / 256 / max(1, kept)
    return Reading(text, bool(turned), turned_score / 255, score, dropped, instructions)
