"""Every value takes its operator's name and every constant its reader's."""

from __future__ import annotations

from mcuformer.ir.graph import Graph, Op, fresh_name
from mcuformer.ir.optable import CANONICAL
from mcuformer.ir.types import Value


def tidy_names(graph: Graph) -> Graph:
    if graph.shapes_only:  # which nobody reads
        return graph
    names: dict[str, str] = {}
    taken: set[str] = set()
    tried: dict[str, int] = {}

    def unique(stem: str) -> str:
        name = fresh_name(stem, taken, tried=tried)
        taken.add(name)
        return name

    for name in graph.inputs:
        names[name] = unique(name)
    for op in graph.ops:
        own = unique(op.name)
        for i, value in enumerate(op.inputs):
            if value is not None and value not in names:
                names[value] = unique(f"{own}.{_operand(op, i)}")
        names[op.outputs[0]] = own
    values = {names[n]: _renamed(v, names[n]) for n, v in graph.values.items() if n in names}
    meta = dict(graph.meta)
    for table in ("qdq", "qdq_weights"):
        if table in meta:
            meta[table] = {names[n]: v for n, v in meta[table].items() if n in names}
    return graph.replace(
        ops=tuple(_op(op, names) for op in graph.ops),
        values=values,
        inputs=tuple(names[n] for n in graph.inputs),
        outputs=tuple(names[n] for n in graph.outputs),
        meta=meta,
    )


def _operand(op: Op, i: int) -> str:
    operands = CANONICAL[op.kind].operands
    return "const" if op.kind in ("add", "mul", "max", "concat") else operands[i].rstrip("?.")


def _renamed(value: Value, name: str) -> Value:
    return value if value.name == name else Value(name, value.type, value.data)


def _op(op: Op, names: dict[str, str]) -> Op:
    inputs = tuple(None if i is None else names[i] for i in op.inputs)
    out = names[op.outputs[0]]
    if op.name == out and op.inputs == inputs and op.outputs == (out,):
        return op
    return op.replace(name=out, inputs=inputs, outputs=(out,))
