"""(x + y) - x -> y: what a sum adds and takes away again.

A layer behind x is fitted to make x + y right whatever x has lost (`quant/refine.py`), so a later
difference with x would have that loss alone, and lose the bits that x takes of the sum's grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, is_uniform

MOST_EXPANDED = 8  # sums and factors that one sum is followed through


def cancel_terms(graph: Graph) -> Graph:
    """Nothing in QDQ models, where each sum has a grid of its own that is kept."""
    if "qdq" in graph.meta or graph.shapes_only or not graph.has("add"):
        return graph
    edit, made = Edit(graph), graph.producers()
    places = {op.outputs[0]: i for i, op in enumerate(graph.ops)}
    left: dict[str, str] = {}  # a sum -> the one term that is left of it
    for op in graph.ops:
        found = _Sum(graph, made, op.outputs[0]) if op.kind == "add" else None
        ops = [op]
        if found is not None and found.cancels(places):
            only = _only(graph, found.terms, op)
            left |= {op.outputs[0]: only} if only else {}
            ops = [] if only else _rebuilt(edit, op, found.terms)
        edit.ops += (_reading(o, left) for o in ops)
    return edit.done()


def _reading(op: Op, left: Mapping[str, str]) -> Op:
    if left.keys().isdisjoint(map(str, op.inputs)):
        return op
    return op.replace(inputs=tuple(left.get(str(i), i) for i in op.inputs))


@dataclass
class _Sum:
    """`name` as the sum of `terms`: value -> its factor."""

    graph: Graph
    made: Mapping[str, Op]
    name: str
    terms: dict[str, float] = field(default_factory=dict)

    def cancels(self, places: Mapping[str, int]) -> bool:
        """Expanded, the value made last first, until a term's factors have the sum 0."""
        self.terms = {self.name: 1.0}
        opened: list[str] = []
        while len(opened) < MOST_EXPANDED:
            inner = [n for n in self.terms if n in self.made and _parts(self.graph, self.made[n])]
            if not inner:
                return False
            last = max(inner, key=lambda n: places[n])
            opened.append(last)
            factor = self.terms.pop(last)
            for part, times in _parts(self.graph, self.made[last]).items():
                self.terms[part] = self.terms.get(part, 0.0) + factor * times
            gone = [n for n, f in self.terms.items() if f == 0]
            if gone:
                self.terms = {n: f for n, f in self.terms.items() if f}
                self._closed(opened)
                return True
        return False

    def _closed(self, opened: list[str]) -> None:
        """What had not to be expanded is a term again."""
        for name in reversed(opened):
            parts = _parts(self.graph, self.made[name])
            factors = {self.terms.get(n, math.nan) / times for n, times in parts.items()}
            if len(factors) == 1 and not math.isnan(*factors):
                self.terms = {n: f for n, f in self.terms.items() if n not in parts}
                self.terms[name] = factors.pop()


def _parts(graph: Graph, op: Op) -> dict[str, float]:
    """Value -> its factor in a sum, or in a product with one number, of the result's shape; else none."""
    a, b = (*map(str, op.inputs), "", "")[:2]
    if op.kind == "add" and not op.attrs:
        return {a: 2.0} if a == b else {a: 1.0, b: 1.0}
    if op.kind != "mul" or graph.shapes_only:
        return {}
    x, const = (a, graph.const(b)) if graph.const(a) is None else (b, graph.const(a))
    fits = graph.const(x) is None and graph.type(x).shape == graph.type(op.outputs[0]).shape
    if not fits or const is None or not is_uniform(const) or not const.flat[0]:
        return {}
    return {x: float(const.flat[0])}


def _only(graph: Graph, terms: Mapping[str, float], op: Op) -> str | None:
    """The term, where readers of `op` can read it instead."""
    name, factor = next(iter(terms.items()), ("", 0.0))
    if len(terms) != 1 or factor != 1 or graph.const(name) is not None:
        return None
    same = graph.type(name).shape == graph.type(op.outputs[0]).shape
    return name if same and op.outputs[0] not in graph.outputs else None


def _rebuilt(edit: Edit, op: Op, terms: Mapping[str, float]) -> list[Op]:
    """`op` as the sum of the terms, activations of its shape first; `op` where there are none."""
    y = edit.values[op.outputs[0]].type.shape
    full = [n for n in terms if edit.data(n) is None and edit.values[n].type.shape == y]
    if not full:
        return [op]
    ops: list[Op] = []

    def emit(kind: str, a: str, b: str) -> str:
        made = edit.activation(f"{op.outputs[0]}.term", y)
        ops.append(Op(kind, f"{op.name}.term", (a, b), (made,), {}, op.origin))
        return made

    def times(name: str) -> str:
        """The term; a single one is multiplied by 1, since somebody has to write the output."""
        factor, data = np.float32(terms[name]), edit.data(name)
        if factor == 1 and len(terms) > 1:
            return name
        if data is not None:
            return edit.const(f"{op.name}.const", data.shape, lambda: data * factor)
        channels = edit.values[name].type.shape[-1]
        factors = edit.const(f"{op.name}.factor", (channels,), lambda: np.full(channels, factor))
        return emit("mul", name, factors)

    total = times(full[0])
    for name in terms:
        total = emit("add", total, times(name)) if name != full[0] else total
    ops[-1] = ops[-1].replace(outputs=op.outputs)
    return ops
