"""mcuformer run, validate and flash on the tiny package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mcuformer.cli import invoke
from mcuformer.inputs.dataset import load_dataset
from mcuformer.operators.interpreter import run_int
from mcuformer.package.compiled import open_package
from mcuformer.package.execution import codec_of

Files = dict[str, Path]
EMULATORS = [
    "unicorn",
    "host",
    pytest.param(
        "qemu",
        marks=pytest.mark.skipif(
            shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed"
        ),
    ),
]


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.fixture
def sample(files: Files, tmp_path: Path) -> Path:
    """One float input in ONNX layout; expected integers beside it."""
    package = open_package(files["package"])
    codec = codec_of(package)
    pixels = load_dataset(files["data"], codec.inputs).take([1])
    np.save(tmp_path / "x.npy", codec.to_float(pixels)[0])
    np.save(tmp_path / "raw.npy", pixels[0])
    values = run_int(package.graph, codec.to_int(pixels))
    np.save(tmp_path / "expected.npy", values[package.graph.outputs[0]])
    return tmp_path / "x.npy"


@pytest.mark.parametrize("emulator", EMULATORS)
def test_run_equals_the_interpreter(
    files: Files, sample: Path, emulator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = sample.parent / "y.npy"
    args = ["run", str(files["package"]), "--input", str(sample), "--emulator", emulator]
    assert invoke([*args, "--output", str(out), "--json"]) == 0
    document = printed(capsys)
    (output,) = document["outputs"]
    expected = np.load(sample.parent / "expected.npy")
    assert output["shape"] == [1, 3] and output["data_int8"] == expected.reshape(1, 3).tolist()
    assert np.allclose(np.load(out), output["data"])
    unknown = {name for name, value in document.items() if value is None}
    assert unknown <= set(document["why"])
    if emulator == "unicorn":
        report = json.loads((files["package"] / "report.json").read_text())
        total = report["memory"]["sram_total_bytes"]
        assert 0 < document["stack_high_water_bytes"] < document["sram_high_water_bytes"] <= total
        assert len(document["layers"]) == len(report["layers"])
        assert sum(row["instructions"] for row in document["layers"]) <= document["instructions"]


def test_cycles_are_null_without_the_model(
    files: Files, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A machine without llvm-mca: everything else is known, and the reason is given."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("arm-none-eabi-objdump", "cc"):
        path = shutil.which(name)
        if path is not None:
            (tools / name).symlink_to(path)
    monkeypatch.setenv("PATH", str(tools))
    assert invoke(["run", str(files["package"]), "--input", str(sample), "--json"]) == 0
    document = printed(capsys)
    assert document["estimated_cycles"] is None and document["instructions"] > 0
    assert "is not installed" in document["why"]["estimated_cycles"]


def test_raw_input_and_text(files: Files, sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = str(sample.parent / "raw.npy")
    assert invoke(["run", str(files["package"]), "--input", raw, "--raw"]) == 0
    text = capsys.readouterr().out
    assert "largest first" in text and "sram_high_water_bytes" in text


@pytest.mark.parametrize(
    ("array", "more", "message"),
    [
        (np.zeros((1, 1, 8, 8), np.uint8), [], "give --raw"),
        (np.zeros((1, 1, 8, 8), np.float32), ["--raw"], "--raw wants uint8"),
        (np.zeros((1, 3, 8, 8), np.float32), [], "the model wants [1, 1, 8, 8]"),
        (np.full((1, 1, 8, 8), np.nan, np.float32), [], "NaN"),
    ],
)
def test_wrong_inputs(
    files: Files, tmp_path: Path, array: np.ndarray, more: list[str], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    np.save(tmp_path / "x.npy", array)
    args = ["run", str(files["package"]), "--input", str(tmp_path / "x.npy"), *more]
    assert invoke(args) == 2
    assert message in capsys.readouterr().err


def test_no_package_and_damaged_package(
    files: Files, sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(files["package"], copy)
    args = ["run", str(copy), "--input", str(sample)]
    (copy / "graph.npz").write_bytes(b"PK")
    assert invoke(args) == 2 and "damaged" in capsys.readouterr().err
    (copy / "report.json").write_text("{")
    assert invoke(args) == 2 and "damaged" in capsys.readouterr().err
    (copy / "report.json").unlink()
    assert invoke(args) == 2 and "holds no compiled model" in capsys.readouterr().err


@pytest.mark.parametrize("emulator", EMULATORS)
def test_validate(files: Files, emulator: str, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["validate", str(files["package"]), "--data", str(files["data"])]
    assert invoke([*args, "--emulator", emulator, "--per-layer", "--json"]) == 0
    document = printed(capsys)
    assert document["bit_exact"] == {"samples": 12, "equal": True, "differing": []}
    assert document["agreement"]["top1_percent"] == 100.0
    assert document["agreement"]["sqnr_db"] > 20
    assert document["accuracy"]["percent"] == document["accuracy"]["float_percent"]
    report = json.loads((files["package"] / "report.json").read_text())
    assert [row["id"] for row in document["layers"]] == [row["id"] for row in report["layers"]]
    assert all(row["equal"] for row in document["layers"])
    assert all(row["sqnr_db"] is None or row["sqnr_db"] > 15 for row in document["layers"])


def test_validate_limits_and_missing_model(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["validate", str(files["package"]), "--data", str(files["data"]), "--limit", "3"]
    assert invoke([*args, "--min-sqnr", "90"]) == 5
    shown = capsys.readouterr()
    assert "SQNR in dB is" in shown.err and "all equal" in shown.out
    other = tmp_path / "other.onnx"
    other.write_bytes(b"something else")
    assert invoke([*args, "--model", str(other), "--json"]) == 0
    document = printed(capsys)
    assert document["samples"] == 3 and document["agreement"] is None
    assert "not the file that was compiled" in document["why"]["agreement"]
    assert invoke([*args, "--model", str(other), "--min-agreement", "50"]) == 5


def test_validate_finds_a_wrong_bit(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One weight of the C is changed: exit 5, and --per-layer names the layer."""
    copy = tmp_path / "copy"
    shutil.copytree(files["package"], copy)
    source = (copy / "weights.c").read_text()
    start = source.index("0x", source.index("/* fc1: w"))
    (copy / "weights.c").write_text(source[:start] + "0x7f80807f" + source[start + 10 :])
    args = ["validate", str(copy), "--data", str(files["data"]), "--emulator", "host"]
    assert invoke(args) == 5
    assert "differ from the interpreter" in capsys.readouterr().err
    assert invoke([*args, "--per-layer"]) == 5
    assert "(fc1) is the first that differs" in capsys.readouterr().err


def test_flash_dry_run(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["flash", str(files["package"]), "--dry-run"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("st-flash --reset write ") and line.endswith(" 0x08000000")


def test_flash_without_a_firmware(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(files["package"], tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/build")
    assert invoke(["flash", str(tmp_path / "copy")]) == 2
    assert "compile without --emit-only" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("st-flash") is None, reason="st-flash is not installed")
def test_flash_without_a_probe(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["flash", str(files["package"])]) == 7
    assert "st-flash" in capsys.readouterr().err


def test_serial_port_that_is_not_there(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["validate", str(files["package"]), "--data", str(files["data"])]
    assert invoke([*args, "--target", "/dev/no-such-port"]) == 2
    assert invoke(["monitor", "/dev/no-such-port"]) == 2
    said = "error: serial port /dev/no-such-port cannot be opened: No such file or directory\n  hint: ls /dev/"
    assert capsys.readouterr().err.count(said) == 2
    assert invoke(["monitor", str(files["model"])]) == 2
    assert "it is no serial port" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("st-flash") is not None, reason="st-flash is installed")
def test_flash_without_a_tool_begins_nothing(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["flash", str(files["package"])]) == 6
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: st-flash is not installed\n  hint: apt-get install")


def test_a_model_that_ends_in_argmax(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output is the class: an integer in `run`, compared as one by `validate`."""
    model = onnx.load(files["model"])
    logits = model.graph.output[0]
    node = onnx.helper.make_node(
        "ArgMax", [logits.name], ["class"], name="/class", axis=1, keepdims=0
    )
    model.graph.node.append(node)
    model.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info("class", onnx.TensorProto.INT64, [1])
    )
    onnx.save(model, tmp_path / "model.onnx")
    package = tmp_path / "package"
    args = ["compile", str(tmp_path / "model.onnx"), "--board", "stm32f746"]
    assert invoke([*args, "--calibration", str(files["data"]), "-o", str(package)]) == 0
    capsys.readouterr()
    report = json.loads((package / "report.json").read_text())
    (output,) = report["model"]["outputs"]
    assert (output["dtype"], output["scale"], output["zero_point"]) == ("int16", 1.0, 0)
    data = np.load(files["data"])
    np.save(tmp_path / "x.npy", data["x"][1:2])
    args = ["run", str(package), "--input", str(tmp_path / "x.npy"), "--raw"]
    assert invoke([*args, "--emulator", "host", "--output", str(tmp_path / "y.npy"), "--json"]) == 0
    (output,) = printed(capsys)["outputs"]
    assert output["shape"] == [1] and output["data"] == output["data_int8"]
    assert np.load(tmp_path / "y.npy").dtype == np.int64
    assert invoke(args) == 0 and f"class: {output['data'][0]}\n" in capsys.readouterr().out
    args = ["validate", str(package), "--data", str(files["data"]), "--emulator", "host", "--json"]
    assert invoke(args) == 0
    document = printed(capsys)
    assert document["agreement"]["top1_percent"] == 100.0
    assert document["agreement"]["sqnr_db"] is None
    assert document["accuracy"]["percent"] == document["accuracy"]["float_percent"] is not None
