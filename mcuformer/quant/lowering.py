"""Which function lowers each float operator, as the rows of the integer ones say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module

from mcuformer.ir.graph import Op
from mcuformer.ir.optable import FLOAT_OPS
from mcuformer.operators.row import IncompleteRow, Lowering
from mcuformer.operators.table import LOWERED, REFUSED
from mcuformer.quant.context import Context

Lower = Callable[[Context, Op], None]


def functions(
    lowered: Mapping[str, tuple[Lowering, tuple[str, ...]]],
    floats: Collection[str],
    refused: Mapping[str, str],
) -> dict[str, Lower]:
    """By float kind; IncompleteRow where there is no such function, or a float operator that is
    neither lowered nor refused."""
    for kind in {*floats, *lowered, *refused}:
        if kind not in floats:
            raise IncompleteRow(f"float operator {kind}: it is lowered, but has no row")
        if (kind in lowered) == (kind in refused):
            raise IncompleteRow(f"float operator {kind}: want it either lowered or refused")
    return {kind: _function(to[0], lowering) for kind, (lowering, to) in lowered.items()}


def _function(kind: str, lowering: Lowering) -> Lower:
    if not isinstance(lowering.function, str):
        return lowering.function
    module, _, name = lowering.function.partition(".")
    try:
        found: Lower = getattr(import_module(f"mcuformer.quant.{module}"), name)
    except (ImportError, AttributeError) as error:
        raise IncompleteRow(f"integer operator {kind}: lowered: {error}") from error
    return found


LOWER: Mapping[str, Lower] = functions(LOWERED, FLOAT_OPS, REFUSED)
