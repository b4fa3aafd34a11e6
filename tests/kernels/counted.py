"""Layers whose executed instructions are counted in Unicorn, each result compared with the interpreter's."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from harness import UnicornDevice
from linear_cases import Case, Spec, make_case
from test_conv import Image, make_conv

from mcuformer.kernels import conv, linear
from mcuformer.kernels.costs import CORTEX_M7
from mcuformer.operators.macs import op_macs
from mcuformer.operators.table import instructions_of, kernel_of

SOURCES = tuple(dict.fromkeys((*linear.SOURCES, *conv.SOURCES)))


@functools.cache
def device(flags: tuple[str, ...] = (), core: str = "cortex-m7") -> UnicornDevice:
    """As the firmware is built; `flags` choose the variant."""
    return UnicornDevice(SOURCES, core, ("-O3", *flags))


@dataclass(frozen=True)
class Layer:
    """A linear layer as a plan runs it: one call of `rows` rows."""

    rows: int
    k: int
    n: int
    panel: int
    tile: int
    table_bits: int = 0
    res: str | None = None
    x: str = "int8"
    y: str = "int8"
    weight_bits: int = 8

    @property
    def macs(self) -> int:
        return self.rows * self.k * self.n

    def case(self) -> Case:
        shift = 8 if self.res or self.y == "int16" else 3
        return make_case(
            Spec(
                self.rows, self.k, self.n, self.x, self.y, self.res, shift=shift,
                table_bits=self.table_bits, weight_bits=self.weight_bits,
            )
        )  # fmt: skip


@dataclass(frozen=True)
class Counted:
    instructions: int
    estimate: int  # of the cost model
    scratch_bytes: int


def count_linear(layer: Layer, flags: tuple[str, ...] = (), core: str = "cortex-m7") -> Counted:
    case, how = layer.case(), {"panel": layer.panel, "tile": layer.tile}
    op, graph = case.op, case.graph
    scratch = linear.scratch_bytes(op, graph, layer.rows, **how)
    y, res = np.zeros_like(case.expected), case.res
    args = [linear.pack(op, graph, **how), case.x, case.x[0].nbytes]
    args += [res, 0 if res is None else res[0].nbytes, y, y[0].nbytes, layer.rows]
    count = device(flags, core).call("mcf_linear", [*args, np.zeros(scratch, np.uint8)])
    np.testing.assert_array_equal(y, case.expected)
    return Counted(count, linear.instructions(op, graph, layer.rows, **how), scratch)


def count_convolution(image: Image, x: str, core: str = "cortex-m7") -> tuple[Counted, int]:
    """And its multiplications."""
    case = make_conv(image, Spec(0, 0, 0, x, shift=3))
    op, graph, (lines, width, n) = case.op, case.graph, case.expected.shape
    kernel = kernel_of(op)
    assert kernel.scratch_bytes is not None
    scratch = kernel.scratch_bytes(op, graph, lines)
    y = np.zeros_like(case.expected)
    args = [kernel.pack(op, graph), case.x, 0, None, y, 0, lines, np.zeros(scratch, np.uint8)]
    count = device(core=core).call(kernel.function, args)
    np.testing.assert_array_equal(y, case.expected)
    taps = op_macs(graph, op) // case.expected.size
    return Counted(
        count, instructions_of(op, CORTEX_M7)(op, graph, lines), scratch
    ), lines * width * n * taps


def square(
    size: int, channels: int, kernel: int, stride: int, pad: int, out: int, groups: int = 1
) -> Image:
    """`out` 0: depthwise."""
    sides: Sequence[int] = (size, size)
    return Image(*sides, channels, (kernel,) * 2, (stride,) * 2, (pad,) * 4, out, groups)


RGB = square(64, 3, 3, 2, 1, 32)
STRIDED = square(32, 32, 3, 2, 1, 64)
DEPTHWISE = square(14, 96, 3, 1, 1, 0)
POINTWISE = square(14, 96, 1, 1, 0, 96)
