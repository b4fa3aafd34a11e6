"""What the planner takes calls to execute on each core: changes only on purpose (`make golden`)."""

from __future__ import annotations

import numpy as np
import pytest
from test_golden import check
from util_models import Net

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.memory.model import Arena
from mcuformer.plan.fit import build
from mcuformer.program.calls import Loop, Step
from mcuformer.targets.cores import CORES, costs_of

POOLS = """
graph pools float
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 3, 24, 24),)
meta output_shapes = ((1,),)
input x: float32[24x24x3]
const w: float32[3x3x3x20] = rand(1)
a = conv2d(x, w) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[24x24x20]
m = maxpool(a) {'kernel': (3, 3), 'pads': (1, 1, 1, 1), 'strides': (2, 2)} : float32[12x12x20]
y = avgpool(m) {'kernel': (3, 3), 'pads': (1, 1, 1, 1), 'strides': (2, 2)} : float32[6x6x20]
output y
"""


def pools() -> Graph:
    graph = parse_graph(POOLS)
    return quant.lower(graph, quant.synthetic_stats(graph), "8")


def gated() -> Graph:
    """Tokens with a gate per row, a class for each."""
    net = Net("gated", 0)
    net.tokens("tokens", 16, 32)
    normed = net.layernorm("tokens", "norm")
    gate = net.emit("unary", "gate", [net.linear(normed, 1, "score")], (16, 1), fn="sigmoid")
    product = net.emit("mul", "product", [normed, gate], (16, 32))
    net.emit("argmax", "class", [net.linear(product, 300, "head")], (16, 1))
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, 16, 32),),
        "output_shapes": ((16, 1),),
    }
    graph = net.b.done(["tokens"], ["class"], meta)
    x = np.random.default_rng(3).normal(size=(8, 1, 16, 32)).astype(np.float32)
    return quant.lower(graph, quant.calibrate(graph, x), "8")


def calls(steps: tuple[Step, ...], indent: str = "") -> list[str]:
    found = []
    for step in steps:
        if isinstance(step, Loop):
            found += [
                f"{indent}in 0..{step.total} by {step.step}",
                *calls(step.body, indent + "  "),
            ]
        else:
            found.append(f"{indent}{step.kernel} {step.params or ''} {step.instructions}")
    return found


def test_costs(pytestconfig: pytest.Config) -> None:
    lines = []
    for core in (name for name, row in CORES.items() if row.costs is not None):
        for graph in (pools(), gated()):
            made = build(graph, [Arena("sram", 0, 1 << 18)], "resident", costs=costs_of(core))
            lines += [f"{graph.name} on {core}", *calls(made.program.steps, "  ")]
    check("costs.txt", "\n".join([*lines, ""]), pytestconfig)
