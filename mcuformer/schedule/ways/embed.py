"""Patch-embedding decomposition: a p x p convolution of stride p never needs the whole image.

Three input modes (design section 3). `bands`: the caller delivers image lines, either all lines of a
row of patches, or fewer with int32 partial sums. `resident`: the image lies in SRAM and tokens are
written over its consumed bytes. `flash`: the image is read where it lies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mcuformer.ir.graph import Op
from mcuformer.ir.types import TensorType
from mcuformer.kernels import elementwise, linear
from mcuformer.operators.table import ins
from mcuformer.program.buffers import Span
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr, var
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import SCRATCH, Job, Steps, Task


@dataclass(frozen=True, slots=True)
class PatchGrid:
    """A patch grid: `down` x `across` patches of `ph` lines and `segment` bytes a line."""

    down: int
    across: int
    ph: int
    segment: int
    line: int

    @staticmethod
    def of(em: TaskEmitter, op: Op) -> PatchGrid:
        image = em.values[str(op.inputs[0])].type
        item = image.size_bytes // int(np.prod(image.shape))
        h, w, c = image.shape
        ph, pw = op.attrs["kernel"]
        return PatchGrid(h // ph, w // pw, ph, pw * c * item, w * c * item)


def as_linear(op: Op, grid: PatchGrid, stride: int = 0) -> Op:
    """The patch embedding as a linear layer over rows of `ph` segments, one image line apart or
    `stride` bytes."""
    attrs = {
        **{name: value for name, value in op.attrs.items() if name != "groups"},
        "segments": grid.ph,
        "segment_bytes": grid.segment,
        "segment_stride": stride or grid.line,
    }
    return replace(op, kind="q_linear", attrs=attrs)


def patches(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """The tokens of the image, which lies whole somewhere or is pulled line by line."""
    op = region.ops[-1]
    lines = min(choice.lines, op.attrs["kernel"][0])
    mode = "resident" if em.where.get(str(op.inputs[0])) else "bands"
    return patch_embed(em, op, target, mode, lines)


def read_lines(em: TaskEmitter, op: Op, dst: Loc, first: Expr, count: int, line: int) -> Task:
    span = Span(str(dst.buffer), dst.start, line * count, line * count, Expr(1))
    parts = (dst.addr, first, count)
    return Task("read_lines", em.layer_ids[op.name], parts, (), (span,), checked=True)


def patch_embed(em: TaskEmitter, op: Op, target: Loc, mode: str, lines: int) -> Steps:
    """Rows of the patch grid in order; `lines` image lines at a time in `bands` mode."""
    grid = PatchGrid.of(em, op)
    virtual = as_linear(op, grid)
    rows = Rows(var("t") * grid.across, Expr(grid.across), grid.across, grid.across)
    y = target.at(rows.first)
    res = em.location(ins(op).res, {}, rows)
    if mode == "bands" and lines < grid.ph:
        body = _partial_sums(em, virtual, grid, y, res, rows, lines)
    else:
        body = _whole_band(em, virtual, grid, y, res, rows, mode)
    return [Loop("t", grid.down, 1, tuple(body), f"{op.name}: rows of patches")]


def _whole_band(
    em: TaskEmitter, op: Op, grid: PatchGrid, y: Loc, res: Loc | None, rows: Rows, mode: str
) -> Steps:
    band = grid.ph * grid.line
    if mode == "bands":
        x = Loc(Expr(), grid.segment, band, em.buffer(f"{op.name}.band", band))
        return [
            read_lines(em, op, x, var("t") * grid.ph, grid.ph, grid.line),
            _linear(em, op, x, res, y, rows, band),
        ]
    image = em.where[str(op.inputs[0])]
    x = Loc(image.start + var("t") * band, grid.segment, band, image.buffer, image.constant)
    if image.buffer is None or image.buffer != y.buffer:
        return [_linear(em, op, x, res, y, rows, band)]
    # Tokens overwrite consumed image bytes: a row of patches is finished aside, then laid down.
    aside = em.rows_buffer(op.outputs[0], grid.across, f"{op.name}.row")
    call = _linear(em, op, x, res, aside, rows, band)
    return [replace(call, shown=None), copy_rows(em, op, aside, y, rows)]


def _linear(
    em: TaskEmitter, op: Op, x: Loc, res: Loc | None, y: Loc, rows: Rows, band: int
) -> Task:
    call = em.apply(op, [x, res], y, rows)
    own = (Span(x.buffer, x.start, band, band, Expr(1)),) if x.buffer else ()
    return replace(call, reads=own + (res.span(rows.count) if res else ()))


def copy_rows(em: TaskEmitter, op: Op, x: Loc, y: Loc, rows: Rows) -> Task:
    return Task(
        "mcf_copy",
        em.layer_ids[op.name],
        (x, y, x.row_bytes, rows.count),
        x.span(rows.count),
        y.span(rows.count),
        shown=(op.outputs[0], y, rows, 0),
        instructions=elementwise.copy_instructions(x.row_bytes, rows.full),
    )


def _partial_sums(
    em: TaskEmitter, op: Op, grid: PatchGrid, y: Loc, res: Loc | None, rows: Rows, lines: int
) -> Steps:
    """`lines` image lines at a time; int32 sums of one row of patches wait for the last of them."""
    n, size = em.values[op.outputs[0]].type.shape[-1], grid.line * lines
    acc = Loc(Expr(), 4 * n, 4 * n, em.buffer(f"{op.name}.sums", 4 * n * grid.across))
    x = Loc(Expr(), grid.segment, size, em.buffer(f"{op.name}.lines", size))

    def partial(first: Expr) -> tuple[Task, ...]:
        seen = Span(str(x.buffer), Expr(), size, size, Expr(1))
        read = read_lines(em, op, x, var("t") * grid.ph + first, lines, grid.line)
        return read, add_sums(em, op, lines, first, x, (seen,), acc, rows)

    steps: Steps = [*partial(Expr())]
    if grid.ph > lines:
        rest = partial(var("l") + lines)
        steps.append(
            Loop("l", grid.ph - lines, lines, rest, "the other lines of this row of patches")
        )
    return [*steps, finish_sums(em, op, lines, acc, res, y, rows)]


def add_sums(
    em: TaskEmitter, op: Op, lines: int, first: Expr, x: Loc, seen: tuple[Span, ...], acc: Loc,
    rows: Rows,
) -> Task:  # fmt: skip
    """int32 sums of `lines` segments of every row from segment `first` on; segment 0 begins with the
    bias. `seen`: the bytes that are read of x."""
    job, sums, start = Job(op, rows.full, lines=lines), acc.span(rows.count), first == Expr()
    em.made.append(job)  # scratch of its own
    return Task(
        "mcf_linear_partial",
        em.layer_ids[op.name],
        (first, lines, x.addr, Expr(x.stride), acc.addr, rows.count, SCRATCH),
        seen if start else (*seen, *sums),
        sums,
        job,
        job,
        job,
        overwrites=not start,
    )


def finish_sums(
    em: TaskEmitter, op: Op, lines: int, acc: Loc, res: Loc | None, y: Loc, rows: Rows
) -> Task:
    """Rows of y from their sums."""
    sums = acc.span(rows.count)
    return Task(
        "mcf_linear_finish",
        em.layer_ids[op.name],
        (acc.addr, res, y, rows.count),
        sums + (res.span(rows.count) if res else ()),
        y.span(rows.count),
        packed=Job(op, rows.full, lines=lines),
        shown=(op.outputs[0], y, rows, 0),
        instructions=linear.finish_instructions(op, em, rows.full),
    )


def line_choices(op: Op) -> list[int]:
    """How many lines at a time: divisors of the patch height, most first; all where int32 does not
    hold their sums."""
    height = op.attrs["kernel"][0]
    least = height if "k_split" in op.attrs else 1
    return [n for n in range(height, least - 1, -1) if height % n == 0]


def may_overwrite(em: TaskEmitter, op: Op, target: TensorType, first_row: int) -> bool:
    """Tokens may lie over the image when no row of patches is written before all of its bytes are consumed."""
    grid = PatchGrid.of(em, op)
    row_bytes = target.size_bytes // target.shape[0]
    band = grid.ph * grid.line
    return all(
        (first_row + (b + 1) * grid.across) * row_bytes <= (b + 1) * band for b in range(grid.down)
    )
