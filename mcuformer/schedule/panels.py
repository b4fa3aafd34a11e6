"""How many channels a linear layer expands at a time within a budget of scratch bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcuformer.ir.graph import Op
from mcuformer.kernels import linear

if TYPE_CHECKING:
    from mcuformer.schedule.emit import Emitter


def linear_panel(op: Op, em: Emitter, rows: int, budget: int) -> int:
    """The panel with the fewest instructions among those whose scratch fits; 0 where none does."""
    n = em.values[op.outputs[0]].type.shape[-1]
    best, cost = 0, linear.instructions(op, em, rows, panel=0)
    seen = set()
    for parts in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256):
        panel = _up4(-(-n // parts))
        if panel in seen or linear.scratch_bytes(op, em, rows, panel=panel) > budget:
            continue
        seen.add(panel)
        c = linear.instructions(op, em, rows, panel=panel)
        if c < cost:
            best, cost = panel, c
    return best


def _up4(n: int) -> int:
    return -(-n // 4) * 4
