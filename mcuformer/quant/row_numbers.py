"""Weights, biases and the epilogue of a weighted sum as integers: one offset for all rows, the rest in biases.

What rows differ by (zero points of centred keys and values, of a residual with a scale per channel) goes into
biases, whose steps are finer than those of an offset; a layer stores 8 bytes a row, 12 with a residual.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import OutOfRangeError
from mcuformer.ir.epilogue import Epilogue, Residual, k_chunks, largest_sums, one_offset, solve
from mcuformer.quant.refine import IntWeights

_FAR_OUT = 2.0**15
_ROUNDS = 8  # until a residual's share of the biases asks for no other shift


@dataclass(frozen=True, slots=True, eq=False)
class RowTarget:
    """y = scale * (q - zero) in `dtype`, both () or (N,); `index_bits`: of the table that follows, or 0.

    `reach`: max |x| + |x_zp|; `unit`: how often a weight counts in the kernel's accumulator; `where`: the
    layer, for errors.
    """

    scale: NDArray[np.float64]
    zero: NDArray[np.float64]
    dtype: str
    reach: int
    residual: Residual | None
    index_bits: int
    unit: int
    where: str


def solved(
    weights: IntWeights, target: RowTarget
) -> tuple[NDArray[np.int8], NDArray[np.int32], list[int], Epilogue]:
    """w[N, K], bias (N,), the ends of the K chunks, and an epilogue whose offset is (1,).

    Raises OutOfRangeError where sums have no place in 32 bits.
    """
    kept = _common(target.zero, target.index_bits)
    between = (target.zero - kept) * target.scale
    moved = weights.bias + between
    for _ in range(_ROUNDS):
        acc_scale, w, bias = rounded(replace(weights, bias=moved), target.scale, target.unit)
        chunks = k_chunks(w, bias, target.reach, target.unit)
        found = solve(
            acc_scale,
            largest_sums(w, bias, target.reach, chunks),
            target.scale,
            np.asarray(kept),
            target.dtype == "int16",
            target.residual,
            len(chunks),
            target.where,
            target.unit,
            target.dtype,
        )
        end, rest = one_offset(found)
        before, moved = moved, weights.bias + between + rest * target.scale
        if np.array_equal(before, moved):
            return w, bias, chunks, end
    raise OutOfRangeError(
        target.where, "the zero points of what it adds differ by more than its biases hold"
    )


def rounded(
    weights: IntWeights, scale: NDArray, unit: int
) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.int32]]:
    """(accumulator scale, w[N,K], bias); tiny weights get a coarser scale, so that their bias fits, and
    leaves room for the shift up that the layer's coarsest channel may want."""
    least = np.maximum(np.abs(weights.bias) * (unit * 2.0**-26), scale * 2.0**-40)
    acc_scale = np.maximum(np.abs(weights.scale), least)
    acc_scale = np.where(weights.scale < 0, -acc_scale, acc_scale)
    w = np.rint(weights.w * (weights.scale / acc_scale))
    bias = np.rint(weights.bias / acc_scale).astype(np.int32)
    return acc_scale, np.ascontiguousarray(w.T).astype(np.int8), bias


def _common(zero: NDArray, index_bits: int) -> float:
    """What the offset of all rows holds of their zero points; the rest goes into biases: what lies between
    two outputs, and all of it where rows differ or lie far out, since an output that is nearly constant
    has a bias as far out."""
    near = np.ndim(zero) == 0 and abs(float(zero)) < max(_FAR_OUT, 8.0 * 2**index_bits)
    return float(np.rint(zero)) if near else 0.0
