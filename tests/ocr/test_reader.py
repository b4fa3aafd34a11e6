"""The chip that reads text (examples/ocr): what fits, what it reads, and the same text as onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ocr_files import example, missing

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import analyze_model
from mcuformer.targets.board_file import load_board

WHY = missing()
pytestmark = pytest.mark.skipif(WHY is not None, reason=str(WHY))
BOARD = "stm32f746"


def test_lines_are_the_same_every_time() -> None:
    lines = example("lines").lines
    first, again, other = lines(7, 6), lines(7, 6), lines(8, 6)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.texts == again.texts != other.texts
    assert first.pixels.shape == (6, 48, 320, 3)
    kinds = ["".join(t.split()) for t in first.texts[:3]]
    assert kinds[1].isascii()
    assert not any(ord(c) < 128 for c in kinds[2])


def test_what_the_direction_is_told_from() -> None:
    models = example("models")
    pixels = np.arange(2 * 48 * 320 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 48, 320, 3)
    small = models.squeezed(pixels)
    assert small.shape == (2, 48, 192, 3)
    np.testing.assert_array_equal(small[:, :, 3::3], pixels[:, :, 5::5])
    np.testing.assert_array_equal(models.turned(models.turned(pixels)), pixels)


@pytest.mark.parametrize("goal", ["ram", "speed"])
def test_the_recogniser_fits_at_its_full_width(goal: str) -> None:
    """48x320 in 320 KB, with 46,080 B left for the picture where SRAM matters."""
    models = example("models")
    options = CompileOptions(
        model=models.model_file(models.READER), board=BOARD, input_shapes={"x": (1, 3, 48, 320)},
        optimize=goal, input_mode="bands", output_mode="lines", weights="qspi",
    )  # type: ignore[arg-type]  # fmt: skip
    memory = analyze_model(options, lambda *_: None).report["memory"]
    room = 327_680 - (49_000 if goal == "ram" else 0)
    assert memory["sram_total_bytes"] <= room


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ocr")
    example("firmware").made(folder, BOARD)
    return folder


@pytest.mark.long
def test_the_same_text_as_onnxruntime(work: Path) -> None:
    agreement = example("agreement")
    given = example("lines").lines(2, 50)
    expected = agreement.by_onnxruntime(given)
    assert agreement.report(given, expected, agreement.by_host(work, given)) >= 48


@pytest.mark.long
def test_the_chip_reads_lines_that_stand_either_way(work: Path) -> None:
    """Direction, decoding and both networks in Unicorn: the text of the host's C."""
    agreement, models = example("agreement"), example("models")
    given = example("lines").lines(3, 4)
    pictures = [*given.pixels[:2], *models.turned(given.pixels[2:])]
    result = example("chip").read(work / "firmware.elf", load_board(BOARD), pictures)
    assert [r.turned for r in result.found] == [False, False, True, True]
    assert [r.text for r in result.found] == agreement.by_host(work, given)
    assert result.sram_bytes <= 327_680
    assert all(r.dropped == 0 for r in result.found)
