"""Max-pooling: one more link of a chain of convolutions (conv.py), without weights or scratch."""

from __future__ import annotations

from dataclasses import replace

from mcuformer.ir.graph import Op
from mcuformer.schedule.emit import Emitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.program import Call, Expr, Span, Work


def largest(
    em: Emitter, op: Op, x: Loc, x_line: Expr, reads: tuple[Span, ...], y: Loc, rows: Rows
) -> Call:
    """Lines `rows` of the output at `y`; line `x_line` of the image lies at `x`."""
    args = (x.addr, x_line, y.addr, rows.first, rows.count)
    call = em.call("mcf_maxpool", "maxpool", op, args, reads, y, rows, (), {})
    return replace(call, work=Work("maxpool", op, rows.full, 0))
