"""Executed instructions of the matrix kernels: ceilings, and the cost models. `make bench` prints the figures."""

from __future__ import annotations

import pytest
from counted import (
    DEPTHWISE,
    POINTWISE,
    RGB,
    STRIDED,
    Layer,
    count_convolution,
    count_linear,
    square,
)

# The most instructions per multiplication.
LAYERS = {
    "deit_tiny qkv": (Layer(66, 192, 576, 32, 66), 0.74),
    "deit_tiny proj": (Layer(66, 192, 192, 32, 66), 0.74),
    "deit_tiny proj + residual": (Layer(66, 192, 192, 32, 66, res="int8"), 0.76),
    "deit_tiny fc1 + GELU": (Layer(66, 192, 768, 32, 66, table_bits=11), 0.74),
    "deit_tiny fc2": (Layer(66, 768, 192, 32, 2), 0.74),
    "B qkv": (Layer(49, 96, 288, 32, 50), 0.82),
    "B proj": (Layer(49, 96, 96, 32, 50), 0.82),
    "B fc1 + GELU": (Layer(49, 96, 384, 32, 50, table_bits=11), 0.82),
    "B fc2": (Layer(49, 384, 96, 32, 2), 0.82),
    "int4 qkv": (Layer(66, 192, 576, 32, 66, weight_bits=4), 0.74),
    "int4 fc2": (Layer(66, 768, 192, 32, 2, weight_bits=4), 0.75),
    "no panel": (Layer(64, 192, 192, 0, 2), 1.0),
    "int16 rows": (Layer(66, 192, 192, 32, 66, x="int16", y="int16", res="int16"), 0.78),
    "int16 fc1 + GELU": (
        Layer(66, 192, 768, 32, 66, table_bits=20, x="int16", y="int16"),
        0.80,
    ),
    "head": (Layer(1, 192, 1000, 0, 2), 2.2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_linear(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    layer, most = LAYERS[name]
    counted = count_linear(layer)
    figure = counted.instructions / layer.macs
    with capsys.disabled():
        print(f"\n  {name:28s} {figure:.4f} instr/MAC, {counted.scratch_bytes} B scratch", end="")
    assert figure <= most
    assert counted.estimate == pytest.approx(counted.instructions, rel=0.03)


IMAGES = {
    "3x3 stride 2, 3 -> 32": (RGB, "uint8", 1.05),
    "3x3 stride 2, 32 -> 64": (STRIDED, "int8", 0.74),
    "3x3, 4 groups of 32": (square(14, 128, 3, 1, 1, 128, 4), "int8", 0.81),
    "3x3, 8 groups of 8": (square(14, 64, 3, 1, 1, 64, 8), "int8", 1.65),
    "3x3, 12 groups of 8 stride 2": (square(28, 96, 3, 2, 1, 96, 12), "int8", 1.6),
    "3x3, 16 groups of 4": (square(14, 64, 3, 1, 1, 64, 16), "int8", 4.0),
    "3x3, 16 groups of 4 of int16": (square(14, 64, 3, 1, 1, 64, 16), "int16", 4.0),
    "3x3, 16 groups of 6": (square(14, 96, 3, 1, 1, 96, 16), "int8", 4.0),
    "3x3, 8 groups of 2 to 4": (square(14, 16, 3, 1, 1, 32, 8), "int8", 7.7),
    "1x1, 4 groups of 24": (square(14, 96, 1, 1, 0, 96, 4), "int8", 1.15),
    "1x1, 64 -> 64": (square(14, 64, 1, 1, 0, 64), "int8", 0.85),
    "1x1, 96 -> 96": (POINTWISE, "int8", 0.78),
    "depthwise 3x3, 96": (DEPTHWISE, "int8", 2.5),
    "depthwise 7x7, 16": (square(28, 16, 7, 1, 3, 0), "int8", 1.8),
}


@pytest.mark.parametrize("name", IMAGES)
def test_convolution(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    image, x, most = IMAGES[name]
    counted, macs = count_convolution(image, x)
    figure = counted.instructions / macs
    with capsys.disabled():
        print(f"\n  {name:28s} {figure:.4f} instr/MAC, {counted.scratch_bytes} B scratch", end="")
    assert figure <= most
    assert counted.estimate == pytest.approx(counted.instructions, rel=0.05)
