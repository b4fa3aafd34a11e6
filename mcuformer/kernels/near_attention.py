"""mcf_attention_near: attention some of whose heads see near patches alone (runtime_c/src/mcf_attention_near.c).

A block of queries lies in one line of the grid; four of its keys at a time are expanded to 16 bits, as in
mcf_attention, and the keys that a row does not see get the lowest score. `panel` bounds the block. A head
that sees all, and the rows in front of the grid, run as mcf_attention does. All functions here take either kind
of attention.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.neighbours import PATCH_GRID, RADII, leading_rows
from mcuformer.kernels import attention
from mcuformer.kernels.attention import AttentionShape, Layout, layout, merges, panels, shape_of
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.kernels.shapes import Count, Values, pick, round4
from mcuformer.util.speed import record

__all__ = ["figures", "instructions", "is_near", "merges", "pack", "panels", "scratch_bytes"]

FUNCTION, SOURCE = "mcf_attention_near", "mcf_attention_near.c"


def is_near(op: Op) -> bool:
    return RADII in op.attrs


def pack(op: Op, graph: Values, *, panel: int = 0, merge: int = 1) -> KernelData:
    whole = attention.pack(op, graph, panel=panel, merge=merge)
    if not is_near(op):
        return whole
    lines, columns = op.attrs[PATCH_GRID]
    radii = CArray("near", "uint8_t", np.asarray(op.attrs[RADII], np.uint8))
    fields: dict[str, int | str] = {f"all.{name}": value for name, value in whole.fields.items()}
    fields |= {"near": "near", "columns": columns, "lines": lines}
    fields["leading"] = leading_rows(shape_of(op, graph).tq, op.attrs[PATCH_GRID])
    return KernelData(f"{FUNCTION}_t", fields, (*whole.arrays, radii))


def scratch_bytes(
    op: Op, graph: Values, rows: int, *, panel: int = 0, merge: int = 1, **_: Any
) -> int:
    return int(figures(op, graph, rows, panel, merge)[0])


def instructions(
    op: Op, graph: Values, rows: int, *, panel: int = 0, merge: int = 1, **_: Any
) -> int:
    """Of one call for all heads on `rows` query rows, on average over the grid's lines."""
    return int(figures(op, graph, rows, panel, merge)[1])


def figures(op: Op, graph: Values, rows: Count, panel: Count, merge: Count) -> tuple[Count, Count]:
    """(scratch bytes, instructions) of calls for all heads."""
    if not is_near(op):
        return attention.figures(op, graph, rows, panel, merge)
    s, grid, radii = shape_of(op, graph), NearGrid.of(op, graph), op.attrs[RADII]
    how = layout(op, s, panel, 1)
    far = replace(s, heads=radii.count(0))
    scratch, cost = 0 * rows, 40 * s.heads
    if far.heads:
        scratch, cost = attention.figures_of(op, far, how, rows)
    elif grid.leading:
        scratch = attention.figures_of(op, far, how, rows)[0]
    size = pick(how.block > grid.columns, grid.columns, how.block)
    size = pick(size > rows, rows, size)
    for radius in sorted(set(radii) - {0}):
        band = Band(s, grid, radius)
        own = band.scratch_bytes(size)
        scratch = pick(own > scratch, own, scratch)
        per_line = band.table(op)
        cost = cost + radii.count(radius) * (rows * per_line[size] // grid.columns)
    return scratch, cost


@record(frozen=True, slots=True)
class NearGrid:
    """Of patches, behind `leading` rows that are none."""

    lines: int
    columns: int
    leading: int

    @staticmethod
    def of(op: Op, graph: Values) -> NearGrid:
        lines, columns = op.attrs[PATCH_GRID]
        return NearGrid(lines, columns, leading_rows(shape_of(op, graph).tq, (lines, columns)))


@record(frozen=True, slots=True)
class Band:
    """A head of `radius` on a grid."""

    shape: AttentionShape
    grid: NearGrid
    radius: int

    def scratch_bytes(self, size: Count) -> Count:
        """Of a block of `size` queries, as of an attention with so many keys."""
        most = size + 2 * self.radius
        columns = pick(most > self.grid.columns, self.grid.columns, most)
        lines = min(2 * self.radius + 1, self.grid.lines)
        keys = lines * round4(columns) + round4(self.grid.leading)
        return attention.block_bytes(replace(self.shape, tk=keys), Layout(size, 1), size)

    def table(self, op: Op) -> NDArray[np.int64]:
        """Instructions for all queries of a line, by the size of a block; of 0 none."""
        sizes = range(1, self.grid.columns + 1)
        return np.array([0, *(self._line(op, size) for size in sizes)], np.int64)

    def _line(self, op: Op, size: int) -> int:
        """On average over the lines of the grid."""
        lines, columns, r = self.grid.lines, self.grid.columns, self.radius
        high = Counter(min(y + r, lines - 1) - max(y - r, 0) + 1 for y in range(lines))
        blocks: Counter[tuple[int, int, int]] = Counter()
        for x in range(0, columns, size):
            count, first = min(size, columns - x), max(x - r, 0)
            keys = min(x + count - 1 + r, columns - 1) - first + 1
            blocks[count, keys, x - first] += 1
        return (
            sum(
                times * often * self._block(op, queries, n, keys, before)
                for n, times in high.items()
                for (queries, keys, before), often in blocks.items()
            )
            // lines
        )

    def _block(self, op: Op, queries: int, lines: int, columns: int, before: int) -> int:
        """`queries` meet `lines` runs of `columns` keys, `before` of them before the first query's own
        column, and the leading rows. The assembly is counted, the C around it fitted (test_cost_model)."""
        s, pairs, small = self.shape, (queries + 1) // 2, [t == "int8" for t in self.shape.types]
        per_run, free = round4(columns) // 4, round4(self.grid.leading) // 4
        groups, words, runs = lines * per_run + free, (s.dv + 3) // 4, lines + (free > 0)
        met = lines * sum(self._pairs_met(pairs, 4 * g - before) for g in range(per_run))
        scores = (met + pairs * free) * attention.score_instructions(op, replace(s, tk=4), False)
        expand = attention.expand_instructions(replace(s, tk=4 * groups), False, small)
        expand += words * (100 * runs - 129) - 230 * runs + 56 * groups
        weigh = words * (attention.dot_instructions(2 * groups) + 54)
        softmax = (
            49 * groups + 238 + 100 * per_run + (2 * groups * 17 if op.attrs["p_shift"] else 0)
        )
        rest = 85 if s.dv % 4 else 0
        row = round4(s.d) // 4 * (9 if small[0] else 29)
        return 1080 + scores + expand + pairs * (softmax + weigh + row + rest)

    def _pairs_met(self, pairs: int, key: int) -> int:
        """Of `pairs`, those with a query that sees one of four keys, the first one `key` columns behind
        the first query."""
        first, last = max(0, key - self.radius) // 2, (key + 3 + self.radius) // 2
        return max(0, min(pairs, last + 1) - first)
