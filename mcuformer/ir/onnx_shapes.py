"""Result types of ONNX operators, computed without touching or allocating data."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.optable import ONNX_STAGE
from mcuformer.ir.types import TensorType


def infer(
    op: Op, types: Sequence[TensorType | None], data: Sequence[NDArray | None]
) -> list[TensorType]:
    """Types of the results; `data`: the inputs that are constants. ValueError where ill-formed."""
    row = ONNX_STAGE.get(op.kind)
    if row is None:
        raise ValueError(f"operator {op.kind} is unknown")
    first = row.dtype(op, types, data)
    return [
        TensorType(tuple(int(d) for d in shape), (row.later or first) if i else first)
        for i, shape in enumerate(row.shape(op, types, data))
    ]
