"""Resizing at the ends and between layers, in strips and whole, by factors that leave no line in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import scheduled
from drawn_model import EVERYWHERE, followed, imported, weights_of
from util_long import few

from mcuformer import quant

LAYERS = weights_of({"w": (6, 3, 3, 3), "v": (5, 6, 3, 3), "u": (4, 6, 1, 1)})
CONV = "Conv <pads = [1, 1, 1, 1]>"
MODELS = {
    "between": (f"""
a = {CONV}(x, w)  r = Relu(a)
b = Resize <mode = "linear"> (r, , s)
y = Conv <strides = [2, 2]> (b, v)""", [1, 1, 2, 2]),
    "first": (f"""b = Resize <mode = "cubic"> (x, , s)  y = {CONV}(b, w)""", [1, 1, 0.625, 0.5]),
    "of what a ReLU leaves": (f"""
a = {CONV}(x, w)  r = Relu(a)
b = Resize <mode = "cubic"> (r, , s)
c = Conv(b, u)
d = Resize <mode = "linear"> (r, , s)
e = Conv(d, u)
y = Add(c, e)""", [1, 1, 2, 1.5]),
    "last": (f"""
a = {CONV}(x, w)
y = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (a, , s)""", [1, 1, 2.5, 3]),
    "twice": (f"""
a = {CONV}(x, w)
b = Resize <mode = "linear"> (a, , s)
c = Resize <mode = "linear", coordinate_transformation_mode = "asymmetric"> (b, , s)
y = {CONV}(c, v)""", [1, 1, 1.5, 1.5]),
    "read twice": (f"""
a = {CONV}(x, w)
b = Resize <mode = "linear", antialias = 1> (a, , s)
c = Resize <mode = "linear"> (b, , t)
d = Add(c, a)
y = Conv(d, u)""", [1, 1, 0.5, 0.5]),
}  # fmt: skip


@pytest.mark.parametrize("activations", few(["8", "16"], "8"))
@pytest.mark.parametrize("mode", ["bands", "resident"])
@pytest.mark.parametrize("name", MODELS)
def test_resize(tmp_path: Path, name: str, mode: str, activations: str) -> None:
    nodes, scales = MODELS[name]
    s = np.array(scales, np.float32)
    graph = imported(tmp_path, nodes, (1, 3, 16, 12), {**LAYERS, "s": s, "t": 1 / s}, 18)
    emulators = EVERYWHERE if (mode, activations) == ("bands", "8") else ("host",)
    least = 22.0 if activations == "8" else 40.0
    lowered = followed(
        tmp_path, graph, least, activations=activations, mode=mode, emulators=emulators
    )
    assert "q_resize" in [op.kind for op in lowered.ops]


def test_lines_are_kept_in_a_ring(tmp_path: Path) -> None:
    """Between convolutions the enlarged image never exists whole."""
    nodes = f"""
a = {CONV}(x, w)
b = Resize <mode = "linear"> (a, , s)
y = Conv <strides = [4, 4]> (b, v)"""
    s = np.array([1, 1, 2, 2], np.float32)
    graph = imported(tmp_path, nodes, (1, 3, 32, 32), {**LAYERS, "s": s})
    lowered = quant.lower(graph, quant.synthetic_stats(graph), "8")
    assert scheduled(lowered, "bands", "ram").plan.arena_bytes < 64 * 64 * 6 / 2
