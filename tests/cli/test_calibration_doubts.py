"""Calibration that cannot be right: stderr, report and exit code of compile, analyze, validate, run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_vit import tiny_vit

from mcuformer.cli import invoke

Files = dict[str, Path]
Compiling = Callable[..., list[str]]
PIXELS = np.random.default_rng(5).integers(0, 256, (12, 1, 8, 8), dtype=np.uint8)


@pytest.fixture
def analyzing(files: Files, tmp_path: Path) -> Callable[..., list[str]]:
    """Arguments of `analyze` with calibration data that are given as an array."""

    def arguments(x: np.ndarray, *more: str, model: Path = files["model"]) -> list[str]:
        np.savez(tmp_path / "c.npz", x=x)
        data = str(tmp_path / "c.npz")
        return ["analyze", str(model), "--board", "stm32f746", "--calibration", data, *more]

    return arguments


def test_a_doubt_is_on_stderr_and_in_the_report(
    compiling: Compiling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "c.npz", x=PIXELS[:3])
    args = compiling(tmp_path / "o", "--calibration", str(tmp_path / "c.npz"), "--emit-only")
    assert invoke(args) == 0
    shown = capsys.readouterr()
    assert shown.err.count("warning: the calibration has 3 samples; wanted are at least 8") == 1
    assert "hint: give 16 or more" in shown.err and "warning" not in shown.out
    report = json.loads((tmp_path / "o/report.json").read_text())
    (entry,) = [d for d in report["diagnostics"] if d["severity"] == "warning"]
    assert entry["code"] == "calibration-few" and entry["hint"]


def test_json_on_stdout_stays_alone(
    analyzing: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(analyzing(PIXELS.astype(np.float32), "--json")) == 0
    shown = capsys.readouterr()
    codes = [d["code"] for d in json.loads(shown.out)["diagnostics"]]
    assert codes.count("calibration-range") == 1
    assert shown.err.count("warning: the calibration floats look like pixels 0..255") == 1


def test_a_model_that_does_not_fit_has_its_doubts_too(
    analyzing: Callable[..., list[str]], compiling: Compiling, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    args = analyzing(PIXELS[:3], "--ram", "1k")
    for words in (args, compiling(tmp_path / "o", *args[4:])):
        assert invoke(words) == 4
        shown = capsys.readouterr().err
        assert shown.startswith("error: ") and shown.count("warning: the calibration has 3") == 1


def test_a_model_that_fails_its_check_has_its_doubts_too(
    compiling: Compiling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "c.npz", x=PIXELS[:3])
    args = compiling(tmp_path / "o", "--calibration", str(tmp_path / "c.npz"), "--emit-only")
    assert invoke([*args, "--accept-sqnr", "200"]) == 5
    assert "warning: the calibration has 3 samples" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compile", "analyze"])
@pytest.mark.parametrize(
    ("x", "more", "message"),
    [
        (PIXELS * 0, [], "the calibration data are constant: 0 everywhere"),
        (np.where(PIXELS > 250, np.inf, PIXELS), [], "holds NaN or infinite numbers"),
        (PIXELS * 1e300, [], "holds NaN or infinite numbers"),
        (PIXELS, ["--mean", "123.675", "--std", "58.395"], "--mean 0.485 --std 0.229"),
        (PIXELS, ["--mean", "0.5", "--std", "0"], "--std must be positive"),
        (PIXELS, ["--mean", "0.5", "--std", "-1"], "--std must be positive"),
        (PIXELS, ["--mean", "0.5"], "--mean and --std belong together"),
        (PIXELS, ["--mean", "abc", "--std", "1"], "Invalid value for '--mean': 'abc' is not a list"),
        (PIXELS, ["--mean", "0.5,,0.4", "--std", "1"], "'0.5,,0.4' is not a list of numbers"),
        (PIXELS, ["--mean", " ", "--std", "1"], "' ' is not a list of numbers"),
        (PIXELS, ["--mean", "nan", "--std", "1"], "holds NaN, infinity"),
        (PIXELS, ["--mean", "0.5", "--std", "inf"], "Invalid value for '--std': 'inf' holds NaN"),
    ],
)  # fmt: skip
def test_what_is_useless_is_exit_2(
    analyzing: Callable[..., list[str]], tmp_path: Path, command: str, x: np.ndarray,
    more: list[str], message: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    args = analyzing(x, *more)
    if command == "compile":
        args = ["compile", *args[1:], "-o", str(tmp_path / "o")]
    with np.errstate(all="raise"):
        assert invoke(args) == 2
    assert message in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]


def test_a_list_as_python_prints_it(analyzing: Callable[..., list[str]]) -> None:
    assert invoke(analyzing(PIXELS, "--mean", "[0.5]", "--std", "( 0.25 )", "--json")) == 0


@pytest.mark.parametrize(
    ("mean", "std", "code", "message"),
    [
        ("0.5", "0", 2, "every std must be above 0"),
        ("128", "64", 2, "not those of pixels over 0..1"),
        ("0.5", "quarter", 2, "mcuformer.std in the model's metadata: 'quarter' is not a list"),
        ("0.5", "2", 0, "warning: std 2 is above 1"),
        (
            "0.5",
            None,
            0,
            "warning: mcuformer.mean of the model cannot be used: mean and std belong together",
        ),
    ],
)
def test_what_the_metadata_say_is_judged_alike(
    analyzing: Callable[..., list[str]], tmp_path: Path, mean: str, std: str | None, code: int,
    message: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = onnx.load(tiny_vit(tmp_path / "m.onnx", metadata=False))
    notes = {"mcuformer.mean": mean} | ({"mcuformer.std": std} if std else {})
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, tmp_path / "m.onnx")
    noise = np.random.default_rng(1).normal(size=(12, 1, 8, 8)).astype(np.float32)
    assert invoke(analyzing(noise if std is None else PIXELS, model=tmp_path / "m.onnx")) == code
    assert message in capsys.readouterr().err


def test_one_of_two_inputs_that_never_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A doubt that names the input; the rest is as right as ever."""
    rng = np.random.default_rng(2)
    w = onnx.numpy_helper.from_array(rng.normal(size=(6, 5)).astype(np.float32), "w")
    nodes = [onnx.helper.make_node("MatMul", ["rows", "w"], ["m"]),
             onnx.helper.make_node("Add", ["m", "shift"], ["y"])]  # fmt: skip
    kinds = {"rows": [1, 4, 6], "shift": [1, 4, 5], "y": [1, 4, 5]}
    infos = {n: onnx.helper.make_tensor_value_info(n, 1, shape) for n, shape in kinds.items()}
    graph = onnx.helper.make_graph(nodes, "g", [infos["rows"], infos["shift"]], [infos["y"]], [w])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, tmp_path / "m.onnx")
    rows = rng.normal(size=(9, 4, 6)).astype(np.float32)
    np.savez(tmp_path / "c.npz", rows=rows, shift=np.ones((9, 4, 5), np.float32))
    args = ["compile", str(tmp_path / "m.onnx"), "--board", "stm32f746", "--emit-only", "-o", "o"]
    args[-1] = str(tmp_path / "o")
    assert invoke([*args, "--calibration", str(tmp_path / "c.npz")]) == 0
    assert capsys.readouterr().err.count("warning: the calibration of shift is 1 in all 9") == 1
    np.savez(tmp_path / "c.npz", rows=rows * 0, shift=np.ones((9, 4, 5), np.float32))
    assert invoke([*args, "--calibration", str(tmp_path / "c.npz")]) == 2
    assert "the calibration data are constant" in capsys.readouterr().err


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_validate_and_run_refuse_what_is_not_finite(
    files: Files, tmp_path: Path, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    x = PIXELS / 255
    x[4, 0, 2, 2] = value
    np.savez(tmp_path / "d.npz", x=x)
    np.save(tmp_path / "x.npy", x[4:5])
    for args in (
        ["validate", "--data", "d.npz", "--emulator", "host"],
        ["run", "--input", "x.npy"],
    ):
        args[2] = str(tmp_path / args[2])
        assert invoke([args[0], str(files["package"]), *args[1:]]) == 2
        assert "holds NaN or infinite numbers" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "abc", "1,2", ""])
def test_least_sqnr_is_a_number(compiling: Compiling, tmp_path: Path, text: str) -> None:
    assert invoke(compiling(tmp_path / "o", "--accept-sqnr", text)) == 2
