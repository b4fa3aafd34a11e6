"""Constants of which only shape and type matter.

A graph of shapes alone (`Graph.shapes_only`) has them in place of its weights. Passes and lowering
say for each constant they make which shape it has and how it is computed; of such a graph nothing
is computed, so a network of ten million weights costs no memory and next to no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.types import TensorType, Value

_ONE: Mapping[str, NDArray] = {
    n: np.ones((), n) for n in ("int8", "uint8", "int16", "uint16", "int32", "float32")
}


@lru_cache(1 << 14)
def _typed(dtype: str, shape: tuple[int, ...]) -> tuple[TensorType, NDArray]:
    return TensorType(shape, dtype), np.broadcast_to(_ONE[dtype], shape)


def placeholder(dtype: str, shape: tuple[int, ...]) -> NDArray:
    """A constant that costs no memory: a zero-stride view of one number."""
    return _typed(dtype, shape)[1]


def constant(name: str, dtype: str, shape: tuple[int, ...]) -> Value:
    type_, data = _typed(dtype, shape)
    return Value(name, type_, data)
