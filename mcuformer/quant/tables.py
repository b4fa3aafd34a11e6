"""Tables of unary functions: indexed by an int8, an int16 or straight from an accumulator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import McuformerError
from mcuformer.ir.function_row import Function
from mcuformer.ir.functions import clamp_bounds, function
from mcuformer.ir.int_ops_linear import TABLE_INTERVALS
from mcuformer.ir.types import DTYPES, QParams

_GRID = 65537
_SEEN = (
    64  # of its cells at least are where the output changes; of a steep function, on a finer grid
)
_ZOOMS = 4
INDEX_BITS: Mapping[str, int] = {"int8": 11, "int16": 20}
INDEX_ENTRIES: Mapping[str, int] = {"int8": 1 << 11, "int16": (1 << TABLE_INTERVALS) + 1}
_FINER = 256  # steps of a table of an int16 that becomes an int8, to one of that int8
_ROOM_BITS = 28  # of an index anywhere: an epilogue has 2 bits or more below it
CLAMP_BITS = 10


@dataclass(frozen=True, slots=True)
class IndexTable:
    """fn(scale * (i - zero)) at index i of 0 .. 2^bits - 1; ends lie where the output no longer changes.

    int8: an entry per index. int16: an entry at the start of each of 2^12 intervals, and the last end.
    """

    data: NDArray
    bits: int
    scale: float
    zero: float

    def within(self, reach: float, finest: float) -> IndexTable:
        """An int16 table with as fine an index as arguments of up to `reach` leave room for, and of no
        finer step than `finest`; where that is less than one per interval, with wider intervals."""
        needed = math.ceil(math.log2(max(reach / self.scale, 1.0))) - _ROOM_BITS
        needed = max(needed, math.ceil(math.log2(finest / self.scale)), 0)
        fewer = min(needed, self.bits - TABLE_INTERVALS)
        scale, zero = self.scale * 2.0**fewer, self.zero / 2.0**fewer
        made = replace(self, bits=self.bits - fewer, scale=scale, zero=zero)
        return made.widened(needed - fewer)

    def widened(self, times: int) -> IndexTable:
        """With intervals 2^times as wide, about the old ones; beyond those the output is their ends'."""
        if times == 0:
            return self
        last, ratio = len(self.data) - 1, 2**times
        old = round(self.zero) >> (self.bits - TABLE_INTERVALS)
        zero = last // 2 + (old - last // 2) // ratio
        kept = np.clip(old + ratio * (np.arange(last + 1) - zero), 0, last)
        at = float(zero << (self.bits - TABLE_INTERVALS))
        return replace(self, data=self.data[kept], scale=self.scale * ratio, zero=at)


def index_table(fn: str, out: QParams, dtype: str) -> IndexTable:
    """Over the arguments that change the output; of int16 an entry lies at 0, where functions have corners."""
    low, high = _span(fn, out, dtype)
    bits, entries = INDEX_BITS[dtype], INDEX_ENTRIES[dtype]
    intervals = entries.bit_length() - 1
    step = (high - low) / (2**intervals - 1)
    if dtype == "int16":
        low = -step * math.ceil(-low / step)
    data = out.quantise(function(fn)(low + step * np.arange(entries)), dtype)
    scale = step * 2.0 ** (intervals - bits)
    return IndexTable(data, bits, scale, -low / scale)


def _span(fn: str, out: QParams, dtype: str) -> tuple[float, float]:
    """From the last argument below which the output no longer changes to the first above."""
    reach = 16.0 + float(out.scale) * (2**9 if dtype == "int8" else 2**17)
    with np.errstate(over="ignore"):  # infinite far out, which is the largest number stored
        reach *= _stretch(lambda x: out.quantise(function(fn)(x), dtype), reach)
        low, high = -reach, reach
        for _ in range(_ZOOMS):
            grid = np.linspace(low, high, _GRID)
            ends = _changing(out.quantise(function(fn)(grid), dtype).astype(np.int64))
            if ends is None:
                return -1.0, 1.0
            low, high = grid[ends[0]], grid[ends[1]]
            if ends[1] - ends[0] >= _SEEN:
                break
    return low, high


def _changing(y: NDArray[np.int64]) -> tuple[int, int] | None:
    """Places before the first number that is neither end's, and behind the last; or about the jumps
    where all are an end's. None where nothing changes."""
    inside = np.flatnonzero((y != y[0]) & (y != y[-1]))
    if len(inside):
        return int(inside[0]) - 1, int(inside[-1]) + 1
    jumps = np.flatnonzero(np.diff(y))
    return (int(jumps[0]), int(jumps[-1]) + 1) if len(jumps) else None


def _stretch(stored: Function, reach: float) -> int:
    """How many times `reach` it takes to see both tails: one of a small slope goes on for longer."""
    ends = np.array([-1.0, 1.0]) * reach
    for times in (1, 2):
        near, far = (stored(ends * n).astype(np.int64) for n in (times, 2 * times))
        if (near == far).all():
            return times
    return 4


def value_table_type(x_dtype: str, dtype: str) -> tuple[str, int]:
    """Type and number of its entries: an entry per int8 x; one per 16 of int16 x, and the last end."""
    return (dtype, 256) if x_dtype == "int8" else ("int16", (1 << TABLE_INTERVALS) + 1)


def value_table(fn: str, x: QParams, x_dtype: str, out: QParams, dtype: str) -> NDArray:
    """fn at its inputs; of int16 x and int8 y in steps of y / 256, since it is read between entries."""
    stored, entries = value_table_type(x_dtype, dtype)
    q = np.arange(entries, dtype=np.float64)
    q = q - 128 if x_dtype == "int8" else 16 * q - 32768
    finer = 1 if stored == dtype else _FINER
    grid = QParams(out.scale / finer, out.zero_point * finer)
    return grid.quantise(function(fn)(x.dequantise(q)), stored)


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
