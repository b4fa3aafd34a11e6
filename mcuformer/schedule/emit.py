"""Turns operations into tasks on buffers: the part of the scheduler that knows what kernels read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mcuformer.ir.graph import Op
from mcuformer.ir.neighbours import PATCH_GRID
from mcuformer.ir.types import Value
from mcuformer.kernels.near_attention import FUNCTION, is_near
from mcuformer.operators.row import Kernel
from mcuformer.operators.table import kernel_of, read_places, read_whole
from mcuformer.program.buffers import Span
from mcuformer.program.expressions import Expr
from mcuformer.schedule.columns import is_column_view
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.state import State
from mcuformer.schedule.tasks import SCRATCH, Job, Part, Task


@dataclass(slots=True)
class TaskEmitter(State):
    """Adds the tasks of operations to a program under construction."""

    def chain(
        self, ops: Iterable[Op], tiles: dict[str, Loc], rows: Rows, out: Mapping[str, Loc]
    ) -> list[Task]:
        """Tasks of row-wise `ops` on one tile; results go to `out` or to new tile buffers (added to `tiles`)."""
        tasks = []
        for op in ops:
            value = op.outputs[0]
            if is_column_view(op):
                x = self.location(op.inputs[0], tiles, rows)
                assert x is not None
                item = self.values[value].type.size_bytes // max(1, _count(self.values[value]))
                tiles[value] = x.columns(op.attrs["start"] * item, self.row_bytes(value))
                continue
            y = out.get(value) or self.rows_buffer(value, rows)
            tiles[value] = y
            tasks.append(self.rowwise(op, tiles, y, rows))
        return tasks

    def rowwise(self, op: Op, tiles: Mapping[str, Loc], y: Loc, rows: Rows) -> Task:
        inputs, count, whole = op.inputs, len(op.inputs), read_whole(op)
        operands: list[Loc | None] = []
        reads: list[Span] = []
        for k in read_places(op):
            name = inputs[k] if k < count else None
            x = self.whole(str(name)) if k in whole else self.location(name, tiles, rows)
            operands.append(x)
            if x is not None:
                read = Expr(self.values[str(name)].type.shape[0]) if k in whole else rows.count
                reads += x.span(read)
        return self.apply(op, operands, y, rows, reads)

    def apply(
        self,
        op: Op,
        operands: Sequence[Loc | None],
        y: Loc,
        rows: Rows,
        reads: Sequence[Span] | None = None,
        shared: Job | None = None,
    ) -> Task:
        """`op` on rows of its `operands`, in the order in which its kernel reads them; `reads`: what it
        reads of them, where that is not just those rows; `shared`: the job whose scratch and struct
        this call shares with others of more rows."""
        kernel, job = kernel_of(op), Job(op, rows.full, rows.total)
        expands = kernel.scratch_bytes is not None
        if shared is not None:
            job = Job(op, rows.full, decided_on=shared.rows)
        elif expands:
            self.made.append(job)
        if reads is None:
            reads = [span for x in operands if x is not None for span in x.span(rows.count)]
        parts: list[Part] = [*operands, y]
        parts += [rows.first] if kernel.placed else []
        parts += [rows.count, SCRATCH] if expands else [rows.count]
        return Task(
            "",
            self.layer_ids[op.name],
            tuple(parts),
            tuple(reads),
            y.span(rows.count),
            job,
            (shared or job) if expands else None,
            job if shared is None else replace(job, op=shared.op),
            (op.outputs[0], y, rows, 0),
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
        first_byte: int = 0,
        held: int = 0,
    ) -> Task:
        """`rows` query rows of heads head0.. ; locations point at head0's first channel.

        `bias_row` is the first query row's place in the bias, where it is not the row itself;
        `first_byte`: where the result stands in a row of all heads; `held`: of near heads, the lines of
        the grid that k and v hold, where those are not all.
        """
        job = Job(op, rows.full, rows.total, heads)
        self.made.append(job)
        tk = Expr(self.values[op.inputs[1] or ""].type.shape[0] // op.attrs.get("windows", 1))
        first = rows.first if bias_row is None else bias_row
        parts: list[Part] = [head0, heads, q, k, v, y, first, rows.count]
        if is_near(op):
            lines, columns = op.attrs[PATCH_GRID]
            parts.append(held or lines)
            tk = Expr(held * columns) if held else tk
        return Task(
            FUNCTION if is_near(op) else "",
            self.layer_ids[op.name],
            (*parts, SCRATCH),
            q.span(rows.count) + k.span(tk) + v.span(tk),
            y.span(rows.count),
            job,
            job,
            job,
            (op.outputs[0], y, rows, first_byte),
            overwrites=q.buffer == y.buffer,
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
