"""What an ONNX operator in numpy looks like: attributes and arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Attrs = Mapping[str, Any]
Args = Sequence[NDArray | None]
Kernel = Callable[[Attrs, Args, int], tuple[NDArray, ...]]


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
