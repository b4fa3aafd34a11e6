"""`mcuformer train` and `export` as they are typed: what they print, refuse, and say when stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("optuna", reason="the extra `search` (optuna) is not installed")
pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")

from mcuformer.cli import invoke

ARCH = {
    "image": [24, 24, 1], "classes": 10, "stem": "patch", "patch": 8, "pool": "mean", "relative": False,
    "dim": 32, "heads": 2, "head_dim": 16, "hidden": [32],
}  # fmt: skip
Said = pytest.CaptureFixture[str]


@pytest.fixture
def arch(tmp_path: Path) -> Path:
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(ARCH))
    return path


def words(arch: Path, *more: str, epochs: int = 1, data: str = "few:100:digits") -> list[str]:
    common = ["--data", data, "--epochs", str(epochs), "--threads", "1"]
    return ["train", str(arch), "-o", str(arch.parent / "run"), *common, *more]


def refused(capsys: Said, code: int, *parts: str) -> None:
    out, err = capsys.readouterr()
    assert code == 2 and not out and "Traceback" not in err, err
    message, hint = err.splitlines()
    assert message.startswith("error: ") and hint.startswith("  hint: ")
    assert all(part in err for part in parts), err


def test_what_a_training_prints(arch: Path, capsys: Said) -> None:
    """On stdout, as text, with or without another program reading it."""
    assert invoke(words(arch, "--until", "1", epochs=2)) == 0
    out, err = capsys.readouterr()
    run = arch.parent / "run"
    assert not err and "trained     1 of 2 epochs on few:100:digits" in out
    assert out.endswith(f"kept in {run}; the same command without --until goes on\n")
    assert invoke(words(arch, epochs=2)) == 0
    out, _ = capsys.readouterr()
    assert out.endswith(f"kept in {run}\n") and "2 of 2" in out
    found = json.loads((run / "train.json").read_text())
    assert f"validation  {found['validation']:.2f} %" in out
    assert invoke(words(arch, "--qat", epochs=2)) == 0
    out, _ = capsys.readouterr()
    rounded = json.loads((run / "train.json").read_text())["qat"]
    assert f"rounded     {rounded['validation']:.2f} % with 8-bit weights" in out
    more = ("-o", str(arch.parent / "all"), "--refit")
    assert invoke(words(arch, *more)) == 0
    assert "validation  trained on, too (--refit)" in capsys.readouterr().out


def test_what_a_slimmable_training_prints(arch: Path, capsys: Said) -> None:
    assert invoke(words(arch, "--slimmable", "--ratios", "0.5,1")) == 0
    out, _ = capsys.readouterr()
    found = json.loads((arch.parent / "run" / "train.json").read_text())["slimmable"]
    rows = [line.split() for line in out.splitlines()]
    for width, percent in found["validation"].items():
        assert [width, f"{percent:.2f}", "%"] in rows
    capsys.readouterr()
    code = invoke(words(arch, "--slimmable", "--ratios", "0.5,1", "--nested"))
    refused(capsys, code, "last.pt is of another training (slimmable)")
    path = arch.parent / "run" / "train.json"
    for broken in ({"ratios": "half"}, 7):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"slimmable": broken}))
        code = invoke(
            [
                "export",
                str(arch.parent / "run"),
                "--ratio",
                "0.5",
                "-o",
                str(arch.parent / "x.onnx"),
            ]
        )
        refused(capsys, code, "train.json is not what mcuformer train writes")
    more = ("-o", str(arch.parent / "all"), "--refit")
    assert invoke(words(arch, "--slimmable", "--ratios", "0.5,1", *more)) == 0
    info = json.loads((arch.parent / "all" / "train.json").read_text())
    assert info["slimmable"]["validation"] == {"0.5": None, "1": None}  # trained on


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--data", "few:200:digits"), "another training (data)"),
        (("--refit",), "another training (data)"),
        (("--teacher", "{}"), "another training (teacher)"),
        (("--from", "{}"), "another training (start)"),
        (("--slimmable",), "another training (slimmable)"),
        (("--epochs", "2", "--lr", "0.1"), "another recipe (epochs, lr)"),
    ],
)
def test_a_folder_goes_on_with_what_it_was_begun_with(
    arch: Path, capsys: Said, more: tuple[str, ...], said: str
) -> None:
    """Else train.json would say of these weights what they were not trained with."""
    assert invoke(words(arch)) == 0
    info = arch.parent / "run" / "train.json"
    before = info.read_bytes()
    capsys.readouterr()
    code = invoke(words(arch, *(w.format(arch.parent / "run") for w in more)))
    refused(capsys, code, str(info.parent / "last.pt"), said)
    assert info.read_bytes() == before


def test_another_network_in_the_folder(arch: Path, capsys: Said) -> None:
    assert invoke(words(arch)) == 0
    arch.write_text(json.dumps({**ARCH, "dim": 16, "head_dim": 8}))
    capsys.readouterr()
    refused(capsys, invoke(words(arch)), "last.pt is of another network: size mismatch")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--lr", "nan"), "'--lr': nan is no number"),
        (("--lr", "-1"), "'--lr': -1.0 is not in the range"),
        (("--ema", "nan"), "'--ema': nan is no number"),
        (("--nested",), "--nested goes with --slimmable"),
        (("--ratios", "0.5,1"), "--ratios goes with --slimmable"),
        (("--weight-bits", "4"), "--weight-bits goes with --qat"),
        (("--lr", "1e30"), "the training diverged"),
        (("-o", "{}"), "exists and is no directory"),
        (("-o", "{}/run"), "exists and is no directory"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_leaves_nothing(
    arch: Path, capsys: Said, more: tuple[str, ...], said: str
) -> None:
    refused(capsys, invoke(words(arch, *(w.format(arch) for w in more))), said)
    assert [p.name for p in arch.parent.iterdir()] == ["arch.json"]


def test_a_directory_is_no_network(arch: Path, capsys: Said) -> None:
    refused(capsys, invoke(words(arch.parent)), f"{arch.parent} is a directory")


@pytest.mark.parametrize("command", ["train", "adapt"])
def test_ctrl_c_says_that_the_same_command_goes_on(arch: Path, command: str) -> None:
    asked = words(arch, epochs=500)
    kept = arch.parent / "run" / "last.pt"
    if command == "adapt":
        assert invoke(words(arch)) == 0
        kept = arch.parent / "tasks" / "a" / "last.pt"
        asked = ["adapt", "--base", str(arch.parent / "run"), "--task", "a=few:100:digits", "--rank", "4",
                 "--epochs", "500", "--threads", "1", "-o", str(arch.parent / "tasks")]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "mcuformer", *asked],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.time() + 120
    while not kept.exists() and process.poll() is None and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was finished is kept" in error and "the same command" in error
    assert kept.exists()


def test_export_writes_all_files_or_none(arch: Path, capsys: Said) -> None:
    assert invoke(words(arch)) == 0
    folder, run = arch.parent, str(arch.parent / "run")
    model = str(folder / "m.onnx")
    capsys.readouterr()
    for data in (folder / "none" / "c.npz", folder, Path(model)):
        code = invoke(["export", run, "-o", model, "--calibration", str(data)])
        refused(capsys, code, str(data.parent if data.name == "c.npz" else data))
        assert not (folder / "m.onnx").exists()
    data = folder / "c.npz"
    assert invoke(["export", run, "-o", model, "--calibration", str(data)]) == 0
    assert capsys.readouterr().out == f"written to {model}\nimages in {data}\n"
    assert np.load(data)["x"].shape[1:] == (1, 24, 24) and onnx.load(model).graph.node


def test_the_newer_exporter_prints_nothing_of_its_own(arch: Path, capfd: Said) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    assert invoke(words(arch)) == 0
    model = str(arch.parent / "m.onnx")
    capfd.readouterr()
    assert invoke(["export", str(arch.parent / "run"), "-o", model, "--dynamo"]) == 0
    assert capfd.readouterr() == (f"written to {model}\n", "")
