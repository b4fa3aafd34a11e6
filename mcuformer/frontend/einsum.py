"""Einsum: axes are moved, summed and joined until MatMul or Mul says the rest.

Two operands at a time; an axis of size 1 beside a longer one is repeated, as an ellipsis allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mcuformer.frontend import arithmetic, reductions
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import View
from mcuformer.ir.onnx_ops.attention import equation

MatMul = Callable[[Emitter, Operand, Operand], Operand]


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """An operand and a letter for each of its axes."""

    value: Operand
    axes: str

    @property
    def sizes(self) -> dict[str, int]:
        return dict(zip(self.axes, self.value.shape, strict=True))

    def ordered(self, axes: str) -> Term:
        """With its axes in this order."""
        order = [self.axes.index(x) for x in axes]
        return Term(_moved(self.value, lambda a: a.transpose(order)), axes)

    def reshaped(self, shape: Sequence[int]) -> Operand:
        return _moved(self.value, lambda a: a.reshape(tuple(shape)))


def _moved(x: Operand, move: Callable[[np.ndarray], np.ndarray]) -> Operand:
    return x.with_index(move(x.index)) if isinstance(x, View) else np.asarray(move(x))


def einsum(emit: Emitter, text: str, args: Sequence[Operand], matmul: MatMul) -> Operand:
    named, out = equation(text, [len(a.shape) for a in args])
    terms = [_diagonal(Term(a, axes)) for a, axes in zip(args, named, strict=True)]
    while len(terms) > 1:
        a, b, *rest = terms
        wanted = set(out).union(*(t.axes for t in rest))
        terms = [_pair(emit, a, b, wanted, matmul), *rest]
    return _summed(emit, terms[0], set(out)).ordered(out).value


def _diagonal(term: Term) -> Term:
    """Axes of one name become one: only where all of them are at the same place."""
    value, axes = term.value, term.axes
    for name in dict.fromkeys(axes):
        while axes.count(name) > 1:
            i = axes.index(name)
            j = axes.index(name, i + 1)
            value = _moved(value, lambda a, i=i, j=j: a.diagonal(0, i, j))  # type: ignore[misc]
            axes = axes[:i] + axes[i + 1 : j] + axes[j + 1 :] + name
    return Term(value, axes)


def _summed(emit: Emitter, term: Term, wanted: set[str]) -> Term:
    """Without the axes that nobody wants: their sums."""
    gone = [i for i, name in enumerate(term.axes) if name not in wanted]
    if not gone:
        return term
    kept = "".join(name for name in term.axes if name in wanted)
    value = term.value
    if not isinstance(value, View):
        return Term(np.asarray(value.sum(axis=tuple(gone))), kept)
    count = math.prod(value.shape[i] for i in gone)
    return Term(arithmetic.scaled(reductions.mean(emit, value, gone, False), count), kept)


def _without_ones(term: Term, other: Term) -> Term:
    """Axes of size 1 that are longer in the other operand are no axes."""
    sizes, others = term.sizes, other.sizes
    kept = "".join(x for x in term.axes if sizes[x] > 1 or others.get(x, 1) == 1)
    return Term(term.reshaped([sizes[x] for x in kept]), kept)


def _pair(emit: Emitter, a: Term, b: Term, wanted: set[str], matmul: MatMul) -> Term:
    """Their product, summed over the axes that both have and nobody wants."""
    a, b = _without_ones(a, b), _without_ones(b, a)
    a = _summed(emit, a, wanted | set(b.axes))
    b = _summed(emit, b, wanted | set(a.axes))
    shared = [x for x in a.axes if x in b.axes]
    batch = "".join(x for x in shared if x in wanted)
    inner = "".join(x for x in shared if x not in wanted)
    left = "".join(x for x in a.axes if x not in shared)
    right = "".join(x for x in b.axes if x not in shared)
    sizes = {**a.sizes, **b.sizes}

    def size(axes: str) -> int:
        return math.prod(sizes[x] for x in axes)

    lead = [sizes[x] for x in batch]
    if inner:
        x = a.ordered(batch + left + inner).reshaped([*lead, size(left), size(inner)])
        y = b.ordered(batch + inner + right).reshaped([*lead, size(inner), size(right)])
        made: Operand = matmul(emit, x, y)
    else:
        x = a.ordered(batch + left).reshaped([*lead, size(left), 1])
        y = b.ordered(batch + right).reshaped([*lead, 1, size(right)])
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
            made = np.asarray(x * y)
        else:
            made = arithmetic.multiply(emit, x, y)
    axes = batch + left + right
    return Term(_moved(made, lambda z: z.reshape([sizes[x] for x in axes])), axes)
