"""Attention from its parts: MatMul -> Scores, Softmax -> Probs, MatMul -> one `attention` operator.

Nothing is emitted before the second product; which head and which token an element belongs to is
read from the index maps alone. What is no such attention is computed product by product
(frontend/products.py).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend import arithmetic, products
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import Probs, Scores, Tensor, Unsupported, View

LOWEST_BIAS = -1e4  # stands for -inf: exp() of it is 0 beside any score
_SWALLOWED = -1e7  # from here on float32 has steps of 1 and more, which leave nothing of a score
_FAR = 64.0  # a row that lies as far out is moved back: the integers' scores reach +-176


class NotFused(Unsupported):
    """Products that are no attention of whole heads."""


def product(emit: Emitter, a: View, b: View) -> View:
    """MatMul of two activations: scores, or probabilities times values."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = a.with_index(np.broadcast_to(a.index, (*lead, *a.shape[-2:])))
    b = b.with_index(np.broadcast_to(b.index, (*lead, *b.shape[-2:])))
    try:
        if _weighs(emit, a, b):
            return _values(emit, a, b)
        if _weighs(emit, b.transposed(), a.transposed()):  # V^T P^T = (P V)^T
            return _values(emit, b.transposed(), a.transposed()).transposed()
    except NotFused:
        pass
    return _scores(emit, emit.real(a), emit.real(b.transposed()), lead)


def _weighs(emit: Emitter, p: View, v: View) -> bool:
    """Whether `p` are probabilities of keys that are computed, as the values `v` are."""
    if not isinstance(p.base, Probs) or not isinstance(v.base, Tensor):
        return False
    keys = p.base.scores.b.base
    assert isinstance(keys, Tensor)
    return all(emit.builder.values[x.name].data is None for x in (keys, v.base))


def constant_query(emit: Emitter, q: NDArray, k: View) -> View:
    """Scores of constant queries q[..., Tq, d] (attention pooling) against k[..., d, Tk]."""
    rows = q.reshape(-1, *q.shape[-2:]).swapaxes(0, 1)  # [Tq, heads, d], as activations lie
    name = emit.const("q", rows.reshape(q.shape[-2], -1))
    index = np.arange(q.size).reshape(rows.shape).swapaxes(0, 1).reshape(q.shape)
    return product(emit, View(Tensor(name, emit.builder.values[name].type.shape), index), k)


def _scores(emit: Emitter, a: View, b: View, lead: tuple[int, ...]) -> View:
    batch = math.prod(lead)
    shape = (batch, a.shape[-2], b.shape[-2])
    flat_a = a.with_index(a.index.reshape(batch, *a.shape[-2:]))
    flat_b = b.with_index(b.index.reshape(batch, *b.shape[-2:]))
    base = Scores(flat_a, flat_b, a.scale * b.scale, None, shape, emit.origin)
    return View(base, np.arange(math.prod(shape)).reshape(*lead, *shape[1:]))


def softmax(emit: Emitter, view: View, axis: int) -> View:
    """Of scores over their keys nothing is emitted."""
    fused = _over_keys(emit, view, axis)
    return products.softmax(emit, view, axis) if fused is None else fused


def _over_keys(emit: Emitter, view: View, axis: int) -> View | None:
    """Softmax over keys, whichever of the two operands they are; None where it is over something else."""
    scores = view.base
    if not isinstance(scores, Scores):
        return None
    scores = replace(scores, origin=(*scores.origin, *emit.origin))
    if not view.is_bijective():
        return None
    moved = np.moveaxis(view.index, axis, -1)
    keys = moved.reshape(-1, moved.shape[-1])
    _, m, n = scores.shape
    if moved.shape[-1] == n and (np.diff(keys) == 1).all() and (keys[:, 0] % n == 0).all():
        return View(_probs(emit, scores, view.scale, swap=False), view.index)
    if moved.shape[-1] == m and (m == 1 or (np.diff(keys) == n).all()):
        # transposed scores: the queries are operand b
        b, rest = np.divmod(view.index, m * n)
        row, col = np.divmod(rest, n)
        return View(_probs(emit, scores, view.scale, swap=True), b * m * n + col * m + row)
    return None


def without_rows(emit: Emitter, p: View, hidden: NDArray[np.bool_]) -> View:
    """Probabilities p[..., Tq, Tk], 0 in the rows hidden[..., Tq], which see no key."""
    if not hidden.any():
        return p
    kept = np.where(hidden, 0.0, 1.0)[..., None]
    probs = p.base
    if not isinstance(probs, Probs) or not p.is_bijective() or p.shape[-1] != probs.shape[-1]:
        return arithmetic.multiply(emit, p, kept)
    flat = np.empty(p.base_size, np.float64)
    flat[p.index.reshape(-1)] = np.broadcast_to(kept, p.shape).reshape(-1)
    rows = flat.reshape(probs.shape)
    if (rows != rows[..., :1]).any():
        return arithmetic.multiply(emit, p, kept)
    return replace(p, base=replace(probs, kept=rows[..., 0]))


def _probs(emit: Emitter, scores: Scores, scale: float, swap: bool) -> Probs:
    a, b, bias, shape = scores.a, scores.b, scores.bias, scores.shape
    if swap:
        a, b, shape = b, a, (shape[0], shape[2], shape[1])
        bias = None if bias is None else bias.transpose(0, 2, 1)
    if bias is not None:
        bias, swallowed = _rows_from_their_top(bias * scale)
        if swallowed.any():
            a = arithmetic.multiply(emit, a, np.where(swallowed, 0.0, 1.0)[..., None])
    return Probs(Scores(a, b, scores.scale * scale, bias, shape, scores.origin), shape)


def _values(emit: Emitter, p: View, v: View) -> View:
    """Emit the operator for probabilities p[..., Tq, Tk] and values v[..., Tk, dv]."""
    probs = p.base
    assert isinstance(probs, Probs)
    batch, tq, tk = probs.shape
    maps = _whole_heads(p, batch, tq * tk)
    order = maps[:, 0] // (tq * tk)  # score batch of every value batch
    values = np.empty((batch, tk, v.shape[-1]), np.int64)
    values[order] = v.index.reshape(batch, tk, -1)
    out, where = _emit(emit, probs.scores, v.with_index(values))
    index = where[order].reshape(*p.shape[:-2], tq, v.shape[-1])
    made = View(out, index, p.scale)
    if probs.kept is None:
        return made
    return arithmetic.multiply(emit, made, probs.kept[order].reshape(*p.shape[:-1], 1))


def _whole_heads(p: View, batch: int, size: int) -> NDArray:
    """p's element numbers as [batch, Tq*Tk], whole heads in any order."""
    ok = p.shape[-2:] == p.base.shape[1:] and p.index.size == batch * size
    maps = p.index.reshape(batch, size) if ok else np.zeros((0, size), np.int64)
    if (
        not ok
        or not (maps == maps[:, :1] + np.arange(size)).all()
        or (maps[:, 0] % size).any()
        or len(set(maps[:, 0].tolist())) != batch
    ):
        raise NotFused("probabilities that are moved")
    return maps


def _emit(emit: Emitter, scores: Scores, v: View) -> tuple[Tensor, NDArray]:
    """The operator, and for every score batch [Tq, dv] the element numbers of its result."""
    batch, tq, _ = scores.shape
    windows = _windows(scores, v)
    count, heads = len(windows), len(windows[0])
    order = np.asarray(windows)  # [windows, heads] -> score batch
    scale, rest = products.positive(scores.scale)
    q = emit.scaled(_rows_of_heads(emit, "q", scores.a, order), rest)
    k = _rows_of_heads(emit, "k", scores.b, order)
    values = _rows_of_heads(emit, "v", v, order, keep_scale=False)
    operands: list[str | None] = [q.name, k.name, values.name]
    bias = _bias(scores.bias, order)
    if bias is not None:
        operands.append(emit.const("bias", bias))
    attrs: dict[str, object] = {"heads": heads, "scale": scale}
    if count > 1:
        attrs["windows"] = count
    emit.origin = (*scores.origin, *emit.origin)
    out = emit.op("attention", operands, attrs)
    dv = v.shape[-1]
    numbers = np.arange(math.prod(out.shape)).reshape(count, tq, heads, dv)
    where = np.empty((batch, tq, dv), np.int64)
    where[order.reshape(-1)] = numbers.transpose(0, 2, 1, 3).reshape(batch, tq, dv)
    return out, where


def _windows(scores: Scores, v: View) -> list[list[int]]:
    """Score batches that read the same tokens are heads of one window; first one first."""
    groups: dict[bytes, list[int]] = {}
    for b in range(scores.shape[0]):
        key = b"".join(_tokens(x, b) for x in (scores.a, scores.b, v))
        groups.setdefault(key, []).append(b)
    windows = list(groups.values())
    if len({len(w) for w in windows}) > 1:
        sizes = Counter(len(w) for w in windows)
        raise NotFused(f"attention windows with unequal numbers of heads: {dict(sizes)}")
    return windows


def _tokens(x: View, b: int) -> bytes:
    assert isinstance(x.base, Tensor)
    return (x.index[b, :, 0] // x.base.shape[-1]).tobytes()


def _rows_of_heads(
    emit: Emitter, letter: str, x: View, order: NDArray, keep_scale: bool = True
) -> Tensor:
    """x[B, T, d] element numbers -> the tensor [windows*T, heads*d]; q's and k's scale kept out."""
    count, heads = order.shape
    t, d = x.shape[1:]
    target = x.index[order.reshape(-1)].reshape(count, heads, t, d).transpose(0, 2, 1, 3)
    target = target.reshape(count * t, heads * d)
    if emit.is_scattered(x, target):
        raise NotFused(f"rows of {letter} that would have to be gathered element by element")
    with emit.below(letter):
        return emit.place(x, target, keep_scale)


def _bias(bias: NDArray | None, order: NDArray) -> NDArray | None:
    """[1 or heads or windows*heads, Tq, Tk], or None when it shifts whole rows only."""
    if bias is None:
        return None
    bias = np.where(
        np.isneginf(bias).all(axis=-1, keepdims=True), 0.0, np.maximum(bias, LOWEST_BIAS)
    )
    if not bias.any():  # the same for all keys: softmax does not see it
        return None
    count, heads = order.shape
    table = bias[order.reshape(-1)].reshape(count, heads, *bias.shape[1:])
    if (table == table[:1]).all():
        table = table[:1]
        if (table == table[:, :1]).all():
            table = table[:, :1]
    return table.reshape(-1, *bias.shape[1:])


def _rows_from_their_top(bias: NDArray) -> tuple[NDArray, NDArray[np.bool_]]:
    """bias[B, Tq, Tk] with rows of one number, and those far out, moved to 0, which a softmax does not see;
    and the rows [B, Tq] that hide so far down that float32 leaves nothing of the scores beside it: what
    they hide least weighs the same."""
    top = bias.max(axis=-1, keepdims=True)
    same = (bias == top).all(axis=-1, keepdims=True)
    moved = np.where(np.isneginf(top), 0.0, top)
    swallowed = moved[..., 0] < _SWALLOWED
    return np.where(same | (np.abs(moved) > _FAR), bias - moved, bias), swallowed
