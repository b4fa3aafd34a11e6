"""Of a quotient, a product with a reciprocal: how large a reciprocal matters.

Where a numerator is 0, its denominator often is little more than an epsilon (linear attention of a row
that no feature fires for), and the reciprocal is 1e5 and more. A grid that holds it has no step left for
the others. So its range is that of the rows whose quotient is at least half a step of its largest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import MOVES

_HALF_STEP = 1 / 512  # of 8 bits, of the largest


@dataclass(slots=True)
class QuotientReaches:
    """`chains`: of every quotient, what its reciprocal was moved through; `most`: what was seen of
    quotients, `reach`: of their reciprocals where it mattered."""

    chains: Mapping[str, tuple[str, ...]]
    most: dict[str, float] = field(default_factory=dict)
    reach: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def of(graph: Graph) -> QuotientReaches:
        readers = Counter(name for op in graph.ops for name in op.inputs) + Counter(graph.outputs)
        makers = {op.outputs[0]: op for op in graph.ops}
        chains = {
            op.outputs[0]: _chain(makers, readers, str(name))
            for op in graph.ops
            if op.kind == "mul"
            for name in op.inputs
            if _chain(makers, readers, str(name))
        }
        return QuotientReaches(chains)

    def see(self, op: Op, env: Mapping[str, NDArray]) -> None:
        """The values of a batch, behind `op`."""
        y = op.outputs[0]
        chain = self.chains.get(y)
        if chain is None:
            return
        quotient, reciprocal = np.abs(env[y]), np.abs(env[chain[0]])
        self.most[y] = max(self.most.get(y, 0.0), float(quotient.max()))
        matter = quotient >= self.most[y] * _HALF_STEP
        wide = np.broadcast_to(reciprocal, quotient.shape)[matter]
        if wide.size and self.most[y] > 0:
            self.reach[y] = max(self.reach.get(y, 0.0), float(wide.max()))

    def limits(self) -> Iterator[tuple[str, float]]:
        """Of every value that only carries a reciprocal to its product."""
        for y, most in self.reach.items():
            for name in self.chains[y]:
                yield name, most


def _chain(
    makers: Mapping[str, Op], readers: Mapping[str | None, int], name: str
) -> tuple[str, ...]:
    """`name` and what it was moved from, back to a reciprocal; () where it is none, or read elsewhere."""
    found: list[str] = []
    while name in makers and readers[name] == 1:
        op = makers[name]
        found.append(name)
        if op.kind == "power" and op.attrs["exponent"] < 0:
            return tuple(found)
        if op.kind not in MOVES or len(op.inputs) != 1:
            break
        name = str(op.inputs[0])
    return ()
