"""Where and IsNaN: masks of scores, queries that see no key, and choices between numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend import arithmetic, attention, products
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import OwnFault, Probs, View


def where(emit: Emitter, mask: NDArray, a: Operand, b: Operand) -> Operand:
    """a under a constant mask, else b."""
    mask = mask.astype(np.bool_)
    shape = np.broadcast_shapes(mask.shape, a.shape, b.shape)
    if isinstance(a, View) and mask.all():
        return arithmetic.grown(a, shape)
    if isinstance(b, View) and not mask.any():
        return arithmetic.grown(b, shape)
    if isinstance(a, View) and isinstance(b, View):
        pairs = ((a, mask), (b, ~mask))
        kept = [arithmetic.multiply(emit, x, np.where(m, 1.0, 0.0)) for x, m in pairs]
        return arithmetic.add(emit, *kept)
    if isinstance(a, View):
        return where(emit, ~mask, b, a)
    assert isinstance(a, np.ndarray) and isinstance(b, View)
    return _filled(emit, mask, a, b)


def _filled(emit: Emitter, mask: NDArray[np.bool_], a: NDArray, b: View) -> View:
    """Numbers that hide scores are a bias; zeros for whole rows of probabilities hide queries."""
    shape = np.broadcast_shapes(a.shape, mask.shape)
    given = np.broadcast_to(a, shape)[np.broadcast_to(mask, shape)]
    if (given < products.HIDDEN).all():
        return arithmetic.add(emit, b, np.where(mask, a, 0.0))
    if isinstance(b.base, Probs) and not given.any():
        wide = np.broadcast_to(mask, b.shape)
        if (wide == wide[..., :1]).all():
            return attention.without_rows(emit, b, wide[..., 0])
    kept = arithmetic.multiply(emit, b, np.where(mask, 0.0, 1.0))
    return arithmetic.add(emit, kept, np.where(mask, a, 0.0))


def trilu(emit: Emitter, x: View, k: NDArray | None, upper: bool) -> Operand:
    """Numbers on one side of diagonal `k` of the last two axes, 0 on the other."""
    if k is not None and k.size != 1:
        raise OwnFault(f"looked for the number of one diagonal, found {k.size} numbers")
    rows, columns = x.shape[-2:]
    diagonal = 0 if k is None else max(min(int(k.reshape(-1)[0]), columns), -rows)
    lower = np.tri(rows, columns, diagonal - 1 if upper else diagonal, dtype=np.bool_)
    return where(emit, ~lower if upper else lower, x, np.zeros((), np.float32))


def is_nan(x: View) -> NDArray[np.bool_]:
    """A softmax of nothing but -inf is; nothing else here."""
    bias = x.base.scores.bias if isinstance(x.base, Probs) else None
    if bias is None:
        return np.zeros(x.shape, np.bool_)
    hidden = np.isneginf(bias).all(axis=-1, keepdims=True)
    return np.asarray(np.broadcast_to(hidden, bias.shape).reshape(-1)[x.index])
