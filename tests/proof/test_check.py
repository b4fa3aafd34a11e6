"""`compile` runs what it wrote: planted faults of every stage are caught, with the right layer."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcuformer.cli import invoke
from mcuformer.codegen import calls, model_c, runtime
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import compile_model
from mcuformer.errors import DoesNotFitError, ValidationError
from mcuformer.files.paths import BOARDS, RUNTIME_C
from mcuformer.quant import lower_linear
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc
from mcuformer.targets import limits
from mcuformer.targets.limits import EndlessError

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from pair_model import pair_data, pair_model
from tiny_vit import tiny_data, tiny_vit

Compile = Callable[..., dict[str, Any]]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compile the tiny transformer; its report."""
    model, data = tiny_vit(tmp_path / "tiny.onnx"), tiny_data(tmp_path / "data.npz")

    def run(**options: Any) -> dict[str, Any]:
        asked = CompileOptions(model=model, calibration=data, **{"board": "stm32f746"} | options)
        return compile_model(asked, tmp_path / "out", lambda *_: None).report

    return run


@pytest.mark.parametrize("emit_only", [False, True])
def test_the_report_says_what_was_checked(compiled: Compile, emit_only: bool) -> None:
    found = compiled(emit_only=emit_only)["checked"]
    assert found["emulator"] == ("host" if emit_only else "unicorn")
    assert found["samples"] >= 2 and found["equal"] is True and found["sqnr_db"] > 20


def test_a_stack_that_is_too_small_is_the_board_files(compiled: Compile, tmp_path: Path) -> None:
    text = (BOARDS / "stm32f746g-disco.toml").read_text()
    board = tmp_path / "little.toml"
    board.write_text(text.replace("stack_bytes = 2048", "stack_bytes = 512"))
    with pytest.raises(DoesNotFitError, match=r"the stack of 512 B overflows in ") as caught:
        compiled(board=str(board))
    assert caught.value.hint == "raise stack_bytes in the board file"
    assert not (tmp_path / "out").exists()


def test_a_wrong_kernel(compiled: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of exponentials that every attention kernel reads has a wrong entry."""
    planted = shutil.copytree(RUNTIME_C, tmp_path / "runtime_c")
    source = planted / "src" / "mcf_exp.c"
    text = source.read_text()
    entry = re.search(r"\{\s*(\d+)", text)
    assert entry is not None
    source.write_text(text[: entry.start(1)] + "20000" + text[entry.end(1) :])
    monkeypatch.setattr(runtime, "RUNTIME_C", planted)
    for options in ({}, {"emit_only": True}):
        with pytest.raises(ValidationError, match="attention is the first that differs") as caught:
            compiled(**options)
        assert caught.value.exit_code == 5
    assert not (tmp_path / "out").exists()


def test_a_wrong_row_stride(compiled: Compile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The residual of a linear layer is read one byte too far with every row."""
    right = TaskEmitter.apply

    def planted(
        self: TaskEmitter, op: Any, operands: Any, y: Loc, rows: Any, reads: Any = None
    ) -> Any:
        made = right(self, op, operands, y, rows, reads)
        res = operands[1] if op.kind == "q_linear" else None
        if res is None or res.buffer is None:
            return made
        skewed = replace(res, stride=res.stride - 1)
        return replace(made, parts=(operands[0], skewed, *made.parts[2:]))

    monkeypatch.setattr(TaskEmitter, "apply", planted)
    with pytest.raises(ValidationError, match="proj is the first that differs"):
        compiled()


def test_a_wrong_offset_in_the_plan(compiled: Compile, monkeypatch: pytest.MonkeyPatch) -> None:
    """One buffer is printed eight bytes beside the place that the checker proved."""
    right = calls.slots

    def wrong(program: Any, plan: Any, symbols: Any) -> Any:
        table = right(program, plan, symbols)
        name = next(n for n in table if n.startswith("k"))
        return {**table, name: replace(table[name], offset=table[name].offset - 8)}

    monkeypatch.setattr("mcuformer.codegen.printed.slots", wrong)
    with pytest.raises(ValidationError, match="is the first that differs"):
        compiled()


def test_a_clamp_left_out_in_the_lowering(
    compiled: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interpreter and C agree, both without the ReLU: only the ONNX file tells."""
    monkeypatch.setattr(lower_linear, "_clamps", lambda ctx, op: {})
    report = compiled(activations="16", accept_sqnr=-100.0)
    blamed = [d["where"] for d in report["diagnostics"] if d["code"] == "layer-below-grids"]
    assert blamed == ["fc1"]


def test_an_output_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C forgets the last of a model's outputs."""
    right = model_c.ports

    def forgetful(*args: Any) -> Any:
        inputs, outputs = right(*args)
        return inputs, outputs[:-1]

    monkeypatch.setattr(model_c, "ports", forgetful)
    model, data = pair_model(tmp_path / "pair.onnx"), pair_data(tmp_path / "data.npz")
    options = CompileOptions(model=model, board="stm32f746", calibration=data)
    with pytest.raises(ValidationError, match=r"is missing; layer \S+ computes it rightly"):
        compile_model(options, tmp_path / "out", lambda *_: None)
    assert not (tmp_path / "out").exists()


def test_a_qdq_model_needs_no_data(tmp_path: Path) -> None:
    """Two seeded inputs within the grid of its input."""
    model = Path(__file__).parents[1] / "data" / "zoo" / "qdq_s8_channel.onnx"
    options = CompileOptions(model=model, board="stm32f746", emit_only=True)
    found = compile_model(options, tmp_path / "out", lambda *_: None).report["checked"]
    assert found["samples"] == 2 and found["sqnr_db"] > 20


def test_an_output_far_from_the_model_is_refused(
    compiled: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError, match="at least 99 dB is wanted") as caught:
        compiled(accept_sqnr=99.0)
    assert "--accept-sqnr" in str(caught.value.hint)


def test_no_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, data = tiny_vit(tmp_path / "tiny.onnx"), tiny_data(tmp_path / "data.npz")
    args = ["compile", str(model), "--board", "stm32f746", "--calibration", str(data)]
    args += ["-o", str(tmp_path / "out"), "--emit-only", "--no-check", "--json"]
    assert invoke(args) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["checked"] is None
    assert ("checked", "--no-check") in {(d["where"], d["message"]) for d in report["diagnostics"]}


def test_nothing_here_can_run_it(compiled: Compile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcuformer.proof.check.emulator_for", lambda _: None)
    report = compiled(emit_only=True)
    assert report["checked"] is None
    assert any(d["where"] == "checked" and d["code"] == "unknown" for d in report["diagnostics"])


@pytest.mark.parametrize("emit_only", [False, True])
def test_code_that_does_not_end(
    compiled: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emit_only: bool
) -> None:
    planted = shutil.copytree(RUNTIME_C, tmp_path / "runtime_c")
    source = planted / "src" / "mcf_mean.c"
    loop = r"\g<0>\n    for (volatile int go = 1; go;) {}"
    source.write_text(
        re.sub(r"^void mcf_mean_partial\([^{]*\{", loop, source.read_text(), flags=re.MULTILINE)
    )
    monkeypatch.setattr(runtime, "RUNTIME_C", planted)
    monkeypatch.setattr(limits, "_START_S", 1.0)
    with pytest.raises(EndlessError, match=r"did not end within 1\.\d* s"):
        compiled(emit_only=emit_only)
    assert not (tmp_path / "out").exists()
