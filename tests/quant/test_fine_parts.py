"""Parts of joins on grids of their own: where a copy stands, where none does, and what it brings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.text import parse_graph
from mcuformer.ir.types import QParams
from mcuformer.operators.interpreter import run_int
from mcuformer.operators.verify import verify
from mcuformer.quant.fine_parts import ENOUGH_DB, regrid_fine_parts
from mcuformer.quant.policy import Mode

HEAD = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, 20, 12),)
meta output_shapes = ((1,),)
input x: float32[20x12]
const w: float32[12x12] = rand(1)
const v: float32[12x12] = rand(2)
const u: float32[24x12] = rand(3)
const t: float32[36x12] = rand(4)
const third: float32[12] = 0.3
const hundred: float32[12] = 100.0
const wall: float32[1x12] = 100.0
a = linear(x, w) {} : float32[20x12]
small = linear(a, v) {} : float32[20x12]
large = mul(small, hundred) {} : float32[20x12]
"""
BESIDE = """
j = concat(x, large) {'axis': 1} : float32[20x24]
y = linear(j, u) {} : float32[20x12]
output y
"""
ROWS = """
j = concat(a, large) {'axis': 0} : float32[40x12]
y = linear(j, w) {} : float32[40x12]
z = linear(a, w) {} : float32[20x12]
output z
output y
"""
PADDED = """
j = concat(x, wall) {'axis': 0} : float32[21x12]
y = linear(j, w) {} : float32[21x12]
output small
output y
"""
TWICE = """
j = concat(x, large) {'axis': 1} : float32[20x24]
k = concat(wall, x) {'axis': 0} : float32[21x12]
y = linear(j, u) {} : float32[20x12]
z = linear(k, w) {} : float32[21x12]
output y
output z
"""
SMALL_AND_LARGE = """
b = linear(x, v) {} : float32[20x12]
j = concat(a, b) {'axis': 1} : float32[20x24]
k = concat(a, large) {'axis': 1} : float32[20x24]
y = linear(j, u) {} : float32[20x12]
z = linear(k, u) {} : float32[20x12]
output y
output z
"""
LADDER = """
c = linear(x, v) {} : float32[20x12]
b = mul(c, third) {} : float32[20x12]
j = concat(x, b) {'axis': 1} : float32[20x24]
k = concat(j, large) {'axis': 1} : float32[20x36]
y = linear(k, t) {} : float32[20x12]
output y
"""
EACH_RUNG = LADDER + "z = linear(j, u) {} : float32[20x12]\noutput z\n"
SLICED = """
c = slice(x) {'axis': 0, 'start': 3, 'stop': 9} : float32[6x12]
j = concat(c, large, c) {'axis': 0} : float32[32x12]
y = linear(j, w) {} : float32[32x12]
output y
"""
LARGER = """
b = linear(x, v) {} : float32[20x12]
c = mul(x, third) {} : float32[20x12]
m = max(b, c) {} : float32[20x12]
j = concat(m, large) {'axis': 1} : float32[20x24]
y = linear(j, u) {} : float32[20x12]
z = linear(m, w) {} : float32[20x12]
output y
output z
"""
COPIES = {
    "the input beside a layer's result": (BESIDE, [("j", "x")]),
    "rows": (ROWS, [("j", "a")]),
    "a constant": (PADDED, [("j", "x")]),
    "two joins": (TWICE, [("j", "x"), ("k", "x")]),
    "a small join and a large one": (SMALL_AND_LARGE, [("k", "a")]),
    "two joins in a row": (LADDER, [("j", "x")]),
    "two joins in a row, both read": (EACH_RUNG, [("k", "j")]),
    "behind a slice, twice in one join": (SLICED, [("j", "c")]),
    "the larger of two": (LARGER, [("j", "m")]),
}
NO_READER = """
b = linear(x, v) {} : float32[20x12]
j = concat(b, large) {'axis': 1} : float32[20x24]
y = linear(j, u) {} : float32[20x12]
output y
"""
ENOUGH = """
b = mul(small, third) {} : float32[20x12]
j = concat(a, b) {'axis': 1} : float32[20x24]
y = linear(j, u) {} : float32[20x12]
output y
"""


def drawn(text: str, normal: bool = False) -> tuple[Graph, NDArray]:
    graph = verify(parse_graph(HEAD + text).pruned())
    rng, shape = np.random.default_rng(0), (32, 20, 12)
    x = np.clip(rng.normal(size=shape), -4, 4) if normal else rng.uniform(-1, 1, shape)
    return graph, x.astype(np.float32)


def copies(text: str, mode: Mode = "8") -> list[tuple[str, str]]:
    """(join, part) of every copy."""
    graph, samples = drawn(text)
    done = regrid_fine_parts(quant.calibrate(graph, samples), mode)
    made = done.graph.producers()
    assert done is regrid_fine_parts(done, mode), "a copy spares another"
    assert done.values.keys() >= {n for op in done.graph.ops for n in op.outputs}
    return [
        (op.name, str(made[n].inputs[0]))
        for op in done.graph.ops
        if op.kind == "concat"
        for n in dict.fromkeys(map(str, op.inputs))
        if n in made and made[n].kind == "requant"
    ]


def grid_of(graph: Graph, name: str) -> QParams:
    grid = graph.type(name).qparams
    assert grid is not None
    return grid


def sqnr(text: str, normal: bool = False) -> dict[str, float]:
    """Of every output, in dB, against the float graph."""
    graph, samples = drawn(text, normal)
    lowered = quant.lower(graph, quant.calibrate(graph, samples))
    exact: dict[str, NDArray] = {}
    for op, env in eval_steps(graph, (samples,)):
        exact |= {n: env[n] for n in op.outputs if n in graph.outputs}
    values = run_int(lowered, grid_of(lowered, "x").quantise(samples, lowered.type("x").dtype))
    found = {}
    for name, y in exact.items():
        error = grid_of(lowered, name).dequantise(values[name]) - y
        found[name] = float(10 * np.log10(np.square(y).sum() / np.square(error).sum()))
    return found


@pytest.mark.parametrize("name", COPIES)
def test_where_copies_stand(name: str) -> None:
    text, wanted = COPIES[name]
    assert copies(text) == wanted


@pytest.mark.parametrize("name", COPIES)
def test_a_reader_loses_nothing_to_the_join(name: str) -> None:
    text, _ = COPIES[name]
    found = sqnr(text)
    for output in found:
        lines = [row for row in text.splitlines() if not row.startswith("output ")]
        alone = sqnr("\n".join([*lines, f"output {output}\n"]))
        assert found[output] >= alone[output] - 1
    assert min(found.values()) > ENOUGH_DB


@pytest.mark.parametrize("normal", [False, True])
@pytest.mark.parametrize("times", [2, 4, 6, 8, 16, 100])
def test_a_reader_beside_numbers_so_many_times_as_large(times: int, normal: bool) -> None:
    found = sqnr(
        f"""
const many: float32[12] = {times}.0
c = mul(x, many) {{}} : float32[20x12]
j = concat(x, c) {{'axis': 1}} : float32[20x24]
y = linear(j, u) {{}} : float32[20x12]
b = linear(x, w) {{}} : float32[20x12]
output b
output y
""",
        normal,
    )
    assert found["b"] > 29 and found["y"] > 29


@pytest.mark.parametrize("text", [NO_READER, ENOUGH], ids=["no other reader", "enough"])
def test_what_needs_no_copy(text: str) -> None:
    assert copies(text) == []


def test_sixteen_bits_need_no_copy() -> None:
    assert copies(BESIDE, "16") == []


def test_given_grids_and_synthetic_ranges_stay() -> None:
    graph, samples = drawn(BESIDE)
    given = graph.replace(meta={**graph.meta, "qdq": {"j": (0.5, 0, "int8")}})
    for stats in (quant.calibrate(given, samples), quant.synthetic_stats(graph)):
        assert regrid_fine_parts(stats, "8") is stats
