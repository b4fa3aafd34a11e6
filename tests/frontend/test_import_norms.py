"""Normalisations over any axes, native and written out, each as a small model against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
import zoo
from onnx import ModelProto, NodeProto

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float

N = build.node
IMAGE, TOKENS = [1, 12, 5, 7], [1, 9, 12]
MOVES = ("reshape", "gather", "slice")


def check(tmp_path: Path, proto: ModelProto, x: list[int]) -> Graph:
    graph = build.load(tmp_path, proto)
    data = build.rand(*x, seed=9)
    (ours,) = onnx_outputs(graph, run_float(graph, data))
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), data)
    assert ours.shape == reference.shape
    assert zoo.relative(ours, reference) < 2e-5
    return graph


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops if op.kind not in MOVES]


def model(nodes: list[NodeProto], x: list[int], opset: int = 18, **weights: object) -> ModelProto:
    return build.model(nodes, {n: np.asarray(w) for n, w in weights.items()}, x=x, opset=opset)


def vector(n: int, seed: int, *shape: int) -> np.ndarray:
    return (1 + 0.3 * build.rand(n, seed=seed)).reshape(*shape or (n,)).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 3, 12])
def test_group_norm_as_torch_writes_it(tmp_path: Path, groups: int) -> None:
    nodes = [
        N("Reshape", "x flat", "a"),
        N("InstanceNormalization", "a ones zeros", "b", epsilon=1e-3),
        N("Reshape", "b image", "c"),
        N("Mul", "c scale", "d"),
        N("Add", "d shift", "y"),
    ]
    proto = model(
        nodes, IMAGE, 17, flat=np.array([0, groups, -1]), image=np.array(IMAGE),
        ones=np.ones(groups, np.float32), zeros=np.zeros(groups, np.float32),
        scale=vector(12, 1, 12, 1, 1), shift=vector(12, 2, 12, 1, 1),
    )  # fmt: skip
    graph = check(tmp_path, proto, IMAGE)
    assert kinds(graph) == ["groupnorm"] and graph.ops[1].attrs["groups"] == groups


@pytest.mark.parametrize(("opset", "width"), [(18, 4), (21, 12)])
def test_native_group_norm(tmp_path: Path, opset: int, width: int) -> None:
    """gamma and beta per group until opset 20, per channel from 21 on."""
    nodes = [N("GroupNormalization", "x g b", "y", num_groups=4)]
    proto = model(nodes, IMAGE, opset, g=vector(width, 1), b=vector(width, 2))
    graph = build.load(tmp_path, proto)
    data = build.rand(*IMAGE, seed=9)
    (ours,) = onnx_outputs(graph, run_float(graph, data))
    parts = data.astype(np.float64).reshape(1, 4, -1)
    wanted = (parts - parts.mean(-1, keepdims=True)) / np.sqrt(parts.var(-1, keepdims=True) + 1e-5)
    g, b = (np.repeat(vector(width, s), 12 // width).reshape(1, 12, 1, 1) for s in (1, 2))
    assert zoo.relative(ours, wanted.reshape(IMAGE) * g + b) < 2e-5
    assert kinds(graph) == ["groupnorm"]


@pytest.mark.parametrize("x", [IMAGE, [1, 12, 9]])
def test_instance_norm(tmp_path: Path, x: list[int]) -> None:
    nodes = [N("InstanceNormalization", "x g b", "y")]
    graph = check(tmp_path, model(nodes, x, g=vector(12, 1), b=vector(12, 2)), x)
    assert kinds(graph)[0] == "groupnorm" if x == IMAGE else "layernorm"


AXES = {
    "channels of pixels": ((1,), ["layernorm"]),
    "positions": ((2, 3), ["groupnorm"]),
    "all": ((1, 2, 3), ["groupnorm"]),
}


@pytest.mark.parametrize("over", AXES)
@pytest.mark.parametrize("centred", [True, False])
def test_written_out(tmp_path: Path, over: str, centred: bool) -> None:
    axes, wanted = AXES[over]
    nodes = [N("ReduceMean", "x axes", "m"), N("Sub", "x m", "c")] if centred else []
    v = "c" if centred else "x"
    nodes += [
        N("Mul", f"{v} {v}", "p"),
        N("ReduceMean", "p axes", "v"),
        N("Add", "v eps", "s"),
        N("Sqrt", "s", "r"),
        N("Div", f"{v} r", "n"),
        N("Mul", "n scale", "y"),
    ]
    weights = {"axes": np.array(axes), "eps": np.float32(1e-3), "scale": vector(12, 1, 12, 1, 1)}
    assert kinds(check(tmp_path, model(nodes, IMAGE, **weights), IMAGE)) == wanted


SPLIT = {
    "planar": (IMAGE, [1, 4, -1], [2], [12, 1, 1]),
    "channels last": ([1, 5, 7, 12], [1, 5, 7, 4, 3], [1, 2, 4], [12]),
}


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", SPLIT)
def test_group_norm_written_out(tmp_path: Path, name: str, fast: bool) -> None:
    """Over other axes than the last ones, and with the variance as a difference of means."""
    shape, split, axes, per = SPLIT[name]
    order = [0, 1, 2, 3] if shape == IMAGE else [0, 2, 3, 1]
    nodes = [
        N("Transpose", "x", "xt", perm=order),
        N("Reshape", "xt split", "a"),
        N("ReduceMean", "a axes", "m"),
        N("Sub", "a m", "c"),
        N("Mul", "a a" if fast else "c c", "p"),
        N("ReduceMean", "p axes", "v0"),
        *([N("Mul", "m m", "mm"), N("Sub", "v0 mm", "v")] if fast else [N("Identity", "v0", "v")]),
        N("Add", "v eps", "s"),
        N("Sqrt", "s", "r"),
        N("Reciprocal", "r", "i"),
        N("Mul", "c i", "n"),
        N("Reshape", "n back", "b"),
        N("Mul", "b scale", "y"),
    ]
    weights = {"split": np.array(split), "back": np.array(shape), "axes": np.array(axes)}
    weights |= {"eps": np.float32(1e-3), "scale": vector(12, 1, *per)}
    graph = check(tmp_path, model(nodes, IMAGE, **weights), IMAGE)
    assert kinds(graph) == ["groupnorm"]


def test_layer_norm_of_an_image(tmp_path: Path) -> None:
    nodes = [N("LayerNormalization", "x g b", "y", axis=1)]
    g, b = (vector(12 * 35, s, *IMAGE[1:]) for s in (1, 2))
    graph = check(tmp_path, model(nodes, IMAGE, g=g, b=b), IMAGE)
    assert kinds(graph) == ["groupnorm", "mul", "add"]  # factors of every number


@pytest.mark.parametrize("axis", [1, 2])
def test_l2_norm_is_an_output(tmp_path: Path, axis: int) -> None:
    nodes = [N("LpNormalization", "x", "y", axis=axis, p=2)]
    assert kinds(check(tmp_path, model(nodes, TOKENS), TOKENS)) == [
        "layernorm" if axis == 2 else "groupnorm"
    ]


@pytest.mark.parametrize(
    ("axes", "wanted"), [(None, "groupnorm"), ([1], "layernorm"), ([1, 2, 3], "groupnorm")]
)
def test_mean_variance_norm(tmp_path: Path, axes: list[int] | None, wanted: str) -> None:
    nodes = [N("MeanVarianceNormalization", "x", "y", **({"axes": axes} if axes else {}))]
    assert kinds(check(tmp_path, model(nodes, IMAGE), IMAGE)) == [wanted]


def test_another_norm_than_the_second(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="looked for p=2, found p=1"):
        build.load(tmp_path, model([N("LpNormalization", "x", "y", p=1)], TOKENS))


GRN = [
    N("ReduceL2", "x where", "g"),
    N("ReduceMean", "g channels", "m"),
    N("Add", "m eps", "e"),
    N("Div", "g e", "n"),
    N("Mul", "x n", "y"),
]


@pytest.mark.parametrize("x", [IMAGE, [1, 5, 7, 12]])
def test_global_response_norm(tmp_path: Path, x: list[int]) -> None:
    """ConvNeXt v2's, in both layouts."""
    planar = x is IMAGE
    weights = {"where": np.array([2, 3] if planar else [1, 2]), "eps": np.float32(1e-6)}
    proto = model(GRN, x, channels=np.array([1 if planar else 3]), **weights)
    assert kinds(check(tmp_path, proto, x)) == ["rms", "linear", "power", "mul", "mul"]


QUOTIENTS = {
    "element": [N("Sigmoid", "x", "s"), N("Div", "x s", "y")],
    "reciprocal": [N("Sigmoid", "x", "s"), N("Reciprocal", "s", "r"), N("Mul", "x r", "y")],
    "one over": [N("Sigmoid", "x", "s"), N("Div", "one s", "y")],
    "table over": [N("Sigmoid", "x", "s"), N("Div", "table s", "y")],
    "row": [N("ReduceMean", "x axis", "m"), N("Exp", "m", "e0"), N("Sigmoid", "m", "s"), N("Div", "x s", "y")],
    "root": [N("Sigmoid", "x", "s"), N("Sqrt", "s", "y")],
    "power": [N("Sigmoid", "x", "s"), N("Pow", "s half", "r"), N("Div", "one r", "y")],
    "inverse root": [N("Sigmoid", "x", "s"), N("Pow", "s minus", "y")],
    "squares": [N("ReduceSumSquare", "x axis", "q"), N("Div", "x q", "y")],
}  # fmt: skip


@pytest.mark.parametrize("name", QUOTIENTS)
def test_quotients_and_roots(tmp_path: Path, name: str) -> None:
    nodes = [n for n in QUOTIENTS[name] if n.op_type != "Exp"]
    weights = {"axis": np.array([1]), "one": np.float32(1), "half": np.float32(0.5)}
    weights |= {"minus": np.float32(-0.5), "table": build.rand(9, 1, seed=5)}
    assert "power" in kinds(check(tmp_path, model(nodes, TOKENS, **weights), TOKENS))


def test_a_root_and_its_reciprocal_are_one(tmp_path: Path) -> None:
    graph = build.load(
        tmp_path, model(QUOTIENTS["power"], TOKENS, one=np.float32(1), half=np.float32(0.5))
    )
    assert [op.attrs["exponent"] for op in graph.ops if op.kind == "power"] == [-0.5]


@pytest.mark.parametrize("mode", [0, 1])
def test_batch_norm_of_constants_and_tokens(tmp_path: Path, mode: int) -> None:
    """Weights that are standardised in the graph, by their own statistics; then [1, C, N]."""
    nodes = [
        N("Reshape", "kernel rows", "k0"),
        N(
            "BatchNormalization",
            "k0 gain zeros mean ones",
            "k1 rm rv" if mode else "k1",
            training_mode=mode,
            epsilon=1e-4,
        ),
        N("Reshape", "k1 back", "k"),
        N("Conv", "x k", "c"),
        N("Reshape", "c tokens", "t"),
        N("BatchNormalization", "t gain8 shift8 shift8 gain8", "y"),
    ]
    weights = {
        "kernel": build.rand(8, 12, 3, 3), "rows": np.array([1, 8, -1]), "gain": vector(8, 1),
        "zeros": np.zeros(8, np.float32), "ones": np.ones(8, np.float32), "mean": np.zeros(8, np.float32),
        "back": np.array([8, 12, 3, 3]), "tokens": np.array([1, 8, -1]), "gain8": vector(8, 3),
        "shift8": vector(8, 4),
    }  # fmt: skip
    assert kinds(check(tmp_path, model(nodes, IMAGE, 17, **weights), IMAGE)) == ["conv2d"]


@pytest.mark.parametrize("x", [TOKENS, [9, 12]])
def test_batch_norm_of_tokens(tmp_path: Path, x: list[int]) -> None:
    n = x[1]
    weights = {name: vector(n, s) for s, name in enumerate("gbmv")}
    nodes = [N("BatchNormalization", "x g b m v", "y")]
    if x == TOKENS:
        assert kinds(check(tmp_path, model(nodes, x, **weights), x)) == ["mul", "add"]


def test_batch_norm_in_training_is_refused(tmp_path: Path) -> None:
    weights = {name: vector(9, s) for s, name in enumerate("gbmv")}
    nodes = [N("BatchNormalization", "x g b m v", "y rm rv", training_mode=1)]
    with pytest.raises(UnsupportedModelError, match=r"in training mode.*model\.eval"):
        build.load(tmp_path, model(nodes, TOKENS, 17, **weights))
