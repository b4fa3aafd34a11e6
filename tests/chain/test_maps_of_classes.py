"""What ends a segmentation: enlarged maps, the class of every pixel, logarithms of shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled
from drawn_model import EVERYWHERE, followed, imported, weights_of

from mcuformer import quant

LAYERS = weights_of({"w": (12, 3, 3, 3), "v": (7, 12, 1, 1), "p": (1, 12, 1, 1)})
HEAD = """a = Conv <pads = [1, 1, 1, 1]> (x, w)  r = Relu(a)  b = Conv(r, v)
e = Resize <mode = "linear"> (b, , s)"""
ENDS = {
    "shares": "y = Softmax <axis = 1> (e)",
    "logarithms of shares": "y = LogSoftmax <axis = 1> (e)",
    "shares along lines": "y = Softmax <axis = 2> (e)",
    "depth": 'd = Conv(r, p)  c = Resize <mode = "linear"> (d, , s)  y = Sigmoid(c)',
}


@pytest.mark.parametrize("name", ENDS)
def test_maps(tmp_path: Path, name: str) -> None:
    weights = {**LAYERS, "s": np.array([1, 1, 2, 2], np.float32)}
    graph = imported(tmp_path, f"{HEAD} {ENDS[name]}", (1, 3, 8, 10), weights)
    followed(tmp_path, graph, 24.0, emulators=EVERYWHERE)


def test_the_class_of_every_pixel(tmp_path: Path) -> None:
    weights = {**LAYERS, "s": np.array([1, 1, 2, 2], np.float32)}
    nodes = f"{HEAD} y = ArgMax <axis = 1, keepdims = 0> (e)"
    graph = imported(tmp_path, nodes, (1, 3, 8, 10), weights)
    assert graph.meta["output_shapes"] == ((1, 16, 20),)
    lowered = quant.lower(graph, quant.synthetic_stats(graph), "8")
    follow(scheduled(lowered, "bands", "ram"), tmp_path, EVERYWHERE)
