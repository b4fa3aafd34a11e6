"""What the kernels of matrix products read of an operation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.types import ITEM_BYTES, TensorType

TYPES: Mapping[str, int] = {"int8": 0, "uint8": 1, "int16": 2}  # MCF_S8, MCF_U8, MCF_S16


# An int, or an int64 array of any shape: formulas without branches cost many calls at once.
Count = Any


class Values(Protocol):
    """What the kernels need of a Graph."""

    def type(self, name: str) -> TensorType: ...
    def const(self, name: str | None) -> NDArray | None: ...


def round4(n: Count) -> Count:
    return (n + 3) & ~3


def packed_channels(op: Op, n: int) -> int:
    """Output channels of a layer with those that pad every group to a multiple of 4."""
    groups = int(op.attrs.get("groups", 1))
    return int(groups * round4(n // groups))


def pick(condition: Count, yes: Count, no: Count) -> Count:
    """`yes` where `condition`, else `no`; both are evaluated."""
    if isinstance(condition, np.ndarray):
        return np.where(condition, yes, no)
    return yes if condition else no


def constant(graph: Values, name: str | None) -> NDArray:
    data = graph.const(name)
    assert data is not None, f"{name} is not constant"
    return data


def segments_of(op: Op, graph: Values) -> tuple[int, int, int]:
    """(pieces of a row of x, elements of a piece, bytes from one piece to the next)."""
    x = graph.type(str(op.inputs[0]))
    item = ITEM_BYTES[x.dtype]
    k = constant(graph, op.inputs[1]).shape[1]
    segments = int(op.attrs.get("segments", 1))
    return segments, k // segments, int(op.attrs.get("segment_stride", k * item))
