"""Sums, products, the larger of two, tables, means, softmax and argmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mcuformer.ir import int_ops_simple as evaluate
from mcuformer.ir.functions import SPELLINGS
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_attention import q_softmax
from mcuformer.ir.optable import CANONICAL, Shape
from mcuformer.kernels import elementwise as kernels
from mcuformer.operators.row import (
    Cost,
    IntOp,
    Kernel,
    Lowering,
    Sums,
    as_it_is,
    first,
    named,
    none,
    per_channel,
    same,
    want,
)

MOST_CLASSES = 32768  # of an argmax
HEADER = "mcf_elementwise.h"


def _mean(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = first(s)
    per_channel(s, x[-1], 1, 2, 3)
    return (1, x[-1])


def _repeated(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    """The larger operand; the other one is repeated over rows, channels or both."""
    x, y = first(s), s[1]
    want(y is not None, "its second operand is missing")
    assert y is not None
    wide, narrow = (x, y) if len(x) >= len(y) else (y, x)
    narrow = (*(1,) * (len(wide) - len(narrow)), *narrow)
    want(
        all(a == b or 1 in (a, b) for a, b in zip(wide, narrow, strict=True)),
        f"operands {x} and {y} do not match",
    )
    return tuple(max(a, b) for a, b in zip(wide, narrow, strict=True))


def _grows(graph: Graph, op: Op) -> str | None:
    shapes = [graph.type(str(n)).shape for n in op.inputs if graph.const(n) is None]
    if len(shapes) == 1 and shapes[0] != graph.type(op.outputs[0]).shape:
        return "an activation that is repeated for the rows or channels of a constant"
    return None


def _odd_index(graph: Graph, op: Op) -> str | None:
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


def _cost(name: str, *attrs: str) -> Cost:
    return Cost(name, partial(kernels.instructions, rate_of=name), frozenset(attrs))


_ADD = Kernel("mcf_add", HEADER, partial(kernels.pack_add, names=("a", "b")), ("a", "b"),
              column=kernels.is_column)  # fmt: skip
_MUL = Kernel("mcf_mul", HEADER, kernels.pack_mul, ("a", "b"), scratch_bytes=kernels.gate_factors,
              column=kernels.is_column)  # fmt: skip
_LARGER = Kernel("mcf_max", HEADER, kernels.pack_max, ("a", "b"), column=kernels.is_column)
_REQUANT = Kernel("mcf_requant", HEADER, partial(kernels.pack_add, names=("a",)), ("a",))
_UNARY = Kernel("mcf_unary", HEADER, kernels.pack_unary, ("x",))
_SOFTMAX = Kernel("mcf_softmax", HEADER, kernels.pack_softmax, ("x",),
                  scratch_bytes=kernels.row_of_exponentials)  # fmt: skip
_ARGMAX = Kernel("mcf_argmax", HEADER, kernels.pack_argmax, ("x",))
_MEAN = Kernel("mcf_mean_partial", HEADER, kernels.pack_mean, ("x",), sums=Sums(
    lambda op, graph: 4 * kernels.channels_of(op, graph), "mcf_mean_finish",
    lambda op, graph: 8 * kernels.channels_of(op, graph)))  # fmt: skip
_PLAIN: Mapping[str, Any] = {"nominal": as_it_is, "macs": none}
_SUM = Lowering("lower_simple.lower_add", _grows, ("Add", "Sub", "Sum", "Mean", "Where", "Col2Im"))
_PRODUCT = Lowering(
    "lower_simple.lower_mul", _grows, ("Mul", "Div", "Neg", "Pow", "Trilu", "RotaryEmbedding")
)
_EXTREME = Lowering("lower_extreme.lower_max", _grows, ("Max", "Min"))
_UNARY_OPS = (*SPELLINGS, "LogSoftmax", "PRelu", "Erf", "Clip", "Max", "Min")
_TABLE = Lowering("lower_simple.lower_unary", onnx=_UNARY_OPS, one_scale="both")
_INDEX = Lowering("lower_simple.lower_argmax", _odd_index, ("ArgMax", "ArgMin"), one_scale="in")

ROWS = (
    IntOp("q_add", named("a:-1", "b:-1", "ma:0", "mb:0", "offset:0"), "rows", _repeated,
          evaluate.q_add, {"add": _SUM}, _ADD, _cost("add"), frozenset({"shift"}), counted=None,
          cut=True, broadcast=True, **_PLAIN),
    IntOp("q_mul", named("a:-1", "b:-1", "mult:0", "offset:0"), "rows", _repeated, evaluate.q_mul,
          {"mul": _PRODUCT}, _MUL, _cost("mul"),
          frozenset({"a_zp", "b_zp", "shift", "acc_shift"}), counted="b", cut=True, broadcast=True,
          **_PLAIN),
    IntOp("q_max", named("a:-1", "b:-1", "ma?:0", "mb?:0", "oa?:0", "ob?:0"), "rows", _repeated,
          evaluate.q_max, {"max": _EXTREME}, _LARGER, _cost("max"), frozenset({"shift"}),
          counted=None, cut=True, broadcast=True, **_PLAIN),
    IntOp("q_requant", named("a:-1", "ma:0", "offset:0"), "rows", same, evaluate.q_requant,
          {"requant": Lowering("lower_simple.lower_requant",
          onnx=("QuantizeLinear", "DequantizeLinear")), "add": _SUM, "mul": _PRODUCT},
          _REQUANT, _cost("requant"), frozenset({"shift"}), counted="ma", cut=True, **_PLAIN),
    IntOp("q_unary", named("x:-1", "table"), "rows", same, evaluate.q_unary,
          {"unary": _TABLE}, _UNARY, _cost("unary"), frozenset(), counted="table", cut=True, **_PLAIN),
    IntOp("q_softmax", named("x"), "rows", same, q_softmax,
          {"softmax": Lowering("lower_attention.lower_softmax", onnx=("Softmax",), one_scale="both")}, _SOFTMAX,
          _cost("softmax", "pre_shift"), frozenset({"m", "o_mant", "o_exp", "zp"}), counted=None,
          **_PLAIN),
    IntOp("q_argmax", named("x"), "rows", CANONICAL["argmax"].infer, evaluate.q_argmax,
          {"argmax": _INDEX}, _ARGMAX, _cost("argmax"), frozenset(), counted=None, **_PLAIN),
    IntOp("q_mean", named("x:-1", "bias:0", "mult:0", "offset:0"), "mean", _mean, evaluate.q_mean,
          {"mean": Lowering("lower_simple.lower_mean",
          onnx=("ReduceMean", "ReduceSum", "ReduceL1", "ReduceLogSum", "ReduceLogSumExp",
                "GlobalAveragePool"))}, _MEAN, _cost("mean"),
          frozenset({"shift", "acc_shift"}), counted="bias", **_PLAIN),
)  # fmt: skip
