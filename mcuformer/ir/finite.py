"""Numbers that a rewrite of constants made: finite, or the model is refused by the constant's name."""

from __future__ import annotations

import numpy as np

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph
from mcuformer.util.names import printable

GIVEN = "hold NaN or infinite values"
MEND = "train the model again with smaller weights, or mend its file"
FOLDED = "become NaN or infinite where scales, means and biases are folded into them"


def check_finite(graph: Graph, how: str) -> Graph:
    """`graph`; UnsupportedModelError says of a constant that is not finite `how`.

    Folding works in float64 and stores float32: what overflows there becomes infinite without a
    word under np.errstate, and is found here.
    """
    if graph.shapes_only:
        return graph
    for name, value in graph.values.items():
        if value.data is not None and not np.isfinite(value.data).all():
            raise UnsupportedModelError(
                f"weights {printable(name)} {how}",
                MEND,
            )
    return graph
