"""Errors of our own stages through the command line: exit 1, a bug, and what a report of it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest
from tiny_vit import tiny_data, tiny_vit

from mcuformer.cli import invoke
from mcuformer.memory.model import PlanError
from mcuformer.operators.verify import VerifyError

STAGES = {
    "mcuformer.compile.placed.check": PlanError("buffers a and b share bytes"),
    "mcuformer.compile.placed.verify": VerifyError("graph output y is produced by nothing"),
    "mcuformer.compile.placed.place": AssertionError("no span"),
    "mcuformer.compile.placed.curve": KeyError("layer"),
    "mcuformer.frontend.load.imported": IndexError("list index out of range"),
}


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", ["analyze", "compile"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_fails_is_a_bug(
    stage: str, command: str, as_json: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fails(*_: object, **__: object) -> NoReturn:
        raise STAGES[stage]

    monkeypatch.delenv("MCUFORMER_DEBUG", raising=False)
    monkeypatch.setattr(stage, fails)
    words = [command, str(tiny_vit(tmp_path / "m.onnx")), "--board", "stm32f746"]
    if command == "compile":
        data = tiny_data(tmp_path / "d.npz")
        words += ["--calibration", str(data), "-o", str(tmp_path / "out"), "--emit-only"]
    assert invoke([*words, "--json"] if as_json else words) == 1
    printed = capsys.readouterr()
    assert "error: this is a bug in mcuformer" in printed.err and "Traceback" not in printed.err
    for part in ("open an issue", "command line", "MCUFORMER_DEBUG=1", "mcuformer doctor", "model"):
        assert part in printed.err
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    if as_json:
        error = json.loads(printed.out)["error"]
        assert error["exit_code"] == 1 and "bug in mcuformer" in error["message"]
