"""Names of the functions of one argument: `relu`, or with numbers `clip(-1.0, 1.0)`.

The attribute `fn` of an operation is such a name. Tables of functions are keyed by what stands
before the parenthesis; the numbers follow x as arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from numpy.typing import NDArray

Function = Callable[..., NDArray]


def named(name: str, *numbers: float) -> str:
    return f"{name}({', '.join(repr(float(n)) for n in numbers)})"


def split(fn: str) -> tuple[str, tuple[float, ...]]:
    """The name and the numbers of `fn`."""
    name, _, rest = fn.partition("(")
    return name, tuple(float(n) for n in rest.rstrip(")").split(",") if n)


def function(table: Mapping[str, Function], fn: str) -> Callable[[NDArray], NDArray]:
    """The function of `table` that `fn` means."""
    name, numbers = split(fn)
    known = table[name]
    return (lambda x: known(x, *numbers)) if numbers else known


def clamp_bounds(fn: str | None) -> tuple[float, float] | None:
    """(low, high) of a function that only cuts its argument there, else None."""
    if fn is None:
        return None
    name, numbers = split(fn)
    if name == "clip":
        return numbers[0], numbers[1]
    return {"relu": (0.0, math.inf), "relu6": (0.0, 6.0)}.get(name)
