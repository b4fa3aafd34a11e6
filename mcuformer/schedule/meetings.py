"""Values whose readers meet again inside of one row-wise region: rows of them are made where they are read.

    x -> norm -> down -> up (+ norm) -> layer -> target        an adapter: the norm is read twice
    x -> norm -> gate, layer -> product -> layer -> target     a gated hidden layer

Such a value is read by several operations, and yet a tile of it is all that exists at a time.
"""

from __future__ import annotations

from collections.abc import Collection

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import INT_OPS, kinds

TOKENWISE = kinds("rows")
MEANS = kinds("mean")


def meeting(graph: Graph, whole: Collection[str]) -> set[str]:
    """Those of the `whole` values which one operation without weights makes of one other, like a norm, and
    which no row-wise region but one reads. Bytes are saved and no work is done twice: a region makes each
    of its rows once."""
    users, fixed = graph.consumers(), {*graph.inputs, *graph.outputs}
    found = set[str]()
    for op in graph.ops:
        value = op.outputs[0]
        if value not in whole or value in fixed or len(users[value]) < 2 or not _is_norm(graph, op):
            continue
        ends = _ends(graph, value, whole)
        if ends is not None and len(ends) == 1:
            found.add(value)
    return found


def _is_norm(graph: Graph, op: Op) -> bool:
    """One activation to one of as many rows."""
    read = [n for n in op.inputs if n is not None and graph.const(n) is None]
    plain = op.kind in TOKENWISE and not INT_OPS[op.kind].weights and len(read) == 1
    return plain and _rows(graph, read[0]) == _rows(graph, op.outputs[0])


def _ends(graph: Graph, value: str, whole: Collection[str]) -> set[str] | None:
    """The whole values that are made of `value` row by row, a mean among them; None where rows of it are
    read otherwise."""
    users, rows = graph.consumers(), _rows(graph, value)
    ends, seen, waiting = set[str](), {value}, [value]
    while waiting:
        for op in users[waiting.pop()]:
            made = op.outputs[0]
            if op.kind in MEANS and made in whole:
                ends.add(made)
                continue
            if op.kind not in TOKENWISE or _rows(graph, made) != rows:
                return None
            if made in whole:
                ends.add(made)
            elif made not in seen:
                seen.add(made)
                waiting.append(made)
    return ends


def _rows(graph: Graph, value: str) -> tuple[int, ...]:
    return graph.type(value).shape[:-1]
