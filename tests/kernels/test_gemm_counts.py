"""Executed instructions of the matrix kernels: the figures of docs/kernels.md, and the cost models."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pytest
from harness import UnicornDevice
from linear_cases import Case, Spec, make_case
from test_conv import Image, make_conv

from mcuformer.kernels import conv, linear

SOURCES = tuple(dict.fromkeys((*linear.SOURCES, *conv.SOURCES)))


@functools.cache
def device() -> UnicornDevice:
    return UnicornDevice(SOURCES, "m7", ("-O3",))


@dataclass(frozen=True)
class Layer:
    """A linear layer as a plan runs it, and the most instructions per multiplication."""

    name: str
    rows: int
    k: int
    n: int
    panel: int
    tile: int
    most: float
    table_bits: int = 0
    res: str | None = None
    x: str = "int8"
    y: str = "int8"
    weight_bits: int = 8

    def case(self) -> Case:
        shift = 8 if self.res or self.y == "int16" else 3
        return make_case(
            Spec(
                self.rows, self.k, self.n, self.x, self.y, self.res, shift=shift,
                table_bits=self.table_bits, weight_bits=self.weight_bits,
            )
        )


LAYERS = (
    Layer("deit_tiny qkv", 66, 192, 576, 32, 66, 0.74),
    Layer("deit_tiny proj", 66, 192, 192, 32, 66, 0.74),
    Layer("deit_tiny proj + residual", 66, 192, 192, 32, 66, 0.76, res="int8"),
    Layer("deit_tiny fc1 + GELU", 66, 192, 768, 32, 66, 0.74, table_bits=11),
    Layer("deit_tiny fc2", 66, 768, 192, 32, 2, 0.74),
    Layer("B qkv", 49, 96, 288, 32, 50, 0.82),
    Layer("B proj", 49, 96, 96, 32, 50, 0.82),
    Layer("B fc1 + GELU", 49, 96, 384, 32, 50, 0.82, table_bits=11),
    Layer("B fc2", 49, 384, 96, 32, 2, 0.82),
    Layer("int4 qkv", 66, 192, 576, 32, 66, 0.74, weight_bits=4),
    Layer("int4 fc2", 66, 768, 192, 32, 2, 0.75, weight_bits=4),
    Layer("no panel", 64, 192, 192, 0, 2, 1.0),
    Layer("int16 rows", 66, 192, 192, 32, 66, 0.78, x="int16", y="int16", res="int16"),
    Layer("head", 1, 192, 1000, 0, 2, 2.2),
)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_linear(layer: Layer, capsys: pytest.CaptureFixture[str]) -> None:
    case = layer.case()
    op, graph, how = case.op, case.graph, {"panel": layer.panel, "tile": layer.tile}
    scratch = linear.scratch_bytes(op, graph, layer.rows, **how)
    y, res = np.zeros_like(case.expected), case.res
    args = [linear.pack(op, graph, **how), case.x, case.x[0].nbytes]
    args += [res, 0 if res is None else res[0].nbytes, y, y[0].nbytes, layer.rows]
    count = device().call("mcf_linear", [*args, np.zeros(scratch, np.uint8)])
    np.testing.assert_array_equal(y, case.expected)
    figure = count / (layer.rows * layer.k * layer.n)
    with capsys.disabled():
        print(f"\n  {layer.name:28s} {figure:.4f} instructions/MAC, {scratch} B of scratch", end="")
    assert figure <= layer.most
    assert linear.instructions(op, graph, layer.rows, **how) == pytest.approx(count, rel=0.03)


IMAGES = (
    ("3x3 stride 2, 3 -> 32", Image(64, 64, 3, (3, 3), (2, 2), (1, 1, 1, 1), 32), "uint8", 1.05),
    ("3x3 stride 2, 32 -> 64", Image(32, 32, 32, (3, 3), (2, 2), (1, 1, 1, 1), 64), "int8", 0.80),
    ("1x1, 64 -> 64", Image(14, 14, 64, (1, 1), (1, 1), (0, 0, 0, 0), 64), "int8", 0.85),
    ("depthwise 3x3, 96", Image(14, 14, 96, (3, 3), (1, 1), (1, 1, 1, 1), 0), "int8", 2.7),
    ("depthwise 7x7, 16", Image(28, 28, 16, (7, 7), (1, 1), (3, 3, 3, 3), 0), "int8", 1.8),
)


@pytest.mark.parametrize("name,image,x,most", IMAGES, ids=lambda v: v if isinstance(v, str) else "")
def test_convolution(
    name: str, image: Image, x: str, most: float, capsys: pytest.CaptureFixture[str]
) -> None:
    case = make_conv(image, Spec(0, 0, 0, x, shift=3))
    op, graph, (lines, width, n) = case.op, case.graph, case.expected.shape
    scratch = conv.scratch_bytes(op, graph, lines)
    y = np.zeros_like(case.expected)
    function = "mcf_conv2d" if image.out else "mcf_dwconv2d"
    args = [conv.pack(op, graph), case.x, None, y, 0, lines, np.zeros(scratch, np.uint8)]
    count = device().call(function, args)
    np.testing.assert_array_equal(y, case.expected)
    taps = image.kernel[0] * image.kernel[1] * (image.channels if image.out else 1)
    figure = count / (lines * width * n * taps)
    with capsys.disabled():
        print(f"\n  {name:28s} {figure:.4f} instructions/MAC, {scratch} B of scratch", end="")
    assert figure <= most
    assert conv.instructions(op, graph, lines) == pytest.approx(count, rel=0.05)
