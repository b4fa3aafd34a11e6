"""Broken and hostile files: one clear error of the contract's kind, no crash, no big allocation."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import build
import numpy as np
import onnx
import pytest
import zoo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from mcuformer.errors import McuformerError, UnsupportedModelError, UsageError
from mcuformer.frontend import load_model

GOOD = zoo.path("seq_post_relu_bf.ts17").read_bytes()
SMALL = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def refused(tmp_path: Path, content: bytes | ModelProto) -> str:
    """The message of the UnsupportedModelError that importing `content` gives."""
    path = tmp_path / "bad.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    with pytest.raises(UnsupportedModelError) as caught:
        load_model(path)
    assert caught.value.exit_code == 3
    return str(caught.value)


@SMALL
@given(cut=st.integers(0, len(GOOD) - 1))
def test_truncated(tmp_path: Path, cut: int) -> None:
    assert len(refused(tmp_path, GOOD[:cut])) < 2000


@SMALL
@given(data=st.binary(max_size=300))
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path, data)


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    flips=st.lists(
        st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=8
    )
)
def test_flipped_bytes(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    """Any outcome but a crash: most flips hit weights and leave a good model."""
    data = bytearray(GOOD)
    for place, value in flips:
        data[place] = value
    path = tmp_path / "flipped.onnx"
    path.write_bytes(bytes(data))
    try:
        load_model(path)
    except McuformerError as error:
        assert error.exit_code in (2, 3)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"not a model", "ünïcode".encode()])
def test_no_model_at_all(tmp_path: Path, content: bytes) -> None:
    assert "no ONNX model" in refused(tmp_path, content)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path, Path("a\0b.onnx")):
        with pytest.raises(UsageError) as caught:
            load_model(path)
        assert caught.value.exit_code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "secret.onnx"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(UsageError):
        load_model(path)


def test_cycle(tmp_path: Path) -> None:
    nodes = [
        build.node("Add", "x b", "a"),
        build.node("Relu", "a", "b"),
        build.node("Relu", "b", "y"),
    ]
    assert "cycle" in refused(tmp_path, build.model(nodes))


def test_missing_initialiser(tmp_path: Path) -> None:
    message = refused(tmp_path, build.model([build.node("MatMul", "x lost", "y")]))
    assert "'lost'" in message and "'n_y'" in message


def test_value_written_twice(tmp_path: Path) -> None:
    nodes = [build.node("Relu", "x", "y"), build.node("Tanh", "x", "y")]
    assert "twice" in refused(tmp_path, build.model(nodes))


def test_output_of_nothing(tmp_path: Path) -> None:
    assert "'z'" in refused(tmp_path, build.model([build.node("Relu", "x", "y")], outputs=["z"]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_weights(tmp_path: Path, bad: float) -> None:
    w = build.rand(6, 3)
    w[2, 1] = bad
    message = refused(tmp_path, build.model([build.node("MatMul", "x w", "y")], {"w": w}))
    assert "NaN or infinite" in message and "w" in message


@pytest.mark.parametrize("dims", [[2**29], [2**40, 2**40], [-1], [2**31, 4]])
def test_claims_without_bytes(tmp_path: Path, dims: list[int]) -> None:
    """A tensor that claims gigabytes and holds four bytes allocates nothing."""
    proto = build.model([build.node("Add", "x w", "y")])
    tensor = proto.graph.initializer.add()
    tensor.name, tensor.data_type, tensor.raw_data = "w", TensorProto.FLOAT, b"\0\0\0\0"
    tensor.dims.extend(dims)
    tracemalloc.start()
    message = refused(tmp_path, proto)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert "'w'" in message


def growing(kind: str) -> tuple[list, dict]:
    """One node that turns a few numbers into petabytes."""
    huge = np.asarray([2**20, 2**20])
    node = build.node
    return {
        "ConstantOfShape": (
            [node("ConstantOfShape", "s", "c"), node("Add", "x c", "y")],
            {"s": huge},
        ),
        "Expand": ([node("Expand", "x s", "y")], {"s": np.asarray([2**40, 4, 6])}),
        "Tile": ([node("Tile", "x s", "y")], {"s": np.asarray([2**20, 2**20, 1])}),
        "Range": (
            [node("Range", "a b c", "r"), node("Cast", "r", "f", to=1), node("Add", "x f", "y")],
            {"a": np.asarray(0), "b": np.asarray(2**50), "c": np.asarray(1)},
        ),
        "Pad": ([node("Pad", "x s", "y")], {"s": np.asarray([0, 2**40, 0, 0, 0, 0])}),
        "Resize": ([node("Resize", "x _ s", "y")], {"s": np.asarray([1, 1e9, 1e9], np.float32)}),
        "Broadcast": ([node("Add", "a b", "c"), node("Add", "x c", "y")],
                      {"a": build.rand(60000, 1), "b": build.rand(1, 60000)}),
        "MatMul": ([node("MatMul", "a b", "c"), node("Add", "x c", "y")],
                   {"a": build.rand(60000, 1), "b": build.rand(1, 60000)}),
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "Broadcast", "MatMul"]
)
def test_nodes_that_explode(tmp_path: Path, kind: str) -> None:
    tracemalloc.start()
    message = refused(tmp_path, build.model(*growing(kind)))
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert "too large" in message


def test_doubling_forever(tmp_path: Path) -> None:
    nodes, at = [], "x"
    for i in range(60):
        nodes.append(build.node("Concat", f"{at} {at}", f"v{i}", axis=1))
        at = f"v{i}"
    nodes.append(build.node("Relu", at, "y"))
    assert "too large" in refused(tmp_path, build.model(nodes))


@pytest.mark.parametrize("shape", [[1, 0, 6], [0, 4, 6]])
def test_zero_size_input(tmp_path: Path, shape: list[int]) -> None:
    assert "zero-size" in refused(tmp_path, build.model([build.node("Relu", "x", "y")], x=shape))


def test_huge_input(tmp_path: Path) -> None:
    proto = build.model([build.node("Relu", "x", "y")], x=[1, 2**20, 2**20])
    assert "absurd" in refused(tmp_path, proto)


def test_empty_intermediate(tmp_path: Path) -> None:
    proto = build.model(
        [build.node("Slice", "x s e a", "v"), build.node("Relu", "v", "y")],
        {"s": np.asarray([0]), "e": np.asarray([0]), "a": np.asarray([1])},
    )
    refused(tmp_path, proto)


def test_all_unsupported_nodes_are_listed_at_once(tmp_path: Path) -> None:
    """Each with its ONNX name, operator and reason; what follows one of them is not blamed."""
    nodes = [
        build.node("LSTM", "x w r", "a _", hidden_size=3),
        build.node("Relu", "a", "b"),
        build.node("Det", "x", "c"),
        build.node("Sign", "x", "d"),
        build.node("MatMul", "x x2", "e"),
        build.node("Sum", "b c d e", "y"),
        build.node("Transpose", "x", "x2", perm=[0, 2, 1]),
    ]
    weights = {"w": build.rand(1, 12, 6), "r": build.rand(1, 12, 3)}
    message = refused(tmp_path, build.model(nodes, weights))
    assert "3 nodes are not supported" in message
    for text in ("LSTM 'n_a'", "Det 'n_c'", "Sign 'n_d'"):
        assert text in message
    assert "n_b" not in message and "n_y" not in message


@pytest.mark.parametrize("opset", [1, 6, 99])
def test_opset_out_of_range(tmp_path: Path, opset: int) -> None:
    proto = build.model([build.node("Relu", "x", "y")], opset=13)
    proto.opset_import[0].version = opset
    assert f"opset {opset}" in refused(tmp_path, proto)


def test_subgraphs_and_foreign_operators(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [build.node("Relu", "x", "z")], "g", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    choice = [build.node("ReduceMax", "x", "m", keepdims=0), build.node("Greater", "m t", "c")]
    nodes = [
        *choice,
        helper.make_node("If", ["c"], ["y"], name="branch", then_branch=inner, else_branch=inner),
        helper.make_node("Magic", ["y"], ["w"], name="spell", domain="my.ops"),
    ]
    message = refused(tmp_path, build.model(nodes, {"t": np.float32(0)}, outputs=["w"]))
    assert "If 'branch'" in message and "my.ops.Magic 'spell'" in message


def test_no_input_and_an_output_listed_twice(tmp_path: Path) -> None:
    nodes = [build.node("Relu", "c", "y")]
    proto = build.model(nodes, {"c": build.rand(1, 4)})
    del proto.graph.input[:]
    assert "no input" in refused(tmp_path, proto)
    proto = build.model([build.node("Relu", "x", "y")], outputs=["y", "y"])
    assert "'y' is listed twice" in refused(tmp_path, proto)


def test_malformed_attributes(tmp_path: Path) -> None:
    for node in (
        build.node("Transpose", "x", "y", perm=[0, 0, 7]),
        build.node("Concat", "x x", "y", axis=9),
        build.node("Softmax", "x", "y", axis=17),
        build.node("LayerNormalization", "x w", "y", axis=-9),
        build.node("Gather", "x i", "y", axis=1),
        build.node("Split", "x", "y z", axis=1, num_outputs=0),
        build.node("Unsqueeze", "x i", "y"),
        build.node("Reshape", "x i", "y"),
    ):
        refused(tmp_path, build.model([node], {"w": build.rand(6), "i": np.asarray([77])}))


def test_sparse_and_string_tensors(tmp_path: Path) -> None:
    proto = build.model([build.node("Add", "x w", "y")])
    proto.graph.sparse_initializer.add()
    assert "sparse" in refused(tmp_path, proto)
    words = build.model([build.node("Add", "x w", "y")])
    words.graph.initializer.append(helper.make_tensor("w", TensorProto.STRING, [1], [b"a"]))
    assert "STRING" in refused(tmp_path, words)


def test_unsorted_nodes_are_fine(tmp_path: Path) -> None:
    nodes = [build.node("Relu", "a", "y"), build.node("Tanh", "x", "a")]
    graph = build.load(tmp_path, build.model(nodes))
    assert [op.attrs["fn"] for op in graph.ops] == ["tanh", "relu"]


def test_saved_by_onnx_itself(tmp_path: Path) -> None:
    """The importer does not depend on value_info or on a particular serialisation."""
    model = onnx.load(zoo.path("vit_cls.ts17"))
    del model.graph.value_info[:]
    assert build.load(tmp_path, model).ops


def test_later_blocks_are_listed_too(tmp_path: Path) -> None:
    """What cannot be compiled is said of every block, though the first one hides the shapes behind it."""
    nodes, at = [], "x"
    for i in range(3):
        nodes += [
            build.node("Sign", at, f"r{i}"),
            build.node("Add", f"{at} r{i}", f"a{i}"),
            build.node("Sigmoid", f"a{i}", f"s{i}"),
            build.node("Mul", f"a{i} s{i}", f"b{i}"),
        ]
        at = f"b{i}"
    nodes.append(build.node("Relu", at, "y"))
    message = refused(tmp_path, build.model(nodes))
    assert "3 nodes are not supported" in message and message.count("Sign") == 3
