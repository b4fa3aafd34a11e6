"""A refusal says per node what was looked for, and once what would work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from frontend import build
from onnx import NodeProto, helper

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend import refusals
from mcuformer.ir.optable import ONNX


def refusal(tmp_path: Path, nodes: list[NodeProto], **weights: np.ndarray) -> UnsupportedModelError:
    with pytest.raises(UnsupportedModelError) as caught:
        build.load(tmp_path, build.model(nodes, weights, opset=18))
    return caught.value


@pytest.mark.parametrize(
    "kind, reason, hint",
    [
        ("Sign", "part of no activation known here", "mcuformer ops"),
        ("IsInf", "looked for a mask of constants", "--input-shape"),
        ("NonZero", "looked for a shape or an index that is constant", "--input-shape"),
        ("Det", "this operator is not supported", "mcuformer ops"),
    ],
)
def test_what_was_looked_for(tmp_path: Path, kind: str, reason: str, hint: str) -> None:
    error = refusal(tmp_path, [build.node(kind, "x", "y")])
    assert f"{kind} 'n_y': {reason}" in error.message
    assert hint in str(error.hint) and "constants only" not in error.message


def test_a_qoperator_file_is_told_to_bring_another(tmp_path: Path) -> None:
    nodes = [
        build.node("QuantizeLinear", "x s z", "q"),
        build.node("QLinearMatMul", "q s z w s z s z", "m"),
        helper.make_node("QLinearAdd", list("mszmszsz"), ["a"], name="n_a", domain="com.microsoft"),
        build.node("DequantizeLinear", "a s z", "y"),
    ]
    error = refusal(tmp_path, nodes, s=np.float32(0.1), z=np.int8(0), w=np.zeros((6, 6), np.int8))
    assert "QLinearMatMul 'n_m'" in error.message and "QLinearAdd 'n_a'" in error.message
    assert "QOperator file: bring the float model" in str(error.hint)


def test_a_dynamically_quantised_file_is_told_to_bring_another(tmp_path: Path) -> None:
    nodes = [
        build.node("DynamicQuantizeLinear", "x", "q s z"),
        build.node("MatMulInteger", "q w z", "m"),
        build.node("Cast", "m", "f", to=1),
        build.node("Mul", "f s", "y"),
    ]
    error = refusal(tmp_path, nodes, w=np.zeros((6, 6), np.int8))
    assert "DynamicQuantizeLinear 'n_q'" in error.message and "'n_m'" in error.message
    assert "quantised dynamically" in str(error.hint) and "float model" in str(error.hint)


def test_several_families_in_one_run(tmp_path: Path) -> None:
    nodes = [
        build.node("Round", "x", "a"),
        build.node("LSTM", "a w r", "b _", hidden_size=3),
        helper.make_node("Magic", ["b"], ["c"], name="spell", domain="my.ops"),
        helper.make_node("FastGelu", ["c"], ["d"], name="fast", domain="com.microsoft"),
        build.node("Sign", "d", "y"),
    ]
    error = refusal(tmp_path, nodes, w=build.rand(1, 12, 6), r=build.rand(1, 12, 3))
    assert error.message.startswith("5 nodes are not supported")
    for words in ("another domain", "before onnxruntime's graph optimisations", "mcuformer ops"):
        assert words in str(error.hint)


def test_an_unknown_input_hides_no_operator(tmp_path: Path) -> None:
    """What is refused whatever its input is, is listed behind another refusal too."""
    nodes = [build.node("Det", "x", "a")]
    nodes += [build.node(k, "a", f"y_{k}") for k in sorted(refusals.ALWAYS)]
    nodes.append(build.node("Sum", " ".join(f"y_{k}" for k in refusals.ALWAYS), "y"))
    message = refusal(tmp_path, nodes).message
    assert all(f"{kind} 'n_y_{kind}'" in message for kind in refusals.ALWAYS)


def test_every_operator_of_the_table_has_its_sentence() -> None:
    folded = {name for name, spec in ONNX.items() if spec.use == "folded"}
    folded -= {"Constant"}  # never depends on anything
    assert folded <= set(refusals.REASONS)


@pytest.mark.parametrize("domain", ["com.microsoft", "com.microsoft.nchwc"])
def test_the_extended_level_of_onnxruntime_is_told_apart(tmp_path: Path, domain: str) -> None:
    kind = "FusedConv" if domain == "com.microsoft" else "Conv"
    fused = helper.make_node(kind, ["x", "w"], ["y"], name="stem", domain=domain)
    proto = build.model([fused], {"w": build.rand(8, 4, 1, 1)}, (1, 4, 6, 6))
    with pytest.raises(
        UnsupportedModelError, match="a fused operator of another runtime"
    ) as caught:
        build.load(tmp_path, proto)
    assert "ORT_ENABLE_BASIC" in str(caught.value.hint)
