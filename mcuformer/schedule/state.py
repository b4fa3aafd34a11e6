"""The state of a program under construction: its buffers, parameters, and where every value lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op, fresh_name
from mcuformer.ir.types import TensorType, Value
from mcuformer.kernels.costs import CostSet
from mcuformer.schedule.columns import take_columns, take_group
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.program import Addr, Arg, Buffer, Expr, Hint, Kind, Param, Span, Trace

NO_BUDGET = 1 << 62


@dataclass(slots=True)
class State:
    """State of one program under construction.

    Not `priced`, calls have no estimates, parameters, arguments or traces: enough to place their buffers. Not
    `choosing` either, kernels with a menu take no scratch: enough to draft a region (measure.py).
    """

    graph: Graph
    values: dict[str, Value]
    layer_ids: Mapping[str, int]
    costs: CostSet  # of the core that the program is for
    budget: int = 0  # scratch bytes that one kernel may take
    next_budget: int = NO_BUDGET  # the least one under which a kernel would choose otherwise
    prefix: str = ""
    priced: bool = True
    choosing: bool = True
    buffers: dict[str, Buffer] = field(default_factory=dict)
    params: dict[str, Param] = field(default_factory=dict)
    constants: dict[str, None] = field(default_factory=dict)
    traces: dict[Trace, int] = field(default_factory=dict)
    where: dict[str, Loc] = field(default_factory=dict)
    tiled: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # bytes a row, total of its rows
    keys: dict[Op, int] = field(
        default_factory=dict
    )  # what costs the same (panels.py), for all copies
    tried: dict[str, int] = field(default_factory=dict)  # of fresh_name
    cuts: dict[tuple[Op, int, int], Op] = field(default_factory=dict)  # shares of heads

    def buffer(self, stem: str, size: int, kind: Kind = "activation", hint: Hint = "") -> str:
        name = fresh_name(stem, self.buffers, tried=self.tried)
        self.buffers[name] = Buffer(name, max(size, 1), 8, kind, hint)
        return name

    def rows_buffer(self, value: str, rows: int | Rows, stem: str | None = None) -> Loc:
        """A new buffer for `rows` rows of `value`, or for a tile of them."""
        row_bytes = self.row_bytes(value)
        count = rows if isinstance(rows, int) else rows.full
        name = self.buffer(stem or value, count * row_bytes)
        if isinstance(rows, Rows) and rows.total:
            self.tiled[name] = row_bytes, rows.total
        return Loc(Expr(), row_bytes, row_bytes, name)

    def row_bytes(self, value: str) -> int:
        t = self.values[value].type
        return t.size_bytes // t.shape[0] if t.shape and t.shape[0] else 0

    def constant(self, value: str) -> Loc:
        self.constants[value] = None
        row_bytes = self.row_bytes(value)
        return Loc(Expr(), row_bytes, row_bytes, None, value)

    def constant_rows(self, value: str, rows: Rows) -> Loc:
        """Rows of a constant operand: a constant of one row is repeated for all of them."""
        shape, size_bytes = self.values[value].type.shape, self.values[value].type.size_bytes
        if len(shape) < 2 or (shape[0] == 1 and max(rows.full, rows.total) > 1):
            return replace(self.constant(value), stride=0, row_bytes=size_bytes)
        return self.constant(value).at(rows.first)

    def index_constant(self, stem: str, numbers: Sequence[int]) -> Addr:
        """A table of row numbers in flash."""
        data, name = np.asarray(numbers, np.uint16), fresh_name(stem, self.values, tried={})
        self.values[name] = Value(name, TensorType(data.shape, "uint16"), data)
        self.constants[name] = None
        return Addr(None, Expr(), name)

    def param(self, op: Op, **choices: int) -> str:
        key, n = op.outputs[0], 1
        while key in self.params and (
            self.params[key].op is not op or self.params[key].choices != choices
        ):
            key, n = f"{op.outputs[0]}.{n}", n + 1
        self.params[key] = Param(op, choices)
        return key

    def scratch(self, op: Op, size: int) -> tuple[Arg, tuple[Span, ...]]:
        if size == 0:
            return "NULL", ()
        name = self.buffer(f"{op.name}.scratch", size, "scratch", "fast")
        return Addr(name), (Span.whole(self.buffers[name]),)

    def arguments(self, *parts: Loc | Arg | int | None) -> tuple[Arg, ...]:
        """What a kernel is called with; an operand is its address and its stride. None where the
        program is not priced."""
        if not self.priced:
            return ()
        found: list[Arg] = []
        for part in parts:
            if isinstance(part, Loc):
                found += (part.addr, Expr(part.stride))
            elif part is None:
                found += ("NULL", Expr())
            else:
                found.append(Expr(part) if isinstance(part, int) else part)
        return tuple(found)

    def columns(self, op: Op, start: int, stop: int, parts: Mapping[str, str]) -> Op:
        """Output channels [start, stop) of `op` (see take_columns)."""
        key = op, start, stop
        if key not in self.cuts:
            self.cuts[key] = take_columns(self.values, op, start, stop, parts)
        return self.cuts[key]

    def head_group(self, op: Op, head: int) -> Op:
        """The share of a head in a block-diagonal layer (see take_group); where the program is not
        priced, all heads take that of the first, which needs the same."""
        head = head if self.priced else 0
        key = op, head, -1
        if key not in self.cuts:
            self.cuts[key] = take_group(self.values, op, head)
        return self.cuts[key]

    def trace(
        self, value: str, y: Loc, rows: Rows, first_byte: int = 0
    ) -> tuple[int, Span, Expr] | None:
        """A head's share `k[64:128]` of a value is shown as columns of the value."""
        span = y.span(rows.count)
        if not span or not self.priced:
            return None
        if value.endswith("]"):
            whole, start = (
                value[: value.rindex("[")],
                value[value.rindex("[") + 1 : value.rindex(":")],
            )
            first_byte += int(start) * y.row_bytes // self.values[value].type.shape[-1]
            value = whole
        trace = Trace(value, first_byte, y.row_bytes)
        index = self.traces.setdefault(trace, len(self.traces))
        return index, span[0], rows.first

    def location(self, name: str | None, tiles: Mapping[str, Loc], rows: Rows) -> Loc | None:
        """Rows of an operand: a tile of this region, or the tile's rows of a materialised value or constant."""
        if name is None:
            return None
        if name in tiles:
            return tiles[name]
        if self.values[name].is_const:
            return self.constant_rows(name, rows)
        at = self.where[name]
        if self.values[name].type.shape[0] == 1 and max(rows.full, rows.total) > 1:
            return replace(at, stride=0)  # repeated for all rows
        return at.at(rows.first)

    # The kernels' cost functions take a Graph; these two make the emitter one.
    def type(self, name: str) -> TensorType:
        return self.values[name].type

    def const(self, name: str | None) -> NDArray | None:
        return None if name is None else self.values[name].data
