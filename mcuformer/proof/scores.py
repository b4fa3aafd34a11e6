"""Scores of attentions that saturate: int16 in steps of 11/2048, +-176 (docs/adr/0002).

A saturated score that is far below its row's largest moves nothing; one that ties with others does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_attention import (
    EXP_ENTRIES,
    EXP_RANGE,
    per_head,
    probabilities,
    score_steps,
    sums,
    wide_steps,
)
from mcuformer.ir.neighbours import seen_by_heads

_STEP = EXP_RANGE / EXP_ENTRIES
LARGEST_SCORE = 32767 * _STEP
_MOVED = 0.01  # of a row's probability, that counts


@dataclass(frozen=True, slots=True)
class Saturation:
    """An attention some of whose rows weigh other keys than their scores say.

    `largest`: magnitude of a score; `rows`: share of the rows that this moves.
    """

    layer: str
    largest: float
    rows: float


def saturations(graph: Graph, ints: Mapping[str, NDArray]) -> Iterator[Saturation]:
    """Of the int `graph`; `ints`: the interpreter's values of some samples [n, ...]."""
    for op in graph.ops:
        if op.kind == "q_attention":
            found = _saturation(op, [_value(graph, ints, name) for name in op.inputs])
            if found is not None:
                yield found


def behind(graph: Graph, layers: Collection[str]) -> set[str]:
    """Names of these operations and of all that read what they make."""
    values, found = set[str](), set[str]()
    for op in graph.ops:
        if op.name in layers or not values.isdisjoint(op.inputs):
            found.add(op.name)
            values.update(op.outputs)
    return found


def _value(graph: Graph, ints: Mapping[str, NDArray], name: str | None) -> NDArray | None:
    data = graph.const(name)
    return data if name is None or data is not None else ints[name]


def _saturation(op: Op, args: list[NDArray | None]) -> Saturation | None:
    acc, _, bias = sums(op, [*args, None][:4])
    m, pre_shift = per_head(op.attrs["m"]), op.attrs["pre_shift"]
    wide = wide_steps(acc, m, pre_shift)
    wide = wide if bias is None else wide + bias
    largest = int(np.abs(wide).max())
    if largest <= np.iinfo(np.int16).max:
        return None
    seen = seen_by_heads(op.attrs, wide.shape[-1])
    right, found = (_shares(s, seen) for s in (wide, score_steps(acc, m, pre_shift, bias)))
    moved = np.abs(right - found).sum(axis=-1) / 2 > _MOVED
    return Saturation(op.name, largest * _STEP, float(moved.mean())) if moved.any() else None


def _shares(steps: NDArray, seen: NDArray | None) -> NDArray[np.float64]:
    p = probabilities(steps, 0, seen).astype(np.float64)
    return np.asarray(p / p.sum(axis=-1, keepdims=True))
