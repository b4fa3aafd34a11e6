"""Convolutions of several groups: whole blocks of channels, loose ones, merged ones, in strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled, signal_db
from util_long import few

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.ir.text import parse_graph
from mcuformer.operators.flash_bytes import flash_bytes
from mcuformer.operators.macs import op_macs

EVERYWHERE = ("host", "unicorn", "qemu")
HEAD = """
graph g float
meta input_layouts = ('NCHW',)
meta input_shapes = ((1, 8, 12, 11),)
meta output_shapes = ((1,),)
input x: float32[12x11x8]
const a: float32[3x3x4x24] = rand(1)
const bias: float32[24] = rand(3)
"""
SHUFFLED = tuple(np.arange(12 * 11 * 64).reshape(132, 2, 32).swapaxes(1, 2).ravel().tolist())
MODELS = {
    "residual": """
const c: float32[3x3x6x24] = rand(4)
y = conv2d(x, a, bias) {'group': 2, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[12x11x24]
r = unary(y) {'fn': 'gelu'} : float32[12x11x24]
z = conv2d(r, c) {'group': 4, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[12x11x24]
s = add(z, r) {} : float32[12x11x24]
output s
""",
    "strided": """
const c: float32[2x1x12x10] = rand(5)
y = conv2d(x, a, bias) {'group': 2, 'pads': (0, 1, 2, 1), 'strides': (2, 1)} : float32[6x11x24]
z = conv2d(y, c) {'group': 2, 'pads': (0, 0, 0, 0), 'strides': (1, 2)} : float32[5x6x10]
output z
""",
    "merged": """
const c: float32[3x3x1x16] = rand(6)
const d: float32[3x3x2x8] = rand(7)
y = conv2d(x, c) {'group': 8, 'pads': (1, 1, 1, 1), 'strides': (1, 1)} : float32[12x11x16]
r = unary(y) {'fn': 'relu'} : float32[12x11x16]
z = conv2d(r, d) {'group': 8, 'pads': (1, 1, 1, 1), 'strides': (2, 2)} : float32[6x6x8]
output z
""",
    "points": """
const c: float32[1x1x4x18] = rand(8)
y = conv2d(x, c) {'group': 2, 'pads': (0, 0, 0, 0), 'strides': (1, 1)} : float32[12x11x18]
t = reshape(y) {'shape': (132, 18)} : float32[132x18]
n = layernorm(t) {'eps': 1e-05, 'groups': 1} : float32[132x18]
output n
""",
}

MODELS["shuffled"] = f"""
const c: float32[3x3x4x64] = rand(9)
const d: float32[3x3x16x20] = rand(10)
y = conv2d(x, c) {{'group': 2, 'pads': (1, 1, 1, 1), 'strides': (1, 1)}} : float32[12x11x64]
r = reshape(y) {{'shape': (8448, 1)}} : float32[8448x1]
s = gather(r) {{'indices': {SHUFFLED}}} : float32[8448x1]
t = reshape(s) {{'shape': (12, 11, 64)}} : float32[12x11x64]
u = add(t, y) {{}} : float32[12x11x64]
z = conv2d(u, d) {{'group': 4, 'pads': (1, 1, 1, 1), 'strides': (2, 2)}} : float32[6x6x20]
output z
"""


def lowered_of(
    name: str, activations: quant.policy.Mode, bits: int
) -> tuple[Graph, Graph, np.ndarray]:
    """The calibrated float graph, the int graph and the samples."""
    graph = parse_graph(HEAD + MODELS[name])
    x = np.random.default_rng(3).normal(size=(16, 12, 11, 8)).astype(np.float32)
    x = x + np.repeat(np.array([0.0, 3.0, -20.0, 1.0], np.float32), 2)  # zero points of every kind
    stats = quant.calibrate(graph, x.transpose(0, 3, 1, 2))
    widths = {op.name: bits for op in stats.graph.ops if op.kind == "conv2d"}
    return stats.graph, quant.lower(graph, stats, activations, None, widths), x


@pytest.mark.parametrize(("activations", "bits"), [("8", 8), ("16", 8), ("8", 4)])
@pytest.mark.parametrize("mode", few(["bands", "resident", "flash"], "bands"))
@pytest.mark.parametrize("name", MODELS)
def test_grouped_convolutions(
    name: str, mode: str, activations: quant.policy.Mode, bits: int, tmp_path: Path
) -> None:
    before, lowered, x = lowered_of(name, activations, bits)
    least = {("8", 8): 30.0, ("16", 8): 38.0, ("8", 4): 14.0}[activations, bits]
    assert signal_db(before, lowered, x) > least
    everywhere = mode == "bands" and (activations, bits) != ("16", 8)
    follow(scheduled(lowered, mode, "ram"), tmp_path, EVERYWHERE if everywhere else ("host",))
    if name == "shuffled" and activations == "8":
        assert any("mcf_transpose(" in f.read_text() for f in tmp_path.glob("package/*.c"))


def test_what_is_counted_is_what_groups_have() -> None:
    """3x3 weights of 4 and of 6 channels per output, every group's outputs in fours."""
    _, lowered, _ = lowered_of("residual", "8", 8)
    first, second = (op for op in lowered.ops if op.kind == "q_conv2d")
    assert (first.attrs["groups"], second.attrs["groups"]) == (2, 4)
    assert op_macs(lowered, first) == 12 * 11 * 24 * 36
    assert op_macs(lowered, second) == 12 * 11 * 24 * 54
    assert flash_bytes(lowered).weights == 24 * 36 + 4 * 8 * 56
