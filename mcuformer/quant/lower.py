"""Float graph and statistics -> int graph, operation by operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mcuformer.ir.graph import Graph
from mcuformer.ir.layout import layout_of
from mcuformer.operators.verify import verify
from mcuformer.quant.assign import assign, typed
from mcuformer.quant.assignment import Assignment, Formats, InputFormat, per_input
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.context import Context
from mcuformer.quant.fine_parts import regrid_fine_parts
from mcuformer.quant.lowering import LOWER
from mcuformer.quant.pixels import regrid_pixels, regridded
from mcuformer.quant.policy import Mode
from mcuformer.quant.refine import Rounding
from mcuformer.quant.rewrites import prepare
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS
from mcuformer.quant.stored import given, restored
from mcuformer.quant.supported import check_supported

REFINE_ROWS = 2**15  # of the widest sample matrix: bounds the time of lowering
_REFINE_MOST = 512


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
    stats = ready(stats, input_format)
    layers = [op.name for op in stats.graph.ops if op.kind in PRODUCERS]
    trained = given(graph, activations, bits or {}, layers)
    stats = stats if trained else regrid_fine_parts(stats, activations)
    plan = restored(stats.graph, trained) if trained else assign(stats, activations, input_format)
    ctx = Context(stats.graph, plan, bits, stats, 0 if trained else _sample_count(stats))
    return _with_inputs(ctx, graph, activations, input_format)


def ready(stats: CalibrationStats, input_format: Formats) -> CalibrationStats:
    """Statistics on which `assign` works, with pixels as `input_format` has them."""
    formats = per_input(stats.graph, input_format)
    pixels = [n for n, fmt in zip(stats.graph.inputs, formats, strict=True) if fmt is not None]
    stats = regrid_pixels(stats, pixels)
    check_supported(stats.graph)
    return stats


def lower_by_plan(
    graph: Graph,
    stats: CalibrationStats,
    plan: Assignment,
    activations: Mode,
    input_format: Formats,
    bits: Mapping[str, int],
    rounding: Rounding,
) -> Graph:
    """`lower` of `ready` statistics, with grids and rounded weights from elsewhere."""
    ctx = Context(stats.graph, plan, bits, stats, _sample_count(stats), rounding)
    return _with_inputs(ctx, graph, activations, input_format)


def _with_inputs(ctx: Context, graph: Graph, activations: Mode, input_format: Formats) -> Graph:
    formats = per_input(ctx.graph, input_format)
    inputs = tuple(_input_meta(ctx, i, fmt) for i, fmt in enumerate(formats))
    return verify(_lowered(ctx, {**graph.meta, "inputs": inputs, "activations": activations}))


def lower_shapes(
    graph: Graph,
    activations: Mode = "8",
    pixels: Sequence[str] = (),
    bits: Mapping[str, int] | None = None,
) -> Graph:
    """The outline (operators/outline.py) of what `lower` makes of the canonical `graph`, of which
    shapes alone count: no number is read or computed. `pixels` are the inputs with mean and std."""
    return outline_of(prepare(graph), activations, pixels, bits)


def outline_of(
    prepared: Graph,
    activations: Mode = "8",
    pixels: Sequence[str] = (),
    bits: Mapping[str, int] | None = None,
) -> Graph:
    """The same of a graph that `prepare` has rewritten (a CalibrationStats has one)."""
    graph = prepared
    prepared, _ = regridded(prepared, pixels)
    check_supported(prepared)
    return _lowered(Context(prepared, typed(prepared, activations, pixels), bits), graph.meta)


def measured_outline(stats: CalibrationStats, activations: Mode, formats: Formats) -> Graph:
    """`outline_of` with the copies that `lower` puts in front of joins where samples ask for them."""
    raw = per_input(stats.graph, formats)
    pixels = [n for n, fmt in zip(stats.graph.inputs, raw, strict=True) if fmt is not None]
    graph = regrid_fine_parts(ready(stats, formats), activations).graph
    return _lowered(Context(graph, typed(graph, activations, pixels)), stats.graph.meta)


def _lowered(ctx: Context, meta: Mapping[str, Any]) -> Graph:
    for index, op in enumerate(ctx.graph.ops):
        LOWER[op.kind](ctx, op)
        ctx.step(index, op)
    return ctx.done(meta)


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
