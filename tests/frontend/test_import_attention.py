"""Attention in every form: heads, scales, masks and transpositions are read from the index maps."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
import zoo
from onnx import NodeProto

from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float

T, HEADS, D = 5, 2, 3
E = HEADS * D
N = build.node
SHAPES = {
    "split": np.asarray([1, T, HEADS, D]),
    "joined": np.asarray([1, T, E]),
    "root": np.float32(1.3),
}


def projections() -> list[NodeProto]:
    """q, k, v [1, heads, T, d] from x[1, T, E]."""
    nodes = []
    for p in "qkv":
        nodes += [
            N("MatMul", f"x w{p}", f"{p}1"),
            N("Reshape", f"{p}1 split", f"{p}2"),
            N("Transpose", f"{p}2", p, perm=[0, 2, 1, 3]),
        ]
    return nodes


def tail(source: str = "o") -> list[NodeProto]:
    return [
        N("Transpose", source, "o1", perm=[0, 2, 1, 3]),
        N("Reshape", "o1 joined", "o2"),
        N("MatMul", "o2 wo", "y"),
    ]


def check(
    tmp_path: Path, middle: list[NodeProto], extra: dict | None = None, core: str = "attention"
) -> Graph:
    weights = {f"w{p}": build.rand(E, E, seed=ord(p)) for p in "qkvo"} | SHAPES | (extra or {})
    proto = build.model([*projections(), *middle, *tail()], weights, x=[1, T, E])
    graph = build.load(tmp_path, proto)
    x = build.rand(1, T, E, seed=1)
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), x)
    assert zoo.relative(onnx_outputs(graph, run_float(graph, x))[0], reference) < 1e-5
    kinds = [op.kind for op in graph.ops]
    assert core in kinds
    assert core != "attention" or kinds == ["linear"] * 3 + ["attention", "linear"]
    return graph


def attention(graph: Graph) -> dict:
    return dict(next(op for op in graph.ops if op.kind == "attention").attrs)


KT = N("Transpose", "k", "kt", perm=[0, 1, 3, 2])
SOFT = N("Softmax", "s", "p", axis=-1)
OUT = N("MatMul", "p v", "o")

SCORES = N("MatMul", "q kt", "s")
PLAIN = [KT, SCORES, SOFT, OUT]
SCALES = {
    "scores times": ([KT, N("MatMul", "q kt", "s0"), N("Mul", "s0 c", "s"), SOFT, OUT], 0.6),
    "scores divided": ([KT, N("MatMul", "q kt", "s0"), N("Div", "s0 c", "s"), SOFT, OUT], 1 / 0.6),
    "q and k": (
        [KT, N("Mul", "q root", "a"), N("Mul", "kt root", "b"), N("MatMul", "a b", "s"), SOFT, OUT],
        1.69,
    ),
    "q alone": ([KT, N("Div", "q root", "a"), N("MatMul", "a kt", "s"), SOFT, OUT], 1 / 1.3),
    "none": (PLAIN, 1.0),
    "negated twice": (
        [KT, N("Neg", "q", "a"), N("Neg", "kt", "b"), N("MatMul", "a b", "s"), SOFT, OUT],
        1.0,
    ),
}


@pytest.mark.parametrize("name", SCALES)
def test_scales_gather_in_one_number(tmp_path: Path, name: str) -> None:
    middle, scale = SCALES[name]
    attrs = attention(check(tmp_path, middle, {"c": np.float32(0.6)}))
    assert attrs["heads"] == HEADS and attrs["scale"] == pytest.approx(scale, rel=1e-6)


FACTORS = {"head": (1, HEADS, 1, 1), "query": (1, HEADS, T, 1), "key": (T,)}


@pytest.mark.parametrize("per", FACTORS)
def test_factors_of_scores_go_into_q_or_k(tmp_path: Path, per: str) -> None:
    """Before and behind a bias that is added."""
    extra = {"c": 1 + build.rand(*FACTORS[per], seed=3), "bias": build.rand(HEADS, T, T, seed=4)}
    middle = [
        KT,
        N("MatMul", "q kt", "s0"),
        N("Mul", "s0 c", "s1"),
        N("Add", "s1 bias", "s2"),
        N("Mul", "c s2", "s"),
        SOFT,
        OUT,
    ]
    weights = {f"w{p}": build.rand(E, E, seed=ord(p)) for p in "qkvo"} | SHAPES | extra
    proto = build.model([*projections(), *middle, *tail()], weights, x=[1, T, E])
    graph = build.load(tmp_path, proto)
    x = build.rand(1, T, E, seed=1)
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), x)
    assert zoo.relative(onnx_outputs(graph, run_float(graph, x))[0], reference) < 1e-5
    assert [op.kind for op in graph.ops if op.kind != "mul"] == ["linear"] * 3 + [
        "attention",
        "linear",
    ]
    assert any(op.kind == "mul" for op in graph.ops) == (per != "head")  # a factor per row remains


def test_a_table_of_factors_needs_the_scores(tmp_path: Path) -> None:
    middle = [KT, N("MatMul", "q kt", "s0"), N("Mul", "s0 c", "s"), SOFT, OUT]
    check(tmp_path, middle, {"c": build.rand(T, T, seed=3)}, "matmul")


def test_value_scale_goes_into_the_projection(tmp_path: Path) -> None:
    check(
        tmp_path,
        [KT, N("MatMul", "q kt", "s"), SOFT, N("Mul", "v root", "vs"), N("MatMul", "p vs", "o")],
    )


def test_transposed_scores(tmp_path: Path) -> None:
    """k q^T, softmax over its rows, v^T p: queries and keys change places."""
    middle = [
        N("Transpose", "q", "qt", perm=[0, 1, 3, 2]),
        N("MatMul", "k qt", "s"),
        N("Softmax", "s", "p", axis=-2),
        N("Transpose", "v", "vt", perm=[0, 1, 3, 2]),
        N("MatMul", "vt p", "ot"),
        N("Transpose", "ot", "o", perm=[0, 1, 3, 2]),
    ]
    check(tmp_path, middle)


def test_batched_heads_without_a_batch_axis(tmp_path: Path) -> None:
    """nn.MultiheadAttention: [heads, T, d] and bmm."""
    flat = np.asarray([HEADS, T, D])
    middle = [
        *(N("Reshape", f"{p} flat", f"{p}f") for p in "qkv"),
        N("Transpose", "kf", "kt", perm=[0, 2, 1]),
        N("MatMul", "qf kt", "s"),
        SOFT,
        N("MatMul", "p vf", "of"),
        N("Reshape", "of four", "o"),
    ]
    check(tmp_path, middle, {"flat": flat, "four": np.asarray([1, HEADS, T, D])})


def test_scores_reshaped_between(tmp_path: Path) -> None:
    middle = [
        KT,
        N("MatMul", "q kt", "s1"),
        N("Reshape", "s1 flat", "s"),
        SOFT,
        N("Reshape", "p four", "p4"),
        N("MatMul", "p4 v", "o"),
    ]
    shapes = {"flat": np.asarray([HEADS, T, T]), "four": np.asarray([1, HEADS, T, T])}
    check(tmp_path, middle, shapes)


def masked(bias: str, data: np.ndarray, tmp_path: Path) -> tuple[int, ...]:
    nodes = {
        "add": [N("Add", "s0 m", "s")],
        "add before scale": [N("Add", "s0 m", "s1"), N("Mul", "s1 root", "s")],
        "where": [N("Where", "m s0 low", "s")],
    }[bias]
    graph = check(
        tmp_path,
        [KT, N("MatMul", "q kt", "s0"), *nodes, SOFT, OUT],
        {"m": data, "low": np.float32(-np.inf)},
    )
    op = next(op for op in graph.ops if op.kind == "attention")
    return graph.type(str(op.inputs[3])).shape if len(op.inputs) > 3 else ()


def test_bias_shared_by_heads(tmp_path: Path) -> None:
    assert masked("add", build.rand(T, T), tmp_path) == (1, T, T)
    assert masked("add before scale", build.rand(1, 1, T, T), tmp_path) == (1, T, T)


def test_bias_per_head(tmp_path: Path) -> None:
    assert masked("add", build.rand(1, HEADS, T, T), tmp_path) == (HEADS, T, T)


def test_boolean_mask(tmp_path: Path) -> None:
    assert masked("where", np.tril(np.ones((T, T), np.bool_)), tmp_path) == (1, T, T)


def test_mask_that_masks_nothing(tmp_path: Path) -> None:
    assert masked("where", np.ones((T, T), np.bool_), tmp_path) == ()


def test_bias_along_queries_alone_is_nothing_to_softmax(tmp_path: Path) -> None:
    assert masked("add", build.rand(T, 1), tmp_path) == ()


def test_nan_guard_after_softmax(tmp_path: Path) -> None:
    """Where(IsNaN(p), 0, p), as masked attention is exported."""
    middle = [
        KT,
        N("MatMul", "q kt", "s"),
        N("Softmax", "s", "p0", axis=-1),
        N("IsNaN", "p0", "n"),
        N("Where", "n zero p0", "p"),
        OUT,
    ]
    check(tmp_path, middle, {"zero": np.float32(0)})


def windows_model(rolled: bool) -> tuple[list[NodeProto], dict]:
    """Two windows of three tokens over six tokens, as Swin cuts them."""
    weights = {f"w{p}": build.rand(4, 4, seed=ord(p)) for p in "qkvo"}
    weights |= {"parts": np.asarray([2, 3, 2, 2]), "rows": np.asarray([1, 6, 4])}
    weights |= {
        "b1": np.asarray([2]),
        "e1": np.asarray([6]),
        "e2": np.asarray([2]),
        "zero": np.asarray([0]),
        "one": np.asarray([1]),
        "four": np.asarray([4]),
    }
    start = [
        N("Slice", "x b1 e1 one", "r1"),
        N("Slice", "x zero e2 one", "r2"),
        N("Concat", "r1 r2", "r", axis=1),
    ]
    end = [
        N("Slice", "z four e1 one", "u1"),
        N("Slice", "z zero four one", "u2"),
        N("Concat", "u1 u2", "u", axis=1),
    ]
    nodes = start if rolled else [N("Identity", "x", "r")]
    for p in "qkv":
        nodes += [
            N("MatMul", f"r w{p}", f"{p}1"),
            N("Reshape", f"{p}1 parts", f"{p}2"),
            N("Transpose", f"{p}2", p, perm=[0, 2, 1, 3]),
        ]
    nodes += [
        KT,
        N("MatMul", "q kt", "s"),
        SOFT,
        OUT,
        N("Transpose", "o", "o1", perm=[0, 2, 1, 3]),
        N("Reshape", "o1 rows", "z"),
    ]
    nodes += end if rolled else [N("Identity", "z", "u")]
    return [*nodes, N("MatMul", "u wo", "m"), N("Add", "m x", "y")], weights


@pytest.mark.parametrize("rolled", [False, True])
def test_windows(tmp_path: Path, rolled: bool) -> None:
    proto = build.model(*windows_model(rolled), x=[1, 6, 4])
    graph = build.load(tmp_path, proto)
    x = build.rand(1, 6, 4, seed=2)
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), x)
    assert zoo.relative(onnx_outputs(graph, run_float(graph, x))[0], reference) < 1e-5
    attrs = attention(graph)
    assert attrs["windows"] == 2 and attrs["heads"] == 2


def test_single_token_window_and_head(tmp_path: Path) -> None:
    weights = {f"w{p}": build.rand(4, 4, seed=ord(p)) for p in "qkv"}
    nodes = [N("MatMul", f"x w{p}", p) for p in "qkv"]
    nodes += [
        N("Transpose", "k", "kt", perm=[0, 2, 1]),
        N("MatMul", "q kt", "s"),
        SOFT,
        N("MatMul", "p v", "y"),
    ]
    proto = build.model(nodes, weights, x=[1, 6, 4])
    graph = build.load(tmp_path, proto)
    x = build.rand(1, 6, 4)
    (reference,) = zoo.onnxruntime_outputs(proto.SerializeToString(), x)
    assert zoo.relative(onnx_outputs(graph, run_float(graph, x))[0], reference) < 1e-5
    assert attention(graph)["heads"] == 1
