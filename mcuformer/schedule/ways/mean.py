"""Means and other statistics over tokens: rows are summed as they are made."""

from __future__ import annotations

from dataclasses import dataclass

from mcuformer.ir.graph import Op
from mcuformer.operators.table import kernel_of
from mcuformer.program.buffers import Span
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Job, Steps, Task


def mean(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """Row-wise operations before a mean over tokens run in tiles that add to its sums."""
    op = region.ops[-1]
    x_name = str(op.inputs[0])
    t = em.values[x_name].type
    tile = min(choice.tile, t.shape[0])
    sums = RunningSums.of(em, op, target)
    rows = Rows.tile("t", t.shape[0], tile)
    tiles: dict[str, Loc] = {}
    body = em.chain(region.ops[:-1], tiles, rows, {})
    x = em.location(x_name, tiles, rows)
    assert x is not None
    body.append(sums.add(x, rows))
    loop = Loop("t", t.shape[0], tile, tuple(body), f"{op.name}: sums over tokens")
    return [sums.start(), loop, sums.finish()]


@dataclass(frozen=True, slots=True)
class RunningSums:
    """The calls of a statistic `op`: its sums, `at`, start at zero, grow, and become the result."""

    em: TaskEmitter
    op: Op
    target: Loc
    at: Loc

    @staticmethod
    def of(em: TaskEmitter, op: Op, target: Loc) -> RunningSums:
        kernel = kernel_of(op)
        assert kernel.sums is not None
        size = kernel.sums.bytes(op, em)
        return RunningSums(
            em, op, target, Loc(Expr(), size, size, em.buffer(f"{op.name}.sums", size))
        )

    @property
    def _spans(self) -> tuple[Span, ...]:
        return self.at.span(Expr(1))

    def start(self) -> Task:
        size, layer = self.at.row_bytes, self.em.layer_ids[self.op.name]
        return Task(
            "mcf_zero", layer, (self.at.addr, Expr(size)), (), self._spans,
            instructions=size // 4 + 8,
        )  # fmt: skip

    def add(self, x: Loc, rows: Rows) -> Task:
        """The rows at `x`."""
        job = Job(self.op, rows.full, rows.total)
        return Task(
            kernel_of(self.op).function,
            self.em.layer_ids[self.op.name],
            (x.addr, Expr(x.stride), rows.first, rows.count, self.at.addr),
            x.span(rows.count) + self._spans,
            self._spans,
            job,
            packed=job,
            overwrites=True,
        )

    def finish(self) -> Task:
        kernel, one = kernel_of(self.op), Rows.all(1)
        assert kernel.sums is not None
        return Task(
            kernel.sums.finish,
            self.em.layer_ids[self.op.name],
            (self.at.addr, self.target.addr),
            self._spans,
            self.target.span(one.count),
            packed=Job(self.op, 1),
            shown=(self.op.outputs[0], self.target, one, 0),
            instructions=kernel.sums.instructions(self.op, self.em),
        )
