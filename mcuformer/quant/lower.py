"""Float graph and statistics -> int graph, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.functions import split
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.layout import layout_of
from mcuformer.ir.verify import verify
from mcuformer.quant.assign import Formats, InputFormat, assign, per_input
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.context import Context
from mcuformer.quant.float_eval import UNARY
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

REFINE_ROWS = 2**15  # of the widest sample matrix: bounds the time of lowering
_REFINE_MOST = 512
MOST_CLASSES = 32768  # of an argmax
MOST_ROWS = 65535  # that a table of uint16 can tell apart, and one mark

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


def check_supported(graph: Graph) -> None:
    """Every operation that cannot be lowered, in one message."""
    if all(op.kind in ("reshape", "slice") for op in graph.ops):
        raise UnsupportedModelError("the model computes nothing: it only selects from its inputs")
    problems = [
        f"{op.kind} {_where(op)}: {reason}" for op in graph.ops if (reason := _problem(graph, op))
    ]
    if problems:
        raise UnsupportedModelError(
            "operators that have no integer form:\n  " + "\n  ".join(problems),
            "`mcuformer ops` lists what can be compiled",
        )


def _where(op: Op) -> str:
    return f"{op.name} ({', '.join(op.origin)})" if op.origin else op.name


def _problem(graph: Graph, op: Op) -> str | None:
    if op.kind == "avgpool":
        return "average pooling with padding"
    if op.kind not in _LOWER:
        return f"operator {op.kind}"
    fn = op.attrs.get("fn")
    if fn is not None and split(fn)[0] not in UNARY:
        return f"function {fn}"
    if op.kind == "argmax":
        return _argmax_problem(graph, op)
    if op.kind == "attention" and any(graph.const(n) is not None for n in op.inputs[1:3]):
        return "attention over constant keys or values"
    if op.kind == "attention" and len(op.inputs) > 3 and graph.const(op.inputs[3]) is None:
        return "an attention bias that is computed"
    weights = op.inputs[1:3] if op.kind in ("linear", "conv2d", "patch_embed") else ()
    if any(n is not None and graph.const(n) is None for n in weights):
        return "weights that are computed"
    if op.kind == "gather" and graph.type(str(op.inputs[0])).shape[0] > MOST_ROWS:
        return f"a choice among more than {MOST_ROWS:,} pieces"
    if op.kind in ("add", "mul") and _grows(graph, op):
        return "an activation that is repeated for the rows or channels of a constant"
    return None


def _argmax_problem(graph: Graph, op: Op) -> str | None:
    """An index is int16, and no operator but a reshape takes one."""
    if graph.type(str(op.inputs[0])).shape[1] > MOST_CLASSES:
        return f"the largest of more than {MOST_CLASSES} numbers"
    reached = {op.outputs[0]}
    for reader in graph.ops:
        if reached & set(reader.inputs):
            if reader.kind != "reshape":
                return f"an index that {reader.name} computes with"
            reached.add(reader.outputs[0])
    return None


def _grows(graph: Graph, op: Op) -> bool:
    shapes = [graph.type(str(n)).shape for n in op.inputs if graph.const(n) is None]
    return len(shapes) == 1 and shapes[0] != graph.type(op.outputs[0]).shape
