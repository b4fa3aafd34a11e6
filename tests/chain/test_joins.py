"""Joined channels and rows of anything, and max-pooling, through every link of the chain."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from util_joins import Joins, joins, joins_model, lowered
from util_long import few
from util_models import Net, VitConfig, images
from util_stems import Layer, Stem, stem_model

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.operators.verify import verify

EVERYWHERE = ("host", "unicorn", "qemu")
QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": (Phase.generate,),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}
MODES = st.sampled_from(("bands", "resident", "flash"))
GOALS = st.sampled_from(("speed", "balanced", "ram"))
WIDTHS = st.sampled_from(("8", "8", "mixed", "16"))


@settings(max_examples=6, **QUIET)
@given(joins(), MODES, GOALS, WIDTHS)
def test_host_equals_the_interpreter(case: Joins, mode: str, goal: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(lowered(case, width), mode, goal), Path(folder), ("host",))


@settings(max_examples=3, **QUIET)
@given(joins(), MODES, GOALS, WIDTHS)
def test_everywhere_the_same_bits(case: Joins, mode: str, goal: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(lowered(case, width), mode, goal), Path(folder), EVERYWHERE)


@pytest.mark.long
@settings(max_examples=60, **QUIET)
@given(joins(), MODES, GOALS, WIDTHS)
def test_many(case: Joins, mode: str, goal: str, width: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        follow(scheduled(lowered(case, width), mode, goal), Path(folder), ("host", "unicorn"))


def test_what_can_be_made_in_place_is_not_copied() -> None:
    """Linear layers write their columns; a convolution's image and the input are copied."""
    net = Net("places", 0)
    net.tokens("x", 12, 6)
    a, b = net.linear("x", 5, "a"), net.unary(net.linear("x", 4, "b"), "gelu", "act")
    image = net.emit("reshape", "image", ["x"], (3, 4, 6))
    c = net.emit("reshape", "c.rows", [net.conv(image, 7, "c", 3, 1, 1)], (12, 7))
    joined = net.emit("concat", "joined", [a, b, c, "x"], (12, 22), axis=1)
    y = net.linear(joined, 3, "y")
    graph = net.b.done(["x"], [y], {"input_layouts": ("tokens",), "input_shapes": ((1, 12, 6),)})
    samples = np.random.default_rng(0).normal(size=(4, 1, 12, 6)).astype(np.float32)
    made = scheduled(quant.lower(graph, quant.calibrate(graph, samples)), "resident", "balanced")
    calls = [call for call, _ in made.program.calls()]
    copies = [c for c in calls if c.kernel == "mcf_copy"]
    assert [(c.writes[0].row_bytes, c.writes[0].stride) for c in copies] == [(7, 22), (6, 22)]
    written = [c.writes[0] for c in calls if c.kernel == "mcf_linear"][:2]
    assert [(s.start.const, s.stride) for s in written] == [(0, 22), (5, 22)]


def pooled(graph: Graph, size: tuple[int, int], pixels: bool = False) -> Graph:
    stats = quant.calibrate(graph, images(VitConfig(image=size), 3))
    fmt = quant.InputFormat((0.5, 0.4, 0.3), (0.3, 0.2, 0.25)) if pixels else None
    return quant.lower(graph, stats, "8", fmt)


POOLS = {
    "first": (Layer(0, 3, 2, 1, pool=True), Layer(6, 3, 2, 1)),
    "between": (Layer(6, 3, 1, 1), Layer(0, 3, 2, 1, pool=True), Layer(5, 2, 2, 0)),
    "two": (Layer(6, 3, 1, 1), Layer(0, 5, 1, 2, pool=True), Layer(0, 2, 3, 0, pool=True)),
    "alone": (Layer(0, 4, 3, 0, pool=True),),
}


@pytest.mark.parametrize("mode", few(["bands", "resident", "flash"], "bands"))
@pytest.mark.parametrize("name", POOLS)
def test_pools(name: str, mode: str, tmp_path: Path) -> None:
    stem = Stem((17, 15), POOLS[name], position=False)
    graph = pooled(stem_model(stem), stem.size)
    follow(scheduled(graph, mode, "ram"), tmp_path, EVERYWHERE if mode == "bands" else ("host",))


def test_a_pool_at_the_end_and_of_several_readers(tmp_path: Path) -> None:
    """The pools of SPPF: each is joined and pooled again; the join is the result."""
    net = Net("sppf", 1)
    net.image("image", 8, 7, 3)
    x, parts = net.conv("image", 5, "stem", 3, 1, 1), []
    for i in range(3):
        parts.append(net.emit("reshape", f"part.{i}", [x], (56, 5)))
        window = {"kernel": (5, 5), "strides": (1, 1), "pads": (2, 2, 2, 2)}
        x = net.emit("maxpool", f"pool.{i}", [x], (8, 7, 5), **window)
    parts.append(net.emit("reshape", "part.3", [x], (56, 5)))
    y = net.emit("concat", "joined", list(parts), (56, 20), axis=1)
    meta = {
        "input_layouts": ("NCHW",),
        "input_shapes": ((1, 3, 8, 7),),
        "output_shapes": ((1, 56, 20),),
    }
    graph = pooled(net.b.done(["image"], [y], meta), (8, 7))
    follow(scheduled(graph, "bands", "balanced"), tmp_path, EVERYWHERE)


def test_draws_hold_joins_of_every_kind() -> None:
    case = Joins((3, 4), 5, ("conv", "pool", "twice", "constant", "rows", "flat"), "conv", True, 3)
    axes = [op.attrs["axis"] for op in joins_model(case).ops if op.kind == "concat"]
    assert 0 in axes and axes.count(1) > 1  # of the parts, and of the value twice


@pytest.mark.parametrize("mode", few(["bands", "resident", "flash"], "bands"))
@pytest.mark.parametrize(("layers", "regridded"), [("first", False), ("alone", True)])
def test_pools_of_raw_pixels(layers: str, regridded: bool, mode: str, tmp_path: Path) -> None:
    """The largest pixel is a pixel; only what no layer reads gets a grid of its own."""
    graph = pooled(stem_model(Stem((17, 15), POOLS[layers], position=False)), (17, 15), pixels=True)
    types = [graph.type(op.inputs[0] or "").dtype for op in graph.ops if op.kind == "q_maxpool"]
    assert graph.type(graph.inputs[0]).dtype == "uint8"
    assert types == ["int8" if regridded else "uint8"]
    follow(scheduled(graph, mode, "ram"), tmp_path, ("host",))


def test_raw_pixels_as_a_part(tmp_path: Path) -> None:
    """A join of the image itself and what a convolution made of it."""
    net = Net("skip", 2)
    net.image("image", 7, 6, 3)
    made = net.emit("reshape", "made", [net.conv("image", 4, "c", 3, 1, 1)], (42, 4))
    given = net.emit("reshape", "given", ["image"], (42, 3))
    joined = net.emit("concat", "joined", [given, made], (42, 7), axis=1)
    y = net.linear(net.emit("mean", "mean", [joined], (1, 7)), 3, "head")
    meta = {
        "input_layouts": ("NCHW",),
        "input_shapes": ((1, 3, 7, 6),),
        "output_shapes": ((1, 3),),
    }
    graph = pooled(net.b.done(["image"], [y], meta), (7, 6), pixels=True)
    kinds = {op.outputs[0]: op.kind for op in graph.ops}
    assert kinds["image.real"] == "q_requant" and graph.type("c").dtype == "int8"
    follow(scheduled(graph, "bands", "balanced"), tmp_path, ("host", "unicorn"))


TWICE = """
graph twice float
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 1, 4, 2),)
meta output_shapes = ((1, 5, 1),)
input x: float32[4x2x1]
const w: float32[2x2x1x1] = rand(1)
const one: float32[1x1] = 0.4
a = conv2d(x, w) {'group': 1, 'pads': (0, 0, 0, 0), 'strides': (2, 2)} : float32[2x1x1]
t = reshape(a) {'shape': (2, 1)} : float32[2x1]
j = concat(one, t) {'axis': 0} : float32[3x1]
g = unary(j) {'fn': 'gelu'} : float32[3x1]
y = concat(t, g) {'axis': 0} : float32[5x1]
output y
"""


@pytest.mark.parametrize("mode", ["resident", "bands", "flash"])
def test_patches_that_two_joins_read_lie_over_the_image_once(tmp_path: Path, mode: str) -> None:
    """Found by `make fuzz` (seed 102, draw 1865): tokens and both joins took the image's bytes."""
    graph = verify(parse_graph(TWICE))
    samples = np.random.default_rng(0).normal(size=(8, 1, 4, 2)).astype(np.float32)
    integers = quant.lower(graph, quant.calibrate(graph, samples))
    follow(scheduled(integers, mode, "balanced"), tmp_path, ("host",))
