"""Turns operations into kernel calls on buffers: the part of the scheduler that knows kernel arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value
from mcuformer.kernels import attention, elementwise, layernorm, linear
from mcuformer.kernels.table import KERNELS
from mcuformer.schedule.panels import attention_choices, linear_choices
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.program import (
    Addr,
    Arg,
    Buffer,
    Call,
    Expr,
    Param,
    Span,
    Trace,
    Work,
)  # fmt: skip
from mcuformer.schedule.regions import is_column_view

NO_BUDGET = 1 << 62


@dataclass(slots=True)
class Emitter:
    """State of one program under construction.

    Not `priced`, calls have no estimates, parameters or traces: enough to place their buffers. Not
    `choosing` either, kernels with a menu take no scratch: enough to draft a region (measure.py).
    """

    graph: Graph
    values: dict[str, Value]
    layer_ids: Mapping[str, int]
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
    tiled: dict[str, tuple[int, int]] = field(default_factory=dict)  # bytes a row, total of its rows

    def buffer(self, stem: str, size: int, kind: str = "activation", hint: str = "") -> str:
        name, n = stem, 1
        while name in self.buffers:
            name, n = f"{stem}.{n}", n + 1
        self.buffers[name] = Buffer(name, max(size, 1), 8, kind, hint)  # type: ignore[arg-type]
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
        return t.size_bytes // t.shape[0] if t.shape[0] else 0

    def constant(self, value: str) -> Loc:
        self.constants[value] = None
        row_bytes = self.row_bytes(value)
        return Loc(Expr(), row_bytes, row_bytes, None, value)

    def index_constant(self, stem: str, numbers: Sequence[int]) -> Addr:
        """A table of row numbers in flash."""
        data = np.asarray(numbers, np.uint16)
        self.values[stem] = Value(stem, TensorType(data.shape, "uint16"), data)
        self.constants[stem] = None
        return Addr(None, Expr(), stem)

    def param(self, kernel: str, op: Op, **choices: int) -> str:
        key, n = op.outputs[0], 1
        while key in self.params and (
            self.params[key].op is not op or self.params[key].choices != choices
        ):
            key, n = f"{op.outputs[0]}.{n}", n + 1
        self.params[key] = Param(kernel, op, choices)
        return key

    def scratch(self, op: Op, size: int) -> tuple[Arg, tuple[Span, ...]]:
        if size == 0:
            return "NULL", ()
        name = self.buffer(f"{op.name}.scratch", size, "scratch", "fast")
        return Addr(name), (Span.whole(self.buffers[name]),)

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
        trace = Trace(value, first_byte)
        index = self.traces.setdefault(trace, len(self.traces))
        return index, span[0], rows.first

    def location(self, name: str | None, tiles: Mapping[str, Loc], rows: Rows) -> Loc | None:
        """Rows of an operand: a tile of this region, or the tile's rows of a materialised value or constant."""
        if name is None:
            return None
        if name in tiles:
            return tiles[name]
        if self.values[name].is_const:
            return self.constant(name).at(rows.first)
        return self.where[name].at(rows.first)

    def chain(
        self, ops: Iterable[Op], tiles: dict[str, Loc], rows: Rows, out: Mapping[str, Loc]
    ) -> list[Call]:
        """Calls of row-wise `ops` on one tile; results go to `out` or to new tile buffers (added to `tiles`)."""
        calls = []
        for op in ops:
            value = op.outputs[0]
            if is_column_view(op):
                x = self.location(op.inputs[0], tiles, rows)
                assert x is not None
                item = self.values[value].type.size_bytes // max(1, _count(self.values[value]))
                tiles[value] = x.columns(op.attrs["start"] * item, self.row_bytes(value))
                continue
            y = out.get(value) or self.rows_buffer(value, rows, f"{self.prefix}{value}")
            tiles[value] = y
            calls.append(self.rowwise(op, tiles, y, rows))
        return calls

    def rowwise(self, op: Op, tiles: Mapping[str, Loc], y: Loc, rows: Rows) -> Call:
        x = self.location(op.inputs[0], tiles, rows)
        assert x is not None
        if op.kind == "q_linear":
            res = self.location(op.inputs[5] if len(op.inputs) > 5 else None, tiles, rows)
            return self.linear(op, x, res, y, rows)
        if op.kind == "q_layernorm":
            return self.layernorm(op, x, y, rows)
        if op.kind in ("q_add", "q_mul"):
            other = self.location(op.inputs[1], tiles, rows)
            assert other is not None
            if (
                self.values[op.inputs[1] or ""].is_const
                and self.values[op.inputs[1] or ""].type.shape[0] == 1
            ):
                other = replace(self.constant(op.inputs[1] or ""), stride=0)
            return self.elementwise(op, "mcf_" + op.kind[2:], [x, other], y, rows)
        return self.elementwise(op, "mcf_" + op.kind[2:], [x], y, rows)

    def linear(self, op: Op, x: Loc, res: Loc | None, y: Loc, rows: Rows) -> Call:
        choices: dict[str, int] = {}
        size = 0
        if self.choosing:
            choices = linear_choices(op, self, rows.full, self.budget)
            size = linear.scratch_bytes(op, self, rows.full, **choices)
        scratch, spans = self.scratch(op, size)
        reads = x.span(rows.count) + (res.span(rows.count) if res else ())
        args: tuple[Arg, ...] = (
            x.addr,
            Expr(x.stride),
            res.addr if res else "NULL",
            Expr(res.stride if res else 0),
            y.addr,
            Expr(y.stride),
            rows.count,
            scratch,
        )
        return self.call(
            "mcf_linear",
            "linear",
            op,
            args,
            reads,
            y,
            rows,
            spans,
            choices,
            overwrites=res is not None and res.buffer == y.buffer,
        )

    def layernorm(self, op: Op, x: Loc, y: Loc, rows: Rows) -> Call:
        scratch, spans = self.scratch(op, layernorm.scratch_bytes(op, self, rows.full))
        args: tuple[Arg, ...] = (
            x.addr,
            Expr(x.stride),
            y.addr,
            Expr(y.stride),
            rows.count,
            scratch,
        )
        return self.call(
            "mcf_layernorm",
            "layernorm",
            op,
            args,
            x.span(rows.count),
            y,
            rows,
            spans,
            {},
            overwrites=x.buffer == y.buffer,
        )

    def elementwise(self, op: Op, kernel: str, xs: list[Loc], y: Loc, rows: Rows) -> Call:
        args: list[Arg] = []
        for x in xs:
            args += [x.addr, Expr(x.stride)]
        args += [y.addr, Expr(y.stride), rows.count]
        size = elementwise.scratch_bytes(op, self, rows.full)
        spans: tuple[Span, ...] = ()
        if kernel == "mcf_softmax":
            scratch, spans = self.scratch(op, size)
            args.append(scratch)
        reads = tuple(s for x in xs for s in x.span(rows.count))
        return self.call(
            kernel,
            "elementwise",
            op,
            tuple(args),
            reads,
            y,
            rows,
            spans,
            {},
            overwrites=any(x.buffer == y.buffer for x in xs),
        )

    def attention(
        self,
        op: Op,
        q: Loc,
        k: Loc,
        v: Loc,
        y: Loc,
        rows: Rows,
        head0: int,
        heads: int,
        bias_row: Expr | None = None,
    ) -> Call:
        """`rows` query rows of heads head0.. ; locations point at head0's first channel.

        `bias_row` is the first query row's place in the bias, where it is not the row itself.
        """
        choices: dict[str, int] = {}
        size = 0
        if self.choosing:
            choices = attention_choices(op, self, rows.full, self.budget, heads)
            size = attention.scratch_bytes(op, self, rows.full, **choices)
        scratch, spans = self.scratch(op, size)
        tk = Expr(self.values[op.inputs[1] or ""].type.shape[0] // op.attrs.get("windows", 1))
        reads = q.span(rows.count) + k.span(tk) + v.span(tk)
        args: tuple[Arg, ...] = (
            Expr(head0),
            Expr(heads),
            q.addr,
            Expr(q.stride),
            k.addr,
            Expr(k.stride),
            v.addr,
            Expr(v.stride),
            y.addr,
            Expr(y.stride),
            rows.first if bias_row is None else bias_row,
            rows.count,
            scratch,
        )
        call = self.call(
            "mcf_attention",
            "attention",
            op,
            args,
            reads,
            y,
            rows,
            spans,
            choices,
            overwrites=q.buffer == y.buffer,
            heads=heads,
        )
        total, tail = op.attrs["heads"], call.tail_instructions or 0
        if not self.priced or heads == total:
            return call
        return replace(
            call,
            instructions=call.instructions * heads // total,
            tail_instructions=tail * heads // total,
        )

    def call(
        self,
        kernel: str,
        module: str,
        op: Op,
        args: tuple[Arg, ...],
        reads: tuple[Span, ...],
        y: Loc,
        rows: Rows,
        scratch: tuple[Span, ...],
        choices: Mapping[str, int],
        overwrites: bool = False,
        first_byte: int = 0,
        heads: int = 0,
    ) -> Call:
        layer, writes = self.layer_ids[op.name], y.span(rows.count)
        work = Work(module, op, rows.full, rows.total, heads)
        if not self.priced:
            return Call(
                kernel, layer, None, args, reads, writes, scratch, overwrites=overwrites, work=work
            )
        cost = KERNELS[module].instructions
        return Call(
            kernel=kernel,
            layer=layer,
            params=self.param(module, op, **choices),
            args=args,
            reads=reads,
            writes=writes,
            scratch=scratch,
            trace=self.trace(op.outputs[0], y, rows, first_byte),
            instructions=cost(op, self, rows.full, **choices),
            tail_instructions=cost(op, self, rows.tail, **choices),
            weight_bytes_read=KERNELS[module].weight_bytes_read(op, self, rows.full, **choices),
            overwrites=overwrites,
            work=work,
        )

    # The kernels' cost functions take a Graph; these two make the emitter one.
    def type(self, name: str) -> TensorType:
        return self.values[name].type

    def const(self, name: str | None) -> NDArray | None:
        return None if name is None else self.values[name].data


def _count(value: Value) -> int:
    n = 1
    for d in value.type.shape:
        n *= d
    return n
