"""Layers with weights: q_linear, q_conv2d, q_patch_embed, q_dwconv2d."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from mcuformer.ir import int_ops_linear as evaluate
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.optable import Shape
from mcuformer.kernels import conv, linear
from mcuformer.operators.row import (
    Cost,
    IntOp,
    Kernel,
    Lowering,
    TypeOf,
    first,
    named,
    per_channel,
    want,
    window_grid,
)

_NARROW_SHIFT = 11  # no int8 output of ir/epilogue.py has more
_OPERANDS = named("x", "w:0", "bias:0", "mult:0", "offset:0", "res?:-1", "rmult?:0", "table?")
_CHANNELS = named("x:-1", "w:0", "bias:0", "mult:0", "offset:0", "res?:-1", "rmult?:0", "table?")
_NUMBERS = frozenset({"x_zp", "shift", "acc_shift", "pad_value", "clamp_min", "clamp_max"})
_COST_ATTRS = frozenset({
    "segments", "segment_bytes", "segment_stride", "weight_bits", "k_split", "kernel", "strides",
    "pads", "groups", "shift", "table_bits", "acc_shift", "clamp_min", "over",
})  # fmt: skip


def _of_channels(s: Sequence[Shape | None], n: int) -> None:
    """bias, mult and rmult of each channel, one offset of all."""
    per_channel(s, n, 2, 3, 6)
    want(s[4] == (1,), f"operand 4 is {s[4]}, wants (1,)")


def _linear(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x, w = first(s), s[1]
    want(w is not None and len(w) == 2, f"wants w[N, K], has {w}")
    assert w is not None
    want(x[-1] == w[1] * attrs.get("groups", 1), f"x has {x[-1]} channels, w[N, K] is {w}")
    _of_channels(s, w[0])
    return (*x[:-1], w[0])


def _conv2d(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x, w = first(s), s[1]
    taps, groups = attrs["kernel"][0] * attrs["kernel"][1], attrs.get("groups", 1)
    want(x[-1] % groups == 0, f"{groups} groups do not divide {x[-1]} channels")
    k = taps * x[-1] // groups
    want(w is not None and w[1] == k, f"w is {w}, wants [N, {k}]")
    assert w is not None
    want(w[0] % groups == 0, f"{groups} groups do not divide {w[0]} output channels")
    _of_channels(s, w[0])
    return (*window_grid(attrs, x), w[0])


def _patches(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    h, w, n = _conv2d(attrs, s)
    return (h * w, n)


def _depthwise(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x, w = first(s), s[1]
    taps = attrs["kernel"][0] * attrs["kernel"][1]
    want(w == (x[-1], taps), f"w is {w}, wants {(x[-1], taps)}")
    _of_channels(s, x[-1])
    return (*window_grid(attrs, x), x[-1])


def _macs(op: Op, type_of: TypeOf) -> int:
    return prod(type_of(op.outputs[0]).shape) * type_of(str(op.inputs[1])).shape[1]


def _epilogue(op: Op, wide: bool, type_of: TypeOf) -> dict[str, Any]:
    """Shifts as ir/epilogue.py finds them for nearly every layer of their kind."""
    if wide:
        shifts = {"x_zp": 1, "shift": 12, "acc_shift": 6}
    elif len(op.inputs) > 5 and op.inputs[5] is not None:
        shifts = {"x_zp": 1, "shift": 8, "acc_shift": 2}
    elif (op.kind == "q_linear" and "groups" in op.attrs) or op.attrs.get(
        "shift", 0
    ) > _NARROW_SHIFT:
        shifts = {"x_zp": 1, "shift": 15, "acc_shift": 5}  # absorbed, of all heads or of one
    else:
        shifts = {"x_zp": 1, "shift": 3}
    clamped = "clamp_min" in op.attrs or "clamp_max" in op.attrs
    return shifts | ({"clamp_min": 0, "clamp_max": 0} if clamped else {})


def _computed_weights(graph: Graph, op: Op) -> str | None:
    computed = any(n is not None and graph.const(n) is None for n in op.inputs[1:3])
    return "weights that are computed" if computed else None


_LINEAR = Kernel(
    "mcf_linear", "mcf_linear.h", linear.pack, ("x", "res"), ("x",), linear.scratch_bytes,
    linear.weight_bytes_read, "linear",
)  # fmt: skip
_CONV = Kernel(
    "mcf_conv2d", "mcf_conv.h", conv.pack, ("x", "res"), ("x",), conv.scratch_bytes,
    conv.weight_bytes_read, "conv",
)  # fmt: skip
_DEPTHWISE = Kernel(
    "mcf_dwconv2d", "mcf_conv.h", conv.pack_depthwise, ("x", "res"), ("x",),
    conv.depthwise_scratch_bytes, conv.depthwise_weight_bytes_read,
)  # fmt: skip
_FACETS: Mapping[str, Any] = {
    "numbers": _NUMBERS, "nominal": _epilogue, "macs": _macs, "counted": "w", "weights": "w",
}  # fmt: skip


def _lowering(*onnx: str) -> Lowering:
    return Lowering("lower_linear.lower_weighted", _computed_weights, onnx, weighted=True)


_TOKENS = _lowering("MatMul", "Gemm", "BatchNormalization")
_CONVOLUTION = _lowering("Conv", "ConvTranspose", "AveragePool", "BatchNormalization")

ROWS = (
    IntOp("q_linear", _OPERANDS, "rows", _linear, evaluate.q_linear, {"linear": _TOKENS}, _LINEAR,
          Cost("linear", linear.instructions, _COST_ATTRS), cut=True, **_FACETS),
    IntOp("q_conv2d", _OPERANDS, "lines", _conv2d, evaluate.q_conv2d, {"conv2d": _CONVOLUTION}, _CONV,
          Cost("conv2d", conv.instructions, _COST_ATTRS), **_FACETS),
    IntOp("q_patch_embed", _OPERANDS, "lines", _patches, evaluate.q_conv2d,
          {"patch_embed": _CONVOLUTION}, _CONV, Cost("conv2d", conv.instructions, _COST_ATTRS), **_FACETS),
    IntOp("q_dwconv2d", _CHANNELS, "lines", _depthwise, evaluate.q_dwconv2d, {"conv2d": _CONVOLUTION},
          _DEPTHWISE, Cost("dwconv2d", conv.depthwise_instructions, _COST_ATTRS), **_FACETS),
)  # fmt: skip
