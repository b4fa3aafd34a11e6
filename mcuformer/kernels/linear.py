"""mcf_linear: linear layers and patch embeddings (runtime_c/include/mcf_linear.h).

The operation is a q_linear with inputs (x, w, bias, mult, offset, res?, rmult?, table?). A patch
embedding comes as q_linear whose attrs say where a row lies: `segments` pieces of `segment_bytes`,
`segment_stride` bytes apart. `weight_bits` 4 stores w (-8..7) in nibbles.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.types import LIMITS
from mcuformer.kernels import linear_cost
from mcuformer.kernels.base import CACHE_LINE, CArray, KernelData
from mcuformer.kernels.shapes import (
    TYPES,
    Values,
    constant,
    packed_channels,
    round4,
    segments_of,
)

GEMM_SOURCES = (
    "mcf_gemm.c", "mcf_gemm_dsp.c", "mcf_gemm_split.c", "mcf_dot.c", "mcf_dot_finish.c", "mcf_dot_expand.c",
)  # fmt: skip
SOURCES = ("mcf_linear.c", *GEMM_SOURCES)
NO_TYPE = 3  # MCF_NONE


def pack(op: Op, graph: Values, *, panel: int = 0, tile: int = 2, lines: int = 0) -> KernelData:
    """Struct and arrays of one layer; of one with groups, the struct of a group and all groups' arrays,
    one after the other. `lines` (partial sums) changes nothing here."""
    segments, segment, stride = segments_of(op, graph)
    weights, groups = constant(graph, op.inputs[1]), op.attrs.get("groups", 1)
    n = weights.shape[0] // groups
    kp = segments * round4(segment)
    bits = op.attrs.get("weight_bits", 8)
    chunks = chunk_lengths(op, kp)
    padded = pad_segments(weights, segments)
    packed = pack_weights(padded, bits, groups)
    arrays = [CArray("w", "int8_t", packed, CACHE_LINE, "weights", kp * bits // 2)]
    arrays.append(CArray("post", "int32_t", pack_post(op, graph, padded, chunks)))
    table = graph.const(op.operand(7))
    out = graph.type(op.outputs[0]).dtype
    if table is not None:
        arrays.append(CArray("table", f"{out}_t", table.astype(out)))
    if len(chunks) > 1:
        arrays.append(CArray("chunks", "uint16_t", np.array(chunks, np.uint16)))
    (least, most), res = LIMITS[out], op.operand(5)
    fields: dict[str, int | str] = {
        "weights": "w",
        "post": "post",
        "table": "NULL" if table is None else "table",
        "chunk_kp": "chunks" if len(chunks) > 1 else "NULL",
        "n": n,
        "kp": kp,
        "panel": min(round4(panel), round4(n)),
        "tile": tile + tile % 2,
        "w_stride": kp,
        "segments": segments,
        "segment": segment,
        "segment_stride": stride,
        "offset": offset_of(op, graph),
        "clamp_min": int(op.attrs.get("clamp_min", least)),
        "clamp_max": int(op.attrs.get("clamp_max", most)),
        "x_type": TYPES[graph.type(str(op.inputs[0])).dtype],
        "y_type": TYPES[out],
        "res_type": NO_TYPE if res is None else TYPES[graph.type(res).dtype],
        "weight_bits": bits,
        "chunks": len(chunks),
        "shift": int(op.attrs["shift"]),
        "acc_shift": int(op.attrs.get("acc_shift", 0)),
        "table_bits": int(op.attrs.get("table_bits", 0)),
    }
    return KernelData("mcf_linear_t", fields, tuple(arrays))


def chunk_lengths(op: Op, kp: int) -> list[int]:
    """Padded lengths of the K chunks of `k_split`, whose boundaries are multiples of 4."""
    edges = [0, *op.attrs.get("k_split", ()), kp]
    return [b - a for a, b in pairwise(edges)]


def pad_segments(w: NDArray, segments: int) -> NDArray:
    """w[N,K] with every piece of K padded by zeros to a multiple of 4."""
    n, k = w.shape
    return _in_fours(w.reshape(n, segments, k // segments), 2).reshape(n, -1)


def pack_weights(w: NDArray, bits: int, groups: int = 1) -> NDArray[np.int8]:
    """w[N,kp] in the order [N/4][kp/4][4 channels][4]; 4 bits: channels 2i and 2i+1 share bytes."""
    kp = w.shape[1]
    fours = by_four(w, groups).reshape(-1, 4, kp // 4, 4).transpose(0, 2, 1, 3)
    if bits == 4:
        pairs = fours.reshape(*fours.shape[:2], 2, 2, 4).astype(np.int32)
        fours = (pairs[..., 0, :] & 15) | (pairs[..., 1, :] & 15) << 4
    return np.ascontiguousarray(fours.astype(np.uint8).view(np.int8)).reshape(-1)


def pack_post(op: Op, graph: Values, padded: NDArray, chunks: list[int]) -> NDArray[np.int32]:
    """Per 4 channels: each chunk's bias - x_zp * sum(w), then 4 mult[, then 4 rmult]."""
    n, groups = padded.shape[0], op.attrs.get("groups", 1)
    four_bit = op.attrs.get("weight_bits", 8) == 4
    scale = 16 if four_bit else 1  # nibbles are expanded to 16 * w
    starts = [0, *accumulate(chunks[:-1])]
    sums = np.add.reduceat(padded.astype(np.int64), starts, axis=1)
    bias = -int(op.attrs["x_zp"]) * sums
    bias[:, 0] += constant(graph, op.inputs[2])
    mult = constant(graph, op.inputs[3]).astype(np.int64)
    assert not (mult % scale).any(), f"{op.name}: mult must be a multiple of 16 for int4 weights"
    parts = [by_four(bias * scale, groups).transpose(0, 2, 1)]
    parts.append(by_four(mult // scale, groups))
    rmult = graph.const(op.operand(6))
    if rmult is not None:
        parts.append(by_four(np.broadcast_to(rmult, n), groups))
    blocks = [p.reshape(p.shape[0], -1) for p in parts]
    return np.concatenate(blocks, axis=1).astype(np.int32).reshape(-1)


def offset_of(op: Op, graph: Values) -> int:
    """The one offset of all output channels."""
    offset = constant(graph, op.inputs[4])
    assert (offset == offset.flat[0]).all(), f"{op.name}: one offset for all channels"
    return int(offset.flat[0])


def by_four(a: NDArray, groups: int = 1) -> NDArray:
    """a[N,...] -> [groups * ceil(N/groups/4), 4, ...], each group padded by zeros."""
    return _in_fours(a.reshape(groups, -1, *a.shape[1:]), 1).reshape(-1, 4, *a.shape[1:])


def _in_fours(a: NDArray, axis: int) -> NDArray:
    """Padded by zeros along an axis to a multiple of 4."""
    pad = -a.shape[axis] % 4
    return np.pad(a, [(0, pad if i == axis else 0) for i in range(a.ndim)]) if pad else a


def scratch_bytes(
    op: Op, graph: Values, rows: int, *, panel: int = 0, tile: int = 2, **_: Any
) -> int:
    return partial_scratch_bytes(op, graph, rows, None, panel=panel, tile=tile)


def partial_scratch_bytes(
    op: Op, graph: Values, rows: int, lines: int | None, *, panel: int = 0, tile: int = 2
) -> int:
    """Expanded to 16 bits: `tile` rows and `panel` channels; up to two rows need no panel. `lines`:
    so many segments at a time."""
    segments, segment, _stride = segments_of(op, graph)
    n = constant(graph, op.inputs[1]).shape[0]
    kn = (segments if lines is None else lines) * round4(segment)
    return linear_cost.scratch_bytes(kn, n, "k_split" in op.attrs, rows, panel, tile)


def weight_bytes_read(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Flash bytes of the weights one call reads: all of them once."""
    segments, segment, _stride = segments_of(op, graph)
    n = constant(graph, op.inputs[1]).shape[0]
    return packed_channels(op, n) * segments * round4(segment) * op.attrs.get("weight_bits", 8) // 8


def instructions(
    op: Op, graph: Values, rows: int, *, panel: int = 0, tile: int = 2, **_: Any
) -> int:
    return terms(op, graph).instructions(rows, panel, tile)


def terms(op: Op, graph: Values) -> linear_cost.Terms:
    """Whose `instructions(rows, panel, tile)` are those of `instructions` here."""
    segments, _segment, _stride = segments_of(op, graph)
    return linear_cost.Terms.of(op, graph, linear_cost.Work.of(op, graph, 0, segments))


def partial_instructions(
    op: Op, graph: Values, rows: int, lines: int, *, panel: int = 0, tile: int = 2
) -> int:
    work = linear_cost.Work.of(op, graph, rows, lines)
    return linear_cost.instructions(op, graph, work, panel, tile, sums=True)


def finish_instructions(op: Op, graph: Values, rows: int) -> int:
    return rows * constant(graph, op.inputs[1]).shape[0] * 20
