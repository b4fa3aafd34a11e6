"""Pools: a number per channel from every window of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcuformer.ir.int_ops_simple import q_maxpool
from mcuformer.ir.optable import Shape
from mcuformer.kernels import maxpool
from mcuformer.operators.row import (
    Cost,
    IntOp,
    Kernel,
    Lowering,
    as_it_is,
    first,
    named,
    none,
    window_grid,
)

_WINDOW = frozenset({"kernel", "strides", "pads"})


def _pooled(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = first(s)
    return (*window_grid(attrs, x), x[-1])


ROWS = (
    IntOp(
        kind="q_maxpool",
        operands=named("x"),
        movement="lines",
        shape=_pooled,
        evaluate=q_maxpool,
        lowered={
            "maxpool": Lowering(
                "lower_simple.lower_maxpool",
                onnx=("MaxPool", "GlobalMaxPool", "ReduceMax"),
                moves=True,
            )
        },
        kernel=Kernel("mcf_maxpool", "mcf_maxpool.h", maxpool.pack, ("x",), ("x",)),
        cost=Cost("maxpool", maxpool.instructions, _WINDOW),
        numbers=frozenset(),
        nominal=as_it_is,
        macs=none,
        counted=None,
    ),
)
