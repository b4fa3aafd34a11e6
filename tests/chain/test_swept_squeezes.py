"""Squeeze-and-excite in two sweeps, and with its wide image kept: the bits, the bytes, the choice of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from chain import follow
from util_long import few
from util_ways import measured, modulating, run_so

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.memory.check import check
from mcuformer.memory.simulate import simulate
from mcuformer.operators.line_outputs import by_lines
from mcuformer.plan import options
from mcuformer.plan.fit import curve
from mcuformer.price.book import CostBook
from mcuformer.schedule.build import skeleton
from mcuformer.schedule.regions import Choice
from mcuformer.schedule.squeezes import squeezes
from mcuformer.schedule.sweeping import swept

TEXT = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, {t}, {c}),)
meta output_shapes = ((1,),)
input x: float32[{t}x{c}]
const u: float32[{c}x{c}] = rand(1)
const up: float32[{c}x{e}] = rand(2)
const k: float32[{k}x{k}x1x{e}] = rand(3)
const w: float32[{e}x{h}] = rand(4)
const v: float32[{h}x{e}] = rand(5)
const p: float32[{e}x{d}] = rand(6)
const last: float32[{d}x{ends}] = rand(7)
s = linear(x, u) {{}} : float32[{t}x{c}]
a = linear(s, up) {{}} : float32[{t}x{e}]
ag = unary(a) {{'fn': 'gelu'}} : float32[{t}x{e}]
i = reshape(ag) {{'shape': ({lines}, {across}, {e})}} : float32[{lines}x{across}x{e}]
b = conv2d(i, k) {{'group': {e}, 'pads': ({pad}, {pad}, {pad}, {pad}), 'strides': ({stride}, {stride})}} : {image}
bg = unary(b) {{'fn': 'gelu'}} : {image}
z = reshape(bg) {{'shape': ({n}, {e})}} : float32[{n}x{e}]
mean = mean(z) {{}} : float32[1x{e}]
f = linear(mean, w) {{}} : float32[1x{h}]
fg = unary(f) {{'fn': 'gelu'}} : float32[1x{h}]
g = linear(fg, v) {{}} : float32[1x{e}]
gate = unary(g) {{'fn': 'sigmoid'}} : float32[1x{e}]
m = mul(z, gate) {{}} : float32[{n}x{e}]
y = linear(m, p) {{}} : float32[{n}x{d}]
{rest}
o = linear(r, last) {{}} : float32[{n}x{ends}]
output {output}
"""
FORMS = {  # lines, across, channels, wide ones, channels of the result, kernel, stride
    "a residual": (9, 5, 8, 32, 8, 3, 1),
    "every second line": (24, 10, 8, 48, 12, 3, 2),
    "a wide kernel": (11, 6, 8, 32, 8, 5, 1),
    "an image below its kernel": (3, 4, 8, 32, 8, 7, 1),
    "channels in no fours": (7, 5, 6, 26, 6, 3, 1),
    "odd lines, narrower": (9, 7, 8, 36, 4, 5, 2),
}
SHORT = ("an image below its kernel",)


@cache
def lowered(form: str, output: str = "o", ends: int = 40) -> Graph:
    """`ends`: channels of what is made of the block."""
    lines, across, c, e, d, k, stride = FORMS[form]
    down = [-(-n // stride) for n in (lines, across)]
    n = down[0] * down[1]
    adds = "add(y, s)" if stride == 1 else "unary(y)"
    attrs = "{}" if stride == 1 else "{'fn': 'gelu'}"
    text = TEXT.format(
        lines=lines, across=across, t=lines * across, n=n, c=c, e=e, d=d, h=max(2, e // 4), k=k,
        pad=k // 2, stride=stride, image=f"float32[{down[0]}x{down[1]}x{e}]", output=output, ends=ends,
        rest=f"r = {adds} {attrs} : float32[{n}x{d}]",
    )  # fmt: skip
    graph = parse_graph(text)
    samples = np.random.default_rng(3).normal(size=(4, 1, lines * across, c)).astype(np.float32)
    return quant.lower(graph, quant.calibrate(graph, samples))


def sheets(graph: Graph) -> list[options.Sheet]:
    made = curve(graph, "resident", CostBook()).exact
    (region,) = (r for r in made.regions if r.modulates)
    return [t.made() for t in options.exact_trials(CostBook(), made, region)]


def trials(graph: Graph) -> list[Choice]:
    return [s.choice(i) for s in sheets(graph) for i in (0, len(s.peak) - 1)]


@pytest.mark.parametrize("form", few(FORMS, *SHORT))
def test_every_byte_is_the_interpreters(tmp_path: Path, form: str) -> None:
    """The smallest and the largest choice of every way."""
    found = trials(lowered(form))
    assert {c.schedule for c in found} == {
        "whole images", "kept image", "sweeps", "sweeps in place"
    }  # fmt: skip
    for i, choice in enumerate(found):
        made = run_so(lowered(form), modulating(choice))
        check(made.program, made.plan)
        simulate(made.program, made.plan)
        (tmp_path / str(i)).mkdir()
        first = form == "every second line" and i % 4 == 0
        follow(made, tmp_path / str(i), ("host", "unicorn") if first else ("host",))


@pytest.mark.long
def test_rows_that_leave_by_lines(tmp_path: Path) -> None:
    """The squeeze's target is a window, no buffer of its own."""
    graph = by_lines(lowered("a residual", "r"))
    for i, choice in enumerate(trials(graph)):
        made = run_so(graph, modulating(choice))
        check(made.program, made.plan)
        (tmp_path / str(i)).mkdir()
        follow(made, tmp_path / str(i), ("host",))


@pytest.mark.parametrize("form", ["a residual", "odd lines, narrower"])
def test_what_is_measured_is_what_is_bound(form: str) -> None:
    """Peak by the planner's own lifetimes, instructions call by call. Strips of unlike heights share the scratch of a
    layer that they run, which is measured by the rows of each call: exact where no budget is spent on it."""
    book, made = CostBook(), curve(lowered(form), "resident", CostBook()).exact
    (region,) = (r for r in made.regions if r.modulates)
    for sheet in sheets(lowered(form)):
        swept_twice = sheet.choice(0).schedule.startswith("sweeps")
        for i in [0] if swept_twice else range(0, len(sheet.peak), 7):
            choice = sheet.choice(i)
            assert measured(made, region, choice, book) == (sheet.peak[i], sheet.cost[i]), choice


def test_the_target_lies_over_what_the_wide_image_is_made_of() -> None:
    for form in FORMS:
        graph = lowered(form)
        (found,) = squeezes(graph)
        where = skeleton(graph, "resident").emitter.where
        (region,) = (r for r in skeleton(graph, "resident").regions if r.modulates)
        assert found.enters == "s" and region.target == "r"
        assert where["r"].buffer == where["s"].buffer


def test_each_way_is_smaller_and_takes_more_instructions() -> None:
    """The fastest keeps the wide image, the smallest makes it twice."""
    trade = curve(lowered("a wide kernel"), "resident", CostBook())
    ways = [c.schedule for p in trade.points for c in p.choices if c.schedule != "rows"]
    assert not ways[0].startswith("sweeps") and ways[-1] == "sweeps in place"
    fast, small = trade.points[0], trade.points[-1]
    assert small.instructions > fast.instructions


def test_what_need_not_be_swept_is_not() -> None:
    """Another value of the model is larger than the wide image, with all that lives beside it."""
    for width, count in ((40, 1), (80, 0)):
        graph = lowered("a residual", ends=width)
        assert len(list(squeezes(graph))) == 1 and len(swept(graph, "resident")) == count
        assert sum(r.modulates for r in skeleton(graph, "resident").regions) == count
