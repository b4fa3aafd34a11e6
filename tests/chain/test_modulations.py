"""Focal modulation three ways: the bits, the bytes and the instructions that were measured."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled
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
from mcuformer.schedule.regions import Choice
from mcuformer.schedule.ways.channel_tiles import Channels, channel_choices
from mcuformer.schedule.ways.modulate import single_rows
from mcuformer.schedule.ways.sweeps import sweep_choices

HEAD = """
graph g float
meta input_layouts = ('tokens',)
meta input_shapes = ((1, {t}, {c}),)
meta output_shapes = ((1,),)
input x: float32[{t}x{c}]
const w: float32[{c}x{c}] = rand(1)
const q: float32[{c}x{c}] = rand(2)
const h: float32[{c}x{c}] = rand(3)
const p: float32[{c}x{c}] = rand(4)
const u: float32[{c}x{c}] = rand(5)
s = linear(x, u) {{}} : float32[{t}x{c}]
n = layernorm(s) {{'eps': 1e-05, 'groups': 1}} : float32[{t}x{c}]
z = linear(n, w) {{}} : float32[{t}x{c}]
z0 = reshape(z) {{'shape': ({lines}, {across}, {c})}} : float32[{lines}x{across}x{c}]
"""
LEVEL = """
const k{i}: float32[{k}x{k}x1x{c}] = rand(1{i})
const g{i}: float32[{c}x1] = rand(2{i})
d{i} = conv2d(z{before}, k{i}) {{'group': {c}, 'pads': ({pad}, {pad}, {pad}, {pad}), 'strides': (1, 1)}} : {image}
z{i} = unary(d{i}) {{'fn': 'gelu'}} : {image}
f{i} = linear(n, g{i}) {{}} : float32[{t}x1]
t{i} = reshape(z{i}) {{'shape': ({t}, {c})}} : float32[{t}x{c}]
m{i} = mul(t{i}, f{i}) {{}} : float32[{t}x{c}]
"""
TAIL = """
const last: float32[{c}x1] = rand(30)
mean = mean(t{levels}) {{}} : float32[1x{c}]
row = unary(mean) {{'fn': 'gelu'}} : float32[1x{c}]
f = linear(n, last) {{}} : float32[{t}x1]
m = mul(f, row) {{}} : float32[{t}x{c}]
sum = add({sums}, m) {{}} : float32[{t}x{c}]
a = linear(sum, h) {{}} : float32[{t}x{c}]
b = linear(n, q) {{}} : float32[{t}x{c}]
e = mul(b, a) {{}} : float32[{t}x{c}]
y = linear(e, p) {{}} : float32[{t}x{c}]
r = add(s, y) {{}} : float32[{t}x{c}]
o = layernorm(r) {{'eps': 1e-05, 'groups': 1}} : float32[{t}x{c}]
output o
"""
FORMS = {  # lines, across, channels, levels, first kernel
    "two levels": (9, 5, 16, 2, 3),
    "three levels": (11, 6, 12, 3, 3),
    "one level": (4, 7, 8, 1, 5),
    "an image below its kernels": (3, 4, 8, 3, 3),
    "channels in no fours": (6, 5, 10, 2, 3),
}
SHORT = ("channels in no fours",)


def model(lines: int, across: int, c: int, levels: int, kernel: int) -> str:
    known = {"lines": lines, "across": across, "c": c, "t": lines * across, "levels": levels}
    text, sums = HEAD.format(**known), "m1"
    for i in range(1, levels + 1):
        k, image = kernel + 2 * (i - 1), f"float32[{lines}x{across}x{c}]"
        text += LEVEL.format(i=i, before=i - 1, k=k, pad=k // 2, image=image, **known)
        if i > 1:
            text += f"s{i} = add({sums}, m{i}) {{}} : float32[{lines * across}x{c}]\n"
            sums = f"s{i}"
    return text + TAIL.format(sums=sums, **known)


@cache
def lowered(form: str, output: str = "o", sums: bool = True) -> Graph:
    """`sums`: of all contexts; else the rows see their mean alone."""
    text = model(*FORMS[form]).replace("output o", f"output {output}")
    if not sums:
        dead = re.compile(r"(sum|s\d|[ftm]\d) = (?!reshape\(z1\)).*\n|const g.*\n")
        text = dead.sub("", text).replace("linear(sum, h)", "linear(m, h)")
    graph = parse_graph(text)
    t, c = graph.type("x").shape
    samples = np.random.default_rng(3).normal(size=(4, 1, t, c)).astype(np.float32)
    return quant.lower(graph, quant.calibrate(graph, samples))


def trials(graph: Graph) -> list[Choice]:
    trade = curve(graph, "resident", CostBook())
    (region,) = (r for r in trade.exact.regions if r.modulates)
    found = options.exact_trials(CostBook(), trade.exact, region)
    sheets = [t.made() for t in found]
    return [s.choice(i) for s in sheets for i in (0, len(s.peak) - 1)]


@pytest.mark.parametrize("form", few(FORMS, *SHORT))
def test_every_byte_is_the_interpreters(tmp_path: Path, form: str) -> None:
    """The smallest and the largest choice of every way."""
    for i, choice in enumerate(trials(lowered(form))):
        made = run_so(lowered(form), modulating(choice))
        check(made.program, made.plan)
        simulate(made.program, made.plan)
        (tmp_path / str(i)).mkdir()
        first = form == "two levels" and i % 2 == 0
        follow(made, tmp_path / str(i), ("host", "unicorn") if first else ("host",))


def test_rows_that_need_a_mean_alone(tmp_path: Path) -> None:
    """There is no second sweep."""
    graph = lowered("one level", sums=False)
    skeleton = curve(graph, "resident", CostBook()).exact
    (region,) = (r for r in skeleton.regions if r.modulates)
    assert sweep_choices(skeleton.fresh(), region) == []
    for i, choice in enumerate(trials(graph)):
        made = run_so(graph, modulating(choice))
        check(made.program, made.plan)
        (tmp_path / str(i)).mkdir()
        follow(made, tmp_path / str(i), ("host",))


@pytest.mark.long
def test_rows_that_leave_by_lines(tmp_path: Path) -> None:
    """The modulation's target is a window, no buffer of its own."""
    graph = by_lines(lowered("one level", "r"))
    for i, choice in enumerate(trials(graph)):
        made = run_so(graph, modulating(choice))
        check(made.program, made.plan)
        (tmp_path / str(i)).mkdir()
        follow(made, tmp_path / str(i), ("host",))


def test_a_norm_of_an_attention_alone(tmp_path: Path) -> None:
    """An attention's region ends with what the modulation reads."""
    text = model(*FORMS["one level"]).replace("r = add(s, y)", "r = add(x, y)")
    rows = "float32[28x8]"
    made = f"v = linear(x, u) {{}} : {rows}\ns = attention(v, v, v) {{'heads': 2, 'scale': 0.5}} : {rows}"
    graph = parse_graph(text.replace(f"s = linear(x, u) {{}} : {rows}", made))
    samples = np.random.default_rng(3).normal(size=(4, 1, 28, 8)).astype(np.float32)
    found = scheduled(quant.lower(graph, quant.calibrate(graph, samples)), "resident", "ram")
    follow(found, tmp_path, ("host",))


@pytest.mark.parametrize("form", few(["two levels", "three levels"], "two levels"))
def test_what_is_measured_is_what_is_bound(form: str) -> None:
    """Peak by the planner's own lifetimes, instructions call by call; a modulator that has only some of
    its columns is measured whole."""
    book = CostBook()
    skeleton = curve(lowered(form), "resident", book).exact
    (region,) = (r for r in skeleton.regions if r.modulates)
    made = [t.made() for t in options.exact_trials(book, skeleton, region)]
    for sheet in made:
        for i in range(0, len(sheet.peak), 7):
            choice = sheet.choice(i)
            peak, instructions = measured(skeleton, region, choice, book)
            assert instructions == sheet.cost[i]
            over = sheet.peak[i] - peak
            assert 0 <= over <= (8 if choice.channels else 0), choice


def test_what_is_by_channel() -> None:
    skeleton = curve(lowered("three levels"), "resident", CostBook()).exact
    (region,), em = [r for r in skeleton.regions if r.modulates], skeleton.emitter
    found = Channels.of(em, region)
    assert (found.width, found.modulators, len(found.gates)) == (12, ("sum",), 4)
    assert [o.outputs[0] for o in found.ops if o.kind == "q_dwconv2d"] == ["z1", "z2", "z3"]
    assert channel_choices(em, region) == [8, 4]
    assert single_rows(em, region.ops) == ["mean", "row"]
    assert sweep_choices(skeleton.fresh(), region)[-1] == 1


def test_each_way_is_smaller_and_takes_more_instructions() -> None:
    """Whole images, tiles of channels, strips: the curve takes each where it is best."""
    trade = curve(lowered("two levels"), "resident", CostBook())
    ways = [c.schedule for p in trade.points for c in p.choices if c.schedule != "rows"]
    assert ways[0] == "whole images" and ways[-1] == "sweeps in place"
