"""Weights beside the model are read; the path that names them cannot leave the model's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import zoo
from onnx import ModelProto, TensorProto

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend import load_model
from mcuformer.frontend.tensors import read_tensor
from mcuformer.ir.interp_float import onnx_outputs, run_float


def saved_outside(folder: Path) -> Path:
    model = onnx.load(zoo.path("vit_cls.ts17"))
    path = folder / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.bin", size_threshold=0)
    return path


def test_same_result(tmp_path: Path) -> None:
    graph = load_model(saved_outside(tmp_path))
    x = zoo.zoo_input((1, 3, 16, 16))
    assert (
        zoo.relative(onnx_outputs(graph, run_float(graph, x))[0], zoo.expected("vit_cls")[0]) < 1e-5
    )


def edited(path: Path, **changes: str) -> ModelProto:
    model = onnx.load(path, load_external_data=False)
    entries = model.graph.initializer[0].external_data
    for entry in entries:
        if entry.key in changes:
            entry.value = changes.pop(entry.key)
    for key, value in changes.items():
        entries.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return model


@pytest.mark.parametrize(
    "location",
    [
        "../m.bin",
        "/etc/passwd",
        "sub/../../m.bin",
        ".",
        "",
        "..",
        "a\0b",
        "x" * 5000,
        "missing.bin",
        "C:\\m.bin",
    ],
)
def test_locations_outside_or_missing(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "m.bin").write_bytes(b"\0" * 100_000)
    path = saved_outside(folder)
    edited(path, location=location)
    with pytest.raises(UnsupportedModelError, match=r"outside|missing"):
        load_model(path)


def test_symbolic_link_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = saved_outside(folder)
    (folder / "m.bin").rename(tmp_path / "m.bin")
    (folder / "m.bin").symlink_to(tmp_path / "m.bin")
    with pytest.raises(UnsupportedModelError, match="outside"):
        load_model(path)


def test_symbolic_link_to_the_whole_folder_is_fine(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    saved_outside(folder)
    (tmp_path / "alias").symlink_to(folder)
    assert load_model(tmp_path / "alias" / "m.onnx").ops


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": "99999999"},
        {"offset": "-4"},
        {"length": "3"},
        {"offset": "many"},
        {"length": str(2**40)},
    ],
)
def test_offsets_and_lengths(tmp_path: Path, changes: dict[str, str]) -> None:
    path = saved_outside(tmp_path)
    edited(path, **changes)
    with pytest.raises(UnsupportedModelError):
        load_model(path)


def test_claim_beyond_the_file(tmp_path: Path) -> None:
    (tmp_path / "small.bin").write_bytes(b"\0" * 16)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**31])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="small.bin")
    with pytest.raises(UnsupportedModelError, match="holds 16"):
        read_tensor(tensor, tmp_path)


def test_without_a_folder_external_data_is_refused() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    with pytest.raises(UnsupportedModelError, match="not allowed"):
        read_tensor(tensor, None)


@pytest.mark.parametrize(
    ("dtype", "code"),
    [
        ("float16", TensorProto.FLOAT16),
        ("float64", TensorProto.DOUBLE),
        ("uint32", TensorProto.UINT32),
        ("int8", TensorProto.INT8),
    ],
)
def test_element_types(dtype: str, code: int) -> None:
    values = np.asarray([[1, 2], [3, 100]], dtype)
    tensor = TensorProto(name="w", data_type=code, dims=[2, 2], raw_data=values.tobytes())
    assert np.array_equal(read_tensor(tensor, None), values)


def test_bfloat16() -> None:
    bits = (np.asarray([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    tensor = TensorProto(
        name="w", data_type=TensorProto.BFLOAT16, dims=[2], raw_data=bits.tobytes()
    )
    assert read_tensor(tensor, None).tolist() == [1.5, -2.0]
