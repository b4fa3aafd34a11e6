"""max of the float graph -> q_max: both terms on the grid of the result, then the larger one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import OutOfRangeError
from mcuformer.ir.epilogue import LIMIT, zero_share
from mcuformer.ir.graph import Op
from mcuformer.ir.types import QParams
from mcuformer.operators.lowering import Numbers
from mcuformer.quant.context import Context
from mcuformer.quant.lower_simple import activation, operands, per_channel, stored, terms_of
from mcuformer.quant.operands import channel_constant

_MAX_SHIFT = 20
_BEYOND = 2.0**16  # no code of any type is further from 0


class _Term(NamedTuple):
    """Numbers of a grid, `most` the largest magnitude; or `constant`, real numbers (C,)."""

    grid: QParams
    most: int
    constant: NDArray[np.float64] | None = None

    def factors(self, out: QParams, shift: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(multiplier, offset), where 2^shift is a step of `out`."""
        half = 2.0 ** (shift - 1)
        if self.constant is not None:
            code = np.clip(out.zero_point + self.constant / out.scale, -_BEYOND, _BEYOND)
            return np.zeros(()), np.rint(code * 2.0**shift) + half
        exact = np.asarray(self.grid.scale / out.scale * 2.0**shift)
        share = zero_share(self.grid.zero_point, self.most, exact)
        return np.rint(exact), np.rint(out.zero_point * 2.0**shift) + half - share


def lower_max(ctx: Context, op: Op) -> None:
    """A constant that all rows share is the offset of a term that takes x by 0. Operands that share
    their grid with the result (quant/classes.py) need no numbers."""
    y = op.outputs[0]
    if _on_its_grid(ctx, op):
        ctx.emit("q_max", op, operands(ctx, op), {})
        return
    shared, channels = channel_constant(ctx.graph, op), ctx.shape(y)[-1]
    names = operands(ctx, op) if shared is None else [activation(ctx, op)] * 2

    def numbers() -> Numbers:
        found, arrays = terms_of(ctx, op, names)
        made = [_Term(grid, most) for grid, most in found]
        if shared is not None:
            made[1] = made[1]._replace(constant=shared)
        shift, factors = _on_one_grid(made, ctx.qparams(y), channels, op.name)
        for suffix, data in zip(("ma", "oa", "mb", "ob"), factors, strict=True):
            arrays[f"{op.name}.{suffix}"] = data
        return {"shift": shift}, arrays

    consts = per_channel(op, channels, "ma", "mb", "oa", "ob")
    ctx.emit("q_max", op, [*stored(ctx, op, names), *consts], {}, numbers)


def _on_its_grid(ctx: Context, op: Op) -> bool:
    if any(ctx.const(n) is not None for n in op.inputs):
        return False
    names = [str(n) for n in (*op.inputs, *op.outputs)]
    return len({(id(ctx.plan.policies[n]), ctx.dtype(n)) for n in names}) == 1


def _on_one_grid(
    made: list[_Term], out: QParams, channels: int, where: str
) -> tuple[int, list[NDArray[np.int32]]]:
    """The largest shift at which both terms fit int32, and their multipliers and offsets (C,)."""
    for shift in range(_MAX_SHIFT, 0, -1):
        pairs = [term.factors(out, shift) for term in made]
        bounds = [
            term.most * np.abs(mult) + np.abs(offset)
            for term, (mult, offset) in zip(made, pairs, strict=True)
        ]
        if max(float(np.max(b)) for b in bounds) <= LIMIT:
            flat = [np.broadcast_to(n, (channels,)) for pair in pairs for n in pair]
            return shift, [n.astype(np.int32) for n in flat]
    raise OutOfRangeError(where, "a term does not fit int32")
