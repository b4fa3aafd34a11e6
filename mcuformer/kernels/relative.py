"""A bias by relative positions, as small as it came: one number per distance of query and key, and masks.

The bias of every query and key in a window of h x w rows is a table [heads, 2h-1, 2w-1] and, where
windows are shifted, rows of a mask that few queries share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.util.speed import record

MOST_MASKS = 255  # rows, of which 0 is none
LEAST_BYTES = (
    4096  # of a bias as it is: of fewer, looking up costs more instructions than flash is saved
)


@record(frozen=True, slots=True, eq=False)
class Relative:
    """`table` [heads, (2h-1)(2w-1)] int16; `masks` [rows, n] int16 and for every query of every window
    which of them is added, uint8, 0 being none; both empty where nothing is masked."""

    width: int
    table: NDArray
    masks: NDArray
    mask_of: NDArray


def stored_small(bias: NDArray, heads: int) -> Relative | None:
    """`relative` where that is worth its instructions."""
    return relative(bias, heads) if 2 * bias.size >= LEAST_BYTES else None


def relative(bias: NDArray, heads: int) -> Relative | None:
    """Of bias [1 | heads | windows*heads, n, n] in steps; None where it is not made so."""
    n = bias.shape[1]
    if bias.shape[2] != n or n < 4:
        return None
    parts = bias.astype(np.int32).reshape(-1, min(heads, len(bias)), n, n)
    sides = [(h, n // h) for h in range(2, n // 2 + 1) if n % h == 0]
    for high, wide in sorted(sides, key=lambda s: abs(s[0] - s[1])):
        found = _of_window(parts, high, wide)
        if found is not None:
            return found
    return None


def distances(high: int, wide: int) -> NDArray[np.int64]:
    """[n, n]: where in a table stands what query i adds to the score of key j."""
    y, x = np.divmod(np.arange(high * wide), wide)
    down, right = y[None] - y[:, None] + high - 1, x[None] - x[:, None] + wide - 1
    return down * (2 * wide - 1) + right


def _of_window(parts: NDArray, high: int, wide: int) -> Relative | None:
    at, most = distances(high, wide), parts.max(axis=0)
    table = np.full((len(most), (2 * high - 1) * (2 * wide - 1)), -(1 << 15), np.int32)
    for head, row in enumerate(most):
        np.maximum.at(table[head], at, row)
    rest = parts - table[:, at]
    if (rest != rest[:, :1]).any() or rest.min() < -(1 << 15):
        return None
    rows, which = np.unique(rest[:, 0].reshape(-1, at.shape[1]), axis=0, return_inverse=True)
    which = which.reshape(-1)
    none = (rows == 0).all(axis=1)
    if len(rows) > MOST_MASKS or (len(parts) == 1 and not none.all()):
        return None
    order = np.cumsum(~none) * ~none
    small = np.int16
    if none.all():
        return Relative(wide, table.astype(small), np.zeros((0, 0), small), np.zeros(0, np.uint8))
    return Relative(
        wide, table.astype(small), rows[~none].astype(small), order[which].astype(np.uint8)
    )
