"""Float graph and statistics -> int graph, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.layout import layout_of
from mcuformer.ir.verify import verify
from mcuformer.quant.assign import Formats, InputFormat, assign, per_input
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.context import Context
from mcuformer.quant.lower_attention import lower_attention, lower_softmax
from mcuformer.quant.lower_linear import lower_weighted
from mcuformer.quant.lower_norm import lower_layernorm
from mcuformer.quant.lower_simple import (
    lower_add,
    lower_argmax,
    lower_maxpool,
    lower_mean,
    lower_move,
    lower_mul,
    lower_requant,
    lower_unary,
)
from mcuformer.quant.pixels import regrid_pixels
from mcuformer.quant.policy import Mode
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS
from mcuformer.quant.stored import given, restored
from mcuformer.quant.supported import LOWERED, check_supported

REFINE_ROWS = 2**15  # of the widest sample matrix: bounds the time of lowering
_REFINE_MOST = 512

_LOWER: Mapping[str, Callable[[Context, Op], None]] = {
    "linear": lower_weighted,
    "conv2d": lower_weighted,
    "patch_embed": lower_weighted,
    "layernorm": lower_layernorm,
    "attention": lower_attention,
    "softmax": lower_softmax,
    "add": lower_add,
    "mul": lower_mul,
    "mean": lower_mean,
    "argmax": lower_argmax,
    "unary": lower_unary,
    "maxpool": lower_maxpool,
    "requant": lower_requant,
    "concat": lower_move,
    "slice": lower_move,
    "gather": lower_move,
    "reshape": lower_move,
}

assert set(_LOWER) == LOWERED, "quant/supported.py names what is lowered here"


def lower(
    graph: Graph,
    stats: CalibrationStats,
    activations: Mode = "8",
    input_format: Formats = None,
    bits: Mapping[str, int] | None = None,
) -> Graph:
    """The integer graph of `graph` (canonical float stage) with the statistics of `calibrate`.

    `activations`: "8", "mixed" (int16 residual stream and LayerNorm outputs) or "16".
    `input_format`: raw pixels with mean and std, of the input or per input; None quantises the
    ONNX input itself.
    `bits`: 4 or 8 per weighted operation of stats.graph by name (quant/weight_bits.py); 8 elsewhere.
    A network trained under rounding brings its numbers, where all bits are those it was trained with.
    """
    formats = per_input(stats.graph, input_format)
    pixels = [n for n, fmt in zip(stats.graph.inputs, formats, strict=True) if fmt is not None]
    stats = regrid_pixels(stats, pixels)
    check_supported(stats.graph)
    layers = [op.name for op in stats.graph.ops if op.kind in PRODUCERS]
    trained = given(graph, activations, bits or {}, layers)
    plan = restored(stats.graph, trained) if trained else assign(stats, activations, input_format)
    ctx = Context(stats, plan, 0 if trained else _sample_count(stats), bits)
    for index, op in enumerate(stats.graph.ops):
        _LOWER[op.kind](ctx, op)
        ctx.step(index, op)
    inputs = tuple(_input_meta(ctx, i, fmt) for i, fmt in enumerate(formats))
    return verify(ctx.done({**graph.meta, "inputs": inputs, "activations": activations}))


def _sample_count(stats: CalibrationStats) -> int:
    if stats.samples is None:
        return 0
    shapes = [v.type.shape for v in stats.graph.values.values() if not v.is_const]
    rows = max((s[0] for s in shapes if len(s) == 2), default=1)
    return min(_REFINE_MOST, stats.count, max(4, REFINE_ROWS // rows))


def _input_meta(ctx: Context, index: int, fmt: InputFormat | None) -> dict[str, Any]:
    """What a caller has to know to fill an input."""
    name = ctx.graph.inputs[index]
    qparams = ctx.qparams(name)
    return {
        "name": name,
        "dtype": ctx.dtype(name),
        "layout": layout_of(ctx.graph, index),
        "scale": np.asarray(qparams.scale).tolist(),
        "zero_point": np.asarray(qparams.zero_point).tolist(),
        "mean": None if fmt is None else list(fmt.mean),
        "std": None if fmt is None else list(fmt.std),
    }
