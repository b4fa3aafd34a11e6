"""Rows by static index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mcuformer.kernels import walks
from mcuformer.program.buffers import Addr, Span
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Steps, Task

LEAST_WALKED = 64  # rows: the table of fewer is smaller than a call's loops


def gather(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """A permutation of rows that die here happens in their own buffer."""
    op = region.ops[-1]
    x = em.where[str(op.inputs[0])]
    indices = [int(i) for i in np.asarray(op.attrs["indices"]).ravel()]
    rows = Rows.all(len(indices))
    source = Rows.all(em.values[str(op.inputs[0])].type.shape[0])
    layer, size = em.layer_ids[op.name], Expr(x.row_bytes)
    cost = len(indices) * (x.row_bytes + 24)
    shown = op.outputs[0], target, rows, 0
    loops = walks.nest(indices) if len(indices) >= LEAST_WALKED else None
    if (x.buffer is None or x.buffer != target.buffer) and loops is not None:
        first, args = Expr(indices[0] * x.stride), (size, *_steps(loops, x, target))
        kernel, cost = "mcf_walk", walks.instructions(loops, x.row_bytes)
        turned = walks.transpose(loops) if x.row_bytes == x.stride == target.stride == 1 else None
        if turned is not None:
            kernel, cost = "mcf_transpose", walks.transpose_instructions(turned)
            args = tuple(_transposed(turned))
        return [Task(kernel, layer, (x.addr, first, target.addr, *args), x.span(source.count),
                     target.span(rows.count), shown=shown, instructions=cost)]  # fmt: skip
    if x.buffer is None or x.buffer != target.buffer:
        table = em.index_constant(f"{op.name}.rows", indices)
        parts = (x, target, size, rows.count, table)
        return [Task("mcf_gather", layer, parts, x.span(source.count), target.span(rows.count),
                     shown=shown, instructions=cost)]  # fmt: skip
    table = em.index_constant(f"{op.name}.cycles", cycles(indices))
    row = em.buffer(f"{op.name}.row", x.row_bytes, "scratch")
    held = (Span.whole(em.buffers[row]),)
    return [Task("mcf_permute", layer, (x, size, table, Addr(row)), x.span(rows.count),
                 target.span(rows.count), shown=shown, instructions=cost, scratch=held,
                 overwrites=True)]  # fmt: skip


def _steps(loops: walks.Nest, x: Loc, y: Loc) -> Iterator[Expr]:
    """Counts, and steps in bytes."""
    for count, step, to in loops:
        yield from (Expr(count), Expr(step * x.stride), Expr(to * y.stride))


def _transposed(loops: walks.Nest) -> Iterator[Expr]:
    """The two outer loops, then lines of y and places of x, whose other step is one byte."""
    *outer, (lines, x_line, _), (places, _, y_step) = loops
    for number in (*(n for loop in outer for n in loop), lines, x_line, places, y_step):
        yield Expr(number)


def cycles(indices: Sequence[int]) -> list[int]:
    """The cycles of new row i = old row indices[i]: rows of each, closed by 65535; a last 65535."""
    done = [False] * len(indices)
    found: list[int] = []
    for first in range(len(indices)):
        if done[first] or indices[first] == first:
            continue
        at = first
        while not done[at]:
            done[at] = True
            found.append(at)
            at = indices[at]
        found.append(65535)
    return [*found, 65535]
