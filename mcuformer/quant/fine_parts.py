"""Parts of a join whose other readers want a finer grid than the join has: they keep one of their own.

All that moves hold has one grid (quant/classes.py), so a concatenation with numbers a hundred times as
large would leave a part three steps, for the layer beside it as well. A requantised copy in front of the join
costs its bytes where the join cannot hold it, and a few instructions a number; 16 bits for the class, the other
way out, would double the join and every part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.operators.table import JOINED, MOVES
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.class_grids import narrow_grid
from mcuformer.quant.policy import Mode, Policy, policies
from mcuformer.quant.rewrites.edit import Rewrite

ONE_GRID = "one_grid"  # in a graph's meta: there is no room for copies
ENOUGH_DB = 27.0  # of the outputs less their means
_LEAST_DB = ENOUGH_DB + 3.01  # of one value: half of the noise that this allows
_A_BIT = 2.0  # the least by which a copy has to be finer
_Members = frozenset[str]
_Edge = tuple[str, str]  # (name of an operation, an operand): that and the result have one grid


def regrid_fine_parts(stats: CalibrationStats, mode: Mode) -> CalibrationStats:
    """concat(x, y), f(x) -> concat(requant(x), y), f(x), where 8 bits on the common grid are so coarse that
    x alone would have half of the noise which outputs may have, and its own grid is a bit finer at least.
    QDQ files keep their grids; nothing changes without samples, whose ranges can be compared."""
    graph = stats.graph
    if stats.samples is None or graph.meta.get(ONE_GRID):
        return stats
    given = graph.meta.get("qdq", {})
    cuts = set[_Edge]()
    for policy in dict.fromkeys(policies(graph, mode).values()):
        if (
            policy.dtype == "int8"
            and len(policy.members) > 1
            and given.keys().isdisjoint(policy.members)
        ):
            cuts |= _Class.of(stats, policy).cuts()
    return _regridded(stats, cuts) if cuts else stats


def on_one_grid(stats: CalibrationStats) -> CalibrationStats:
    """Of which `regrid_fine_parts` changes nothing."""
    graph = stats.graph.replace(meta={**stats.graph.meta, ONE_GRID: True})
    return replace(stats, graph=graph)


def _regridded(stats: CalibrationStats, cuts: AbstractSet[_Edge]) -> CalibrationStats:
    edit, values = Rewrite(stats.graph), dict(stats.values)
    for op in stats.graph.ops:
        copies: dict[str | None, str] = {}
        for name in dict.fromkeys(map(str, op.inputs)):
            if (op.name, name) in cuts:
                shape, stem = stats.graph.type(name).shape, f"{op.name}.{name}"
                made = edit.emit_new(op, [name], shape, kind="requant", name=stem, attrs={})
                copies[name], values[made] = made, stats.values[name]
        edit.emit(op, [copies.get(n, n) for n in op.inputs])
    return replace(stats, graph=edit.done(), values=values)


@dataclass(slots=True)
class _Class:
    """A class of values: its `joins` in order, what has one grid with each member and by which edge, and
    the members that are `wanted` by others than what holds the class together."""

    stats: CalibrationStats
    policy: Policy
    joins: Sequence[Op]
    beside: Mapping[str, Sequence[tuple[str, _Edge]]]
    wanted: _Members
    ends: dict[str, tuple[NDArray, NDArray]] = field(default_factory=dict)
    spans: dict[_Members, float] = field(default_factory=dict)
    steps: dict[_Members, float] = field(default_factory=dict)
    moving: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, stats: CalibrationStats, policy: Policy) -> _Class:
        graph, readers = stats.graph, stats.graph.consumers()
        beside: dict[str, list[tuple[str, _Edge]]] = {n: [] for n in policy.members}
        wanted, joins = set(graph.outputs).intersection(beside), dict[str, Op]()
        for name in policy.members:
            for op in readers[name]:
                if op.kind not in MOVES and op.name not in policy.chosen:
                    wanted.add(name)
                    continue
                beside[name].append((op.outputs[0], (op.name, name)))
                beside[op.outputs[0]].append((name, (op.name, name)))
                joins |= {op.name: op} if op.kind in JOINED else {}
        places = graph.places()
        ordered = sorted(joins.values(), key=lambda op: places[op.name])
        return cls(stats, policy, ordered, beside, frozenset(wanted))

    def cuts(self) -> set[_Edge]:
        """The edges that get a copy. At first all operands of joins have one; from the last join on, those
        go whose grids do as well together, so that what is left lies as far up as it may."""
        spans = [self._span(frozenset((n,))) for n in self.wanted]
        if not self.joins or not spans or self._span(frozenset(self.beside)) < _A_BIT * min(spans):
            return set()
        cuts = {(op.name, n) for op in self.joins for n in self._operands(op)}
        shares = self._shares(cuts)
        for op in reversed(self.joins):
            cuts -= self._spared(op, cuts, shares)
        return cuts

    def _operands(self, op: Op) -> list[str]:
        return [n for n in dict.fromkeys(map(str, op.inputs)) if n in self.beside]

    def _spared(self, op: Op, cuts: AbstractSet[_Edge], shares: dict[str, _Members]) -> set[_Edge]:
        """The copies that `op` can do without; `shares` follows. Operands that share a grid go together."""
        spared = set[_Edge]()
        for name in self._operands(op):
            part, rest = shares[name], shares[op.outputs[0]]
            if (op.name, name) in cuts - spared and not self._loses(part, rest, shares):
                spared |= {(op.name, n) for n in part}
                shares |= dict.fromkeys(part | rest, part | rest)
        return spared

    def _shares(self, cuts: AbstractSet[_Edge]) -> dict[str, _Members]:
        """By value, all that has one grid with it where `cuts` part the class."""
        shares: dict[str, _Members] = {}
        for name in self.beside:
            if name not in shares:
                found, left = {name}, [name]
                while left:
                    more = {n for n, e in self.beside[left.pop()] if e not in cuts} - found
                    found |= more
                    left += more
                shares |= dict.fromkeys(found, frozenset(found))
        return shares

    def _loses(self, part: _Members, rest: _Members, shares: Mapping[str, _Members]) -> bool:
        """Whether something wanted of both, or of what joins make of `part`, gets too little on one grid
        for both, and more on the one that it has. Extremes say where to look for the grids."""
        whole = part | rest
        most = self._span(whole)
        for name in sorted(self.wanted & (whole | self._made_of(part))):
            own = shares[name]
            if most < _A_BIT * self._span(own) or self._kept(name, most / 255) >= _LEAST_DB:
                continue
            coarse, fine = self._step(whole), self._step(own)
            if coarse >= _A_BIT * fine and self._kept(name, coarse) < _LEAST_DB:
                return True
        return False

    def _made_of(self, part: _Members) -> set[str]:
        """What is moved, through copies as well."""
        found, left = set[str](), list(part)
        while left:
            name = left.pop()
            more = {n for n, (_, x) in self.beside[name] if x == name} - found
            found |= more
            left += more
        return found

    def _span(self, members: _Members) -> float:
        """Of the range, before anything is cut from it; of several channels, the root of the mean square."""
        if members not in self.spans:
            ends = np.array([self._ends(n) for n in members - self.policy.outshone])
            wide = ends[:, 1].max(axis=0) - ends[:, 0].min(axis=0)
            self.spans[members] = float(np.sqrt(np.square(wide).mean()))
        return self.spans[members]

    def _ends(self, name: str) -> tuple[NDArray, NDArray]:
        if name not in self.ends:
            value = self.stats.values[name]
            low, high = value.low, value.high
            if self.policy.grain == "tensor":
                low, high = np.minimum(low.min(), 0.0), np.maximum(high.max(), 0.0)
            self.ends[name] = low, high
        return self.ends[name]

    def _step(self, members: _Members) -> float:
        """Of the grid that they would get, likewise."""
        if members not in self.steps:
            kept = tuple(n for n in self.policy.members if n in members)
            grid, _ = narrow_grid(self.stats, replace(self.policy, members=kept))
            self.steps[members] = float(np.sqrt(np.square(grid.scale).mean()))
        return self.steps[members]

    def _kept(self, name: str, step: float) -> float:
        """dB that rounding to `step` leaves of what moves in a value; the mean of a channel is in a bias."""
        if name not in self.moving:
            rows = self.stats.values[name].rows
            self.moving[name] = float(rows.var(axis=0, dtype=np.float64).mean())
        moving = self.moving[name]
        return 10 * math.log10(12 * moving / step**2) if moving > 0 else math.inf
