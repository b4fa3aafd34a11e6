"""Data larger than the memory: sizes first, then only the samples that are taken."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.lib import format as npy
from onnx import TensorProto, helper

from mcuformer.errors import UsageError
from mcuformer.inputs import arrays
from mcuformer.inputs.arrays import InputSpec
from mcuformer.inputs.dataset import load_dataset
from mcuformer.inputs.stored import Stored

SPEC = (InputSpec("x", "x", (3, 4, 5)),)


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "WHOLE_BYTES", 1000)


@pytest.mark.parametrize("form", ["npy", "npz", "packed"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_taken_samples_are_those_of_a_whole_read(
    tmp_path: Path, form: str, last: bool, dtype: type
) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (40, 3, 4, 5)).astype(dtype)
    given = np.moveaxis(x, 1, -1).copy() if last else x
    path = tmp_path / ("x.npy" if form == "npy" else "x.npz")
    save = {"npy": lambda: np.save(path, given), "npz": lambda: np.savez(path, x=given, y=np.arange(40)),
            "packed": lambda: np.savez_compressed(path, x=given, y=np.arange(40))}  # fmt: skip
    save[form]()
    data = load_dataset(path, SPEC)
    assert isinstance(data.arrays[0], Stored) and len(data) == 40
    for indices in ([0], [3, 39, 17, 3], [5]):
        (taken,) = data.take(indices)
        assert taken.dtype == (np.uint8 if dtype is np.uint8 else np.float32)
        np.testing.assert_array_equal(taken, x[indices].astype(taken.dtype))


def test_a_bad_sample_is_named_by_its_number_in_the_file(tmp_path: Path) -> None:
    x = np.zeros((40, 3, 4, 5), np.float32)
    x[31, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    data = load_dataset(tmp_path / "x.npy", SPEC)
    with pytest.raises(UsageError, match="the first is sample 31"):
        data.take([2, 31])


def test_damaged_data_are_an_error_when_read(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random((40, 3, 4, 5)))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 200] = bytes(200)
    path.write_bytes(raw)
    with pytest.raises(UsageError, match=r"damaged|no \.npz"):
        load_dataset(path, SPEC).take([39])


def test_a_header_that_says_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    _sparse(path, (1 << 40, 4, 4), 10_000)
    with pytest.raises(UsageError, match="too short"):
        load_dataset(path, SPEC)


def _sparse(path: Path, shape: tuple[int, ...], size_bytes: int) -> None:
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(file, header)
        file.write(np.linspace(-1, 1, 16, dtype=np.float32).tobytes())  # sample 0
        file.truncate(file.tell() - 64 + size_bytes)


def _peak_bytes(tmp_path: Path, data: Path | None) -> int:
    """Of analyze and of whatever it starts, with calibration data and without. The maxrss of its own
    begins with that of the process that started it, which is pytest."""
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4, 4]) for n in "xy"]
    node = helper.make_node("Sigmoid", ["x"], ["y"])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
    code = (
        "import re, resource, sys\nfrom mcuformer.cli import invoke\ncode = invoke(sys.argv[1:])\n"
        "own = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print(max(own, started), file=sys.stderr)\nsys.exit(code)"
    )
    words = ["analyze", str(tmp_path / "m.onnx"), "--board", "stm32f746"]
    words += ["--calibration", str(data)] if data else []
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]) * 1024


def test_a_large_npy_takes_little_memory(tmp_path: Path) -> None:
    data = tmp_path / "x.npy"
    _sparse(data, (40 << 20, 4, 4), 40 << 26)  # 2.5 GiB, of which nothing is on the disk
    assert _peak_bytes(tmp_path, data) - _peak_bytes(tmp_path, None) < 200 << 20


@pytest.mark.long
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_large_npz_takes_little_memory(tmp_path: Path, packing: int) -> None:
    member, data = tmp_path / "x.npy", tmp_path / "x.npz"
    _sparse(member, (40 << 20, 4, 4), 40 << 26)
    with zipfile.ZipFile(data, "w", packing, compresslevel=1) as archive:
        archive.write(member, "x.npy")
    member.unlink()
    peak_bytes = _peak_bytes(tmp_path, data)
    assert peak_bytes < 1 << 30 and peak_bytes - _peak_bytes(tmp_path, None) < 200 << 20
