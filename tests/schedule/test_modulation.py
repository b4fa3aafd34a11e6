"""Which part of a graph is a modulation, what of it is materialised, and where its target lies."""

from __future__ import annotations

import pytest

from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.schedule.build import skeleton
from mcuformer.schedule.modulation import modulations
from mcuformer.schedule.regions import materialised

NORM = (
    "{'groups': 1, 'eps_q': 1, 'gain': 1, 'gain_exp': 0, 'frac': 23, 'zp': 0, 'frac2': 16}"
    " : int8[12x8]"
)
WINDOW = "{'kernel': (3, 3), 'strides': (1, 1), 'pads': (1, 1, 1, 1), 'x_zp': 0, 'shift': 3}"
HEAD = """
graph g int
input image: int8[12x8]
const w: int8[8x8] = 1
const one: int8[1x8] = 1
const k: int8[8x9] = 1
const a: int16[8] = [1, 1, 1, 1, 1, 1, 1, 1]
const p: int32[8] = [1, 2, 3, 4, 5, 6, 7, 8]
const p1: int32[1] = [1]
x = q_linear(image, w, p, p, p, _, _, _) {'x_zp': 0, 'shift': 3} : int8[12x8]
n = q_layernorm(x, a, a, a, p) {NORM}
z = q_linear(n, w, p, p, p, _, _, _) {'x_zp': 0, 'shift': 3} : int8[12x8]
i = reshape(z) {'shape': (4, 3, 8)} : int8[4x3x8]
d = q_dwconv2d(i, k, p, p, p, _, _, _) {WINDOW} : int8[4x3x8]
t = reshape(d) {'shape': (12, 8)} : int8[12x8]
gate = q_linear(n, one, p1, p1, p1, _, _, _) {'x_zp': 0, 'shift': 3} : int8[12x1]
m = q_mul(t, gate, p, p) {'a_zp': 0, 'b_zp': 0, 'shift': 3, 'acc_shift': 0} : int8[12x8]
mean = q_mean(t, p, p, p) {'shift': 3, 'acc_shift': 0} : int8[1x8]
"""
TAIL = """
s = q_add(m, mean, p, p, p) {'shift': 3} : int8[12x8]
y = q_linear(s, w, p, p, p, x, p, _) {'x_zp': 0, 'shift': 3} : int8[12x8]
v = q_layernorm(y, a, a, a, p) {NORM}
o = q_linear(v, w, p, p, p, y, p, _) {'x_zp': 0, 'shift': 3} : int8[12x8]
"""
MORE = """
other = q_linear({of}, w, p, p, p, _, _, _) {{'x_zp': 0, 'shift': 3}} : int8[12x8]
output o
output other
"""


def graph(more: str) -> Graph:
    return parse_graph((HEAD + TAIL + more).replace("{NORM}", NORM).replace("{WINDOW}", WINDOW))


def test_one_region_from_the_rows_to_the_target() -> None:
    g = graph("output o\n")
    (found,) = modulations(g)
    assert (found.enters, found.leaves) == ("n", "s")
    assert found.inner == {"z", "i", "d", "t", "gate", "m", "mean"}
    assert materialised(g) == {"image", "x", "y", "o"}
    made = skeleton(g, "resident")
    (region,) = (r for r in made.regions if r.modulates)
    assert region.target == "y" and not region.in_lines
    assert made.emitter.where["y"].buffer == made.emitter.where["x"].buffer


def test_a_norm_that_others_read_is_kept() -> None:
    g = graph(MORE.format(of="n"))
    assert materialised(g) >= {"n", "y"} and not materialised(g) & {"z", "d", "mean"}


@pytest.mark.parametrize("value", ["z", "t", "m"])
def test_what_is_read_from_outside_is_no_modulation(value: str) -> None:
    g = graph(MORE.format(of=value))
    assert not any(value in found.inner for found in modulations(g))


def test_rows_that_others_read_are_not_overwritten() -> None:
    where = skeleton(graph(MORE.format(of="x")), "resident").emitter.where
    assert where["y"].buffer != where["x"].buffer
