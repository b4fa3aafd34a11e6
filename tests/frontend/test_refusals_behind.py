"""All nodes that are refused are named in one run, those behind another one too, and no others."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import build
import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend import refusals
from mcuformer.ir.optable import ONNX

N = build.node


def named(tmp_path: Path, proto: ModelProto) -> set[str]:
    """The outputs of the nodes that the one message lists."""
    with pytest.raises(UnsupportedModelError) as caught:
        build.load(tmp_path, proto)
    lines = [line for line in caught.value.message.splitlines()[1:] if "wanted for" not in line]
    found = [re.match(r"  \S+ 'n_(\w+)': ", line) for line in lines]
    assert all(found), lines
    assert caught.value.message.startswith(f"{len(lines)} node")
    return {m.group(1) for m in found if m}


def typed(proto: ModelProto, **shapes: list[int | str]) -> ModelProto:
    """With value_info for these values."""
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    proto.graph.value_info.extend(infos)
    return proto


def foreign(inputs: str, outputs: str) -> NodeProto:
    node = N("Magic", inputs, outputs)
    node.domain = "my.ops"
    return node


WEIGHTS = {
    "w": build.rand(6, 6), "k": build.rand(8, 8, 3, 3), "one": np.float32(1), "half": np.float32(0.5),
    "image": np.array([1, 8, 3, 4]), "tokens": np.array([1, 16, 6]), "c": build.rand(8, 8, 1, 1),
    "five": np.float32(5), "bad": np.full((6, 6), np.nan, np.float32),
    "roi": np.ones(8, np.float32), "roi3": np.ones(6, np.float32), "larger": np.array([1, 7, 6]),
}  # fmt: skip
CROPPED = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}


def test_five_of_several_stages_in_a_chain(tmp_path: Path) -> None:
    """An operator of no table, one outside of its pattern, attributes, weights, a fill value."""
    nodes = [
        N("ThresholdedRelu", "x", "r1"),
        N("MatMul", "r1 w", "a"),
        N("Sign", "a", "r2"),
        N("Reshape", "r2 image", "b"),
        N("Resize", "b roi _ image", "r3", **CROPPED),
        N("Relu", "r3", "d"),
        N("Reshape", "d tokens", "e"),
        N("MatMul", "e bad", "r4"),
        N("Sigmoid", "r4", "f"),
        N("Floor", "f", "r5"),
        N("Add", "r5 f", "y"),
    ]
    proto = build.model(nodes, WEIGHTS, x=(1, 16, 6))
    assert named(tmp_path, proto) == {"r1", "r2", "r3", "r4", "r5"}


def test_five_in_parallel_and_what_joins_them(tmp_path: Path) -> None:
    nodes = [
        N("Det", "m", "r1"),
        N("MatMul", "x w", "m"),
        N("ThresholdedRelu", "x", "r2"),
        N("Sign", "x", "r3"),
        N("ReduceProd", "x", "r4", axes=[2]),
        N("Resize", "x roi3 _ larger", "r5", **CROPPED),
        N("Concat", "r2 r3", "a", axis=1),
        N("Slice", "r5 s e s1", "cut"),
        N("Div", "cut r4", "b"),
        N("Concat", "a b", "c2", axis=1),
        N("LayerNormalization", "c2 g", "n", axis=-1),
        N("Add", "n r1", "y"),
    ]
    weights = {
        **WEIGHTS,
        "g": build.rand(6),
        "s": np.array([0]),
        "e": np.array([6]),
        "s1": np.array([1]),
    }
    proto = build.model(nodes, weights, x=(1, 6, 6))
    assert named(tmp_path, proto) == {"r1", "r2", "r3", "r4", "r5"}


def test_attention_over_what_nobody_knows_is_not_blamed(tmp_path: Path) -> None:
    """Queries, scores or probabilities may be what was refused; the second product is right."""
    whole = [
        N("MatMul", "x w", "q"),
        N("MatMul", "x w", "k"),
        N("MatMul", "x w", "v"),
        N("Transpose", "k", "kt", perm=[0, 2, 1]),
        N("MatMul", "q kt", "s"),
        N("Add", "s bias", "b"),
        N("Softmax", "b", "p", axis=-1),
        N("MatMul", "p v", "o"),
        N("MatMul", "o w", "y"),
    ]
    weights = {"w": WEIGHTS["w"], "bias": build.rand(16, 16)}
    for at in ("q", "kt", "s", "b", "p", "o"):
        nodes = [foreign(" ".join(n.input), n.output[0]) if n.output[0] == at else n for n in whole]
        proto = build.model(nodes, weights, x=(1, 16, 6))
        square, rows = [1, 16, 16], [1, 16, 6]
        typed(proto, q=rows, kt=[1, 6, 16], s=square, b=square, p=square, o=rows)
        assert named(tmp_path, proto) == {at}


@pytest.mark.parametrize("at", [0, 1, 2, 3, 5, 6])
def test_part_of_a_normalisation_is_not_blamed(tmp_path: Path, at: int) -> None:
    """Written out as one; where a part is refused, the rest is understood by nobody."""
    nodes = [
        N("ReduceMean", "x", "m", axes=[-1]),
        N("Sub", "x m", "d"),
        N("Mul", "d d", "q"),
        N("ReduceMean", "q", "v", axes=[-1]),
        N("Add", "v eps", "e"),
        N("Sqrt", "e", "s"),
        N("Div", "d s", "y"),
    ]
    out = nodes[at].output[0]
    nodes[at] = N("ThresholdedRelu", nodes[at].input[0], out)
    proto = build.model(nodes, {"eps": np.float32(1e-5)}, x=(1, 16, 6), opset=13)
    assert named(tmp_path, proto) == {out}


def test_a_malformed_part_of_a_normalisation_hides_its_root(tmp_path: Path) -> None:
    nodes = [N("ReduceMean", "x x x", "e", axes=[-1]), N("Sqrt", "e", "y")]
    proto = typed(build.model(nodes, opset=13), e=[1, 4, 1])
    assert named(tmp_path, proto) == {"e"}


def test_operators_outside_of_their_pattern_in_a_row(tmp_path: Path) -> None:
    kinds = ("ThresholdedRelu", "Round", "Sign", "Floor", "Ceil", "Shrink", "Det")
    names = ["x", "a", "b", "c", "d", "e", "f", "y"]
    nodes = [N(k, *pair) for k, pair in zip(kinds, pairwise(names), strict=True)]
    assert named(tmp_path, build.model(nodes, x=(1, 6, 6))) == set(names[1:])


def test_named_axes_of_the_file_are_bound(tmp_path: Path) -> None:
    """A foreign operator has no shape but the one that the file declares."""
    nodes = [foreign("x", "a"), N("MatMul", "a w", "b"), N("ThresholdedRelu", "b", "y")]
    for shape in (["N", 16, 6], [1, 16, 6]):
        proto = typed(build.model(nodes, WEIGHTS, x=("N", 16, 6)), a=shape)
        assert named(tmp_path, proto) == {"a", "y"}


def test_without_a_shape_the_kinds_that_no_row_knows_are_listed(tmp_path: Path) -> None:
    nodes = [
        foreign("x", "a"),
        N("Sqrt", "a", "b"),
        N("ThresholdedRelu", "b", "c"),
        N("Sign", "c", "y"),
    ]
    assert named(tmp_path, build.model(nodes)) == {"a", "c", "y"}


def test_a_shape_that_was_computed_from_what_was_refused(tmp_path: Path) -> None:
    nodes = [
        N("Unique", "x", "u i", axis=1),
        N("Cast", "i", "j", to=TensorProto.INT64),
        N("Gather", "x j", "g", axis=1),
        N("Reshape", "x j", "r"),
        N("Add", "g r", "y"),
    ]
    proto = build.model(nodes)
    proto.graph.value_info.append(helper.make_tensor_value_info("i", TensorProto.INT64, [3]))
    assert named(tmp_path, proto) == {"u"}


def test_weights_that_are_no_numbers_name_node_and_tensor(tmp_path: Path) -> None:
    nodes = [N("MatMul", "x bad", "a"), N("MatMul", "a w", "b"), N("ThresholdedRelu", "b", "y")]
    with pytest.raises(UnsupportedModelError) as caught:
        build.load(tmp_path, build.model(nodes, WEIGHTS))
    assert "MatMul 'n_a': weights 'bad' hold NaN" in caught.value.message
    assert "ThresholdedRelu 'n_y'" in caught.value.message and "n_b" not in caught.value.message


def test_a_malformed_node_is_named_with_those_behind_it(tmp_path: Path) -> None:
    nodes = [N("Relu", "x x", "a"), N("MatMul", "a w", "b"), N("ThresholdedRelu", "b", "y")]
    assert named(tmp_path, typed(build.model(nodes, WEIGHTS), a=[1, 4, 6])) == {"a", "y"}


def test_a_declared_shape_is_not_trusted_far(tmp_path: Path) -> None:
    nodes = [foreign("x", "a"), N("Relu", "a", "y")]
    for shape in ([2**20, 2**20], [0, 6], [-3, 6]):
        assert named(tmp_path, typed(build.model(nodes), a=shape)) == {"a"}


def test_every_operator_of_the_standard_has_its_sentence() -> None:
    """What it is and what works instead, or the family's hint."""
    for schema in onnx.defs.get_all_schemas():
        if schema.domain == "" and schema.name not in ONNX:
            text = refusals.unknown_operator(schema.name)
            assert refusals.family(schema.name) or ": " in text, schema.name
