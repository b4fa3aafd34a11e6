"""Values that share one quantisation because operators only move their numbers, or choose among them."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import MOVES


def moved_values(graph: Graph, op: Op) -> list[str]:
    """The activations that `op` copies unchanged into its output, and the output."""
    if op.kind not in MOVES:
        return []
    inputs = [str(n) for n in op.inputs if graph.const(n) is None]
    return [*inputs, op.outputs[0]]


def value_classes(graph: Graph) -> dict[str, tuple[str, ...]]:
    """value -> the tuple of all values of its class, the same object for all its members."""
    members: dict[str, list[str]] = {n: [n] for n, v in graph.values.items() if not v.is_const}
    chosen = {op.outputs[0] for op in choices(graph)}
    for op in graph.ops:
        moved = moved_values(graph, op)
        if op.outputs[0] in chosen:
            moved = [*map(str, op.inputs), op.outputs[0]]
        for name in moved[:-1]:
            a, b = members[name], members[moved[-1]]
            if a is not b:
                a += b
                members.update(dict.fromkeys(b, a))
    done: dict[int, tuple[str, ...]] = {}
    return {n: done.setdefault(id(m), tuple(m)) for n, m in members.items()}


def choices(graph: Graph) -> list[Op]:
    """Each max whose operands nothing else reads, but another such max or a move to one. Of them only
    the larger one counts, which is a number of the result: on its grid, nothing is rounded twice.
    A QDQ file has to agree."""
    found = [op for op in graph.ops if op.kind == "max" and _of_one_shape(graph, op)]
    if not found:
        return []
    grids = graph.meta.get("qdq", {})
    found = [op for op in found if len({grids.get(n) for n in (*op.inputs, *op.outputs)}) == 1]
    given = _moved_inputs(graph)
    found = [op for op in found if given.isdisjoint(op.inputs)]
    kept = _unwanted(graph, {op.name: op for op in found})
    return [op for op in found if op.name in kept]


def _unwanted(graph: Graph, found: dict[str, Op]) -> dict[str, Op]:
    """Those of `found` that alone read their operands. Each value that something else wants is followed
    once, to the operands of whatever reads or moves it; a ladder of Max would be tried again a rung."""
    made, readers = graph.producers(), graph.consumers()
    left = [*graph.outputs, *(n for op in graph.ops for n in op.outputs if not readers[n])]
    for op in graph.ops:
        if op.name not in found and op.kind not in MOVES:
            left += [n for n in op.inputs if n is not None]
    wanted = set[str]()
    while left:
        name = left.pop()
        if name in wanted:
            continue
        wanted.add(name)
        spoilt = [found.pop(r.name) for r in readers[name] if r.name in found]
        moved = [made[name]] if name in made and made[name].kind in MOVES else []
        left += [n for op in (*spoilt, *moved) for n in op.inputs if n is not None]
    return found


def outshone(graph: Graph, chosen: list[Op]) -> set[str]:
    """The values that only `chosen` read, or moves to them."""
    names, readers, found = {op.name for op in chosen}, graph.consumers(), set[str]()
    if not chosen:
        return found
    for op in reversed(graph.ops):
        name = op.outputs[0]
        if name not in graph.outputs and readers[name]:
            only = (r.name in names or _is_passed(r, found) for r in readers[name])
            found |= {name} if all(only) else set()
    return found


def _is_passed(reader: Op, found: set[str]) -> bool:
    return reader.kind in MOVES and reader.outputs[0] in found


def _of_one_shape(graph: Graph, op: Op) -> bool:
    shape = graph.type(op.outputs[0]).shape
    return all(graph.const(n) is None and graph.type(str(n)).shape == shape for n in op.inputs)


def _moved_inputs(graph: Graph) -> set[str]:
    """Inputs, whose grids are given, and what moves make of them."""
    found = set(graph.inputs)
    for op in graph.ops:
        if op.kind in MOVES and not found.isdisjoint(op.inputs):
            found.add(op.outputs[0])
    return found


def changes_channels(graph: Graph, op: Op) -> bool:
    """Whether a move relates other channel numbers, so that only one scale for all fits."""
    if op.kind in ("slice", "concat"):
        return bool(op.attrs["axis"] == 1)
    shapes = [graph.type(n).shape for n in moved_values(graph, op)]
    return op.kind == "reshape" and shapes[0][-1] != shapes[1][-1]
