"""What the row of an ONNX operator holds, and helpers to evaluate and shape one.

Evaluation takes attributes, arrays and the number of outputs. Shape rules touch no data: they take
the operation, its operands' types, and the operands that are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.types import TensorType

Attrs = Mapping[str, Any]
Args = Sequence[NDArray | None]
NodeEvaluation = Callable[[Attrs, Args, int], tuple[NDArray, ...]]
Shape = tuple[int, ...]
Types = Sequence[TensorType | None]
NodeShapeRule = Callable[[Op, Types, Args], list[Shape]]
TypeRule = Callable[[Op, Types, Args], str]
Use = Literal["compiled", "moved", "folded", "removed"]


@dataclass(frozen=True, slots=True)
class OnnxOp:
    """`domain` is "" for ONNX's own.

    `use`: "compiled" runs on the device; "moved" becomes an index map, which costs nothing or one
    copy; "folded" is understood on constants and shapes only; "removed" is the identity. `dtype` is
    that of the first result, `later` that of the others.
    """

    name: str
    use: Use
    shape: NodeShapeRule
    dtype: TypeRule
    evaluate: NodeEvaluation
    notes: str = ""
    later: str = ""
    domain: str = ""


def operand_type(i: int) -> TypeRule:
    """The element type of operand `i`, or of the next one that is there."""

    def rule(op: Op, types: Types, data: Args) -> str:
        return next((t.dtype for t in types[i:] if t is not None), "float32")

    return rule


def fixed(dtype: str) -> TypeRule:
    return lambda op, types, data: dtype


FIRST, BOOL, INDEX = operand_type(0), fixed("bool"), fixed("int64")


def shape_of(types: Types, i: int) -> Shape:
    t = types[i] if i < len(types) else None
    if t is None:
        raise ValueError(f"input {i} is missing")
    return t.shape


def ints_of(data: Args, i: int, what: str) -> list[int]:
    """The constant operand `i` as Python ints; `what` it is, for the error."""
    value = ints(data, i)
    if value is None:
        raise ValueError(f"{what} is not constant")
    return value


def broadcast(op: Op, types: Types, data: Args) -> list[Shape]:
    shape = np.broadcast_shapes(*(t.shape for t in types if t is not None))
    return [shape] * len(op.outputs)


def same_shape(op: Op, types: Types, data: Args) -> list[Shape]:
    return [shape_of(types, 0)] * len(op.outputs)


def by_zeros(evaluate: NodeEvaluation) -> NodeShapeRule:
    """Run the operator on zeros that occupy one byte: for those that view or shrink their input."""

    def rule(op: Op, types: Types, data: Args) -> list[Shape]:
        shape = shape_of(types, 0)
        for i, (t, d) in enumerate(zip(types[1:], data[1:], strict=True), 1):
            if t is not None and d is None:
                raise ValueError(f"input {i} is not constant")
        zeros = np.broadcast_to(np.zeros((), np.int8), shape)
        return [y.shape for y in evaluate(op.attrs, [zeros, *data[1:]], len(op.outputs))]

    return rule


def need(args: Args, i: int) -> NDArray:
    """Input `i`, which the operator cannot do without."""
    if i >= len(args) or args[i] is None:
        raise ValueError(f"input {i} is missing")
    value = args[i]
    assert value is not None
    return value


def optional(args: Args, i: int) -> NDArray | None:
    return args[i] if i < len(args) else None


def ints(args: Args, i: int) -> list[int] | None:
    """Optional input `i` as a list of Python ints."""
    value = optional(args, i)
    return None if value is None else [int(v) for v in np.asarray(value).reshape(-1)]


def axes_of(attrs: Attrs, args: Args, i: int) -> list[int] | None:
    """Axes from input `i` (new opsets) or the attribute (old ones); None when not given."""
    given = ints(args, i)
    if given is None and attrs.get("axes") is not None:
        given = [int(a) for a in attrs["axes"]]
    return given


def stable(f: Callable[..., NDArray]) -> Callable[..., NDArray]:
    """`f` with overflow and the like silent, as IEEE arithmetic in onnxruntime is."""

    def quiet(*args: NDArray) -> NDArray:
        with np.errstate(all="ignore"):
            return f(*args)

    return quiet


def wrapped(axis: int, rank: int) -> int:
    """An ONNX axis, which may count from the end, as 0..rank-1."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of a tensor with {rank} axes")
    return axis % rank
