"""Tables of unary functions: indexed by an int8, an int16 or straight from an accumulator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import McuformerError
from mcuformer.ir.functions import Function, clamp_bounds, function
from mcuformer.ir.types import DTYPES, QParams

_GRID = 65537
INDEX_BITS = {"int8": 11, "int16": 12}
CLAMP_BITS = 10


@dataclass(frozen=True, slots=True)
class IndexTable:
    """Entry i holds fn(scale * (i - zero)); ends lie where the output no longer changes."""

    data: NDArray
    bits: int
    scale: float
    zero: float


def index_table(fn: str, out: QParams, dtype: str) -> IndexTable:
    """2^11 entries for int8, 2^12 for int16, over the arguments that change the output."""
    bits = INDEX_BITS[dtype]
    reach = 16.0 + float(out.scale) * (2**9 if dtype == "int8" else 2**17)
    tolerance = 0 if dtype == "int8" else 8  # int16 sees tails far below its useful precision
    reach *= _stretch(lambda x: out.quantise(function(fn)(x), dtype), reach, tolerance)
    grid = np.linspace(-reach, reach, _GRID)
    y = out.quantise(function(fn)(grid), dtype).astype(np.int64)
    changing = np.flatnonzero((np.abs(y - y[0]) > tolerance) & (np.abs(y - y[-1]) > tolerance))
    low, high = (grid[changing[0] - 1], grid[changing[-1] + 1]) if len(changing) else (-1.0, 1.0)
    scale = (high - low) / (2**bits - 1)
    entries = function(fn)(low + scale * np.arange(2**bits))
    return IndexTable(out.quantise(entries, dtype), bits, scale, -low / scale)


def _stretch(stored: Function, reach: float, tolerance: int) -> int:
    """How many times `reach` it takes to see both tails: one of a small slope goes on for longer."""
    ends = np.array([-1.0, 1.0]) * reach
    for times in (1, 2):
        near, far = (stored(ends * n).astype(np.int64) for n in (times, 2 * times))
        if (np.abs(near - far) <= tolerance).all():
            return times
    return 4


VALUE_ENTRIES = {"int8": 256, "int16": 4096}


def value_table(fn: str, x: QParams, x_dtype: str, out: QParams, dtype: str) -> NDArray:
    """256 entries for int8 x; 4096 for int16 x, each for the middle of its 16 inputs."""
    q = np.arange(-128, 128) if x_dtype == "int8" else np.arange(-2048, 2048) * 16 + 7.5
    return out.quantise(function(fn)(x.dequantise(q)), dtype)


def clamps(fn: str | None, out: QParams, dtype: str, where: str) -> tuple[int, int]:
    """The least and the largest output of `fn`; the type's own where `fn` is no clamp."""
    info = np.iinfo(DTYPES[dtype])
    bounds = clamp_bounds(fn)
    if bounds is None:
        return info.min, info.max
    with np.errstate(over="ignore"):
        ends = [np.floor(np.asarray(b / out.scale + out.zero_point + 0.5)) for b in bounds]
    low, high = (np.unique(np.clip(end, info.min, info.max)) for end in ends)
    if low.size > 1 or high.size > 1:
        raise McuformerError(f"{where}: the channels of a clamp have different ends")
    return int(low[0]), int(high[0])


def clamp_table(low: int, high: int, out: QParams) -> IndexTable:
    """int8 outputs cut at [low, high], by a step each: the kernels have this index for nothing."""
    half = 2 ** (CLAMP_BITS - 1)
    entries = np.clip(np.arange(-half, half), low, high).astype(np.int8)
    return IndexTable(entries, CLAMP_BITS, float(out.scale), half + float(out.zero_point))
