"""A product of two activations that is part of no fused attention: the `matmul` operator.

Scores and Probs (frontend/views.py) are emitted here when something asks for their numbers. Where the
axes of an operand lie is read from its index map; what lies in no order is moved first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import Index, Probs, Scores, Tensor, View
from mcuformer.ir import product
from mcuformer.ir.types import grid_ends

HIDDEN = -1e3  # a constant below is no bias, but hides a key
MASKED = -128.0
_SWAPPED = str.maketrans("mn", "nm")


@dataclass(frozen=True, slots=True)
class Side:
    """An operand: a tensor [rows, columns] and its layout, in which its vectors are "m"."""

    tensor: Tensor
    layout: str

    @property
    def rows(self) -> str:
        return self.layout.split(".")[0]

    def is_tiled(self, vectors: int) -> bool:
        """Whether rows of a result can be made of its rows: batches, then its vectors."""
        names = self.rows.removesuffix("m")
        return set(names) <= set("gh") and (vectors == 1 or self.rows.endswith("m"))


def real(emit: Emitter, view: View) -> View:
    """`view`, its base a tensor, its scale and fill as they were: the product that it is of is emitted, once."""
    base = view.base
    if isinstance(base, Tensor):
        return view
    if base not in emit.products:
        outer = emit.origin
        scores = base.scores if isinstance(base, Probs) else base
        emit.origin = tuple(dict.fromkeys((*scores.origin, *outer)))
        made = _scores(emit, scores, isinstance(base, Probs))
        emit.products[base] = _softmax(emit, made, base) if isinstance(base, Probs) else made
        grid = None if isinstance(base, Probs) else emit.score_grids.get(base)
        if grid is not None and grid_ends(*grid)[0] == 0 and isinstance(made.base, Tensor):
            emit.qdq.setdefault(made.base.name, grid)
        emit.origin = outer
    made = emit.products[base]
    return replace(view, base=made.base, index=np.append(made.index.reshape(-1), -1)[view.index])


def softmax(emit: Emitter, x: View, axis: int) -> View:
    """Over the last axis of tokens (not attention)."""
    x = emit.real(x)
    moved = np.moveaxis(x.index, axis, -1)
    rows = moved.reshape(-1, moved.shape[-1])
    order = np.arange(len(rows))
    if isinstance(x.base, Tensor) and x.base.name in emit.of_products:
        order = np.argsort(rows[:, 0], kind="stable")  # as they lie, so that nothing moves
    out = emit.op("softmax", [emit.place(x, rows[order]).name])
    made = np.empty(rows.shape, np.int64)
    made[order] = np.arange(rows.size).reshape(rows.shape)
    return View(out, np.moveaxis(made.reshape(moved.shape), -1, axis))


def _softmax(emit: Emitter, scores: View, probs: Probs) -> View:
    p = softmax(emit, scores, -1)
    if probs.kept is None:
        return p
    assert isinstance(p.base, Tensor)
    kept = np.empty(p.base_size, np.float64)
    kept[p.index.reshape(-1)] = np.repeat(probs.kept.reshape(-1), scores.shape[-1])
    name = emit.const("kept", kept.reshape(p.base.shape))
    return View(emit.op("mul", [p.base.name, name]), p.index)


def _scores(emit: Emitter, scores: Scores, towards_softmax: bool) -> View:
    """[B, M, N]."""
    made = _product(emit, scores, towards_softmax)
    return made if scores.bias is None else biased(emit, made, scores.bias)


def biased(emit: Emitter, x: View, bias: NDArray) -> View:
    """Scores with a constant added. What it masks lies MASKED below, where a softmax leaves nothing of
    it; the sum then has 16 bits, since a range of 8 would be that of the mask."""
    x = emit.unscaled(x)
    flat = np.empty(x.base_size, np.float64)
    flat[x.index.reshape(-1)] = np.broadcast_to(bias, x.shape).reshape(-1)
    assert isinstance(x.base, Tensor)
    masks = flat.min() < HIDDEN
    const = emit.const("bias", np.maximum(flat, MASKED).reshape(x.base.shape))
    attrs = {"masks": True} if masks else {}
    return View(emit.op("add", [x.base.name, const], attrs, "biased"), x.index)


def _product(emit: Emitter, scores: Scores, forwards: bool) -> View:
    """`forwards`: rows of the result are wanted along b's vectors. Else its rows are those of the
    operand that has more of them, which mostly are tokens."""
    m, n = scores.shape[1:]
    cut, left, right = _sides(emit, scores.a, scores.b)
    swap = not forwards and right.is_tiled(n) and (n > m or not left.is_tiled(m))
    if swap:
        left, right, m, n = right, left, n, m
    rows = left.rows if left.is_tiled(m) else _present("ghm", (*cut, m))
    columns = _present("gh", cut, without=rows)
    y = f"{rows}.{columns}{'n' if n > 1 else ''}"
    k = scores.a.shape[-1]
    sizes = (*cut, m, n, k)
    scale, rest = positive(scores.scale)
    attrs = {
        "a": left.layout, "b": right.layout.translate(_SWAPPED), "y": y, "sizes": sizes,
        "scale": scale,
    }  # fmt: skip
    out = emit.op("matmul", [left.tensor.name, right.tensor.name], attrs)
    named = dict(zip("ghmn", sizes, strict=False))
    numbers = np.arange(math.prod(out.shape)).reshape(1, *out.shape)
    index = product.arranged(numbers, y, named, "ghnm" if swap else "ghmn")
    return View(emit.scaled(out, rest), index.reshape(scores.shape))


def positive(scale: float) -> tuple[float, float]:
    """A scale that a product of activations may have, and what is left of it: 1, -1 or 0."""
    return abs(float(scale)) or 1.0, float(np.sign(scale))


def _present(axes: str, sizes: tuple[int, ...], without: str = "") -> str:
    pairs = zip(axes, sizes, strict=True)
    return "".join(x for x, size in pairs if size > 1 and x not in without)


def _sides(emit: Emitter, a: View, b: View) -> tuple[tuple[int, int], Side, Side]:
    """How batches are cut into g and h so that most of both operands lies in order, and both."""
    best: tuple[int, tuple[int, int]] = (-1, (1, a.shape[0]))
    for cut in _cuts(a.shape[0]):
        found = sum(_steps(x, cut) is not None for x in (a, b))
        if found > best[0]:
            best = found, cut
        if found == 2:
            break
    return best[1], _side(emit, a, best[1]), _side(emit, b, best[1])


def _cuts(batch: int) -> Iterator[tuple[int, int]]:
    for g in range(1, batch + 1):
        if batch % g == 0:
            yield g, batch // g


def _steps(view: View, cut: tuple[int, int]) -> tuple[int, ...] | None:
    """From one element to the next along g, h, m and k; None where they are not all alike."""
    index = view.index.reshape(*cut, *view.shape[1:])
    steps = []
    for axis, size in enumerate(index.shape):
        apart = np.diff(index, axis=axis)
        if size > 1 and (apart != apart.flat[0]).any():
            return None
        steps.append(int(apart.flat[0]) if size > 1 else 0)
    return tuple(steps) if min(steps) >= 0 and index.min() >= 0 else None


def _side(emit: Emitter, view: View, cut: tuple[int, int]) -> Side:
    """The operand as a tensor that holds each of its elements once, in an order of its axes."""
    index = view.index.reshape(*cut, *view.shape[1:])
    for axis in (0, 1):  # what several batches share
        if (index == index.take([0], axis)).all():
            index = index.take([0], axis)
    k = index.shape[3]
    ordered = emit.ordered(view.with_index(index.reshape(-1, k)))
    assert isinstance(ordered.base, Tensor)
    shape = index.shape
    found = _layout(ordered.index.reshape(shape), ordered.base.shape)
    if found is None:
        made = emit.place(ordered, ordered.index.reshape(-1, k), keep_scale=True)
        rows = _present("ghm", shape[:3])
        return Side(made, f"{rows}.{'k' if k > 1 else ''}")
    layout, matrix = found
    return Side(emit.reshape(ordered.base, matrix), layout)


def _layout(index: Index, shape: tuple[int, ...]) -> tuple[str, tuple[int, int]] | None:
    """The layout of index[g, h, m, k] into all of a base, and the matrix that this is."""
    axes = [(name, axis) for axis, name in enumerate("ghmk") if index.shape[axis] > 1]
    first = index.reshape(-1)[:1]
    apart = {name: int(index.take(1, axis).reshape(-1)[0] - first[0]) for name, axis in axes}
    axes.sort(key=lambda pair: -apart[pair[0]])
    order = [axis for _, axis in axes]
    rest = [axis for axis in range(4) if axis not in order]
    flat = index.transpose(*rest, *order).reshape(-1)
    if (flat != np.arange(flat.size)).any():
        return None
    sizes = [index.shape[axis] for axis in order]
    for at in range(len(sizes) + 1):  # the base's own matrix, if it ends between axes
        if math.prod(sizes[at:]) == shape[-1]:
            return _cut(axes, sizes, at)
    return _cut(axes, sizes, max(0, len(sizes) - 1))


def _cut(axes: list[tuple[str, int]], sizes: list[int], at: int) -> tuple[str, tuple[int, int]]:
    names = "".join(name for name, _ in axes)
    return f"{names[:at]}.{names[at:]}", (math.prod(sizes[:at]), math.prod(sizes[at:]))


def mixed(emit: Emitter, x: View, w: NDArray) -> View | None:
    """x[..., K] @ w[K, N] where K lies between other axes (heads of scores), which nothing has to move
    for: a product with a constant. None where it does not lie so."""
    k, n = w.shape
    ordered = emit.ordered(x.with_index(x.index.reshape(-1, k)))
    index = ordered.index
    if k < 2 or not len(index) or (np.diff(index, axis=1) != index[0, 1] - index[0, 0]).any():
        return None
    inner = int(index[0, 1] - index[0, 0])
    size = index.size
    if inner < 2 or size % (k * inner) or not ordered.is_bijective():
        return None
    outer, column = np.divmod(index[:, 0], k * inner)
    if (column >= inner).any():
        return None
    assert isinstance(ordered.base, Tensor)
    rows = size // (k * inner)
    source = emit.reshape(ordered.base, (rows, k * inner))
    weights = emit.const("mix", w * x.scale)
    g = "g" if rows > 1 else ""
    attrs = {
        "a": f"{g}.km", "b": f"k.{'n' if n > 1 else ''}", "y": f"{g}.{'n' if n > 1 else ''}m",
        "sizes": (rows, 1, inner, n, k), "scale": 1.0,
    }  # fmt: skip
    out = emit.op("matmul", [source.name, weights], attrs, "mixed")
    made = (outer * (n * inner) + column)[:, None] + np.arange(n) * inner
    return View(out, made.reshape(*x.shape[:-1], n))
