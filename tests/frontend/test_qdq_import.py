"""int8 models of onnxruntime's quantize_static: weights become float, scales are kept."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import onnx
import pytest
import zoo
from onnx import numpy_helper

from mcuformer.frontend import load_model
from mcuformer.ir.interp_float import onnx_outputs, run_float


@pytest.mark.parametrize("name", zoo.QDQ)
def test_close_to_the_quantised_model(name: str) -> None:
    """The float graph lacks the activations' rounding only."""
    graph = load_model(zoo.path(name))
    dots = norms = 0.0
    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal((1, 3, 16, 16)).astype(np.float32)
        ours = onnx_outputs(graph, run_float(graph, x))[0].ravel()
        theirs = zoo.onnxruntime_outputs(str(zoo.path(name)), x)[0].ravel()
        dots += float(ours @ theirs)
        norms += float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    assert dots / norms > 0.998


@pytest.mark.parametrize("name", ["qdq_s8_channel", "qdq_u8_tensor", "qdq_s16", "qdq_u8u8_relu"])
def test_every_activation_has_its_scale(name: str) -> None:
    graph = load_model(zoo.path(name))
    table = graph.meta["qdq"]
    assert set(table) <= set(graph.values)
    assert all(op.outputs[0] in table for op in graph.ops) and graph.inputs[0] in table
    for scale, zero, dtype in table.values():
        info = np.iinfo(dtype)
        assert scale > 0 and info.min <= zero <= info.max


def test_same_structure_as_the_float_model() -> None:
    quantised, plain = load_model(zoo.path("qdq_s8_channel")), load_model(zoo.path("vit_cls.ts17"))
    assert [op.kind for op in quantised.ops] == [op.kind for op in plain.ops]


@pytest.mark.parametrize(
    "name", ["qdq_s8_channel", "qdq_u8_tensor", "qdq_s16", "qdq_products_only"]
)
def test_weights_are_whole_numbers_of_their_scales(name: str) -> None:
    graph = load_model(zoo.path(name))
    table = graph.meta["qdq_weights"]
    layers = [op for op in graph.ops if op.kind in ("linear", "conv2d")]
    assert {str(op.inputs[1]) for op in layers} == set(table)
    for weight, scales in table.items():
        data = graph.const(weight)
        assert data is not None and scales.shape == data.shape[-1:]
        q = data / scales
        assert np.abs(q - np.rint(q)).max() < 1e-3
        assert np.abs(q).max() <= 128


def test_the_files_own_integers_come_back() -> None:
    model = onnx.load(zoo.path("qdq_s8_channel"))
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    graph = load_model(zoo.path("qdq_s8_channel"))
    head = graph.const("head.w")
    assert head is not None
    q = np.rint(head / graph.meta["qdq_weights"]["head.w"]).astype(np.int8)
    assert np.array_equal(q, stored["head.weight_quantized"].T)


def test_float_models_carry_no_tables() -> None:
    meta = load_model(zoo.path("vit_cls.ts17")).meta
    assert "qdq" not in meta and "qdq_weights" not in meta


@pytest.mark.parametrize(
    ("name", "fn"), [("qdq_u8u8_relu", "relu"), ("qdq_u8_symmetric", "gelu_tanh")]
)
def test_activations_that_quantisation_hides(name: str, fn: str) -> None:
    """A Relu that only the zero point holds; a GELU whose constants are rounded to 8 bits."""
    kinds = [op.op_type for op in onnx.load(zoo.path(name)).graph.node]
    assert "Relu" not in kinds
    graph = load_model(zoo.path(name))
    assert [op.attrs["fn"] for op in graph.ops if op.kind == "unary"] == [fn]


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("scaled", [False, True])
def test_scores_that_a_grid_cuts_at_zero(tmp_path: Path, scaled: bool, sign: float) -> None:
    """Attention by Relu: the zero point alone holds it, on scores or behind a factor of theirs."""
    nodes = [
        build.node("MatMul", "x wq", "q"),
        build.node("MatMul", "x wk", "k"),
        build.node("Mul", "k sign", "l"),
        build.node("Transpose", "l", "t", perm=[0, 2, 1]),
        build.node("MatMul", "q t", "s"),
    ]
    weights = {"wq": build.rand(6, 6), "wk": build.rand(6, 6, seed=1), "sign": np.float32(sign)}
    grids = {"a": (0.5, 0)} if scaled else {}
    grids["b"] = (0.25, -128)
    last = "s"
    for name, (scale, zero) in grids.items():
        if name == "b" and scaled:
            nodes.append(build.node("Mul", f"{last} half", "h"))
            weights["half"], last = np.float32(0.5), "h"
        weights |= {f"{name}s": np.float32(scale), f"{name}z": np.int8(zero)}
        nodes += [
            build.node("QuantizeLinear", f"{last} {name}s {name}z", f"{name}q"),
            build.node("DequantizeLinear", f"{name}q {name}s {name}z", f"{name}d"),
        ]
        last = f"{name}d"
    proto = build.model([*nodes, build.node("MatMul", f"{last} x", "y")], weights, x=[1, 4, 6])
    graph = build.load(tmp_path, proto)
    x = build.rand(1, 4, 6, seed=2)
    (wanted,) = zoo.onnxruntime_outputs(proto.SerializeToString(), x)
    got = onnx_outputs(graph, run_float(graph, x))[0]
    assert np.abs(got - wanted).max() < 0.1 * np.abs(wanted).max()
