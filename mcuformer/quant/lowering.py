"""Which function lowers each float operator, gathered from the rows of the integer ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.optable import PREPARED, OpSpec
from mcuformer.operators.row import IncompleteRow, IntOp, Lowering
from mcuformer.operators.table import INT_OPS
from mcuformer.quant.context import Context


@dataclass(frozen=True, slots=True)
class FloatLowering:
    """`to`: the kinds of which `function` chooses; `refuse` as in a row."""

    function: Callable[[Context, Op], None]
    refuse: Callable[[Graph, Op], str | None] | None
    to: tuple[str, ...]


def gathered(rows: Iterable[IntOp], floats: Mapping[str, OpSpec]) -> dict[str, FloatLowering]:
    """By float kind; IncompleteRow where a row is wrong, or a float operator has no way on."""
    found: dict[str, FloatLowering] = {}
    for row in rows:
        for kind, lowering in row.lowered.items():
            if kind not in floats:
                raise IncompleteRow(f"integer operator {row.kind}: lowered from {kind}, unknown")
            before = found.get(kind)
            made = FloatLowering(_function(row, lowering), lowering.refuse, (row.kind,))
            if before is not None and (before.function, before.refuse) != (
                made.function,
                made.refuse,
            ):
                raise IncompleteRow(f"float operator {kind}: two ways of lowering")
            to = () if before is None else before.to
            found[kind] = FloatLowering(made.function, made.refuse, (*to, row.kind))
    for kind, spec in floats.items():
        if (kind in found) == bool(spec.refused):
            raise IncompleteRow(f"float operator {kind}: lowered by one row or more, or refused")
    return found


def _function(row: IntOp, lowering: Lowering) -> Callable[[Context, Op], None]:
    if not isinstance(lowering.function, str):
        return lowering.function
    module, _, name = lowering.function.partition(".")
    try:
        found: Callable[[Context, Op], None] = getattr(
            import_module(f"mcuformer.quant.{module}"), name
        )
    except (ImportError, AttributeError) as error:
        raise IncompleteRow(f"integer operator {row.kind}: lowered, {error}") from error
    return found


LOWER: Mapping[str, FloatLowering] = gathered(INT_OPS.values(), PREPARED)
