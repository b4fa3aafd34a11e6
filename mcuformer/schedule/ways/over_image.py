"""A depthwise convolution over its own image: all lines in one call, four channels at a time.

Of four channels the kernel reads the whole image before it writes any of them, and no other channels
lie in those bytes; so the image, which dies, needs no line beside it: only four channels of it. With
a stride the result is the first pixels of the image's buffer.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.ir.graph import Op
from mcuformer.ir.types import Value
from mcuformer.kernels import conv
from mcuformer.operators.table import kernel_of, operand
from mcuformer.program.buffers import Span
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.images import KnownValues, image_operand
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import SCRATCH, Job, Steps, Task

OVER_IMAGE = "over its image"  # the schedule


def can_lie_over(op: Op, graph: KnownValues) -> bool:
    """Whether the result of `op` has the pixels of its image, or fewer of the same bytes."""
    if op.kind != "q_dwconv2d":
        return False
    x, y = graph.type(image_operand(op)), graph.type(op.outputs[0])
    alone = list(op.inputs).count(image_operand(op)) == 1
    alike = x.dtype == y.dtype and x.shape[-1] == y.shape[-1] and len(y.shape) == 3
    return alone and alike and x.size_bytes >= y.size_bytes


def place_over_image(
    em: TaskEmitter, region: Region, dying: Sequence[str], read: Sequence[str]
) -> Loc | None:
    """The image's place, where that is one of the values `dying` and nothing else of `read` lies there."""
    name = image_operand(region.ops[-1])
    buffer, line = em.where[name].buffer, em.row_bytes(region.target)
    if name not in dying or any(n != name and em.where[n].buffer == buffer for n in read):
        return None
    return Loc(Expr(), line, line, buffer)


def lies_over_image(em: TaskEmitter, region: Region) -> bool:
    """Whether the region's target was given its image's place."""
    if not (region.over and region.in_lines):
        return False
    x, y = em.where[image_operand(region.ops[-1])], em.where.get(region.target)
    return y is not None and y.buffer == x.buffer


def channels_bytes(op: Op, graph: KnownValues) -> int:
    """What lies beside the image: the kernel's scratch."""
    return conv.depthwise_scratch_bytes(_over(op), graph, graph.type(op.outputs[0]).shape[0])


def over_image(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """One call; `target` begins where the image does."""
    op = _over(region.ops[-1])
    x, kernel = em.where[image_operand(op)], kernel_of(op)
    lines = em.type(op.outputs[0]).shape[0]
    rows = Rows.all(lines)
    job = Job(op, lines, decided_on=lines)
    em.made.append(job)
    others = [operand(op, n) for n in kernel.reads[1:]]
    at = [None if n is None else em.whole(n) for n in others]
    beside = [s for loc in at if loc is not None for s in loc.span(Expr(lines))]
    return [
        Task(
            "",
            em.layer_ids[op.name],
            (
                x.addr,
                Expr(),
                *("NULL" if loc is None else loc.addr for loc in at),
                target.addr,
                Expr(),
                Expr(lines),
                SCRATCH,
            ),
            (_piece(x, em.values[image_operand(op)]), *beside),
            (_piece(target, em.values[op.outputs[0]]),),
            job,
            job,
            job,
            (op.outputs[0], target, rows, 0),
            overwrites=True,
        )
    ]


def _over(op: Op) -> Op:
    return op.replace(attrs={**op.attrs, "over": 1})


def _piece(at: Loc, value: Value) -> Span:
    """All bytes of it as one: channels are read and written in step, not rows."""
    size = value.type.size_bytes
    return Span(str(at.buffer), at.start, size, size, Expr(1))
