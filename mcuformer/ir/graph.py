"""The graph: a list of operations in topological order over named values.

Graphs are immutable; a pass builds a new one with `Graph.replace` or the `Builder`.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.types import DTYPES, TensorType, Value
from mcuformer.util.speed import record

# numpy composes a name at every call
_NAMES: Mapping[np.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}


@record(frozen=True, slots=True, eq=False)
class Op:
    """One operation. `origin` holds the ONNX node names it came from; `name` is its readable id."""

    kind: str
    name: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    origin: tuple[str, ...] = ()

    def operand(self, i: int) -> str | None:
        """Input `i`; None where an optional one is absent."""
        return self.inputs[i] if i < len(self.inputs) else None

    def replace(self, **changes: Any) -> Op:
        given = changes.get
        return Op(
            given("kind", self.kind),
            given("name", self.name),
            given("inputs", self.inputs),
            given("outputs", self.outputs),
            given("attrs", self.attrs),
            given("origin", self.origin),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """`stage` is "onnx" (ONNX operators, static shapes), "float" (canonical) or "int"."""

    name: str
    stage: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: tuple[Op, ...]
    values: Mapping[str, Value]
    meta: Mapping[str, Any] = field(default_factory=dict)
    _tables: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def type(self, name: str) -> TensorType:
        return self.values[name].type

    def const(self, name: str | None) -> NDArray | None:
        """Data of a constant value, None for an activation or an absent input."""
        return None if name is None else self.values[name].data

    def producers(self) -> Mapping[str, Op]:
        """The operation that makes a value; made once, not to be changed."""
        if "producers" not in self._tables:
            self._tables["producers"] = {out: op for op in self.ops for out in op.outputs}
        return self._tables["producers"]

    def consumers(self) -> Mapping[str, Sequence[Op]]:
        """The operations that read a value, each once, in order; made once, not to be changed."""
        if "consumers" not in self._tables:
            table: defaultdict[str, list[Op]] = defaultdict(list)
            for op in self.ops:
                for name in op.inputs:
                    if name is not None and (not (users := table[name]) or users[-1] is not op):
                        users.append(op)
            self._tables["consumers"] = table
        return self._tables["consumers"]

    def places(self) -> Mapping[str, int]:
        """Where an operation stands, by name; made once, not to be changed."""
        if "places" not in self._tables:
            self._tables["places"] = {op.name: i for i, op in enumerate(self.ops)}
        return self._tables["places"]

    def has(self, *kinds: str) -> bool:
        """Whether some operation is of one of these kinds."""
        if "kinds" not in self._tables:
            self._tables["kinds"] = {op.kind for op in self.ops}
        return not self._tables["kinds"].isdisjoint(kinds)

    @property
    def shapes_only(self) -> bool:
        """Whether constants are placeholders (ir/placeholders.py), which hold no numbers."""
        return "shapes_only" in self.meta

    def replace(self, **changes: Any) -> Graph:
        given = changes.get
        made = Graph(
            given("name", self.name),
            given("stage", self.stage),
            given("inputs", self.inputs),
            given("outputs", self.outputs),
            given("ops", self.ops),
            given("values", self.values),
            given("meta", self.meta),
        )
        if made.ops is self.ops:
            made._tables.update(self._tables)  # which depend on nothing else
        return made

    def pruned(self) -> Graph:
        """Without operations and values that no output depends on."""
        live: set[str | None] = set(self.outputs)
        kept: list[Op] = []
        for op in reversed(self.ops):
            if op.outputs[0] in live or not live.isdisjoint(op.outputs):
                kept.append(op)
                live.update(op.inputs, op.outputs)
        live.update(self.inputs)
        if len(kept) == len(self.ops) and live.issuperset(self.values):
            return self
        return self.replace(
            ops=tuple(reversed(kept)), values={n: v for n, v in self.values.items() if n in live}
        )


def same_ops(a: Sequence[Op], b: Sequence[Op]) -> bool:
    """Whether these are the very same operations: a pass that found nothing to do."""
    return len(a) == len(b) and all(map(operator.is_, a, b))


def fresh_name(stem: str, *taken: Container[str], tried: dict[str, int]) -> str:
    """`stem`, or the first of stem.1, stem.2 ... that is in none of `taken`.

    `tried` remembers where the last search for a stem ended, for names that stay taken: 20,000
    values of one stem would else be tried one by one, each time.
    """
    n = tried.get(stem, 0)
    name = f"{stem}.{n}" if n else stem
    while any(map(operator.contains, taken, repeat(name))):
        n += 1
        name = f"{stem}.{n}"
    tried[stem] = n
    return name


def distinct(ops: Iterable[Op]) -> tuple[Op, ...]:
    """`ops`, each with a name of its own: the first keeps a name that several have."""
    ops = tuple(ops)
    given = {op.name for op in ops}
    if len(given) == len(ops):
        return ops
    taken: set[str] = set()
    tried: dict[str, int] = {}
    made = []
    for op in ops:
        if op.name in taken:
            op = op.replace(name=fresh_name(op.name, taken, given, tried=tried))
        taken.add(op.name)
        made.append(op)
    return tuple(made)


class Builder:
    """Collects values and operations in order, with fresh names; `done` gives the Graph.

    `reserved` are names of values to come: only the operation that writes such a value gets it.
    """

    def __init__(
        self,
        name: str,
        stage: str,
        values: Iterable[Value] = (),
        reserved: Container[str] = frozenset(),
    ) -> None:
        self.name, self.stage, self.reserved = name, stage, reserved
        self.values: dict[str, Value] = {v.name: v for v in values}
        self.ops: list[Op] = []
        self._tried: dict[str, int] = {}

    def fresh(self, stem: str) -> str:
        if stem not in self.values and stem not in self.reserved:
            return stem
        return fresh_name(stem, self.values, self.reserved, tried=self._tried)

    def add_value(self, stem: str, type_: TensorType, data: NDArray | None = None) -> str:
        name = self.fresh(stem)
        self.values[name] = Value(name, type_, data)
        return name

    def const(self, stem: str, data: NDArray) -> str:
        dtype = _NAMES.get(data.dtype) or str(data.dtype)
        return self.add_value(stem, TensorType(tuple(data.shape), dtype), data)

    def result(self, name: str, out: TensorType) -> str:
        """The value that an operation writes, which alone may have a reserved name."""
        if name in self.values or name not in self.reserved:
            name = self.fresh(name)
        self.values[name] = Value(name, out)
        return name

    def op(
        self,
        kind: str,
        name: str,
        inputs: Iterable[str | None],
        out: TensorType,
        attrs: Mapping[str, Any] | None = None,
        origin: Iterable[str] = (),
        out_name: str | None = None,
    ) -> str:
        result = self.result(out_name or name, out)
        self.ops.append(Op(kind, name, tuple(inputs), (result,), dict(attrs or {}), tuple(origin)))
        return result

    def done(self, inputs: Iterable[str], outputs: Iterable[str], meta: Mapping[str, Any]) -> Graph:
        return Graph(
            self.name,
            self.stage,
            tuple(inputs),
            tuple(outputs),
            distinct(self.ops),
            dict(self.values),
            dict(meta),
        )
