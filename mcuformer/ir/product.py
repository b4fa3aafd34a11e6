"""Products of two activations: which axis lies where in a matrix, and the batched product itself.

y[g,h,m,n] = sum over k of a[g,h,m,k] * b[g,h,n,k]. An operand is a matrix [rows, columns]; its layout
names the axes that its rows and its columns run through, the slowest first: "gm.hk" has a row for every
m of every g, and the k of all heads h side by side. An axis of size 1 is named nowhere, and one that an
operand lacks is the same for all of it (keys that several heads share).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LETTERS = "ghmnk"
A, B, Y = "ghmk", "ghnk", "ghmn"
"""The axes of the operands and of the result, as they are multiplied."""
_EXACT = 2**53  # float64 holds integers below


def sizes_of(attrs: Mapping[str, Any]) -> dict[str, int]:
    return dict(zip(LETTERS, attrs["sizes"], strict=True))


def matrix(layout: str, sizes: Mapping[str, int]) -> tuple[int, int]:
    """Shape of a matrix that lies so."""
    rows, columns = layout.split(".")
    return math.prod(sizes[x] for x in rows), math.prod(sizes[x] for x in columns)


def steps(layout: str, sizes: Mapping[str, int], wanted: str) -> list[tuple[int, int]]:
    """(rows, columns) from one element to the next along each of `wanted`; 0 where it does not lie."""
    found: dict[str, tuple[int, int]] = {}
    for side, names in enumerate(layout.split(".")):
        step = 1
        for name in reversed(names):
            found[name] = (step, 0) if side == 0 else (0, step)
            step *= sizes[name]
    return [found.get(name, (0, 0)) for name in wanted]


def is_row_wise(attrs: Mapping[str, Any]) -> bool:
    """Whether row i of the result needs row i of a, and no other."""
    rows: tuple[str, str] = (attrs["a"].split(".")[0], attrs["y"].split(".")[0])
    return rows[0] == rows[1]


def problem(attrs: Mapping[str, Any]) -> str | None:
    """What is wrong with the layouts; None where nothing is."""
    sizes = sizes_of(attrs)
    for operand, axes in (("a", A), ("b", B), ("y", Y)):
        layout: str = attrs[operand]
        names = layout.replace(".", "", 1)
        if layout.count(".") != 1 or len(set(names)) != len(names) or not set(names) <= set(axes):
            return f"layout {layout} of {operand} has axes other than {axes}"
        own = set(axes) if operand == "y" else set(axes) - set("gh")
        if any(sizes[x] > 1 and x not in names for x in own):
            return f"layout {layout} of {operand} lacks an axis"
    if "n" in attrs["y"].split(".")[0] or "m" in attrs["y"].split(".")[0][:-1]:
        return f"layout {attrs['y']} of y: its rows are batches, then m"
    return None


def arranged(x: NDArray, layout: str, sizes: Mapping[str, int], wanted: str) -> NDArray:
    """x[..., rows, columns] as [..., *wanted], of size 1 where it has no such axis."""
    names = layout.replace(".", "")
    lead = x.shape[:-2]
    x = x.reshape((*lead, *(sizes[name] for name in names)))
    there = [name for name in wanted if name in names]
    x = x.transpose((*range(len(lead)), *(len(lead) + names.index(name) for name in there)))
    return x.reshape((*lead, *(sizes[name] if name in names else 1 for name in wanted)))


def laid(y: NDArray, layout: str, sizes: Mapping[str, int]) -> NDArray:
    """y[..., g, h, m, n] as the matrix that lies so."""
    names, lead = layout.replace(".", ""), y.ndim - len(Y)
    rest = [lead + i for i, name in enumerate(Y) if name not in names]
    order = [lead + Y.index(name) for name in names]
    moved = y.transpose((*range(lead), *rest, *order))
    return moved.reshape((*y.shape[:lead], *matrix(layout, sizes)))


def product(attrs: Mapping[str, Any], a: NDArray, b: NDArray) -> NDArray:
    """Of float matrices, with or without a batch in front of either, less the factor."""
    sizes = sizes_of(attrs)
    left = arranged(a, attrs["a"], sizes, "ghmk")
    right = arranged(b, attrs["b"], sizes, "ghkn")
    y = np.matmul(left, right)
    shape = (*y.shape[:-4], sizes["g"], sizes["h"], *y.shape[-2:])
    return laid(np.broadcast_to(y, shape), attrs["y"], sizes)


def exact_product(attrs: Mapping[str, Any], a: NDArray, b: NDArray) -> NDArray[np.int64]:
    """The same of integers."""
    most = (int(np.abs(x).max(initial=0)) for x in (a, b))
    if math.prod(most) * sizes_of(attrs)["k"] < _EXACT:
        return product(attrs, a.astype(np.float64), b.astype(np.float64)).astype(np.int64)
    return product(attrs, a.astype(np.int64), b.astype(np.int64))
