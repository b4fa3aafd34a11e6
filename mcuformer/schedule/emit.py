"""Turns operations into kernel calls on buffers: the part of the scheduler that knows kernel arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mcuformer.ir.graph import Op
from mcuformer.ir.int_table import ins
from mcuformer.ir.types import Value
from mcuformer.kernels import attention, elementwise, layernorm, linear
from mcuformer.kernels.table import KERNELS
from mcuformer.schedule.columns import is_column_view
from mcuformer.schedule.panels import attention_choices, linear_choices
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.program import (
    Arg,
    Call,
    Expr,
    Span,
    Work,
)  # fmt: skip
from mcuformer.schedule.state import State


@dataclass(slots=True)
class Emitter(State):
    """Adds the calls of operations to a program under construction."""

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
            res = self.location(ins(op).res, tiles, rows)
            return self.linear(op, x, res, y, rows)
        if op.kind == "q_layernorm":
            return self.layernorm(op, x, y, rows)
        if op.kind in ("q_add", "q_mul"):
            other = self.location(op.inputs[1], tiles, rows)
            assert other is not None
            kernel = elementwise.kernel_of(op, self)
            return self.elementwise(op, kernel, [x, other], y, rows)
        return self.elementwise(op, "mcf_" + op.kind[2:], [x], y, rows)

    def linear(self, op: Op, x: Loc, res: Loc | None, y: Loc, rows: Rows) -> Call:
        choices: dict[str, int] = {}
        size = 0
        if self.choosing:
            choices = linear_choices(op, self, rows.full, self.budget)
            size = linear.scratch_bytes(op, self, rows.full, **choices)
        scratch, spans = self.scratch(op, size)
        reads = x.span(rows.count) + (res.span(rows.count) if res else ())
        return self.call(
            "mcf_linear",
            "linear",
            op,
            self.arguments(x, res, y, rows.count, scratch),
            reads,
            y,
            rows,
            spans,
            choices,
            overwrites=res is not None and res.buffer == y.buffer,
        )

    def layernorm(self, op: Op, x: Loc, y: Loc, rows: Rows) -> Call:
        scratch, spans = self.scratch(op, layernorm.scratch_bytes(op, self, rows.full))
        return self.call(
            "mcf_layernorm",
            "layernorm",
            op,
            self.arguments(x, y, rows.count, scratch),
            x.span(rows.count),
            y,
            rows,
            spans,
            {},
            overwrites=x.buffer == y.buffer,
        )

    def elementwise(self, op: Op, kernel: str, xs: list[Loc], y: Loc, rows: Rows) -> Call:
        args = self.arguments(*xs, y, rows.count)
        spans: tuple[Span, ...] = ()
        if kernel == "mcf_softmax":
            scratch, spans = self.scratch(op, elementwise.scratch_bytes(op, self, rows.full))
            args += self.arguments(scratch)
        reads = tuple(s for x in xs for s in x.span(rows.count))
        return self.call(
            kernel,
            "elementwise",
            op,
            args,
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
        first = rows.first if bias_row is None else bias_row
        call = self.call(
            "mcf_attention",
            "attention",
            op,
            self.arguments(head0, heads, q, k, v, y, first, rows.count, scratch),
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


def _count(value: Value) -> int:
    n = 1
    for d in value.type.shape:
        n *= d
    return n
