"""A file's own functions are written out where they are called, beside onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zoo
from build import load, model, node, rand
from onnx import ModelProto, helper

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.interp_float import onnx_outputs, run_float

DOMAIN = "pkg.mine"
SETS = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]


def calling(*functions) -> ModelProto:  # type: ignore[no-untyped-def]
    """x[1, 4, 6] through `Block` of `functions`."""
    call = helper.make_node("Block", ["x", "w"], ["y"], name="block", domain=DOMAIN, slope=0.25)
    proto = model([call], {"w": rand(6, 6, seed=3)}, (1, 4, 6))
    proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    proto.functions.extend(functions)
    return proto


def block(inner: str):  # type: ignore[no-untyped-def]
    leaky = node("LeakyRelu", "m", "a")
    slope = leaky.attribute.add()
    slope.name, slope.ref_attr_name, slope.type = "alpha", "slope", 1
    nodes = [
        node("MatMul", "v k", "m"), leaky,
        helper.make_node(inner, ["a"], ["o"], domain=DOMAIN),
    ]  # fmt: skip
    return helper.make_function(DOMAIN, "Block", ["v", "k"], ["o"], nodes, SETS, ["slope"])


def test_functions_of_functions_with_attributes(tmp_path: Path) -> None:
    swish = [node("Sigmoid", "s", "g"), node("Mul", "s g", "t")]
    proto = calling(
        block("Swish"), helper.make_function(DOMAIN, "Swish", ["s"], ["t"], swish, SETS)
    )
    graph, x = load(tmp_path, proto), rand(1, 4, 6, seed=5)
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), x)
    assert zoo.relative(onnx_outputs(graph, run_float(graph, x))[0], reference) < 1e-5
    assert {op.kind for op in graph.ops} <= {"linear", "unary", "mul"}


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError):
        load(tmp_path, calling(block("Block")))


def test_a_function_that_nobody_calls_is_nothing(tmp_path: Path) -> None:
    unused = helper.make_function(DOMAIN, "Unused", ["s"], ["t"], [node("Relu", "s", "t")], SETS)
    proto = model([node("Relu", "x", "y")], {}, (1, 4, 6))
    proto.functions.append(unused)
    np.testing.assert_equal([op.kind for op in load(tmp_path, proto).ops], ["unary"])
