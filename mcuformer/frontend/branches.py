"""If whose condition is known once shapes are -> the nodes of the branch that it takes.

Exporters leave such choices on shapes (a Squeeze of an axis that may not be 1, positions that may want to be
resized). What is chosen by the model's input stays an If, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value
from mcuformer.passes.fold_constants import fold_constants

MOST_NESTED = 16
_MOST_OPS = 100_000  # of a graph whose branches are inlined
_UNKNOWN = TensorType((-1,), "float32")


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A subgraph: what it does not make itself it takes from around it."""

    ops: tuple[Op, ...]
    constants: Mapping[str, NDArray]
    outputs: tuple[str, ...]

    def renamed(self, names: Mapping[str, str]) -> Branch:
        """`names`: what a value is called from now on, for those that have another name."""
        ops = tuple(_renamed(op, names) for op in self.ops)
        constants = {names.get(n, n): data for n, data in self.constants.items()}
        return Branch(ops, constants, tuple(names.get(n, n) for n in self.outputs))

    def made(self) -> set[str]:
        return set(self.constants) | {n for op in self.ops for n in op.outputs}


def inline_branches(graph: Graph) -> Graph:
    """At stage "onnx", with input shapes bound."""
    for _ in range(MOST_NESTED):
        if not any(op.kind == "If" for op in graph.ops) or len(graph.ops) > _MOST_OPS:
            return graph
        known = fold_constants(graph).values
        inlined = _once(graph, known)
        if inlined is graph:
            return graph
        graph = inlined
    return graph


def _once(graph: Graph, known: Mapping[str, Value]) -> Graph:
    values, ops = dict(graph.values), list[Op]()
    for op in graph.ops:
        branch = _taken(op, known)
        ops += [op] if branch is None else _inlined(op, branch, values)
    if len(ops) == len(graph.ops) and all(a is b for a, b in zip(ops, graph.ops, strict=True)):
        return graph
    return graph.replace(ops=tuple(ops), values=values)


def _taken(op: Op, known: Mapping[str, Value]) -> Branch | None:
    if op.kind != "If" or "error" in op.attrs or not op.inputs or op.inputs[0] is None:
        return None
    condition = known[op.inputs[0]].data
    if condition is None or condition.size != 1:
        return None
    branch = op.attrs.get("then_branch" if bool(condition.reshape(-1)[0]) else "else_branch")
    if not isinstance(branch, Branch) or len(branch.outputs) < len(op.outputs):
        return None
    return branch


def _inlined(op: Op, branch: Branch, values: dict[str, Value]) -> list[Op]:
    """The branch's nodes under names of their own, which fill `values`; the If's results are theirs."""
    own = branch.renamed({n: f"{op.outputs[0]}/{n}" for n in branch.made()})
    for name, data in own.constants.items():
        values[name] = Value(name, TensorType(tuple(data.shape), str(data.dtype)), data)
    for inner in own.ops:
        values |= {n: Value(n, _UNKNOWN) for n in inner.outputs}
    ends = zip(own.outputs, op.outputs, strict=False)
    return [*own.ops, *(Op("Identity", op.name, (a,), (b,), {}, op.origin) for a, b in ends)]


def _renamed(op: Op, names: Mapping[str, str]) -> Op:
    attrs = {k: v.renamed(names) if isinstance(v, Branch) else v for k, v in op.attrs.items()}
    return op.replace(
        inputs=tuple(None if i is None else names.get(i, i) for i in op.inputs),
        outputs=tuple(names.get(o, o) for o in op.outputs),
        attrs=attrs,
    )
