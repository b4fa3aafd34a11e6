"""The constants of an epilogue, with the proofs that no int32 overflows (docs/adr/0002)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import OutOfRangeError
from mcuformer.ir.types import ITEM_BYTES

LIMIT = 2**31 - 1
# (least, most) bits below the result. Floors nest, so they only hold what a zero point between two
# results and a residual's multiplier need; the Cortex-M kernels have these shifts for nothing.
_WIDE_SHIFTS = (1, 24)
_SHIFTS = (3, 3)
_RESIDUAL_SHIFTS = (8, 11)
_NARROW = 255  # largest magnitude of 8 bits
_ROUNDED = 3.0  # bits that a shift of 1, a multiplier below 2^31 and rounding take


@dataclass(frozen=True, slots=True)
class Residual:
    """real = scale * (q - zero), |q| <= reach; `data`: real rows of a constant (scale unused)."""

    scale: NDArray
    zero: NDArray
    reach: int
    data: NDArray | None = None


@dataclass(frozen=True, slots=True)
class Epilogue:
    """Attributes shift, acc_shift and constants mult, offset, rmult (N,); `res`: int16 constant."""

    shift: int
    acc_shift: int
    mult: NDArray[np.int32]
    offset: NDArray[np.int32]
    rmult: NDArray[np.int32] | None = None
    res: NDArray[np.int16] | None = None


def solve(
    acc_scale: NDArray,
    acc_bound: NDArray,
    scale: NDArray,
    zero: NDArray,
    wide: bool,
    residual: Residual | None = None,
    chunks: int = 1,
    where: str = "",
    unit: int = 1,
    dtype: str = "int16",
) -> Epilogue:
    """y = scale * (t / 2^shift - zero) from accumulators of `acc_scale`, |acc| <= `acc_bound`.

    `wide`: y needs more than 8 bits, so accumulators are shifted up as far as they go; a residual of
    more than 8 bits wants that, too, since its multiplier has only the bits below the result.
    `unit`: the kernel's accumulator is `unit` times this one, so mult is a multiple of it.
    `dtype`: of y. Where a step of the accumulator is more steps of y than it has, it may be fewer of them:
    all but 0 saturates.
    """
    fine = residual is not None and residual.data is None and residual.reach > _NARROW
    wide = wide or fine
    ratio = np.asarray(acc_scale / scale, np.float64)
    if ratio.shape != acc_bound.shape:
        ratio = np.broadcast_to(ratio, acc_bound.shape)
    room = _room(acc_bound, unit)
    most_steps = 2.0 ** (room - _ROUNDED) / chunks
    if residual is None and most_steps >= 2 ** (8 * ITEM_BYTES[dtype]) + np.abs(zero).max():
        ratio = np.minimum(np.maximum(ratio, -most_steps), most_steps)
    free = -1 - math.log2(max(float(np.abs(ratio).max()), 1e-30)) - 1e-9
    least, most = _WIDE_SHIFTS if wide else _SHIFTS if residual is None else _RESIDUAL_SHIFTS
    acc_shift = room if wide else min(room, max(0, math.ceil(least - free)))
    shift = min(most, math.floor(free + acc_shift))
    while shift >= 1:
        done = _constants(ratio, scale, zero, shift, acc_shift, residual, unit)
        if _bound(done, acc_bound, residual, chunks, unit) <= LIMIT:
            return done
        shift -= 1
    raise OutOfRangeError(
        where,
        "its result has too fine a step for sums in int32: calibration, or the file's own scale, gives it "
        f"{float(np.min(scale)):.2g}, and the sums have steps of {float(np.max(acc_scale)):.2g}",
    )


def _room(acc_bound: NDArray, unit: int) -> int:
    """By how many bits accumulators can be shifted up."""
    return max(0, math.floor(31 - math.log2(unit * (float(acc_bound.max()) + 1))))


def least_scale(acc_scale: NDArray, acc_bound: NDArray, unit: int) -> float:
    """The finest step of a result that `solve` has a multiplier for."""
    return float(np.max(acc_scale)) * 2.0 ** (_ROUNDED - _room(acc_bound, unit))


def _constants(
    ratio: NDArray,
    scale: NDArray,
    zero: NDArray,
    shift: int,
    acc_shift: int,
    residual: Residual | None,
    unit: int,
) -> Epilogue:
    exact = ratio * 2.0 ** (32 + shift - acc_shift)
    most = LIMIT // unit
    mult = unit * np.minimum(np.maximum(np.rint(exact / unit), -most), most)
    offset = np.zeros(mult.shape) + (np.rint(zero * 2.0**shift) + 2.0 ** (shift - 1))
    rmult: NDArray | None = None
    res: NDArray | None = None
    if residual is not None and residual.data is not None:
        rows = residual.data / scale * 2.0**shift
        over = np.abs(rows).max(axis=tuple(range(rows.ndim - 1))) / 32767
        rmult = 2.0 ** np.ceil(np.log2(np.maximum(over, 1.0)))
        res = np.clip(np.rint(rows / rmult), -32768, 32767).astype(np.int16)
    elif residual is not None:
        ratios = np.broadcast_to(residual.scale / scale * 2.0**shift, mult.shape)
        rmult = np.rint(ratios)
        offset = offset - zero_share(residual.zero, residual.reach, ratios)
    arrays = [a if a is None else _int32(a) for a in (mult, offset, rmult)]
    assert arrays[0] is not None and arrays[1] is not None
    return Epilogue(shift, acc_shift, arrays[0], arrays[1], arrays[2], res)


def one_offset(end: Epilogue) -> tuple[Epilogue, NDArray[np.float64]]:
    """With the least of its offsets for all rows, offset (1,), and by how many steps of y each row's own is
    above it: for biases to hold. What `solve` proved holds, since no row's offset grows."""
    least = end.offset[np.abs(end.offset.astype(np.int64)).argmin()]
    rest = (end.offset.astype(np.float64) - float(least)) * 2.0**-end.shift
    return replace(end, offset=np.array([least], np.int32)), rest


def zero_share(zero: NDArray, reach: int, mult: NDArray) -> NDArray[np.float64]:
    """What a zero point adds to a sum that takes q by the rounded `mult`.

    Of a value that is nearly constant it lies far outside of q's range, and there `mult` is exact.
    """
    near = np.clip(zero, -reach, reach)
    return np.asarray(np.rint(near * np.rint(mult) + (zero - near) * mult))


def _int32(values: NDArray) -> NDArray[np.int32]:
    """Clipped only where the bound that follows fails anyway."""
    return np.minimum(np.maximum(values, -LIMIT), LIMIT).astype(np.int32)


def _bound(
    done: Epilogue, acc_bound: NDArray, residual: Residual | None, chunks: int, unit: int
) -> float:
    """Largest |t| of any input; infinite where the accumulator leaves int32."""
    scaled = acc_bound.astype(np.float64) * 2.0**done.acc_shift
    t = chunks * (scaled * np.abs(done.mult) / 2.0**32 + 1) + np.abs(done.offset.astype(np.float64))
    if residual is not None and done.rmult is not None:
        reach = 32768 if done.res is not None else residual.reach
        t = t + reach * np.abs(done.rmult.astype(np.float64))
    return math.inf if unit * scaled.max() > LIMIT else float(t.max())


def k_chunks(w_int: NDArray, bias: NDArray, reach: int, unit: int) -> list[int]:
    """Ends of the K chunks whose accumulators are proved to fit, as few as possible."""
    k = w_int.shape[1]
    sums = np.abs(w_int.astype(np.int64))
    for count in range(1, k + 1):
        width = -(-k // count + 3) // 4 * 4 if count > 1 else k
        ends = [*range(width, k, width), k]
        starts = [0, *ends[:-1]]
        worst = max(int(sums[:, a:b].sum(axis=1).max()) for a, b in zip(starts, ends, strict=True))
        if unit * (worst * reach + int(np.abs(bias.astype(np.int64)).max())) <= LIMIT:
            return ends
    raise AssertionError("a chunk of one input always fits")


def largest_sums(w_int: NDArray, bias: NDArray, reach: int, chunks: list[int]) -> NDArray[np.int64]:
    """Largest |accumulator| of any chunk per output channel."""
    sums = np.abs(w_int.astype(np.int64))
    starts = [0, *chunks[:-1]]
    parts = [sums[:, a:b].sum(axis=1) for a, b in zip(starts, chunks, strict=True)]
    return reduce(np.maximum, parts) * reach + np.abs(bias.astype(np.int64))
