"""mcuformer compile: what it leaves, what it prints, and that it leaves nothing when it fails."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_vit import tiny_vit

from mcuformer.cli import invoke

Files = dict[str, Path]
Compiling = Callable[..., list[str]]
CONTRACT = {
    "schema_version", "tool", "model", "board", "options", "memory", "flash", "fits", "layers",
    "estimate", "tradeoffs", "checked", "diagnostics", "variants", "localisation",
}  # fmt: skip


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_package_is_complete(files: Files) -> None:
    names = set(tree(files["package"]))
    assert {
        "model.c", "model.h", "weights.c", "CMakeLists.txt", "Makefile", "README.md",
        "report.json", "graph.npz", "board.toml", "link.ld", "build/firmware.elf",
    } <= names  # fmt: skip
    assert not [n for n in names if n.endswith(".o")]
    report = json.loads((files["package"] / "report.json").read_text())
    assert set(report) == CONTRACT and report["fits"] is True
    m = report["memory"]
    parts = ("arena", "scratch", "static", "stack", "input")
    assert m["sram_total_bytes"] == sum(m[f"{p}_bytes"] for p in parts)
    assert report["model"]["parameters"] == 811
    assert report["model"]["inputs"][0]["dtype"] == "uint8"


def test_identical_inputs_give_identical_bytes(
    files: Files, compiling: Compiling, tmp_path: Path
) -> None:
    assert invoke(compiling(tmp_path / "again")) == 0
    assert tree(tmp_path / "again") == tree(files["package"])


def test_no_path_of_this_machine_in_the_sources(files: Files) -> None:
    for name, content in tree(files["package"]).items():
        if name not in ("report.json", "graph.npz"):
            assert str(files["package"].parent).encode() not in content, name


def test_json_is_the_report(
    compiling: Compiling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "r.html"
    assert invoke(compiling(tmp_path / "o", "--json", "--emit-only", "--report", str(page))) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((tmp_path / "o/report.json").read_text())
    assert printed.err == ""
    assert page.read_text().lstrip().lower().startswith("<!doctype html")
    assert not (tmp_path / "o/build").exists()


def test_analyze_prints_the_same_figures(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(files["model"])
    assert invoke(["analyze", model, "--board", "stm32f746", "--json"]) == 0
    analyzed = json.loads(capsys.readouterr().out)
    compiled = json.loads((files["package"] / "report.json").read_text())
    for key in ("arena_bytes", "stack_bytes", "lower_bound_bytes", "input_mode"):
        assert analyzed["memory"][key] == compiled["memory"][key]
    data = str(files["data"])
    args = ["analyze", model, "--board", "stm32f746", "--calibration", data, "--json"]
    assert invoke(args) == 0
    analyzed = json.loads(capsys.readouterr().out)
    for key in ("memory", "layers", "estimate", "tradeoffs", "model"):
        assert analyzed[key] == compiled[key]
    assert invoke(["analyze", model, "--board", "stm32f746"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"total +[\d,]+  of 327,680", text) and "blocks" not in text


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--ram", "1k"], 4, "missing"),
        (["--max-instructions", "100"], 4, "100"),
        (["--weights", "qspi", "--board", "nucleo-h743zi"], 2, "no QSPI"),
        (["--calibration", "nowhere.npz"], 2, "nowhere.npz does not exist"),
        (["--mean", "0.5,0.5", "--std", "1,1"], 2, "2 numbers"),
        (["--input-shape", "nosuch=1,1,8,8"], 2, "nosuch"),
        (["--board", "nosuch"], 2, "no board"),
    ],
)
def test_failures_write_nothing(
    compiling: Compiling, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    more: list[str], code: int, message: str,
) -> None:  # fmt: skip
    assert invoke(compiling(tmp_path / "a/b", *more)) == code
    printed = capsys.readouterr()
    assert message in printed.err and "Traceback" not in printed.err and printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_float_model_without_data_is_refused(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["compile", str(files["model"]), "--board", "stm32f746", "-o", str(tmp_path / "o")]
    assert invoke(args) == 2
    assert "needs data" in capsys.readouterr().err


def test_calibration_of_the_wrong_shape(
    files: Files, compiling: Compiling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "c.npz", x=np.zeros((4, 3, 8, 8), np.uint8))
    assert invoke(compiling(tmp_path / "o", "--calibration", str(tmp_path / "c.npz"))) == 2
    assert "the model wants samples of [1, 8, 8]" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08\x12\x07", os.urandom(4096)])
def test_garbage_is_no_model(
    compiling: Compiling, files: Files, tmp_path: Path, content: bytes,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "bad.onnx").write_bytes(content)
    args = ["compile", str(tmp_path / "bad.onnx"), *compiling(tmp_path / "o")[2:]]
    assert invoke(args) in (2, 3)
    assert "bug" not in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.onnx"]


def test_misfit_with_json_prints_the_report(
    compiling: Compiling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(compiling(tmp_path / "o", "--ram", "1k", "--json")) == 4
    report = json.loads(capsys.readouterr().out)
    assert set(report) == CONTRACT and report["fits"] is False
    assert [d["code"] for d in report["diagnostics"] if d["severity"] == "error"]


def test_save_temps_keeps_what_every_stage_made(compiling: Compiling, tmp_path: Path) -> None:
    for words, kept in (((), False), (("--save-temps",), True)):
        assert invoke(compiling(tmp_path / "o", "--emit-only", "--no-check", *words)) == 0
        assert (tmp_path / "o" / "stages").exists() == kept
    stages = sorted((tmp_path / "o" / "stages").iterdir())
    assert [p.name for p in stages] == [
        f"{i}-{name}.txt"
        for i, name in enumerate(("onnx", "float", "prepared", "int", "program", "plan"), 1)
    ]
    begins = [p.read_text().split()[0] for p in stages]
    assert begins[:5] == ["graph"] * 4 + ["program"] and stages[5].stat().st_size > 100


@pytest.mark.parametrize(
    "work", ["atomic.atomic_directory({}).__enter__()", "atomic.check_directory({})"]
)
def test_read_only_output(tmp_path: Path, work: str) -> None:
    """As a user who may not write there, also where the tests run as root; said before the work, too."""
    program = (
        "import os, sys; from pathlib import Path; from mcuformer.files import atomic;"
        "from mcuformer.cli.failure import report_failure; os.geteuid() or os.setuid(65534)\n"
        f"try:\n    {work.format('Path(sys.argv[1])')}\n"
        "except BaseException as error: sys.exit(report_failure(error, []))"
    )
    tmp_path.chmod(0o555)
    for target in (tmp_path / "o" / "a", tmp_path / "o", tmp_path):
        result = subprocess.run(
            [sys.executable, "-c", program, str(target)],
            check=False,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 2 and "permission denied" in result.stderr, result.stderr
    assert list(tmp_path.iterdir()) == []


def test_full_disk(compiling: Compiling, tmp_path: Path) -> None:
    """A limit on file sizes stands for a full disk: the weights do not fit."""
    limited = ["import resource, sys, signal", "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)",
               "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))",
               "from mcuformer.cli import invoke", "sys.exit(invoke(sys.argv[1:]))"]  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", "; ".join(limited), *compiling(tmp_path / "o", "--emit-only")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 2 and "nothing was written" in result.stderr, result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(compiling: Compiling, tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "mcuformer", *compiling(tmp_path / "o")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # a shell starts background jobs with SIGINT ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    until = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted" in errors
    assert list(tmp_path.iterdir()) == []


def test_hostile_file_name(
    compiling: Compiling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a'; touch pwned; '*" + "%s\n" + "ü.onnx"
    model = tiny_vit(tmp_path / name)
    args = ["compile", str(model), *compiling(tmp_path / "o")[2:]]
    assert invoke(args) == 0
    assert "\n%s" not in capsys.readouterr().out
    assert (tmp_path / "o/build/firmware.elf").is_file()


@pytest.mark.parametrize("odd", ['*/\n#error "); system("x%s%n\\', "ü\x1b[2J" + "n" * 10_000])
def test_hostile_names_in_the_model(
    compiling: Compiling, files: Files, tmp_path: Path, odd: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = tiny_vit(tmp_path / "m.onnx", odd=odd)
    assert invoke(["compile", str(model), *compiling(tmp_path / "o")[2:]]) == 0
    args = ["validate", str(tmp_path / "o"), "--data", str(files["data"]), "--limit", "2"]
    assert invoke([*args, "--per-layer"]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
def test_package_builds_without_python(compiling: Compiling, tmp_path: Path) -> None:
    assert invoke(compiling(tmp_path / "o", "--emit-only")) == 0
    for command in (
        ["cmake", "-S", ".", "-B", "cm", "-DCMAKE_TOOLCHAIN_FILE=toolchain.cmake"],
        ["cmake", "--build", "cm"],
        ["make"],
    ):
        result = subprocess.run(
            command, cwd=tmp_path / "o", check=False, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
