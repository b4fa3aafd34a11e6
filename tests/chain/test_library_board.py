"""A board file without a family: the library for a chip whose start-up code is the user's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mcuformer.cli import invoke

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from tiny_vit import tiny_data, tiny_vit

BOARD = """
name = "nrf52840dk"
core = "cortex-m4"
stack_bytes = 2048
[[memory]]
name = "ram"
kind = "ram"
base = 0x20000000
size = "256k"
[[memory]]
name = "flash"
kind = "flash"
base = 0
size = "1M"
[clock]
cpu_hz = 64_000_000
[runners]
emulators = ["qemu", "host"]
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    board, out = tmp_path / "nrf52840dk.toml", tmp_path / "out"
    board.write_text(BOARD)
    model, data = tiny_vit(tmp_path / "tiny.onnx"), tiny_data(tmp_path / "data.npz")
    arguments = [model, "--board", board, "--calibration", data, "-o", out]
    assert invoke(["compile", *map(str, arguments)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["checked"]["emulator"] == ("qemu" if shutil.which("qemu-system-arm") else "host")
    assert report["flash"]["code_bytes"] is None and report["flash"]["weights_bytes"] > 0
    seconds = report["estimate"]["instructions"] / 64e6
    assert report["estimate"]["seconds"] == pytest.approx(seconds, rel=0.01)
    why = {d["where"]: d["message"] for d in report["diagnostics"] if d["code"] == "unknown"}
    assert "which the program of the user is" in why["flash.code_bytes"]
    return out


def test_it_is_a_library(package: Path) -> None:
    names = {path.name for path in package.iterdir()}
    assert {"model.c", "weights.c", "runtime", "toolchain.cmake", "Makefile"} <= names
    assert not names & {"link.ld", "build"}
    assert [path.name for path in (package / "port").glob("*.c")] == ["main.c"]
    assert "those of your project" in (package / "README.md").read_text()
    if shutil.which("arm-none-eabi-gcc") is not None:
        subprocess.run(["make", "-s"], cwd=package, check=True)
        listed = ["arm-none-eabi-readelf", "-A", package / "build" / "libmcf_runtime.a"]
        text = subprocess.run(listed, capture_output=True, text=True, check=True).stdout
        assert "v7E-M" in text


def test_it_runs_where_the_board_says(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(tmp_path / "data.npz") as data:
        np.save(tmp_path / "x.npy", data["x"][:1])
    arguments = ["run", str(package), "--input", str(tmp_path / "x.npy"), "--raw", "--json"]
    runners = ["host", *(["qemu"] if shutil.which("qemu-system-arm") else [])]
    outputs = []
    for name in runners:
        capsys.readouterr()
        assert invoke([*arguments, "--emulator", name]) == 0
        outputs.append(json.loads(capsys.readouterr().out)["outputs"])
    assert outputs == [outputs[0]] * len(runners)
    assert invoke([*arguments, "--emulator", "unicorn"]) == 2
    assert invoke(["flash", str(package)]) == 2


def test_a_search_wants_a_firmware(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is trained."""
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    board = tmp_path / "nrf52840dk.toml"
    board.write_text(BOARD)
    arguments = ["search", "--ram", "8k", "--board", str(board), "-o", str(tmp_path / "search")]
    assert invoke(arguments) == 2
    assert "a search ends with a run in unicorn" in capsys.readouterr().err
