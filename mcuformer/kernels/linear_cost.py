"""Executed instructions of mcf_linear on Cortex-M7, fitted to counts in Unicorn (gcc -O3, LDRD).

The register block is 2 rows x 4 channels: 22 instructions for 4 positions of K, as mcf_dot.c says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcuformer.ir.graph import Op
from mcuformer.ir.types import DTYPES
from mcuformer.kernels.shapes import Count, Values, constant, pick, round4, segments_of
from mcuformer.util.speed import record

CALL, PANEL, TILE, ODD_ROW = 170, 234, 96, 105
PAIR_OF_ROWS = 20  # of a tile, in mcf_dot
LOAD, PIECE, LOOSE_BYTES = 25, 66, 87  # of a pair: each, per segment, per segment with K % 4
BLOCK = 38  # bias, scale, saturate, store, next group of 4 channels
DOWN, UP, TABLE, TABLE_16, RESIDUAL, CLAMP = 9, 10, 10, 71, 22, 41
PLAIN_C = 610  # more for 8 outputs through mcf_gemm_finish
CHUNK, SPLIT = 560, 215  # split K, 8 outputs: of a chunk without panel; C's share with one
FREE_SHIFT, FREE_RES_SHIFTS = 3, range(8, 12)


@record(frozen=True, slots=True)
class Work:
    """What one call multiplies: `kn` positions of K in `pieces`, padded to multiples of 4."""

    rows: int
    n: int
    kn: int
    pieces: int
    piece: int

    @staticmethod
    def of(op: Op, graph: Values, rows: int, lines: int) -> Work:
        _segments, segment, _stride = segments_of(op, graph)
        n = constant(graph, op.inputs[1]).shape[0]
        return Work(rows, n, lines * round4(segment), lines, segment)


def scratch_bytes(
    kn: Count, n: Count, split: Count, rows: Count, panel: Count, tile: Count
) -> Count:
    """Expanded to 16 bits: `tile` rows and `panel` channels; up to two rows need no panel."""
    ahead = 8  # single loads (MCF_LDR) run ahead
    panel, most = (panel + 3) & ~3, round4(n)
    panel = pick(panel > most, most, panel)
    expanded = 2 * kn * (tile + tile % 2 + panel) + 8 * split * panel
    return pick((rows <= 2) | (panel == 0), 4 * kn, expanded) + ahead


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call's instructions add up to, so that many panels and tiles cost little to compare.

    `pair`: a pair of rows against all channels, from the weights as they are and from a panel.
    """

    n: Count
    kn: Count
    split: Count
    load: Count
    expand: Count
    pair: tuple[Count, Count]

    @staticmethod
    def of(op: Op, graph: Values, work: Work, sums: bool = False) -> Terms:
        """`sums`: int32 sums instead of outputs."""
        pair = groups(op, graph, work, False, sums), groups(op, graph, work, True, sums)
        split = "k_split" in op.attrs
        return Terms(work.n, work.kn, split, load(op, graph, work), expand(op, work), pair)

    @staticmethod
    def stack(terms: Sequence[Terms], rows: Sequence[int]) -> Terms:
        """Of several layers at once: columns in which each of them fills so many `rows`."""
        if len(terms) == 1:
            return terms[0]
        each = [(t.n, t.kn, t.split, t.load, t.expand, *t.pair) for t in terms]
        table = np.repeat(np.array(each, np.int64), rows, axis=0)
        n, kn, split, load, expand, *pair = (table[:, i : i + 1] for i in range(table.shape[1]))
        return Terms(n, kn, split, load, expand, (pair[0], pair[1]))

    def scratch_bytes(self, rows: Count, panel: Count, tile: Count) -> Count:
        return scratch_bytes(self.kn, self.n, self.split, rows, panel, tile)

    def instructions(self, rows: Count, panel: Count, tile: Count) -> Count:
        plain = (panel == 0) | (rows <= 2)  # weights as they are, two rows at a time
        tile = pick(plain, 2, tile)
        panels = pick(plain, 1, -(-self.n // (panel + (panel == 0))))
        pairs, odd = (rows + 1) // 2, ODD_ROW * (rows % 2)
        each = TILE * -(-rows // tile) + odd * (tile > 2) + (PANEL + PAIR_OF_ROWS * pairs)
        loads = self.load * pairs
        multiply, expanded = (pairs * pair + CALL for pair in self.pair)
        return (
            panels * each
            + loads * pick(rows > tile, panels, 1)
            + pick(plain, multiply, expanded + self.expand)
        )


def instructions(op: Op, graph: Values, work: Work, panel: int, tile: int, sums: bool) -> int:
    """`sums`: int32 sums instead of outputs."""
    return Terms.of(op, graph, work, sums).instructions(work.rows, panel, tile)


def load(op: Op, graph: Values, work: Work) -> int:
    """One pair of rows to 16 bits."""
    words = work.piece // 4
    if DTYPES[graph.type(str(op.inputs[0])).dtype].itemsize == 2:
        one = 11 * words
    else:
        one = 24 * (words // 4) + 9 * (words % 4)
    one += PIECE + (LOOSE_BYTES if work.piece % 4 else 0)
    return LOAD + work.pieces * one


def expand(op: Op, work: Work) -> int:
    """All weights to 16 bits: 16 of them in 10 instructions, 14 for int4."""
    per_16 = 10.5 if weight_bits(op) == 8 else 14.5
    return int(work.kn * round4(work.n) / 16 * per_16)


def groups(op: Op, graph: Values, work: Work, expanded: bool, sums: bool) -> int:
    """One pair of rows against all groups of 4 channels."""
    whole, rest = divmod(work.n, 4)
    chunks = len(op.attrs.get("k_split", ())) + 1
    one = block(op, work.kn, expanded)
    if sums:
        return whole * (one - 4) + (one + PLAIN_C // 2 if rest else 0)
    if chunks > 1:
        split = SPLIT + chunks * BLOCK if expanded else CHUNK * chunks
        return (whole + (rest > 0)) * (one + split)
    extra = finish(op, graph)
    return whole * (one + extra) + (one + PLAIN_C * rest // 4 + 200 if rest else 0)


def block(op: Op, kn: int, expanded: bool) -> int:
    """Sums of 2 rows x 4 channels with the usual finish."""
    if expanded:
        return 22 * kn // 4 + 3 * -(-kn // 96) + BLOCK
    per_4 = 30 if weight_bits(op) == 8 else 46
    return per_4 * kn // 4 + 3 * -(-kn // 16) + BLOCK


def finish(op: Op, graph: Values) -> int:
    """What the epilogue of 8 outputs costs beyond scale, saturation and store."""
    wide = graph.type(op.outputs[0]).dtype == "int16"
    res, table, shift = op.operand(5), op.operand(7), op.attrs["shift"]
    clamps = table is None and ("clamp_min" in op.attrs or "clamp_max" in op.attrs)
    res_wide = res is not None and graph.type(res).dtype == "int16"
    if (
        (res is not None and (table is not None or (wide and not res_wide)))
        or (clamps and (not wide or res is not None))
        or (table is not None and op.attrs["table_bits"] < (20 if wide else 10))
    ):
        return PLAIN_C
    extra = UP if op.attrs.get("acc_shift", 0) else 0
    extra += (TABLE_16 if wide else TABLE) if table else 0
    extra += (RESIDUAL if res else 0) + (CLAMP if clamps else 0)
    free = FREE_RES_SHIFTS if res else (FREE_SHIFT,)
    return extra + (DOWN if wide or res_wide or shift not in free else 0)


def weight_bits(op: Op) -> int:
    return int(op.attrs.get("weight_bits", 8))
