"""Keys and values out of a linear layer that nobody else reads: the same regions with absorbed weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled
from util_models import Net

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.types import TensorType, Value
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.schedule.regions import split


def lowered() -> Graph:
    """Three rows ask twenty: the latent of k and v is 4 wide."""
    net = Net("latent_keys", 5)
    x = "tokens"
    net.b.values[x] = Value(x, TensorType((20, 12), "float32"))
    asking = net.emit("slice", "some", [x], (3, 12), axis=0, start=0, stop=3)
    latent = net.linear(x, 4, "latent")
    q, k, v = (net.linear(s, 24, n) for s, n in ((asking, "q"), (latent, "k"), (latent, "v")))
    y = net.emit("attention", "attention", [q, k, v], (3, 24), heads=2, scale=0.3)
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, 20, 12),),
        "output_shapes": ((3, 5),),
    }
    graph = net.b.done([x], [net.linear(y, 5, "head")], meta)
    samples = np.random.default_rng(3).normal(size=(16, 20, 12)).astype(np.float32)
    return quant.lower(graph, quant.calibrate(graph, samples))


def test_regions_are_those_of_the_exact_graph() -> None:
    graph = lowered()
    names = absorbable(graph)
    assert names
    other = split(absorb(graph, names))
    assert [r.target for r in split(graph)] == [r.target for r in other]


@pytest.mark.parametrize("optimize", ["balanced", "ram", "speed"])
def test_through_the_chain(tmp_path: Path, optimize: str) -> None:
    follow(scheduled(lowered(), "resident", optimize), tmp_path, ("host",))
