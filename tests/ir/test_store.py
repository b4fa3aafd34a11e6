"""mcuformer/ir/store.py: a graph survives the disk, a damaged file is a clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Builder, Graph
from mcuformer.ir.store import load_graph, save_graph
from mcuformer.ir.types import QParams, TensorType, Value


def sample() -> Graph:
    qparams = QParams(np.array([0.5, 0.25]), np.array(3.0))
    builder = Builder("tiny", "int", [Value("x", TensorType((4, 2), "int8", qparams))])
    w = builder.const("w", np.arange(6, dtype=np.int8).reshape(3, 2))
    attrs = {
        "shift": np.int64(7),
        "k_split": (1, 2),
        "table": np.arange(4, dtype=np.int16),
        "list": [1, (2.5, None)],
        "flag": True,
    }
    y = builder.op("q_linear", "fc", ["x", w, None], TensorType((4, 3), "int8"), attrs, ["/fc\n*/"])
    return builder.done(["x"], [y], {"input_shapes": ((1, 4, 2),), "mean": np.array([0.5])})


def test_round_trip(tmp_path: Path) -> None:
    before = sample()
    save_graph(before, tmp_path / "g.npz")
    after = load_graph(tmp_path / "g.npz")
    assert (after.name, after.stage) == ("tiny", "int")
    assert (after.inputs, after.outputs) == (("x",), ("fc",))
    assert after.meta["input_shapes"][0] == (1, 4, 2) and after.meta["mean"] == [0.5]
    op = after.ops[0]
    assert op.inputs == ("x", "w", None) and op.origin == ("/fc\n*/",)
    assert op.attrs["k_split"] == (1, 2) and op.attrs["list"] == [1, (2.5, None)]
    assert op.attrs["shift"] == 7 and op.attrs["table"].dtype == np.int16
    assert np.array_equal(after.values["w"].data, before.values["w"].data)
    qparams = after.type("x").qparams
    assert qparams is not None and qparams.scale.tolist() == [0.5, 0.25]
    assert qparams.zero_point.shape == ()


def test_arrays_of_every_kind_and_shape(tmp_path: Path) -> None:
    kinds = [np.int8, np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64, np.bool_]
    made = [np.arange(n).reshape(shape).astype(kind) for kind in kinds
            for n, shape in ((0, (0, 3)), (1, ()), (5, (5,)), (6, (2, 3)))]  # fmt: skip
    made.append(np.arange(6, dtype=np.int16).reshape(2, 3).T)  # columns first
    graph = sample().replace(meta={"arrays": made})
    save_graph(graph, tmp_path / "g")
    for before, after in zip(made, load_graph(tmp_path / "g").meta["arrays"], strict=True):
        assert before.dtype == after.dtype and before.shape == after.shape
        assert np.array_equal(before, after) and after.ctypes.data % after.itemsize == 0
    with pytest.raises(TypeError, match="arrays of object"):
        save_graph(graph.replace(meta={"x": np.array([None])}), tmp_path / "g")


def test_a_graph_of_another_format_is_to_be_compiled_again(tmp_path: Path) -> None:
    text = b'{"$dict":[["format",1]]}'
    np.savez(tmp_path / "g.npz", **{"graph.json": np.frombuffer(text, np.uint8)})
    with pytest.raises(UsageError, match="format 1, this version reads 2"):
        load_graph(tmp_path / "g.npz")


def test_same_graph_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save_graph(sample(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"not a zip at all"])
def test_damaged(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "g").write_bytes(damage)
    with pytest.raises(UsageError, match="damaged"):
        load_graph(tmp_path / "g")


def test_truncated_and_missing(tmp_path: Path) -> None:
    save_graph(sample(), tmp_path / "g")
    whole = (tmp_path / "g").read_bytes()
    (tmp_path / "g").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="damaged"):
        load_graph(tmp_path / "g")
    with pytest.raises(UsageError, match="missing"):
        load_graph(tmp_path / "none")
