"""An attention bias that hides all but near patches -> attributes `radii` and `grid` (ir/neighbours.py).

Of every head the bias is 0 where a query sees a key and far below any score elsewhere, and what is seen is
all, or the patches of one grid within a radius, behind rows that see all. What is hidden has no share of
a softmax either way, so the numbers stay; the kernels then leave it out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.neighbours import PATCH_GRID, RADII, leading_rows, visible

HIDES_BELOW = -1e4  # and below: exp of it is 0 in float32 beside any score there is
LEAST_PATCHES = 9


def near_patches(graph: Graph) -> Graph:
    if graph.shapes_only or not any(op.kind == "attention" for op in graph.ops):
        return graph
    ops = tuple(_near(graph, op) for op in graph.ops)
    same = all(a is b for a, b in zip(ops, graph.ops, strict=True))
    return graph if same else graph.replace(ops=ops)


def _near(graph: Graph, op: Op) -> Op:
    bias = graph.const(op.operand(3)) if op.kind == "attention" else None
    if bias is None or op.attrs.get("windows", 1) > 1 or graph.const(op.inputs[0]) is not None:
        return op
    heads = op.attrs["heads"]
    seen = bias == 0
    if (
        bias.shape[1] != bias.shape[2]
        or bias.shape[0] > heads
        or bias[~seen].max(initial=HIDES_BELOW) > HIDES_BELOW
    ):
        return op
    found = radii_and_grid(seen)
    if found is None:
        return op
    radii, grid = found
    per_head = radii if len(radii) == heads else radii * heads
    attrs = {**op.attrs, RADII: per_head, PATCH_GRID: grid}
    return op.replace(inputs=op.inputs[:3], attrs=attrs)


def radii_and_grid(
    seen: NDArray[np.bool_],
) -> tuple[tuple[int, ...], tuple[int, int]] | None:
    """Of masks [heads, rows, rows], some of which hide something; of several grids the squarest."""
    if seen.all():
        return None
    for grid in _grids(seen):
        radii = [_radius(mask, grid) for mask in seen]
        if None not in radii:
            return tuple(r or 0 for r in radii), grid
    return None


def _grids(seen: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Of the rows behind the first ones that see all and are seen by all."""
    free = np.asarray(seen.all(axis=(0, 2)) & seen.all(axis=(0, 1)))
    patches = len(free) - int(np.argmin(free))
    sizes = [(n, patches // n) for n in range(1, patches + 1) if patches % n == 0]
    if patches >= LEAST_PATCHES:
        yield from sorted(sizes, key=lambda size: abs(size[0] - size[1]))


def _radius(mask: NDArray[np.bool_], grid: tuple[int, int]) -> int | None:
    """0 where all is seen; None where no radius is meant."""
    rows = len(mask)
    if mask.all():
        return 0
    corner = int(mask[leading_rows(rows, grid), leading_rows(rows, grid) :].sum())
    for r in range(1, max(grid)):
        if min(r + 1, grid[0]) * min(r + 1, grid[1]) == corner and r < 256:
            return r if np.array_equal(mask, visible(rows, grid, r)) else None
    return None
