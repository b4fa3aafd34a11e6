"""Half, bfloat16 and double: weights, whole graphs, and conversions between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from build import load, model, node, rand
from onnx import ModelProto, TensorProto, helper, numpy_helper, save

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend.load import load_raw
from mcuformer.ir.interp_float import run_float, run_onnx
from mcuformer.validate.reference import FloatReference

F16, BF16, F64, F32 = (
    TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.FLOAT,
)  # fmt: skip
TYPES = {"half": F16, "bfloat16": BF16, "double": F64}
IMAGE = (1, 3, 6, 8)
WEIGHTS = {
    "w": rand(4, 3, 3, 3, seed=1), "b": rand(4, seed=2), "u": rand(4, 5, seed=3),
    "c": np.asarray(0.5, np.float32), "g": rand(5, seed=4), "h": rand(5, seed=5),
}  # fmt: skip
LAYERS = [
    node("Conv", "x w b", "a", pads=[1, 1, 1, 1]),
    node("Relu", "a", "r"),
    node("Mul", "r c", "s"),
    node("GlobalAveragePool", "s", "p"),
    node("Flatten", "p", "f"),
    node("MatMul", "f u", "y"),
]


def tensor(name: str, array: np.ndarray, kind: int) -> TensorProto:
    if kind == BF16:
        bits = (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return helper.make_tensor(name, kind, array.shape, bits.tobytes(), raw=True)
    return numpy_helper.from_array(array.astype(helper.tensor_dtype_to_np_dtype(kind)), name)


def typed(kind: int) -> ModelProto:
    """All of it in one type, input and output included."""
    proto = model(LAYERS, WEIGHTS, IMAGE)
    del proto.graph.initializer[:]
    read = {i for n in LAYERS for i in n.input}
    proto.graph.initializer.extend(tensor(k, v, kind) for k, v in WEIGHTS.items() if k in read)
    for info in (*proto.graph.input, *proto.graph.output):
        info.type.tensor_type.elem_type = kind
    return proto


def widened(kind: int) -> ModelProto:
    """Weights in one type, converted where they are read; an activation goes there and back."""
    read = sorted({i for n in LAYERS for i in n.input} & set(WEIGHTS))
    casts = [node("Cast", f"{k}16", k, to=F32) for k in read]
    there = [node("Cast", "s", "t", to=kind), node("Cast", "t", "q", to=F32)]
    layers = [*LAYERS[:3], *there, node("GlobalAveragePool", "q", "p"), *LAYERS[4:]]
    proto = model([*casts, *layers], {}, IMAGE)
    proto.graph.initializer.extend(tensor(f"{k}16", WEIGHTS[k], kind) for k in read)
    return proto


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("whole", [True, False])
def test_it_is_computed_in_float(tmp_path: Path, kind: str, whole: bool) -> None:
    proto = (typed if whole else widened)(TYPES[kind])
    graph = load(tmp_path, proto)
    x = rand(*IMAGE, seed=9)
    raw = load_raw(tmp_path / "model.onnx")
    expected = run_onnx(load_raw(saved(tmp_path)), {"x": x})["y"]
    near = 0.05 if kind == "bfloat16" else 0.01
    np.testing.assert_allclose(run_onnx(raw, {"x": x})["y"], expected, atol=near)
    np.testing.assert_allclose(run_float(graph, [x])[graph.outputs[0]], expected, atol=near)


def saved(tmp_path: Path) -> Path:
    """The same in float32."""
    folder = tmp_path / "float"
    folder.mkdir()
    read = {i for n in LAYERS for i in n.input}
    load(folder, model(LAYERS, {k: v for k, v in WEIGHTS.items() if k in read}, IMAGE))
    return folder / "model.onnx"


def test_onnxruntime_is_given_half_floats(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph = load(tmp_path, typed(F16))
    x = rand(*IMAGE, seed=9)
    (y,) = FloatReference(tmp_path / "model.onnx", [IMAGE]).run([x])
    np.testing.assert_allclose(y, run_float(graph, [x])[graph.outputs[0]].reshape(1, -1), atol=0.02)


def test_numbers_beyond_half_are_cut_nowhere(tmp_path: Path) -> None:
    """An intermediate value may be wider than the type that the file has for it."""
    weights = {"k": np.asarray(1e4, np.float32)}
    layers = [
        node("Mul", "x k", "a"),
        node("Cast", "a", "h", to=F16),
        node("Cast", "h", "y", to=F32),
    ]
    graph = load(tmp_path, model(layers, weights, IMAGE))
    x = np.full(IMAGE, 100.0, np.float32)
    assert np.isfinite(run_float(graph, [x])[graph.outputs[0]]).all()


def test_weights_in_constant_nodes_are_parameters(tmp_path: Path) -> None:
    """As PaddlePaddle writes them, without any initialiser."""
    read = {i for n in LAYERS for i in n.input} & set(WEIGHTS)
    constants = [
        node("Constant", "", k, value=numpy_helper.from_array(WEIGHTS[k])) for k in sorted(read)
    ]
    graph = load(tmp_path, model([*constants, *LAYERS], {}, IMAGE))
    assert graph.meta["parameters"] == WEIGHTS["w"].size + WEIGHTS["b"].size + WEIGHTS["u"].size


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("kind", [TensorProto.INT4, TensorProto.UINT4])
def test_four_bit_weights_in_blocks(tmp_path: Path, kind: int, raw: bool) -> None:
    """DequantizeLinear with a scale and a zero point for 4 inputs of a channel, as QAT and GPTQ tools write them."""
    low = -8 if kind == TensorProto.INT4 else 0
    rng = np.random.default_rng(3)
    q, zero = rng.integers(low, low + 16, (8, 5)), rng.integers(low, low + 16, (2, 5))
    scale = rng.uniform(0.01, 0.05, (2, 5)).astype(np.float32)
    proto = model(
        [node("DequantizeLinear", "q s z", "w", axis=0, block_size=4), node("MatMul", "x w", "y")],
        {"s": scale}, (1, 3, 8), opset=21,
    )  # fmt: skip
    for name, data in (("q", q), ("z", zero)):
        made = helper.make_tensor(name, kind, data.shape, data.reshape(-1).tolist())
        if raw:
            made.raw_data = bytes(made.int32_data)
            made.ClearField("int32_data")
        proto.graph.initializer.append(made)
    graph = load(tmp_path, proto)
    real = (q - zero.repeat(4, 0)) * scale.repeat(4, 0)
    x = rand(1, 3, 8, seed=9)
    np.testing.assert_allclose(run_float(graph, [x])[graph.outputs[0]], x[0] @ real, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "block"), [((3, 5), 4), ((4, 5), 4), ((1, 5), 4), ((5,), 4), ((2, 5), -4), ((4,), 0)]
)
def test_scales_that_fit_no_weight_are_refused(
    tmp_path: Path, shape: tuple[int, ...], block: int
) -> None:
    attrs = {"axis": 0, "block_size": block} if block else {"axis": 1}
    proto = model(
        [node("DequantizeLinear", "q s", "w", **attrs), node("MatMul", "x w", "y")],
        {"s": np.full(shape, 0.1, np.float32), "q": np.ones((8, 5), np.int8)}, (1, 3, 8), opset=21,
    )  # fmt: skip
    with pytest.raises(UnsupportedModelError, match="looked for a scale and a zero point of shape"):
        load(tmp_path, proto)


def test_one_block_may_be_longer_than_all(tmp_path: Path) -> None:
    proto = model(
        [node("DequantizeLinear", "q s", "w", axis=0, block_size=2**40), node("MatMul", "x w", "y")],
        {"s": np.full((1, 5), 0.5, np.float32), "q": np.ones((8, 5), np.int8)}, (1, 3, 8), opset=21,
    )  # fmt: skip
    x = rand(1, 3, 8, seed=9)
    graph = load(tmp_path, proto)
    made = run_float(graph, [x])[graph.outputs[0]]
    np.testing.assert_allclose(made, x[0].sum(1, keepdims=True).repeat(5, 1) * 0.5, atol=1e-5)


def test_a_file_that_onnxruntime_loads_and_does_not_run(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    proto = model([node("MatMul", "x w", "y")], {"w": rand(7, 5)}, ("a", "b", "c"))
    save(proto, tmp_path / "model.onnx")
    reference = FloatReference(tmp_path / "model.onnx", [(1, 3, 8)])
    with pytest.raises(UnsupportedModelError, match="does not run"):
        reference.run([rand(1, 3, 8)])
