"""What a converted ONNX tensor is: elements of a canonical tensor, named one by one.

`View.index` has the ONNX tensor's shape and holds flat element numbers of its base, so every
Reshape, Transpose, Split, Slice is the same operation on `index` (docs/adr/0001). -1 is `fill`, mostly a zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.onnx_ops.base import wrapped

Index = NDArray[np.int64]


class Unsupported(Exception):
    """Why one node cannot be compiled; collected, reported together."""


class OwnFault(Unsupported):
    """By its attributes and constants alone: true whatever its activations are made of."""


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A value of the canonical graph, [T, C] or [H, W, C]."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Opaque(Tensor):
    """What a refused node would have made: of this shape, and nothing else is known of it.

    It stands there so that what comes behind is judged as well. `apart`: it is the very result of an
    operator that no pattern (a normalisation written out, a GELU) holds.
    """

    apart: bool


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """scale * a.b + bias, not computed: a[B, M, d], b[B, N, d] element numbers; [B, M, N]."""

    a: View
    b: View
    scale: float
    bias: NDArray | None
    shape: tuple[int, int, int]
    origin: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Probs:
    """softmax of scores over its last axis (queries first: a are the queries); [B, Tq, Tk].

    `kept`: 0 for queries [B, Tq] that see no key, whose row is 0, else 1; None where all see some.
    """

    scores: Scores
    shape: tuple[int, int, int]
    kept: NDArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """scale * base.flat[index], scale * fill where the index is -1."""

    base: Tensor | Scores | Probs
    index: Index
    scale: float = 1.0
    fill: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.index.shape

    @property
    def base_size(self) -> int:
        return math.prod(self.base.shape)

    def with_index(self, index: NDArray) -> View:
        return replace(self, index=np.asarray(index, np.int64))

    def transposed(self) -> View:
        """Its last two axes."""
        return self.with_index(np.swapaxes(self.index, -1, -2))

    def along(self, axes: Sequence[int], keepdims: bool) -> tuple[Index, tuple[int, ...]]:
        """Element numbers [reduced, kept] of a reduction over `axes`, and the shape of its result."""
        shape = self.shape
        reduced = sorted({wrapped(a, len(shape)) for a in axes})
        kept = [a for a in range(len(shape)) if a not in reduced]
        count = math.prod(shape[a] for a in reduced)
        result = tuple(
            1 if a in reduced else shape[a] for a in range(len(shape)) if keepdims or a in kept
        )
        return self.index.transpose(*reduced, *kept).reshape(count, -1), result

    def is_bijective(self) -> bool:
        """Every element of the base exactly once."""
        if self.index.size != self.base_size:
            return False
        seen = np.zeros(self.base_size, np.bool_)
        if self.index.size and self.index.min() < 0:
            return False
        seen[self.index.reshape(-1)] = True
        return bool(seen.all())


def is_opaque(x: object) -> bool:
    """Whether `x` is, or is made of, what a refused node would have made."""
    base = x.base if isinstance(x, View) else None
    if isinstance(base, Probs):
        base = base.scores
    if isinstance(base, Scores):
        return is_opaque(base.a) or is_opaque(base.b)
    return isinstance(base, Opaque)


def whole(base: Tensor, shape: tuple[int, ...] | None = None) -> View:
    """All of `base` in its own order, as an ONNX tensor of `shape`."""
    return View(base, np.arange(math.prod(base.shape)).reshape(shape or base.shape))


def is_arange(index: NDArray) -> bool:
    return bool((index.reshape(-1) == np.arange(index.size)).all())


def granule(index2: Index, channels: int) -> int:
    """Length of the longest aligned runs that index2[M, K] moves; divides K and `channels`."""
    g = math.gcd(index2.shape[1], channels)
    for size in sorted((d for d in range(1, g + 1) if g % d == 0), reverse=True):
        runs = index2.reshape(-1, size)
        if (runs[:, 0] % size == 0).all() and (runs == runs[:, :1] + np.arange(size)).all():
            return size
    return 1
