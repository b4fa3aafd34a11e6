"""The operators before lowering: one row each, with shape rule and evaluation.

`ONNX` has those of files, `CANONICAL` those that the importer turns them into, `FLOAT_OPS` these and
what preparing for quantisation adds. Importer, folding, verifier, calibration, node tests, the twin
that trains with rounding and `mcuformer ops` read them. A kind without a row does not exist, a row
that lacks something does not import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mcuformer.ir.float_ops import evaluate, shapes
from mcuformer.ir.float_ops.evaluate import FloatEvaluation
from mcuformer.ir.float_ops.shapes import Shape, ShapeError, ShapeRule, conv_output
from mcuformer.ir.functions import FUNCTIONS
from mcuformer.ir.onnx_ops import (
    attention,
    elementwise,
    movement,
    nn,
    pools,
    quantize,
    reduction,
    resize,
    transposed,
)
from mcuformer.ir.onnx_ops.base import OnnxOp

__all__ = [
    "CANONICAL", "FLOAT_OPS", "ONNX", "ONNX_STAGE", "FloatOp", "OnnxOp", "Shape", "ShapeError",
    "ShapeRule", "conv_output",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class FloatOp:
    """Operand names ("?" optional, "..." repeated), required attributes, shape of the result, and
    `evaluate(attrs, args)` over a batch (`float_ops/evaluate.py`).

    The weighted ones take a residual and `fn` behind their bias once a graph is prepared.
    """

    kind: str
    operands: tuple[str, ...]
    attrs: tuple[str, ...]
    infer: ShapeRule
    evaluate: FloatEvaluation
    notes: str = ""


_WEIGHTED = ("x", "w", "b?", "res?")
_WINDOW = ("kernel", "strides", "pads")
_REPEATED = "[1, C] and [T, 1] are repeated"

CANONICAL: Mapping[str, FloatOp] = {
    row.kind: row
    for row in (
        FloatOp("conv2d", _WEIGHTED, ("strides", "pads", "group"), shapes.conv2d,
                evaluate.weighted),
        FloatOp("linear", _WEIGHTED, (), shapes.linear, evaluate.weighted),
        FloatOp("layernorm", ("x", "gamma?", "beta?"), ("eps", "groups"), shapes.layernorm,
                evaluate.layernorm, "centred (default true): false is RMSNorm"),
        FloatOp("groupnorm", ("x", "gamma?", "beta?"), ("eps", "groups"), shapes.layernorm,
                evaluate.groupnorm, "over all rows and the channels of a group; centred as in layernorm"),
        FloatOp("rms", ("x",), ("eps", "groups"), shapes.rms, evaluate.rms,
                "sqrt(mean(x^2) + eps) over all rows and the channels of a group; centred (default "
                "true): less the mean"),
        FloatOp("power", ("x",), ("exponent",), shapes.same, evaluate.power, "-1, 0.5 or -0.5"),
        FloatOp("unary", ("x",), ("fn",), shapes.same, evaluate.unary,
                " ".join(map(str, FUNCTIONS.values()))),
        FloatOp("add", ("a", "b"), (), shapes.binary, evaluate.add, _REPEATED),
        FloatOp("mul", ("a", "b"), (), shapes.binary, evaluate.mul, _REPEATED),
        FloatOp("max", ("a", "b"), (), shapes.binary, evaluate.larger, _REPEATED),
        FloatOp("attention", ("q", "k", "v", "bias?"), ("heads", "scale"), shapes.attention,
                evaluate.attention,
                "windows (default 1): rows are windows * T, attention stays inside a window; radii, grid: of "
                "heads that see near patches alone (ir/neighbours.py)"),
        FloatOp("matmul", ("a", "b"), ("a", "b", "y", "sizes", "scale"), shapes.matmul, evaluate.matmul,
                "batched, of two activations, in the layouts a, b and y (ir/product.py)"),
        FloatOp("concat", ("x...",), ("axis",), shapes.concat, evaluate.concat,
                "axis 0 joins rows, 1 channels"),
        FloatOp("slice", ("x",), ("axis", "start", "stop"), shapes.slice_, evaluate.slice_),
        FloatOp("gather", ("x",), ("indices",), shapes.gather, evaluate.gather),
        FloatOp("reshape", ("x",), ("shape",), shapes.reshape, evaluate.reshape),
        FloatOp("mean", ("x",), (), shapes.mean, evaluate.mean),
        FloatOp("softmax", ("x",), (), shapes.same, evaluate.softmax),
        FloatOp("argmax", ("x",), (), shapes.argmax, evaluate.argmax,
                "of every row; the first of equals"),
        FloatOp("maxpool", ("x",), _WINDOW, shapes.pool, evaluate.maxpool),
        FloatOp("avgpool", ("x",), _WINDOW, shapes.pool, evaluate.avgpool),
        FloatOp("resize", ("x", "wy", "wx"), ("rows", "columns"), shapes.resize, evaluate.resize,
                "weights of the lines, and pixels, from rows[i], columns[j] on"),
    )
}  # fmt: skip

_PREPARED = (
    FloatOp(
        "patch_embed",
        _WEIGHTED,
        ("strides", "pads"),
        shapes.patch_embed,
        evaluate.patch_embed,
        "conv2d whose pixels are rows",
    ),
    FloatOp("requant", ("x",), (), shapes.same, evaluate.same, "the same value on another grid"),
)
FLOAT_OPS: Mapping[str, FloatOp] = {**CANONICAL, **{row.kind: row for row in _PREPARED}}

ONNX: Mapping[str, OnnxOp] = {
    row.name: row
    for module in (
        nn,
        transposed,
        attention,
        pools,
        elementwise,
        reduction,
        movement,
        resize,
        quantize,
    )
    for row in module.ROWS
}
ONNX_STAGE: Mapping[str, OnnxOp] = {
    **ONNX,
    elementwise.UNARY.name: elementwise.UNARY,
    reduction.RMS.name: reduction.RMS,
}
"""With those that `passes/` write."""
