"""Turns operations into kernel calls on buffers: the part of the scheduler that knows kernel arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mcuformer.ir.graph import Op
from mcuformer.ir.types import Value
from mcuformer.kernels import attention
from mcuformer.operators.row import Kernel
from mcuformer.operators.table import instructions_of, kernel_of, read_places
from mcuformer.schedule.columns import is_column_view
from mcuformer.schedule.panels import choices_of
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
        inputs, count = op.inputs, len(op.inputs)
        reads = [
            self.location(inputs[k] if k < count else None, tiles, rows) for k in read_places(op)
        ]
        return self.apply(op, reads, y, rows)

    def apply(self, op: Op, operands: Sequence[Loc | None], y: Loc, rows: Rows) -> Call:
        """`op` on rows of its `operands`, in the order in which its kernel reads them."""
        kernel = kernel_of(op)
        choices: dict[str, int] = {}
        scratch: list[Arg] = []
        spans: tuple[Span, ...] = ()
        if self.choosing and kernel.menu:
            choices = choices_of(op, self, rows.full, self.budget)
        if kernel.scratch_bytes is not None:
            sized = self.choosing or not kernel.menu
            size = kernel.scratch_bytes(op, self, rows.full, **choices) if sized else 0
            arg, spans = self.scratch(op, size)
            scratch = [arg]
        reads: list[Span] = []
        for x in operands:
            if x is not None:
                reads += x.span(rows.count)
        return self.call(
            kernel.function_of(op, self),
            op,
            self.arguments(*operands, y, rows.count, *scratch),
            tuple(reads),
            y,
            rows,
            spans,
            choices,
            overwrites=overwrites(kernel, operands, y),
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
            choices = choices_of(op, self, rows.full, self.budget, heads)
            size = attention.scratch_bytes(op, self, rows.full, **choices)
        scratch, spans = self.scratch(op, size)
        tk = Expr(self.values[op.inputs[1] or ""].type.shape[0] // op.attrs.get("windows", 1))
        reads = q.span(rows.count) + k.span(tk) + v.span(tk)
        first = rows.first if bias_row is None else bias_row
        call = self.call(
            "mcf_attention",
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
        function: str,
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
        work = Work(op, rows.full, rows.total, heads)
        if not self.priced:
            return Call(
                function,
                layer,
                None,
                args,
                reads,
                writes,
                scratch,
                overwrites=overwrites,
                work=work,
            )
        cost, kernel = instructions_of(op, self.costs), kernel_of(op)
        return Call(
            kernel=function,
            layer=layer,
            params=self.param(op, **choices),
            args=args,
            reads=reads,
            writes=writes,
            scratch=scratch,
            trace=self.trace(op.outputs[0], y, rows, first_byte),
            instructions=cost(op, self, rows.full, **choices),
            tail_instructions=cost(op, self, rows.tail, **choices),
            weight_bytes_read=kernel.weight_bytes_read(op, self, rows.full, **choices),
            overwrites=overwrites,
            work=work,
        )


def overwrites(kernel: Kernel, operands: Sequence[Loc | None], y: Loc) -> bool:
    """Whether the result lies where an operand lies that is read row by row."""
    for name, x in zip(kernel.reads, operands, strict=True):
        if x is not None and x.buffer == y.buffer and name not in kernel.again:
            return True
    return False


def _count(value: Value) -> int:
    n = 1
    for d in value.type.shape:
        n *= d
    return n
