"""The value side of the IR: element types, quantisation parameters, tensor types, values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.util.speed import record

DTYPES: Mapping[str, np.dtype] = {
    name: np.dtype(name)
    for name in ("float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool")
}
LIMITS: Mapping[str, tuple[int, int]] = {
    name: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    for name, dtype in DTYPES.items()
    if dtype.kind in "iu"
}
"""(least, largest) number of an integer type; numpy makes an object for it at every call."""
ITEM_BYTES: Mapping[str, int] = {name: dtype.itemsize for name, dtype in DTYPES.items()}


@dataclass(frozen=True, slots=True, eq=False)
class QParams:
    """real = scale * (q - zero_point); each is a scalar () or one entry per last-axis channel (C,).

    `zero_point` is integral everywhere except on a raw-pixel graph input, where the float mean
    of a channel (255 * mean) is its zero point and is absorbed by the first layer's bias.
    """

    scale: NDArray[np.float64]
    zero_point: NDArray[np.float64]

    def quantise(self, real: NDArray, dtype: str) -> NDArray:
        """Round half up and saturate to `dtype`."""
        q = np.floor(np.asarray(real, np.float64) / self.scale + self.zero_point + 0.5)
        return np.clip(q, *LIMITS[dtype]).astype(DTYPES[dtype])

    def dequantise(self, q: NDArray) -> NDArray[np.float64]:
        return self.scale * (np.asarray(q, np.float64) - self.zero_point)


@record(frozen=True, slots=True, eq=False)
class TensorType:
    """Shape (no batch axis), element type and, in the integer stage, quantisation parameters."""

    shape: tuple[int, ...]
    dtype: str
    qparams: QParams | None = None

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    def __str__(self) -> str:
        return f"{self.dtype}[{'x'.join(map(str, self.shape))}]"


@record(frozen=True, slots=True, eq=False)
class Value:
    """A named tensor; `data` is set for constants only."""

    name: str
    type: TensorType
    data: NDArray | None = None

    @property
    def is_const(self) -> bool:
        return self.data is not None


def grid_ends(scale: float, zero_point: int, dtype: str) -> tuple[float, float]:
    """The least and the largest real number that the type holds; others saturate there."""
    low, high = LIMITS[dtype]
    return scale * (low - zero_point), scale * (high - zero_point)
