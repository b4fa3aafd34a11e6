"""Average pools that leave their padding uncounted: at the ends, between layers, in strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled, signal_db
from util_long import few

from mcuformer import quant
from mcuformer.ir.text import parse_graph

EVERYWHERE = ("host", "unicorn", "qemu")
HEAD = """
graph g float
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 3, 13, 11),)
meta output_shapes = ((1,),)
input x: float32[13x11x3]
const w: float32[3x3x3x6] = rand(1)
const v: float32[3x3x6x5] = rand(2)
"""
POOLS = {
    "between": """
a = conv2d(x, w) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[13x11x6]
r = unary(a) {'fn': 'relu'} : float32[13x11x6]
p = avgpool(r) {'kernel': (3, 3), 'pads': (1, 1, 1, 1), 'strides': (2, 2)} : float32[7x6x6]
y = conv2d(p, v) {'group': 1, 'pads': (0, 0, 0, 0), 'strides': (1, 1)} : float32[5x4x5]
output y
""",
    "first": """
p = avgpool(x) {'kernel': (3, 5), 'pads': (0, 2, 2, 1), 'strides': (1, 2)} : float32[13x5x3]
y = conv2d(p, w) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[13x5x6]
output y
""",
    "last": """
a = conv2d(x, w) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[13x11x6]
y = avgpool(a) {'kernel': (4, 3), 'pads': (3, 0, 1, 2), 'strides': (3, 3)} : float32[5x4x6]
output y
""",
    "twice, and read twice": """
a = conv2d(x, w) {'group': 1, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[13x11x6]
p = avgpool(a) {'kernel': (3, 3), 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[13x11x6]
q = avgpool(p) {'kernel': (3, 3), 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[13x11x6]
y = add(p, q) {} : float32[13x11x6]
output y
""",
}


@pytest.mark.parametrize("activations", few(["8", "16"], "8"))
@pytest.mark.parametrize("mode", few(["bands", "resident", "flash"], "bands", "resident"))
@pytest.mark.parametrize("name", POOLS)
def test_average_pools(
    name: str, mode: str, activations: quant.policy.Mode, tmp_path: Path
) -> None:
    graph = parse_graph(HEAD + POOLS[name])
    x = np.random.default_rng(3).normal(size=(16, 13, 11, 3)).astype(np.float32)
    x = x + np.array([0.0, 3.0, -40.0], np.float32)  # zero points of every kind
    stats = quant.calibrate(graph, x.transpose(0, 3, 1, 2))
    lowered = quant.lower(graph, stats, activations)
    assert "q_avgpool" in [op.kind for op in lowered.ops]
    assert signal_db(stats.graph, lowered, x) > {"8": 33.0, "16": 60.0}[activations]
    everywhere = mode == "bands" and activations == "8"
    follow(scheduled(lowered, mode, "ram"), tmp_path, EVERYWHERE if everywhere else ("host",))
