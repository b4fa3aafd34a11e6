"""Where a mean over an image comes back to the image's own rows: focal modulation.

    n -> z -> convolutions -> mean -> row --+
    |             |                         v
    +-> gates ----+---> products, sums -> modulator -> ... -> target

Everything between `n` and the modulator can be computed again, or some channels at a time. So none of
it is materialised: one region makes the target, and its ways say what of it exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import kinds

TOKENWISE = kinds("rows")
LONGEST_WAY = 64  # operations between an image and what its mean comes back to


@dataclass(frozen=True, slots=True, eq=False)
class Modulation:
    """`inner`: values made between the one that enters and the one that leaves."""

    enters: str
    inner: frozenset[str]
    leaves: str


def modulations(graph: Graph) -> Iterator[Modulation]:
    """Each mean's smallest part of the graph that one value enters and one leaves."""
    done: set[str] = set()
    for mean in graph.ops:
        if mean.kind != "q_mean" or mean.outputs[0] in done:
            continue
        found = _around(graph, mean)
        if found is not None:
            done |= found.inner
            yield found


def _around(graph: Graph, mean: Op) -> Modulation | None:
    first = graph.places()[mean.name] + 1
    reached = {mean.outputs[0]}
    for op in graph.ops[first : first + LONGEST_WAY]:
        if not reached & set(op.inputs):
            continue
        reached.add(op.outputs[0])
        if op.kind not in TOKENWISE or graph.type(op.outputs[0]).shape[0] == 1:
            continue
        enters, ops = _between(graph, op, mean)
        if is_closed(graph, ops, op):
            convolved = any(o.kind == "q_dwconv2d" for o in ops)
            inner = frozenset(o.outputs[0] for o in ops if o is not op)
            return Modulation(enters, inner, op.outputs[0]) if convolved else None
    return None


def _between(graph: Graph, last: Op, mean: Op) -> tuple[str, list[Op]]:
    """The value through which all paths to `last` come, past `mean`, and the operations behind it.

    None of them where one cannot run in tiles of lines.
    """
    places, producers = graph.places(), graph.producers()
    ops: list[Op] = []
    waiting = {last.outputs[0]}
    while len(waiting) > 1 or mean not in ops:
        made = [producers[v] for v in waiting if v in producers]
        if not made or len(ops) == LONGEST_WAY:
            return "", []
        op = max(made, key=lambda o: places[o.name])
        if not _runs_in_tiles(graph, op):
            return "", []
        ops.append(op)
        waiting.remove(op.outputs[0])
        waiting.update(n for n in op.inputs if n is not None and graph.const(n) is None)
    return waiting.pop(), ops


def is_closed(graph: Graph, ops: list[Op], last: Op) -> bool:
    """Whether nothing else reads what `ops` make, but for what the last one makes."""
    consumers, names = graph.consumers(), {o.name for o in ops}
    values = [o.outputs[0] for o in ops if o is not last]
    users = (u.name for v in values for u in consumers[v])
    return bool(ops) and names.issuperset(users) and not set(values) & set(graph.outputs)


def _runs_in_tiles(graph: Graph, op: Op) -> bool:
    """Rows, a mean, rows seen as an image, or a depthwise convolution as large as its image."""
    if op.kind in TOKENWISE or op.kind == "q_mean":
        return True
    x, y = (graph.type(str(n)).shape for n in (op.inputs[0], op.outputs[0]))
    if op.kind == "reshape":
        return x[-1] == y[-1] and {len(x), len(y)} == {2, 3}
    return op.kind == "q_dwconv2d" and x == y
