"""A modulation in strips of lines, twice: one sweep for the mean, one for the rows.

No image exists whole. The first sweep makes every line of the last context and adds it to the mean's
sums. The second makes the contexts again, now with the mean at hand, and carries each strip on to the
target, which is written over the rows that entered: the convolutions run ahead by their halo, and
what is wanted of a row itself (gates, queries) is made of it again just before it is overwritten.

Of a squeeze (schedule/squeezes.py) the same, where it is too wide to be kept; where there is room, the
first sweep keeps the image that the mean is of, and the second begins with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mcuformer.ir.graph import Op
from mcuformer.ir.types import Value
from mcuformer.operators.table import INT_OPS
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.images import line_counts
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import (
    CONVOLUTIONS,
    MEANS,
    TOKENWISE,
    VIEWS,
    Choice,
    Region,
    ancestors,
)
from mcuformer.schedule.tasks import Steps, Task
from mcuformer.schedule.ways.conv import StripSteps, in_strips
from mcuformer.schedule.ways.flow import line_graph
from mcuformer.schedule.ways.mean import RunningSums
from mcuformer.schedule.ways.modulate import pieces, run, single_rows
from mcuformer.schedule.ways.strips import Strips, line_choices
from mcuformer.schedule.ways.windows_of_lines import Windows

SWEEPS, SWEEPS_IN_PLACE = "sweeps", "sweeps in place"  # how lines are kept, as in conv.py
KEPT_IMAGE = "kept image"  # with lines in place


def sweep_choices(em: TaskEmitter, region: Region) -> list[int]:
    """Lines of a strip of the region's target, whole images first; none where the rows need no context
    but a mean, which has no lines."""
    ops = _last_sweep(em, region)
    if not any(op.kind in CONVOLUTIONS for op in ops):
        return []
    return line_choices(line_graph(em, ops).flow)


def in_sweeps(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """The sweep of every mean, what is made of it, and the sweep of the rows."""
    steps: Steps = []
    for piece in pieces(region.ops, single_rows(em, region.ops)):
        if piece.ops[-1].kind in MEANS and any(o.kind in CONVOLUTIONS for o in piece.ops):
            at = em.where[piece.target] = em.rows_buffer(piece.target, 1)
            steps += _mean(em, piece, at, choice)
        else:
            steps += run(em, iter([piece]), choice)
    if choice.schedule == KEPT_IMAGE:
        rows = {region.target, *single_rows(em, region.ops), *em.where}
        *_, piece = pieces(region.ops, rows)
        seen = line_graph(em, piece.ops, counts=line_counts(region.ops, em))
    else:
        seen = line_graph(em, _last_sweep(em, region))
    strips = Strips.of(seen.flow, choice.lines)
    windows = Windows(em, seen, strips, choice.schedule != SWEEPS)
    made = StripSteps(em, seen, strips, target, windows)
    return steps + in_strips(made, region.name)


def _mean(em: TaskEmitter, piece: Region, target: Loc, choice: Choice) -> Steps:
    """Strips of what a mean is of, each added to its sums and forgotten, or kept."""
    *ops, mean = piece.ops
    views: list[Op] = []
    while ops[-1].kind in VIEWS:
        views.append(ops.pop())
    seen = line_graph(em, ops)
    strips, value = Strips.of(seen.flow, choice.lines), seen.names[-1]
    lines = strips.most(len(strips.limits) - 1)
    per_line = em.type(value).shape[0] // seen.flow.heights[-1]
    kept = choice.schedule == KEPT_IMAGE
    if kept:
        strip = em.where[value] = em.rows_buffer(value, em.type(value).shape[0])
        run(em, (Region(o.outputs[0], (o,)) for o in reversed(views)), choice)
    else:
        strip = em.rows_buffer(value, lines * per_line, f"{value}.lines")
    sums = RunningSums.of(em, mean, target)
    windows = Windows(em, seen, strips, choice.schedule != SWEEPS)
    made = _Summed(em, seen, strips, strip, windows, sums=sums, kept=kept)
    return [sums.start(), *in_strips(made, mean.name), sums.finish()]


@dataclass(slots=True)
class _Summed(StripSteps):
    """Steps whose last lines are added to sums; they lie where those of the step before lay, unless they
    are `kept`."""

    sums: RunningSums | None = None
    kept: bool = False

    def step(self, i: int, moved: Expr) -> Iterator[Task]:
        yield from StripSteps.step(self, i, moved)
        assert self.sums is not None
        first, end = self.strips.made(-1, i)
        if end > first:
            t = self.em.type(str(self.sums.op.inputs[0]))
            size, per = t.size_bytes // t.shape[0], t.shape[0] // self.images.flow.heights[-1]
            count, line = (end - first) * per, Expr(first) + moved * self.strips.per_period[-1]
            x = Loc(self.target.start, size, size, self.target.buffer)
            x = x.at(line * per) if self.kept else x
            yield self.sums.add(x, Rows(line * per, Expr(count), count, count))

    def output(self, k: int, i: int, line: Expr, count: int) -> tuple[Loc, Rows]:
        y, rows = StripSteps.output(self, k, i, line, count)
        return self.target if self.windows.is_whole(k) and not self.kept else y, rows


def _last_sweep(em: TaskEmitter, region: Region) -> list[Op]:
    """All but the means and what is made of them alone; first what runs ahead for the convolutions. What
    is cheap to make of the rows themselves is made for the others again, not kept until they come."""
    *_, piece = pieces(region.ops, {region.target, *single_rows(em, region.ops)})
    convolved = [o for o in piece.ops if o.kind in CONVOLUTIONS]
    ahead = {o for c in convolved for o in ancestors(piece.ops, c.outputs[0])}
    cheap: dict[str, Op] = {}
    for op in piece.ops:
        read = [n for n in op.inputs if n is not None and em.values[n].data is None]
        rows = op.kind in TOKENWISE and INT_OPS[op.kind].weights is None
        if op in ahead and rows and all(n in cheap or n in em.where for n in read):
            cheap[op.outputs[0]] = op
    later: list[Op] = []
    for op in piece.ops:
        if op not in ahead:
            _add(em, cheap, op, later)
    return [*(o for o in piece.ops if o in ahead), *later]


def _add(em: TaskEmitter, cheap: dict[str, Op], op: Op, later: list[Op]) -> None:
    """`op` on operands that are made again before it."""
    inputs = list(op.inputs)
    for i, name in enumerate(inputs):
        if name in cheap:
            again = inputs[i] = f"{name}[0:{em.type(name).shape[-1]}]"  # all channels
            if all(o.outputs[0] != again for o in later):
                em.values[again] = Value(again, em.type(name))
                _add(em, cheap, cheap[name].replace(outputs=(again,)), later)
    later.append(op.replace(inputs=tuple(inputs)) if tuple(inputs) != op.inputs else op)
