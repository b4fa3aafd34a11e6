"""Tables of unary functions: indexed by an int8, an int16 or straight from an accumulator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.types import QParams
from mcuformer.quant.float_eval import UNARY

CLAMPS = ("relu", "relu6")  # saturation does these, no table
_GRID = 65537


@dataclass(frozen=True, slots=True)
class IndexTable:
    """Entry i holds fn(scale * (i - zero)); ends lie where the output no longer changes."""

    data: NDArray
    bits: int
    scale: float
    zero: float


def index_table(fn: str, out: QParams, dtype: str) -> IndexTable:
    """2^11 entries for int8, 2^12 for int16, over the arguments that change the output."""
    bits = 11 if dtype == "int8" else 12
    reach = 16.0 + float(out.scale) * (2**9 if dtype == "int8" else 2**17)
    grid = np.linspace(-reach, reach, _GRID)
    y = out.quantise(UNARY[fn](grid), dtype).astype(np.int64)
    tolerance = 0 if dtype == "int8" else 8  # int16 sees tails far below its useful precision
    changing = np.flatnonzero((np.abs(y - y[0]) > tolerance) & (np.abs(y - y[-1]) > tolerance))
    low, high = (grid[changing[0] - 1], grid[changing[-1] + 1]) if len(changing) else (-1.0, 1.0)
    scale = (high - low) / (2**bits - 1)
    entries = UNARY[fn](low + scale * np.arange(2**bits))
    return IndexTable(out.quantise(entries, dtype), bits, scale, -low / scale)


def value_table(fn: str, x: QParams, x_dtype: str, out: QParams, dtype: str) -> NDArray:
    """256 entries for int8 x; 4096 for int16 x, each for the middle of its 16 inputs."""
    q = np.arange(-128, 128) if x_dtype == "int8" else np.arange(-2048, 2048) * 16 + 7.5
    return out.quantise(UNARY[fn](x.dequantise(q)), dtype)
