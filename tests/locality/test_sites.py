"""Fused attentions, and those that are a softmax between two products."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.text import parse_graph
from mcuformer.ir.types import Value
from mcuformer.locality.positions import positions
from mcuformer.locality.sites import places, sites, weights

NET = """graph g (float)
input x: float32[8x8x3]
const w: float32[2x2x3x4] = rand(1)
c = conv2d(x, w) {'group': 1, 'pads': (0, 0, 0, 0), 'strides': (2, 2)} : float32[4x4x4]
t = reshape(c) {'shape': (16, 4)} : float32[16x4]
a = attention(t, t, t) {'heads': 2, 'scale': 0.5, 'windows': 2} : float32[16x4]
s = matmul(t, a) {'a': 'm.hk', 'b': 'n.hk', 'scale': 0.5, 'sizes': (1, 2, 16, 16, 2), 'y': 'hm.n'} : float32[32x16]
p = softmax(s) {} : float32[32x16]
y = matmul(p, t) {'a': 'hm.k', 'b': 'k.hn', 'scale': 1.0, 'sizes': (1, 2, 16, 2, 16), 'y': 'm.hn'} : float32[16x4]
output y
"""


def test_both_kinds_are_found_where_they_stand() -> None:
    graph = parse_graph(NET)
    fused, apart = sites(graph)
    assert (fused.windows, fused.heads, fused.queries, fused.keys) == (2, 2, 8, 8)
    assert (apart.windows, apart.heads, apart.queries, apart.keys) == (1, 2, 16, 16)
    known = positions(graph)
    found = places(graph, fused, known)
    assert found is not None and found[0].shape == (2, 8, 2)
    found = places(graph, apart, known)
    assert found is not None
    np.testing.assert_array_equal(found[0][0], known["t"])
    np.testing.assert_array_equal(found[1][0], known["a"])


def test_probabilities_of_a_softmax_apart() -> None:
    graph = parse_graph(NET)
    _, apart = sites(graph)
    rows = np.random.default_rng(0).random((3, 32, 16))
    rows /= rows.sum(axis=-1, keepdims=True)
    p = weights(graph, apart, {"p": rows})
    np.testing.assert_allclose(p, rows.reshape(3, 1, 2, 16, 16))


def test_integers_less_their_zero_point() -> None:
    graph = parse_graph(NET)
    ops = tuple(
        op.replace(attrs={**op.attrs, "zp": -128}) if op.kind == "softmax" else op
        for op in graph.ops
    )
    graph = graph.replace(ops=ops)
    _, apart = sites(graph)
    stored = np.full((1, 32, 16), -128, np.int8)
    stored[..., 3] = 127
    p = weights(graph, apart, {"p": stored})
    assert (p[..., 3] == 1).all() and p.sum() == 32
    assert isinstance(graph.values["p"], Value)
