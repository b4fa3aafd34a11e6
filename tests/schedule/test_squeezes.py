"""Which part of a graph is a squeeze, where it begins, and where it ends."""

from __future__ import annotations

import pytest

from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.schedule.modulation import modulations
from mcuformer.schedule.regions import split
from mcuformer.schedule.squeezes import gates_its_mean, squeezes

LINEAR = "{'x_zp': 0, 'shift': 3}"
WINDOW = "{'kernel': (3, 3), 'strides': (1, 1), 'pads': (1, 1, 1, 1), 'x_zp': 0, 'shift': 3}"
HEAD = """
graph g int
input image: int8[12x4]
const w: int8[4x4] = 1
const up: int8[8x4] = 1
const square: int8[8x8] = 1
const down: int8[4x8] = 1
const k: int8[8x9] = 1
const p: int32[8] = [1, 2, 3, 4, 5, 6, 7, 8]
const q: int32[4] = [1, 2, 3, 4]
x = q_linear(image, w, q, q, q, _, _, _) {LINEAR} : int8[12x4]
z = q_linear(x, up, p, p, p, _, _, _) {LINEAR} : int8[12x8]
i = reshape(z) {'shape': (4, 3, 8)} : int8[4x3x8]
d = q_dwconv2d(i, k, p, p, p, _, _, _) {WINDOW} : int8[4x3x8]
t = reshape(d) {'shape': (12, 8)} : int8[12x8]
mean = q_mean(t, p, p, p) {'shift': 3, 'acc_shift': 0} : int8[1x8]
gate = q_linear(mean, square, p, p, p, _, _, _) {LINEAR} : int8[1x8]
m = q_mul(t, gate, p, p) {'a_zp': 0, 'b_zp': 0, 'shift': 3, 'acc_shift': 0} : int8[12x8]
y = q_linear(m, down, q, q, q, x, q, _) {LINEAR} : int8[12x4]
o = q_linear(y, up, p, p, p, _, _, _) {LINEAR} : int8[12x8]
output o
"""


def graph(more: str = "", head: str = HEAD) -> Graph:
    return parse_graph((head + more).replace("{LINEAR}", LINEAR).replace("{WINDOW}", WINDOW))


def test_one_region_from_the_narrow_rows_to_the_narrow_rows() -> None:
    g = graph()
    (found,) = squeezes(g)
    assert (found.enters, found.leaves) == ("x", "m")
    assert found.inner == {"z", "i", "d", "t", "mean", "gate"}
    assert not list(modulations(g))
    (region,) = (r for r in split(g, [found]) if gates_its_mean(r.ops))
    assert region.target == "y" and region.modulates and not region.in_lines


def test_what_is_not_swept_is_cut_as_before() -> None:
    assert not any(r.modulates for r in split(graph()))


@pytest.mark.parametrize("value", ["z", "d", "gate", "mean", "m"])
def test_what_others_read_is_not_made_twice(value: str) -> None:
    more = f"output {value}\n"
    found = list(squeezes(graph(more)))
    assert not any(value in one.inner for one in found)


def test_the_model_s_input_is_read_once() -> None:
    head = HEAD.replace("q_linear(x, up", "q_linear(image, up").replace(
        "q, x, q, _)", "q, _, _, _)"
    )
    assert all(found.enters != "image" for found in squeezes(graph(head=head)))
