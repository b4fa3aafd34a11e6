"""Transposed, dilated, one-dimensional convolutions, windows as a batch, padding: values and bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_model import EVERYWHERE, followed, imported, weights_of

LAYERS = weights_of({
    "w": (6, 3, 3, 3), "v": (5, 6, 3, 3), "d": (6, 1, 3, 3), "b": (6,), "t": (6, 4, 2, 2), "u": (6, 1, 4, 4),
    "k": (6, 6, 3), "e": (1, 1, 3), "z": (6, 4, 3, 3),
})  # fmt: skip
SHAPES = {
    "windows": [4, 6, 6, 6], "rows": [1, 6, 144], "one": [1, 1, 6], "gate": [1, 6, 1, 1],
    "around": [0, 0, 1, 2, 0, 0, 0, 1],
    "image": [11, 12], "block": [2, 2], "two": [2], "four": [4], "ones": [1],
}  # fmt: skip
CONV = "Conv <pads = [1, 1, 1, 1]>"
MODELS = {
    "transposed": f"a = {CONV}(x, w, b)  r = Relu(a)  c = ConvTranspose <strides = [2, 2]> (r, t)  y = Relu(c)",
    "transposed, each channel by itself": f"""
a = {CONV}(x, w, b)
y = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1], group = 6> (a, u, b)""",
    "transposed, with more padding": f"""
a = {CONV}(x, w, b)
y = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 1]> (a, z)""",
    "dilated": f"""
a = {CONV}(x, w, b)  r = Relu(a)
y = Conv <dilations = [2, 2], pads = [2, 2, 2, 2]> (r, v)""",
    "dilated, each channel by itself": f"""
a = {CONV}(x, w, b)
c = Conv <dilations = [3, 2], pads = [3, 2, 3, 2], group = 6> (a, d, b)
y = Add(a, c)""",
    "along one axis": f"""
a = {CONV}(x, w, b)  r = Reshape(a, rows)
c = Conv <pads = [2, 2], dilations = [2]> (r, k, b)
p = AveragePool <kernel_shape = [4], strides = [4]> (c)
y = Relu(p)""",
    "a gate along channels": f"""
a = {CONV}(x, w, b)  g = GlobalAveragePool(a)  r = Reshape(g, one)
c = Conv <pads = [1, 1]> (r, e)  s = Sigmoid(c)  h = Reshape(s, gate)
y = Mul(a, h)""",
    "windows as a batch": f"""
a = {CONV}(x, w, b)  r = Reshape(a, windows)
c = Conv <pads = [1, 1, 1, 1]> (r, v)  y = Relu(c)""",
    "padding with a value": f"""
a = {CONV}(x, w, b)  q = Pad(a, around, value)
y = Conv <strides = [2, 2]> (q, v)""",
    "a slice turned around": """
a = Conv(x, w, b)  c = Reshape(a, columns)  q = Slice(c, two, four, ones)  y = Transpose <perm = [0, 2, 1]> (q)""",
    "windows added up": """
a = Conv <strides = [1, 1]> (x, w, b)  c = Reshape(a, columns)
y = Col2Im(c, image, block)""",
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_values_and_bits(tmp_path: Path, name: str) -> None:
    sizes = {k: np.array(v, np.int64) for k, v in SHAPES.items()}
    weights = {
        **LAYERS,
        **sizes,
        "value": np.array(0.75, np.float32),
        "columns": np.array([1, 4, 150]),
    }
    graph = imported(tmp_path, MODELS[name], (1, 3, 12, 12), weights, 18)
    followed(tmp_path, graph, 26.0, emulators=EVERYWHERE)
