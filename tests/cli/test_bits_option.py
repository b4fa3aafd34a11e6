"""--weight-bits and --flash: what is compiled, reported, printed, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcuformer.cli import invoke
from mcuformer.compile.flash_room import linked_error
from mcuformer.compile.options import CompileOptions
from mcuformer.frontend import load_model
from mcuformer.operators.flash_bytes import flash_bytes
from mcuformer.quant import synthetic_stats
from mcuformer.quant.lower import outline_of

Files = dict[str, Path]
Compiling = Callable[..., list[str]]


def analyzed(
    files: Files, capsys: pytest.CaptureFixture[str], *more: str, code: int = 0
) -> dict[str, Any]:
    args = ["analyze", str(files["model"]), "--board", "stm32f746", "--json", *more]
    assert invoke(args) == code
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def bits(report: dict[str, Any]) -> list[int]:
    return [row["weight_bits"] for row in report["layers"] if row["weight_bits"]]


def test_4_bits_run_in_the_emulator(
    files: Files, compiling: Compiling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "four"
    assert invoke(compiling(out, "--weight-bits", "4")) == 0
    assert "4-bit weights" in capsys.readouterr().out.splitlines()[2]
    report = json.loads((out / "report.json").read_text())
    assert report["options"]["weight_bits"] == "4" and set(bits(report)) == {4}
    eight = json.loads((files["package"] / "report.json").read_text())
    assert set(bits(eight)) == {8}
    for four, row in zip(report["layers"], eight["layers"], strict=True):
        if four["weight_bits"]:
            assert four["weights_bytes"] == (row["weights_bytes"] + 1) // 2
    assert report["flash"]["weights_bytes"] < eight["flash"]["weights_bytes"]
    args = ["validate", str(out), "--data", str(files["data"]), "--limit", "3"]
    assert invoke(args) == 0
    assert "all equal" in capsys.readouterr().out


def test_auto_gives_up_bits_for_flash_only(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = synthetic_stats(load_model(files["model"])).graph
    flash = flash_bytes(outline_of(graph))
    whole, limit = flash.weights, flash.total
    for missing in (0, 40, 200):
        report = analyzed(files, capsys, "--weight-bits", "auto", "--flash", str(limit - missing))
        assert set(bits(report)) == ({4, 8} if missing else {8})
        used = sum(row["weights_bytes"] for row in report["layers"] if row["weight_bits"])
        assert used <= whole - missing
        notes = [d["message"] for d in report["diagnostics"] if d["code"] == "weight-bits"]
        assert ["rounding error of the weights" in n for n in notes] == [True] * bool(missing)


@pytest.mark.parametrize("wanted", ["8", "4", "auto"])
def test_too_little_flash(files: Files, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = analyzed(files, capsys, "--weight-bits", wanted, "--flash", "44k", code=4)
    failure = next(d for d in report["diagnostics"] if d["severity"] == "error")
    assert not report["fits"] and "the limit is 45,056" in failure["message"]
    assert ("--weight-bits" in failure["hint"]) == (wanted == "8")


def test_linked_flash_is_held_to_the_limit(
    files: Files, compiling: Compiling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    total = json.loads((files["package"] / "report.json").read_text())["flash"]["total_bytes"]
    assert linked_error(_options(files, total), total) is None
    error = linked_error(_options(files, total - 1), total)
    assert error is not None and error.hint == f"--flash {total} fits"
    assert invoke(compiling(tmp_path / "fits", "--flash", "64k")) == 0 and total <= 65_536
    capsys.readouterr()


def _options(files: Files, flash: int) -> CompileOptions:
    return CompileOptions(model=files["model"], board="stm32f746", flash=flash)
