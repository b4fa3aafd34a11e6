"""Places of rows, followed through convolutions, index maps, joins and merging."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.text import parse_graph
from mcuformer.locality.positions import grid, positions

HEAD = "graph g (float)\n"
NET = """
input x: float32[8x8x3]
const w: float32[2x2x3x4] = rand(1)
const cls: float32[1x4] = rand(2)
const lw: float32[4x4] = rand(3)
c = conv2d(x, w) {'group': 1, 'pads': (0, 0, 0, 0), 'strides': (2, 2)} : float32[4x4x4]
t = reshape(c) {'shape': (16, 4)} : float32[16x4]
j = concat(cls, t) {'axis': 0} : float32[17x4]
l = linear(j, lw) {} : float32[17x4]
s = add(j, l) {} : float32[17x4]
p = slice(s) {'axis': 0, 'start': 1, 'stop': 17} : float32[16x4]
r = gather(p) {'indices': (5, 4, 1, 0)} : float32[4x4]
m = reshape(r) {'shape': (1, 16)} : float32[1x16]
z = reshape(r) {'shape': (16, 1)} : float32[16x1]
output m
output z
"""


def test_rows_keep_their_places() -> None:
    found = positions(parse_graph(HEAD + NET))
    patches = grid(4, 4)
    np.testing.assert_array_equal(found["t"], patches)
    assert np.isnan(found["s"][0]).all(), "a class token stands nowhere"
    np.testing.assert_array_equal(found["s"][1:], patches)
    np.testing.assert_array_equal(found["p"], patches)
    np.testing.assert_array_equal(found["r"], patches[[5, 4, 1, 0]])
    np.testing.assert_allclose(found["m"], [[0.25, 0.25]])
    assert "z" not in found, "a row of one channel is no patch"


def test_a_grid_is_of_middles() -> None:
    np.testing.assert_allclose(grid(1, 2), [[0.5, 0.25], [0.5, 0.75]])
