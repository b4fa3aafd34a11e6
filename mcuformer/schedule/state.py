"""The state of a program under construction: its buffers, and where every value lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op, fresh_name
from mcuformer.ir.types import TensorType, Value
from mcuformer.operators.outline import STAGE
from mcuformer.program.buffers import Addr, Buffer, Kind
from mcuformer.program.expressions import Expr
from mcuformer.program.running import Sweep
from mcuformer.schedule.columns import take_columns, take_group
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.tasks import Job


@dataclass(slots=True)
class State:
    """State of one program under construction.

    `made` has its buffers in the order of their making, and between them the jobs that want scratch:
    how much of it, a budget decides later. `leaving`: outputs that leave by lines, with the numbers of
    their first lines. `sweeps`: of the region that was emitted last, for those who ask.
    """

    graph: Graph
    values: dict[str, Value]
    layer_ids: Mapping[str, int]
    buffers: dict[str, Buffer] = field(default_factory=dict)
    leaving: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    made: list[Buffer | Job] = field(default_factory=list)
    constants: dict[str, None] = field(default_factory=dict)
    where: dict[str, Loc] = field(default_factory=dict)
    tiled: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # bytes a row, total of its rows
    keys: dict[Op, tuple[object, ...]] = field(
        default_factory=dict
    )  # what costs the same (price/book.py), for all copies
    tried: dict[str, int] = field(default_factory=dict)  # of fresh_name
    cuts: dict[tuple[Op, int, int], Op] = field(default_factory=dict)  # shares of heads
    sweeps: list[Callable[[], Sweep]] = field(default_factory=list)

    def buffer(self, stem: str, size: int, kind: Kind = "activation") -> str:
        name = fresh_name(stem, self.buffers, tried=self.tried)
        made = self.buffers[name] = Buffer(name, max(size, 1), 8, kind)
        self.made.append(made)
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

    @property
    def heads_alike(self) -> bool:
        """An outline has no numbers: the first head's share of a layer stands for that of every head."""
        return self.graph.stage == STAGE

    def columns(self, op: Op, start: int, stop: int, parts: Mapping[str, str]) -> Op:
        """Output channels [start, stop) of `op` (see take_columns)."""
        key = op, start, stop
        if key not in self.cuts:
            self.cuts[key] = take_columns(self.values, op, start, stop, parts)
        return self.cuts[key]

    def head_group(self, op: Op, head: int) -> Op:
        """The share of a head in a block-diagonal layer (see take_group)."""
        head = 0 if self.heads_alike else head
        key = op, head, -1
        if key not in self.cuts:
            self.cuts[key] = take_group(self.values, op, head)
        return self.cuts[key]

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

    def whole(self, name: str) -> Loc:
        """An operand of which every row of a result needs all rows."""
        return self.constant(name) if self.values[name].is_const else self.where[name]

    # The kernels' cost functions take a Graph; these two make the emitter one.
    def type(self, name: str) -> TensorType:
        return self.values[name].type

    def const(self, name: str | None) -> NDArray | None:
        return None if name is None else self.values[name].data
