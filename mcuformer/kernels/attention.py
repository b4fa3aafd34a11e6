"""mcf_attention: softmax(q K^T) V by blocks of query rows (runtime_c/include/mcf_attention.h).

`panel` is the number of query rows whose scores wait in scratch at a time: K and V are expanded to
16 bits once per block, four keys or four channels at a time. Where the scratch of so many rows
would hold all of K and V in 16 bits as well, they are expanded once and the blocks are short.
A `panel` of 0 or less (-rows) takes the keys as they are, two at a time: slower from four rows on,
with the smallest scratch. `merge` heads that share K and V run together, as more rows of a block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.kernels.relative import Relative, stored_small
from mcuformer.kernels.shapes import TYPES, Count, Values, pick, round4
from mcuformer.util.speed import record

SOURCES = (
    "mcf_attention.c",
    "mcf_attention_dsp.c",
    "mcf_attention_expand.c",
    "mcf_attention_softmax.c",
    "mcf_attention_asm.c",
    "mcf_attention_near.c",
    "mcf_exp.c",
)
KEEP_ROWS = 16  # query rows at a time where K and V stay expanded


@record(frozen=True, slots=True)
class AttentionShape:
    """Queries, keys, heads, channels of a head of q and k, and of v; their types."""

    tq: int
    tk: Count
    heads: int
    d: int
    dv: int
    types: tuple[str, str, str, str]  # q, k, v, y
    shared: bool  # all heads read the same k and v


def shape_of(op: Op, graph: Values) -> AttentionShape:
    q, k, v = (graph.type(str(name)) for name in op.inputs[:3])
    y, heads = graph.type(op.outputs[0]), int(op.attrs["heads"])
    d, dv = q.shape[1] // heads, y.shape[1] // heads
    shared = int(op.attrs.get("kv_heads", heads)) < heads
    types = (q.dtype, k.dtype, v.dtype, y.dtype)
    windows = int(op.attrs.get("windows", 1))
    return AttentionShape(q.shape[0] // windows, k.shape[0] // windows, heads, d, dv, types, shared)


def pack(op: Op, graph: Values, *, panel: int = 0, merge: int = 1) -> KernelData:
    s = shape_of(op, graph)
    attrs = op.attrs
    how = layout(op, s, panel, merge)
    rows = [attrs["m"], attrs["o_mant"], attrs["o_exp"]]
    head = np.array([np.broadcast_to(row, s.heads) for row in rows]).T
    arrays = [CArray("head", "int32_t", head.astype(np.int32).reshape(-1))]
    bias = graph.const(op.operand(3))
    small = None if bias is None else stored_small(bias, s.heads)
    if bias is not None:
        arrays += _bias_arrays(bias, small)
    size = [np.dtype(t).itemsize for t in s.types]
    fields: dict[str, int | str] = {
        "head": "head",
        "bias": "NULL" if bias is None else "bias",
        "masks": "masks" if small and small.masks.size else "NULL",
        "mask_of": "mask_of" if small and small.masks.size else "NULL",
        "tq": s.tq,
        "tk": s.tk,
        "d": s.d,
        "dv": s.dv,
        "bias_head": _bias_head(bias, small),
        "wide": small.width if small else 0,
        "window": s.tq * s.heads,
        "q_head": s.d * size[0],
        "k_head": 0 if s.shared else s.d * size[1],
        "v_head": 0 if s.shared else s.dv * size[2],
        "y_head": s.dv * size[3],
        "merge": how.merge,
        "block": how.block,
        "k_zp": int(attrs.get("k_zp", 0)),
        "v_zp": int(attrs.get("v_zp", 0)),
        "q_type": TYPES[s.types[0]],
        "k_type": TYPES[s.types[1]],
        "v_type": TYPES[s.types[2]],
        "y_type": TYPES[s.types[3]],
        "pre_shift": int(attrs["pre_shift"]),
        "p_shift": int(attrs["p_shift"]),
        "narrow": int(is_narrow(op, s)),
        "direct": int(how.direct),
        "keep": int(how.keep),
    }
    return KernelData("mcf_attention_t", fields, tuple(arrays))


def _bias_arrays(bias: NDArray, small: Relative | None) -> list[CArray]:
    if small is None:
        return [CArray("bias", "int16_t", bias.astype(np.int16).reshape(-1), 4, "weights")]
    arrays = [CArray("bias", "int16_t", small.table.reshape(-1), 4, "weights")]
    if small.masks.size:
        arrays += [CArray("masks", "int16_t", small.masks.reshape(-1), 4, "weights"),
                   CArray("mask_of", "uint8_t", small.mask_of, 4, "weights")]  # fmt: skip
    return arrays


def _bias_head(bias: NDArray | None, small: Relative | None) -> int:
    """Elements from one head's bias to the next."""
    if bias is None:
        return 0
    table = bias if small is None else small.table
    return int(table[0].size) if table.shape[0] > 1 else 0


def is_narrow(op: Op, s: AttentionShape) -> bool:
    """Whether scores of any int8 q and k stay inside int16, so that none has to be saturated."""
    k_reach = 128 + abs(int(op.attrs.get("k_zp", 0)))
    score = s.d * 128 * k_reach * max(op.attrs["m"]) >> 32
    return s.types[:2] == ("int8", "int8") and score < 32767 and not op.attrs["pre_shift"]


def pair_bytes(s: AttentionShape) -> int:
    """Scores and normalisers of two query rows."""
    return 4 * round4(s.tk) + 24


@record(frozen=True, slots=True)
class Layout:
    """Query rows at a time, heads at a time; K and V stay expanded; K is not expanded at all."""

    block: Count
    merge: Count
    keep: Count = False
    direct: Count = False


def layout(op: Op, s: AttentionShape, panel: Count, merge: Count) -> Layout:
    """The struct's fields for the choices `panel` and `merge`."""
    rows, heads = (abs(panel) + 1) & ~1, merge if s.shared else 1
    rows = pick(rows < 2, 2, rows)
    can = s.types[1] == "int8" and s.d % 4 == 0 and not op.attrs["pre_shift"]
    direct = (panel <= 0) & can
    full = block_bytes(s, Layout(rows, heads), rows) >= kept_bytes(s, heads)
    keep = (direct == 0) & (rows > KEEP_ROWS) & full
    return Layout(pick(keep, KEEP_ROWS, rows), heads, keep, direct)


def block_bytes(s: AttentionShape, how: Layout, rows: Count) -> Count:
    """Score rows, then q rows (and four keys), or four channels of V, as 16-bit pairs."""
    pairs = (rows + 1) // 2 * how.merge
    queries, values = 4 * round4(s.d) * (pairs + 2 - 2 * how.direct), 8 * round4(s.tk)
    return pairs * pair_bytes(s) + pick(queries > values, queries, values)


def kept_bytes(s: AttentionShape, merge: Count) -> Count:
    """All of K and V in 16 bits beside a short block."""
    values = 2 * round4(s.tk) * (round4(s.d) + round4(s.dv))
    return KEEP_ROWS // 2 * merge * (pair_bytes(s) + 4 * round4(s.d)) + values


def scratch_bytes(
    op: Op, graph: Values, rows: int, *, panel: int = 0, merge: int = 1, **_: Any
) -> int:
    s = shape_of(op, graph)
    return _scratch(s, layout(op, s, panel, merge), rows)


def _scratch(s: AttentionShape, how: Layout, rows: Count) -> Count:
    block = block_bytes(s, how, pick(how.block > rows, rows, how.block))
    return pick(how.keep, kept_bytes(s, how.merge), block)


def weight_bytes_read(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Bytes of the bias that one call for all heads reads."""
    bias: NDArray | None = graph.const(op.operand(3))
    return 0 if bias is None else 2 * rows * bias.shape[2] * int(op.attrs["heads"])


def dot_instructions(steps: int) -> int:
    """Sums of one 2 x 4 block: 11 per step, 32 of them unrolled (mcf_attention_asm.c)."""
    return 11 * steps + 3 * max(1, -(-(steps - 1) // 32)) + 2


def score_instructions(op: Op, s: AttentionShape, direct: bool) -> int:
    """All scores of a pair of rows."""
    words = round4(s.d) // 4
    if direct:
        zero = 16 * words if op.attrs.get("k_zp") else 0
        return (s.tk + 1) // 2 * (15 * words + 2 * -(-words // 8) + 27) + 28 + zero
    finish = 40 if int(op.attrs["pre_shift"]) else 22 if is_narrow(op, s) else 31
    return (s.tk + 3) // 4 * (dot_instructions(2 * words) + finish)


def instructions(
    op: Op, graph: Values, rows: int, *, panel: int = 0, merge: int = 1, **_: Any
) -> int:
    """Of one call for all heads on `rows` query rows; per block of code as the assembly counts.

    What the compiler makes of the C around it was fitted to counts (see test_cost_model).
    """
    s = shape_of(op, graph)
    return _instructions(op, s, layout(op, s, panel, merge), rows)


def _instructions(op: Op, s: AttentionShape, how: Layout, rows: Count) -> Count:
    blocks = (rows + how.block - 1) // how.block
    pairs, d, small = (rows + 1) // 2, round4(s.d), [t == "int8" for t in s.types]
    keys, groups = (s.tk + 3) // 4, (s.dv + 3) // 4
    weigh = dot_instructions((s.tk + 1) // 2) + (50 if small[3] else 47)
    biased = op.operand(3) is not None
    shifted = 2 * keys * 17 if int(op.attrs["p_shift"]) else 0
    softmax = 49 * keys + 110 + shifted + (2 * keys * 28 + 20 if biased else 0)
    queries = d // 4 * (9 if small[0] else 29)
    rest = 85 if s.dv % 4 else 0
    per_pair = softmax + groups * weigh + queries + rest
    once = pick(how.keep, 1, blocks) * -(-s.heads // how.merge)

    def total(direct: bool) -> Count:
        pair = s.heads * (per_pair + score_instructions(op, s, direct))
        block = s.heads * (groups * 30 + 325 + (0 if direct else keys * 50))
        expand = expand_instructions(s, direct, small)
        return (pairs * pair + 500) + blocks * block + once * expand

    return pick(how.direct, total(True), total(False))


def expand_instructions(s: AttentionShape, direct: bool, small: list[bool]) -> int:
    """All keys and values to 16 bits."""
    key = 47 + round4(s.d) // 4 * (17 if small[1] else 70) + (180 if s.d % 4 else 0)
    channels = 129 + s.tk // 4 * (21 if small[2] else 54)
    rest = s.tk * 28 if s.dv % 4 else 0
    return (0 if direct else (s.tk + 3) // 4 * key) + (s.dv + 3) // 4 * channels + rest


def panels(rows: int) -> list[int]:
    """Values of `panel` worth a thought for a call of `rows`."""
    sizes = sorted({(-(-rows // parts) + 1) & ~1 for parts in range(1, rows // 2 + 2)})
    return [0, *(p for size in sizes for p in (-size, size))]


def merges(op: Op, graph: Values, together: bool) -> tuple[int, ...]:
    """Values of `merge`. `together`: the call runs all heads, so those that share K and V can share
    their expansion."""
    s = shape_of(op, graph)
    return (1, s.heads) if s.shared and together else (1,)


def figures(op: Op, graph: Values, rows: Count, panel: Count, merge: Count) -> tuple[Count, Count]:
    """(scratch bytes, instructions) of calls for all heads."""
    s = shape_of(op, graph)
    return figures_of(op, s, layout(op, s, panel, merge), rows)


def figures_of(op: Op, s: AttentionShape, how: Layout, rows: Count) -> tuple[Count, Count]:
    return _scratch(s, how, rows), _instructions(op, s, how, rows)
