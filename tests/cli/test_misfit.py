"""mcuformer/compile/misfit.py: the hint of exit 4 is one that works."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from util_slimmable import slimmable_data, slimmable_files

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


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("limit", [("--ram", "2400"), ("--max-instructions", "20k")])
def test_the_hint_fits_all_widths(
    tmp_path: Path, limit: tuple[str, str], several: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The full width needs most; alone, its smallest schedule is denser than the curve counts."""
    files = slimmable_files(tmp_path, ratios=(0.25, 0.5, 1))
    args = ["compile", *map(str, files), "--operating-points", "0.25,0.5,1"]
    if not several:
        args = ["compile", str(files[-1])]
    args += ["--calibration", str(slimmable_data(tmp_path / "x.npz")), "--board", "stm32f746"]
    args += ["--emit-only", "--no-check", "--json", "-o", str(tmp_path / "out")]
    assert invoke([*args, *limit]) == 4
    shown = capsys.readouterr().err
    assert ("width 1: " in shown) == several
    hint = re.search(rf"{limit[0]} (\d+) (?:fits|is the least)", shown.splitlines()[1])
    assert hint, shown
    assert invoke([*args, limit[0], hint[1]]) == 0
    report = json.loads(capsys.readouterr().out)
    rows = [report["estimate"], *report["variants"]]
    most = max(row["instructions"] for row in rows), report["memory"]["sram_total_bytes"]
    assert most["--ram" in limit] <= int(hint[1])


def test_all_widths_are_within_the_flash_that_none_links(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = slimmable_files(tmp_path, ratios=(0.5, 1))
    args = ["compile", *map(str, files), "--operating-points", "0.5,1", "--json", "--board"]
    args += ["stm32f746", "--calibration", str(slimmable_data(tmp_path / "x.npz"))]
    args += ["--emit-only", "--no-check", "-o", str(tmp_path / "out")]
    assert invoke([*args, "--flash", "1M"]) == 0
    weights = json.loads(capsys.readouterr().out)["flash"]["weights_bytes"]
    limit = weights + 44 * 1024
    assert invoke([*args, "--flash", str(limit)]) == 0
    assert invoke([*args, "--flash", str(limit - 1)]) == 4
    assert f"{weights:,} B beside about" in capsys.readouterr().err


def test_another_input_mode_is_named(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A model whose image alone is too much in SRAM is told to pull lines."""
    args = ["analyze", str(files["model"]), "--board", "stm32f746", "--ram", "1k"]
    assert invoke(args) == 4
    assert re.search(r"hint: (--ram \d+|--input-mode \w+) fits", capsys.readouterr().err)


def test_what_does_not_fit_goes_without_copies_in_front_of_joins(tmp_path: Path) -> None:
    """x lies within 1, z within 100, and both are joined; x is read by a layer of its own as well."""
    rng = np.random.default_rng(0)
    weights = {"u": rng.normal(size=(24, 6)), "w": rng.normal(size=(12, 6))}
    nodes = [
        helper.make_node("Concat", ["x", "z"], ["j"], axis=2),
        helper.make_node("MatMul", ["j", "u"], ["a"]),
        helper.make_node("MatMul", ["x", "w"], ["b"]),
    ]
    rows = {n: [1, 16, 12 if n in "xz" else 6] for n in "xzab"}
    infos = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in rows.items()}
    stored = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()]
    ends = [[infos[n] for n in names] for names in ("xz", "ab")]
    graph = helper.make_graph(nodes, "g", *ends, stored)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
    x, z = rng.uniform(-1, 1, (2, 16, 16, 12)).astype(np.float32)
    np.savez(tmp_path / "c.npz", x=x, z=100 * z)

    def made(name: str, *more: str) -> dict[str, Any]:
        args = ["compile", str(tmp_path / "m.onnx"), "--board", "stm32f746", "--emit-only"]
        args += ["--no-check", "--calibration", str(tmp_path / "c.npz"), *more]
        assert invoke([*args, "-o", str(tmp_path / name)]) == 0
        return json.loads((tmp_path / name / "report.json").read_text())  # type: ignore[no-any-return]

    def copies(report: dict[str, Any]) -> int:
        return [row["op"] for row in report["layers"]].count("q_requant")

    free = made("free", "--optimize", "speed")
    limit = free["estimate"]["instructions"] - 1
    bound = made("bound", "--max-instructions", str(limit))
    assert (copies(free), copies(bound)) == (1, 0)
    assert bound["estimate"]["instructions"] <= limit
    codes = [[d["code"] for d in report["diagnostics"]] for report in (free, bound)]
    assert "join-grids" not in codes[0] and "join-grids" in codes[1]
