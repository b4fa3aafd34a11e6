"""All integer operators by kind. A kind that has no row does not exist.

Interpreter, verifier, lowering, schedule, search, code generator and `mcuformer ops` read it.
`ins(op).res` is an operand by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from mcuformer.ir.functions import FUNCTIONS, split
from mcuformer.ir.graph import Graph, Op
from mcuformer.kernels.costs import CostSet
from mcuformer.operators import (
    attention,
    elementwise,
    linear,
    moves,
    norm,
    pooling,
    product,
    resize,
    statistics,
)
from mcuformer.operators.row import Cost, Figure, IncompleteRow, IntOp, Kernel, Lowering, Movement

_FAMILIES = (linear, norm, attention, product, elementwise, pooling, resize, statistics, moves)
INT_OPS: Mapping[str, IntOp] = {row.kind: row for family in _FAMILIES for row in family.ROWS}
_KERNELS: Mapping[str, Kernel] = {
    row.kind: row.kernel for row in INT_OPS.values() if row.kernel is not None
}
_READ_PLACES: Mapping[str, tuple[int, ...]] = {
    kind: tuple(INT_OPS[kind].places[name] for name in kernel.reads)
    for kind, kernel in _KERNELS.items()
}
_COSTS: Mapping[str, Cost] = {
    row.kind: row.cost for row in INT_OPS.values() if row.cost is not None
}


def _lowered(rows: Iterable[IntOp]) -> dict[str, tuple[Lowering, tuple[str, ...]]]:
    """Of every float kind: how it is lowered, and to which of the rows."""
    found: dict[str, tuple[Lowering, tuple[str, ...]]] = {}
    for row in rows:
        for kind, lowering in row.lowered.items():
            first, to = found.get(kind, (lowering, ()))
            if lowering != first:
                raise IncompleteRow(f"integer operator {row.kind}: {kind} is lowered otherwise")
            found[kind] = lowering, (*to, row.kind)
    return found


LOWERED: Mapping[str, tuple[Lowering, tuple[str, ...]]] = _lowered(INT_OPS.values())
REFUSED: Mapping[str, str] = {}
"""Float kinds without an integer form, and what the user is told."""
MOVES = frozenset(kind for kind, (lowering, _) in LOWERED.items() if lowering.moves)
JOINED = frozenset(kind for kind in MOVES if any(INT_OPS[k].repeated for k in LOWERED[kind][1]))

FROM_ONNX = frozenset(name for lowering, _ in LOWERED.values() for name in lowering.onnx)
WEIGHTED = frozenset(kind for kind, (lowering, _) in LOWERED.items() if lowering.weighted)


def refusal(graph: Graph, op: Op) -> str | None:
    """Why an operation of a float graph has no integer form; None where it has one."""
    if op.kind not in LOWERED:
        return REFUSED.get(op.kind, f"operator {op.kind}")
    fn = op.attrs.get("fn")
    if fn is not None and split(fn)[0] not in FUNCTIONS:
        return f"function {fn}"
    refuse = LOWERED[op.kind][0].refuse
    return None if refuse is None else refuse(graph, op)


def kernel_of(op: Op) -> Kernel:
    """KeyError for a move, which has none."""
    return _KERNELS[op.kind]


def read_places(op: Op) -> tuple[int, ...]:
    """Of the operands that its kernel reads by address, in that order."""
    return _READ_PLACES[op.kind]


def read_whole(op: Op) -> tuple[int, ...]:
    """Places of the operands of which every row of the result needs all."""
    row = INT_OPS[op.kind]
    return tuple(row.places[name] for name in row.whole(op))


def instructions_of(op: Op, costs: CostSet) -> Figure:
    """The function of (op, graph, rows, **choices) that says what a call of its kernel executes on
    the core that `costs` are of."""
    return partial(_COSTS[op.kind].instructions, costs=costs)


def figures_of(costs: CostSet) -> Mapping[str, Figure]:
    """The same of every kind that has a kernel."""
    return {kind: partial(cost.instructions, costs=costs) for kind, cost in _COSTS.items()}


def cost_attrs(op: Op) -> frozenset[str]:
    """The attributes that this depends on."""
    return _COSTS[op.kind].attrs


def kinds(movement: Movement) -> frozenset[str]:
    """All kinds that move through memory that way."""
    return frozenset(row.kind for row in INT_OPS.values() if row.movement == movement)


class Ins:
    """The operands of an operation by name; None where an optional one is absent."""

    __slots__ = ("_op", "_places")

    def __init__(self, op: Op) -> None:
        self._op, self._places = op, INT_OPS[op.kind].places

    def __getattr__(self, name: str) -> str | None:
        inputs, place = self._op.inputs, self._places.get(name)
        if place is None:
            raise AttributeError(f"{self._op.kind} has no operand {name}")
        return inputs[place] if place < len(inputs) else None


def ins(op: Op) -> Ins:
    return Ins(op)


def operand(op: Op, name: str) -> str | None:
    """Likewise; None where operations of this kind have no such operand."""
    place = INT_OPS[op.kind].places.get(name, len(op.inputs))
    return op.inputs[place] if place < len(op.inputs) else None
