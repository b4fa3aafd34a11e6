"""A QDQ file without its rounding: grids and Clips between the pairs cut, weights stay as they are."""

from pathlib import Path

import numpy as np

from mcuformer.ir.text import parse_graph
from mcuformer.proof.reference import OnnxFile

QCDQ = """
graph g onnx
input x: float32[2x2]
const s: float32[] = 0.5
const z: int8[] = 1
const low: int8[] = -8
const high: int8[] = 7
const w: float32[2x2] = [1.2, 0, 0, 1.2]
const ws: float32[] = 1.0
const wz: int8[] = 0
q = QuantizeLinear(x, s, z) {} : int8[2x2]
c = Clip(q, low, high) {} : int8[2x2]
d = DequantizeLinear(c, s, z) {} : float32[2x2]
wq = QuantizeLinear(w, ws, wz) {} : int8[2x2]
wc = Clip(wq, low, high) {} : int8[2x2]
wd = DequantizeLinear(wc, ws, wz) {} : float32[2x2]
y = MatMul(d, wd) {} : float32[2x2]
output y
"""


def test_values_are_cut_where_the_integers_are_and_not_rounded() -> None:
    x = np.array([[0.3, -0.7], [9.0, -9.0]], np.float32)
    file = OnnxFile(Path("g.onnx"), parse_graph(QCDQ))
    exact, rounded = (file.tensors([x], exact=e)["y"] for e in (True, False))
    assert np.allclose(exact, [[0.3, -0.7], [3.0, -4.5]])
    assert np.allclose(rounded, [[0.5, -0.5], [3.0, -4.5]])
