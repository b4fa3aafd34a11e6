"""The function at the end of a layer: a table by the sum, or the clamps that saturation leaves over."""

from __future__ import annotations

from mcuformer.ir.functions import clamp_bounds
from mcuformer.ir.graph import Op
from mcuformer.ir.types import QParams
from mcuformer.operators.lowering import Const
from mcuformer.quant.context import Context
from mcuformer.quant.tables import (
    CLAMP_BITS,
    INDEX_BITS,
    INDEX_ENTRIES,
    IndexTable,
    clamp_table,
    clamps,
    index_table,
)


def table_operand(ctx: Context, op: Op) -> Const | None:
    """A clamp needs one on int8 only, and none where all ends of the type are its ends."""
    fn, out, name = op.attrs["fn"], op.outputs[0], f"{op.name}.table"
    if fn is None:
        return None
    dtype = ctx.dtype(out)
    if clamp_bounds(fn) is None:
        return Const(name, dtype, (INDEX_ENTRIES[dtype],))
    if dtype == "int16":
        return None
    positive = ctx.plan.policies[out].positive
    return Const(name, dtype, (1 << CLAMP_BITS,), usual=not positive)


def usual_bits(ctx: Context, op: Op) -> int:
    if clamp_bounds(op.attrs["fn"]) is not None:
        return CLAMP_BITS
    return INDEX_BITS[ctx.dtype(op.outputs[0])]


def end_table(fn: str | None, out: QParams, dtype: str, where: str) -> IndexTable | None:
    """None where nothing is left to do beside saturation and the clamps of the layer."""
    if fn is None:
        return None
    if clamp_bounds(fn) is None:
        return index_table(fn, out, dtype)
    low, high = clamps(fn, out, dtype, where)
    if dtype == "int16" or (low, high) == (-128, 127):
        return None
    return clamp_table(low, high, out)
