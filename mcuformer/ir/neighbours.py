"""Which keys a query sees in a head that looks nearby: attributes `radii` and `grid` of an attention.

Its rows are patches on a grid of (lines, columns), line by line, behind `leading` rows that stand nowhere
(a class token, registers): those see all and are seen by all. A head of radius r > 0 sees, of the patches,
those at most r lines and r columns away ("within r" of mcuformer/locality); one of radius 0 sees all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

RADII, PATCH_GRID = "radii", "grid"


def leading_rows(rows: int, grid: tuple[int, int]) -> int:
    """Of `rows`, those before the patches."""
    return rows - grid[0] * grid[1]


def visible(rows: int, grid: tuple[int, int], radius: int) -> NDArray[np.bool_]:
    """[queries, keys] of a head of that radius."""
    leading = leading_rows(rows, grid)
    seen = np.ones((rows, rows), np.bool_)
    if radius:
        y, x = np.divmod(np.arange(rows - leading), grid[1])
        lines, columns = (np.abs(at[:, None] - at) <= radius for at in (y, x))
        seen[leading:, leading:] = lines & columns
    return seen


def seen_by_heads(attrs: Mapping[str, Any], rows: int) -> NDArray[np.bool_] | None:
    """[heads, queries, keys] of an attention with these attributes; None where every head sees all."""
    if not any(attrs.get(RADII, ())):
        return None
    return np.stack([visible(rows, attrs[PATCH_GRID], radius) for radius in attrs[RADII]])


def contradiction(attrs: Mapping[str, Any], queries: int, keys: int, biased: bool) -> str | None:
    """Why attributes do not fit an attention of so many rows; None where they do."""
    if RADII not in attrs:
        return None
    radii, (lines, columns) = attrs[RADII], attrs[PATCH_GRID]
    if len(radii) != attrs["heads"] or min(radii) < 0 or max(radii) > 255:
        return f"radii {radii} of {attrs['heads']} heads"
    if attrs.get("windows", 1) > 1 or attrs.get("kv_heads", attrs["heads"]) != attrs["heads"]:
        return "radii of windows, or of heads that share their keys"
    if biased:
        return "radii and a bias"
    if queries != keys or min(lines, columns) < 1 or lines * columns > keys:
        return f"a grid of {lines} x {columns} for {queries} queries and {keys} keys"
    return None
