"""Operands of a node, as its handler wants them: activations, constants, what a file says of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import OwnFault, Unsupported, View
from mcuformer.ir.graph import Op

Operands = Sequence[Operand | None]


def file_scales(emit: Emitter, op: Op, i: int, axis: int) -> NDArray | None:
    """Per output channel (`axis` of the weight), the scales that a QDQ file gives input `i`."""
    table = emit.graph.meta.get("qdq_weights", {})
    name = op.inputs[i]
    if name not in table or name is None:
        return None
    scale, along = table[name]
    shape = emit.graph.type(name).shape
    if along is None:
        return np.full(shape[axis], float(scale[0]))
    return np.asarray(scale) if along == axis % len(shape) else None


def activation(args: Operands, i: int) -> View:
    if i >= len(args) or not isinstance(args[i], View):
        raise Unsupported(
            f"looked for an activation, found a constant as input {i}: fold it (onnxslim)"
        )
    value = args[i]
    assert isinstance(value, View)
    return value


def constant(args: Operands, i: int) -> NDArray | None:
    value = args[i] if i < len(args) else None
    if isinstance(value, View):
        raise Unsupported(
            f"looked for a constant as input {i}, found one that depends on the model's input"
        )
    return value


def wanted(args: Operands, i: int) -> NDArray:
    value = constant(args, i)
    if value is None:
        raise OwnFault(f"malformed: input {i} is missing")
    return value


def both(args: Operands) -> tuple[Operand, Operand]:
    a, b = args
    assert a is not None and b is not None
    return a, b
