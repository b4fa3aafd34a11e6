"""ONNX's Attention and RotaryEmbedding: what they are made of computes what they do."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float

T, E = 6, 12
N, RAND = build.node, build.rand
FLAT = [N("MatMul", f"x w{p}", p) for p in "qkv"]
APART = [
    *(N("MatMul", f"x w{p}", f"{p}1") for p in "qkv"),
    *(N("Reshape", f"{p}1 split", f"{p}2") for p in "qkv"),
    *(N("Transpose", f"{p}2", p, perm=[0, 2, 1, 3]) for p in "qkv"),
]
CACHE = {"cos": np.cos(RAND(9, 2)), "sin": np.sin(RAND(9, 2))}


def imported(
    tmp_path: Path, nodes: list, weights: dict | None = None, wide: int = E, opset: int = 23
) -> Graph:
    """The canonical graph, which computes what ONNX's own evaluator does."""
    given = {"wq": RAND(E, E, seed=1), "wk": RAND(E, wide, seed=2), "wv": RAND(E, wide, seed=3)}
    given |= {"split": np.asarray([1, T, 3, 4])} | (weights or {})
    proto = build.model(nodes, given, x=[1, T, E], opset=opset)
    proto.ir_version = 11
    graph = build.load(tmp_path, proto)
    x = RAND(1, T, E, seed=4)
    (want,) = ReferenceEvaluator(onnx.load_from_string(proto.SerializeToString())).run(
        None, {"x": x}
    )
    got = onnx_outputs(graph, run_float(graph, x))[0]
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-4)
    return graph


HIDDEN = np.triu(np.ones((T, T), bool), 1)
FORMS = {
    "self": ("", {}, {}, E, True),
    "scale": ("", {"scale": 0.3}, {}, E, True),
    "causal": ("", {"is_causal": 1}, {}, E, True),
    "boolean mask": (" m", {}, {"m": ~HIDDEN[None, None]}, E, True),
    "float mask of heads": (" m", {}, {"m": RAND(1, 3, T, T)}, E, True),
    "both masks": (" m", {"is_causal": 1}, {"m": RAND(T, T)}, E, True),
    "a query that sees no key": (
        " m", {}, {"m": np.where(np.arange(T) == 2, False, True)[:, None] & ~HIDDEN}, E, True),
    "grouped queries": ("", {"kv_num_heads": 1}, {}, 4, True),
    "softcap": ("", {"softcap": 2.0}, {}, E, False),
    "softcap under a mask": (" m", {"softcap": 2.0, "is_causal": 1}, {"m": RAND(T, T)}, E, False),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_attention(tmp_path: Path, name: str) -> None:
    more, attrs, weights, wide, fused = FORMS[name]
    attrs = {"q_num_heads": 3, "kv_num_heads": 3} | attrs
    nodes = [*FLAT, N("Attention", f"q k v{more}", "y", **attrs)]
    kinds = [op.kind for op in imported(tmp_path, nodes, weights, wide).ops]
    assert ("attention" in kinds) == fused
    assert ("matmul" in kinds) != fused


def test_attention_of_four_axes(tmp_path: Path) -> None:
    graph = imported(tmp_path, [*APART, N("Attention", "q k v", "y", is_causal=1)])
    assert "attention" in [op.kind for op in graph.ops]


def test_a_mask_that_is_computed(tmp_path: Path) -> None:
    nodes = [*FLAT, N("MatMul", "x wm", "m"),
             N("Attention", "q k v m", "y", q_num_heads=3, kv_num_heads=3)]  # fmt: skip
    graph = imported(tmp_path, nodes, {"wm": RAND(E, T)})
    assert "matmul" in [op.kind for op in graph.ops]


def test_constant_queries_and_keys(tmp_path: Path) -> None:
    nodes = [*FLAT, N("Attention", "c k v", "y", q_num_heads=3, kv_num_heads=3)]
    assert "attention" in [op.kind for op in imported(tmp_path, nodes, {"c": RAND(1, 2, E)}).ops]
    nodes = [*FLAT, N("Attention", "q c v", "y", q_num_heads=3, kv_num_heads=3)]
    assert "matmul" in [op.kind for op in imported(tmp_path, nodes, {"c": RAND(1, T, E)}).ops]


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [("q k v _ p p", "y a b", "past_key"), ("q k v", "y a b s", "reader of its scores")],
)
def test_what_is_refused(tmp_path: Path, inputs: str, outputs: str, why: str) -> None:
    made = N("Attention", inputs, outputs.replace("y", "z"))
    used = "s" if "s" in outputs.split() else "z"
    with pytest.raises(UnsupportedModelError, match=why):
        imported(tmp_path, [*APART, made, N("Relu", used, "y")], {"p": RAND(1, 3, 2, 4)})


@pytest.mark.parametrize("four", [False, True])
@pytest.mark.parametrize("attrs", [{}, {"interleaved": 1}, {"rotary_embedding_dim": 2}])
def test_rotary(tmp_path: Path, attrs: dict, four: bool) -> None:
    half = attrs.get("rotary_embedding_dim", 4) // 2
    weights = {n: c[:, :half] for n, c in CACHE.items()} | {"at": np.arange(T)[None] + 1}
    if four:
        nodes = [*APART, N("RotaryEmbedding", "q cos sin at", "y", **attrs)]
    else:
        nodes = [*FLAT, N("RotaryEmbedding", "q cos sin at", "y", num_heads=3, **attrs)]
    imported(tmp_path, nodes, weights)


def test_rotary_without_positions_before_attention(tmp_path: Path) -> None:
    weights = {n: c[None, :T] for n, c in CACHE.items()}
    nodes = [*APART, *(N("RotaryEmbedding", f"{p} cos sin", f"{p}r") for p in "qk"),
             N("Attention", "qr kr v", "y")]  # fmt: skip
    assert "attention" in [op.kind for op in imported(tmp_path, nodes, weights).ops]
