"""mcuformer/compile/misfit.py: the hint of exit 4 is one that works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mcuformer.cli import invoke


@pytest.mark.parametrize("limit", [["--ram", "2100"], ["--max-instructions", "9k"]])
def test_the_hint_fits(
    files: dict[str, Path], limit: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["analyze", str(files["model"]), "--board", "stm32f746"]
    assert invoke([*args, *limit]) == 4
    shown = capsys.readouterr().err
    assert "missing; peak at" in shown or "the limit is 9,000" in shown
    hint = re.search(r"(--ram|--max-instructions) (\d+)", shown.splitlines()[1])
    assert hint, shown
    assert invoke([*args, hint[1], hint[2]]) == 0


def test_another_input_mode_is_named(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A model whose image alone is too much in SRAM is told to pull lines."""
    args = ["analyze", str(files["model"]), "--board", "stm32f746", "--ram", "1k"]
    assert invoke(args) == 4
    assert re.search(r"hint: (--ram \d+|--input-mode \w+) fits", capsys.readouterr().err)
