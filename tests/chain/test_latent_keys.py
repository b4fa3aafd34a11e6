"""Keys and values out of a linear layer that nobody else reads: the same regions with absorbed weights.

Also of layers whose names are those that absorbing gives to what it makes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import draw_inputs, follow, scheduled
from numpy.typing import NDArray
from util_models import Net

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.types import TensorType, Value
from mcuformer.operators.interpreter import run_int
from mcuformer.proof.layers import rounded_outputs
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.schedule.regions import split
from mcuformer.validate.metrics import sqnr_db

PLAIN = ("q", "latent", "k", "v", "head")
HOSTILE = (
    ("attention.q", "attention.pn", "attention.out", "attention.q.1", "attention.out.1"),
    ("attention.q.w", "attention.out.o", "attention.pn.1", "attention.pn", "attention.q"),
    ("attention.out", "attention.out.w", "attention.q", "attention.pn", "attention"),
)


def lowered(names: tuple[str, ...] = PLAIN) -> Graph:
    stats, _ = calibrated(names)
    return quant.lower(stats.graph, stats)


def calibrated(names: tuple[str, ...] = PLAIN) -> tuple[quant.CalibrationStats, NDArray]:
    """Three rows ask twenty: the latent of k and v is 4 wide. Statistics, and the samples."""
    first, narrow, *others, last = names
    net = Net("latent_keys", 5)
    x = "tokens"
    net.b.values[x] = Value(x, TensorType((20, 12), "float32"))
    asking = net.emit("slice", "some", [x], (3, 12), axis=0, start=0, stop=3)
    latent = net.linear(x, 4, narrow)
    layers = zip((asking, latent, latent), (first, *others), strict=True)
    q, k, v = (net.linear(s, 24, n) for s, n in layers)
    y = net.emit("attention", "attention", [q, k, v], (3, 24), heads=2, scale=0.3)
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, 20, 12),),
        "output_shapes": ((3, 5),),
    }
    graph = net.b.done([x], [net.linear(y, 5, last)], meta)
    samples = np.random.default_rng(3).normal(size=(16, 20, 12)).astype(np.float32)
    return quant.calibrate(graph, samples), samples


def test_regions_are_those_of_the_exact_graph() -> None:
    graph = lowered()
    names = absorbable(graph)
    assert names
    other = split(absorb(graph, names))
    assert [r.target for r in split(graph)] == [r.target for r in other]


@pytest.mark.parametrize("optimize", ["balanced", "ram", "speed"])
def test_through_the_chain(tmp_path: Path, optimize: str) -> None:
    follow(scheduled(lowered(), "resident", optimize), tmp_path, ("host",))


@pytest.mark.parametrize("names", HOSTILE)
def test_names_that_the_network_has(tmp_path: Path, names: tuple[str, ...]) -> None:
    """The same numbers as under other names, and the same code runs."""
    graph, plain = lowered(names), lowered()
    made = absorb(graph, absorbable(graph))
    assert len({op.name for op in made.ops}) == len(made.ops)
    wanted, x = absorb(plain, absorbable(plain)), draw_inputs(graph)
    y, other = (run_int(g, x)[g.outputs[0]] for g in (made, wanted))
    assert np.array_equal(y, other)
    chosen = scheduled(graph, "resident", "ram")
    assert any(c.schedule.startswith("absorbed") for c in chosen.point.choices)
    follow(chosen, tmp_path, ("host",))


def test_the_simulation_rounds_absorbed_weights() -> None:
    stats, x = calibrated()
    db = {}
    for bits in (4, 8):
        graph = quant.lower(stats.graph, stats, bits={"k": bits, "v": bits})
        made = absorb(graph, absorbable(graph))
        assert made.meta["absorbed"] == {"k": bits, "v": bits}
        *_, (_, env) = eval_steps(stats.graph, x)
        (found,) = rounded_outputs(stats.graph, made, [x])
        db[bits] = sqnr_db(env[stats.graph.outputs[0]], found) or 0.0
    assert db[4] < db[8] - 6
