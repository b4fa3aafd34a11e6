"""The residual sum of windowed attention in the order of its windows, and what follows row by row as well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.rewrites.edit import Rewrite

Order = tuple[int, ...]
ROW_WISE = ("linear", "layernorm", "unary", "add", "mul", "max", "requant")


def stay_in_windows(graph: Graph) -> Graph:
    """add(x, f(reverse(a))) -> reverse(add(partition(x), f(a))), where x is partitioned for attention.

    `reverse` then moves on past all that is row by row, and becomes one gather with the next
    partition. So the stream dies where its rows are permuted, in place, and no second copy waits
    in the old order for the sum.
    """
    if not any(op.attrs.get("windows", 1) > 1 for op in graph.ops):
        return graph
    walk = _Walk(graph)
    for op in graph.ops:
        walk.visit(op)
    return walk.done()


class _Walk:
    """`behind`: a value is rows of another one, in this order; `parted`: gathers that were kept."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.edit = graph, Rewrite(graph)
        self.behind: dict[str, tuple[str, Order]] = {}
        self.parted: dict[tuple[str, Order], str] = {}
        self.whole: dict[str, str] = {}  # values of `behind` that someone wants as they were

    def visit(self, op: Op) -> None:
        if _is_permutation(self.graph, op):
            self._permute(op, str(op.inputs[0]), tuple(op.attrs["indices"]))
            return
        for order in dict.fromkeys(self.behind[n][1] for n in op.inputs if n in self.behind):
            if op.kind in ROW_WISE and self._stays(op, order):
                return
        self.edit.emit(op, [None if n is None else self._as_it_was(n) for n in op.inputs])

    def _stays(self, op: Op, order: Order) -> bool:
        """Whether `op` could be computed in this order, which it then was."""
        if any(n in self.behind and self._is_left(n) for n in op.inputs if n is not None):
            return False
        inputs = [self._in_order(n, order) for n in op.inputs]
        if any(new is None is not old for new, old in zip(inputs, op.inputs, strict=True)):
            return False
        self.edit.emit(op, inputs)
        self.behind[op.outputs[0]] = op.outputs[0], order
        return True

    def _is_left(self, name: str) -> bool:
        """Whether a branch from a value leaves the rows before it comes back to their sum: a wider value
        would then be reversed, and the stream as well."""
        readers = self.graph.consumers()[name]
        if len(readers) < 2:
            return False
        for reader in readers:
            last: Op | None = reader
            while last is not None and last.kind in ROW_WISE and not self._is_sum(last):
                last = self.edit.only_reader(last.outputs[0])
            if last is None or not (_is_permutation(self.graph, last) or self._is_sum(last)):
                return True
        return False

    def _is_sum(self, op: Op) -> bool:
        return op.kind == "add" and all(self.graph.const(n) is None for n in op.inputs)

    def _permute(self, op: Op, x: str, order: Order) -> None:
        if x not in self.behind and self._meets_its_sum(op, _inverse(order)):
            self.behind[op.outputs[0]] = x, order
            return
        base, before = self.behind.get(x, (x, None))
        at = order if before is None else tuple(before[i] for i in order)
        if at == tuple(range(len(at))):  # the partition that `reverse` undid: no second copy
            self.parted[x, order] = base
            self.edit.rename(op.outputs[0], base)
            return
        self.parted[x, order] = op.outputs[0]
        self.edit.emit(op, [base], attrs={**op.attrs, "indices": at})

    def _meets_its_sum(self, op: Op, partition: Order) -> bool:
        """Whether what is made of the gather's rows is added to a value that was parted so."""
        value, reader = op.outputs[0], self.edit.only_reader(op.outputs[0])
        while reader is not None and reader.kind in ROW_WISE:
            others = [n for n in reader.inputs if n is not None and n != value]
            if any((n, partition) in self.parted for n in others):
                return True
            value, reader = reader.outputs[0], self.edit.only_reader(reader.outputs[0])
        return False

    def _in_order(self, name: str | None, order: Order) -> str | None:
        """The operand whose row i is row order[i] of the value before; None where there is none."""
        if name is None:
            return None
        base, at = self.behind.get(name, (name, None))
        if at == order:
            return base
        rows = self.graph.type(name).shape
        if self.graph.const(name) is not None:
            return name if len(rows) < 2 or rows[0] != len(order) else None
        return name if rows[0] == 1 else self.parted.get((name, _inverse(order)))

    def _as_it_was(self, name: str) -> str:
        if name not in self.behind:
            return name
        if name not in self.whole:
            base, order = self.behind[name]
            made, attrs = self.graph.producers()[name], {"indices": order}
            stem = Op("gather", f"{made.name}.reverse", (), (), attrs, made.origin)
            self.whole[name] = self.edit.emit_new(stem, [base], self.graph.type(name).shape)
        return self.whole[name]

    def done(self) -> Graph:
        for name in self.graph.outputs:
            if name in self.behind:
                self.edit.rename(name, self._as_it_was(name))
        return self.edit.done()


def _is_permutation(graph: Graph, op: Op) -> bool:
    if op.kind != "gather":
        return False
    rows = graph.type(str(op.inputs[0])).shape[0]
    return len(op.attrs["indices"]) == rows and set(op.attrs["indices"]) == set(range(rows))


def _inverse(order: Sequence[int]) -> Order:
    return tuple(np.argsort(order).tolist())
