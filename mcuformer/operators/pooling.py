"""Pools: a number per channel from every window of an image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.epilogue import solve
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_linear import Args, checked, hi, im2col, saturate
from mcuformer.ir.int_ops_simple import q_maxpool
from mcuformer.ir.optable import Shape
from mcuformer.ir.types import DTYPES, TensorType
from mcuformer.kernels import maxpool
from mcuformer.kernels.base import CArray, KernelData
from mcuformer.kernels.shapes import TYPES, Values, constant
from mcuformer.operators.lowering import Const, Numbers, Target
from mcuformer.operators.row import (
    Cost,
    IntOp,
    Kernel,
    Lowering,
    as_it_is,
    first,
    named,
    none,
    per_channel,
    window_grid,
)

AVGPOOL_SOURCES = ("mcf_avgpool.c",)
SMALL = 128  # pixels whose sum of 8 bits fits int16
MOST_PIXELS = 1 << 14  # of a window whose average is taken: its int16 sum leaves two bits
# Instructions of mcf_avgpool's Cortex-M code: an output line, a pixel; of a window's 4 channels of 8
# bits, a line, a pixel; the same of one channel alone.
POOL_LINE, WINDOW = 51, 48
FOUR, FOUR_ROW, FOUR_PIXEL = 95, 6.4, 7.05
ONE, ONE_ROW, ONE_PIXEL = 34, 7.6, 6.15
_WINDOW = frozenset({"kernel", "strides", "pads"})


def _pooled(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = first(s)
    per_channel(s, x[-1], 1, 2)
    return (*window_grid(attrs, x), x[-1])


def q_avgpool(op: Op, args: Args, out: TensorType) -> NDArray:
    """x[H,W,C]: the average of each window's taps inside of the image; (x, mult, offset).

    sum, R = 2^30 / taps rounded, m = hi((sum << up)*R), then from m as q_mul from acc.
    """
    x, attrs = args[0], {**op.attrs, "x_zp": 0}
    assert x is not None
    mult, offset = (np.asarray(a, np.int64) for a in args[1:])
    sums = im2col(x, attrs).astype(np.int64).sum(axis=-2)
    inside = im2col(np.ones((*x.shape[-3:-1], 1), np.int8), attrs).astype(np.int64).sum(axis=-2)
    share = (2**30 + (inside >> 1)) // inside
    mean = hi(checked(sums << attrs["up"], f"{op.name}: sum"), share)
    scaled = checked(mean << attrs["acc_shift"], f"{op.name}: mean")
    t = checked(hi(scaled, mult) + offset, f"{op.name}: t")
    return saturate(t >> attrs["shift"], out.dtype).reshape(*x.shape[:-3], *out.shape)


def lower_avgpool(ctx: Target, op: Op) -> None:
    """The input's zero point moves all averages alike: it goes into the offset."""
    x, y, channels = str(op.inputs[0]), op.outputs[0], ctx.shape(op.inputs[0])[-1]
    info = np.iinfo(DTYPES[ctx.dtype(x)])
    reach, taps = max(-info.min, info.max), math.prod(op.attrs["kernel"])
    up = math.floor(31 - math.log2(taps * reach + 1))
    names = [f"{op.name}.{n}" for n in ("mult", "offset")]

    def numbers() -> Numbers:
        source, result = ctx.qparams(x), ctx.qparams(y)
        unit = 2.0 ** (up - 2)  # of m, for one step of x
        bound = np.full(channels, math.ceil(reach * unit * (1 + 2.0**-14)) + 2, np.int64)
        scale, zero = (np.broadcast_to(p, (channels,)) for p in (result.scale, result.zero_point))
        zero = zero - source.zero_point * source.scale / scale
        unit_scale, dtype = source.scale / unit, ctx.dtype(y)
        end = solve(unit_scale, bound, scale, zero, wide=True, where=op.name, dtype=dtype)
        data = dict(zip(names, (end.mult, end.offset), strict=True))
        return {"shift": end.shift, "acc_shift": end.acc_shift}, data

    attrs: dict[str, Any] = {k: tuple(op.attrs[k]) for k in ("kernel", "strides", "pads")}
    consts = [Const(n, "int32", (channels,)) for n in names]
    ctx.emit("q_avgpool", op, [x, *consts], attrs | {"up": up}, numbers)


def _too_many(graph: Graph, op: Op) -> str | None:
    many = math.prod(op.attrs["kernel"]) > MOST_PIXELS
    return f"an average of more than {MOST_PIXELS:,} pixels" if many else None


def pack_avgpool(op: Op, graph: Values, **_: Any) -> KernelData:
    x, y = (graph.type(str(n)) for n in (op.inputs[0], op.outputs[0]))
    post = np.stack([constant(graph, n) for n in op.inputs[1:3]], axis=1)
    fields = {"post": "post"} | maxpool.geometry(op, graph)
    fields |= {"x_type": TYPES[x.dtype], "y_type": TYPES[y.dtype]}
    fields |= {name: int(op.attrs[name]) for name in ("up", "acc_shift", "shift")}
    array = CArray("post", "int32_t", post.astype(np.int32).reshape(-1))
    return KernelData("mcf_avgpool_t", fields, (array,))


def avgpool_instructions(op: Op, graph: Values, rows: int, **_: Any) -> int:
    """Fitted to counts in Unicorn."""
    x, (_height, width, channels) = graph.type(str(op.inputs[0])), graph.type(op.outputs[0]).shape
    lines, columns = (np.array(n) for n in maxpool.seen(op, graph))
    pixels = lines[:, None] * columns
    fours = channels // 4 * ((pixels <= SMALL) & (x.dtype != "int16"))
    each = fours * (FOUR + lines[:, None] * FOUR_ROW + pixels * FOUR_PIXEL)
    ones = channels - 4 * fours
    each = each + ones * (ONE + lines[:, None] * ONE_ROW + pixels * ONE_PIXEL)
    return round(rows * (POOL_LINE + width * (WINDOW + float(each.mean()))))


ROWS = (
    IntOp(
        kind="q_maxpool",
        operands=named("x"),
        movement="lines",
        shape=_pooled,
        evaluate=q_maxpool,
        lowered={"maxpool": Lowering(
            "lower_simple.lower_maxpool", onnx=("MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin"), moves=True
        )},
        kernel=Kernel("mcf_maxpool", "mcf_maxpool.h", maxpool.pack, ("x",), ("x",)),
        cost=Cost("maxpool", maxpool.instructions, _WINDOW),
        numbers=frozenset(),
        nominal=as_it_is,
        macs=none,
        counted=None,
    ),
    IntOp(
        kind="q_avgpool",
        operands=named("x", "mult:0", "offset:0"),
        movement="lines",
        shape=_pooled,
        evaluate=q_avgpool,
        lowered={"avgpool": Lowering(lower_avgpool, _too_many, ("AveragePool",))},
        kernel=Kernel("mcf_avgpool", "mcf_avgpool.h", pack_avgpool, ("x",), ("x",)),
        cost=Cost("avgpool", avgpool_instructions, _WINDOW),
        numbers=frozenset({"shift", "acc_shift"}),
        nominal=as_it_is,
        macs=none,
        counted=None,
    ),
)  # fmt: skip
