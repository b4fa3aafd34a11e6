"""A modulation some channels at a time: 2*T*E + 2*T*c bytes, and a norm in front once for every tile.

From the convolutions to the modulator every channel is by itself. For a tile of c channels the image
of all rows is made from the norm, goes through the convolutions, is averaged and added up, into its
columns of the modulator; one number per row (the gates) is made before and kept. What reads all
channels of the modulator then runs to the target in tiles of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mcuformer.ir.graph import Op
from mcuformer.ir.types import Value
from mcuformer.operators.table import INT_OPS
from mcuformer.program.calls import Loop
from mcuformer.schedule.columns import can_cut, sliced_type
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import (
    CONVOLUTIONS,
    TOKENWISE,
    VIEWS,
    Choice,
    Region,
    activations,
)
from mcuformer.schedule.tasks import Steps
from mcuformer.schedule.ways.modulate import ends, pieces, run
from mcuformer.schedule.ways.sides import columns_chain


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """`ops`: what computes every channel from the same channel, of `width` in all; `gates`: values of
    one number per row, `wide`: of all channels, that it reads; `modulators`: what it leaves."""

    ops: tuple[Op, ...]
    width: int
    gates: tuple[str, ...]
    wide: tuple[str, ...]
    modulators: tuple[str, ...]

    @staticmethod
    def of(em: TaskEmitter, region: Region) -> Channels:
        ops: list[Op] = []
        made: set[str] = set()
        for op in region.ops:
            if op.kind in CONVOLUTIONS or (made.intersection(op.inputs) and _by_channel(op)):
                ops.append(op)
                made.add(op.outputs[0])
        width = em.type(next(o for o in ops if o.kind in CONVOLUTIONS).outputs[0]).shape[-1]
        read = dict.fromkeys(n for o in ops for n in activations(em.graph, o) if n not in made)
        gates = tuple(n for n in read if em.type(n).shape[-1] == 1)
        others = [n for o in region.ops if o not in ops for n in o.inputs]
        left = tuple(dict.fromkeys(n for n in others if n in made))
        wide = tuple(n for n in read if n not in gates)
        return Channels(tuple(ops), width, gates, wide, left)

    def can_run(self, em: TaskEmitter, region: Region) -> bool:
        """Whether all that they read can be made some channels at a time."""
        producers = {o.outputs[0]: o for o in region.ops}
        wide = [_seen(producers, n) for n in self.wide]
        layers = all(o is not None and can_cut(em.values, o, 0, 4) for o in wide)
        rows = all(len(em.type(o.outputs[0]).shape) == 2 for o in self.ops if o.kind in TOKENWISE)
        sums = [o for o in self.ops if o.kind in TOKENWISE and o.outputs[0] in self.modulators]
        return layers and rows and self.width % 4 == 0 and len(sums) == len(self.modulators) == 1


def _by_channel(op: Op) -> bool:
    row = INT_OPS[op.kind]
    elementwise = op.kind in TOKENWISE and row.cut and row.weights is None and not row.grouped
    return elementwise or op.kind == "q_mean" or op.kind in VIEWS


def _seen(producers: Mapping[str, Op], value: str) -> Op | None:
    """What makes the value that a view shows."""
    op = producers.get(value)
    while op is not None and op.kind in VIEWS:
        op = producers.get(str(op.inputs[0]))
    return op


def channel_choices(em: TaskEmitter, region: Region) -> list[int]:
    """Channels of a tile worth trying, in fours: equal cuts."""
    channels = Channels.of(em, region)
    if not channels.can_run(em, region):
        return []
    groups = channels.width // 4
    counts = {-(-groups // n) for n in (2, 3, 4, 6, 8, 12, 16, 24)}
    return [4 * n for n in sorted(counts, reverse=True) if n < groups]


def by_channels(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """The gates, every tile of channels, then rows from the modulator to the target."""
    channels = Channels.of(em, region)
    (modulator,) = channels.modulators
    rows = em.type(modulator).shape[0]
    at = em.where[modulator] = em.rows_buffer(modulator, rows)
    steps = _gates(em, region, channels, choice.tile)
    for start in range(0, channels.width, choice.channels):
        stop = min(start + choice.channels, channels.width)
        steps += _Tile(em, region, channels, start, stop).steps(at, choice)
    made = {o.outputs[0] for o in channels.ops}
    rest = [o for o in region.ops if o.outputs[0] not in made]
    em.where[region.target] = target
    return steps + run(em, pieces(rest, {region.target}), choice)


def _gates(em: TaskEmitter, region: Region, channels: Channels, tile: int) -> Steps:
    """All numbers that there are one of in a row."""
    wanted = {n: None for n in channels.gates if n not in em.where}
    if not wanted:
        return []
    total = em.type(next(iter(wanted))).shape[0]
    rows, ops = Rows.tile("t", total, tile), set[Op]()
    for value in wanted:
        (piece,) = pieces(region.ops, {value})
        ops.update(piece.ops)
        em.where[value] = em.rows_buffer(value, total)
    out = {value: em.where[value].at(rows.first) for value in wanted}
    body = em.chain([o for o in region.ops if o in ops], {}, rows, out)
    return [Loop("t", total, tile, tuple(body), f"{region.name}: gates")]


@dataclass(slots=True, eq=False)
class _Tile:
    """Channels [start, stop) of everything; `ops` compute them, `parts` names them by the whole value."""

    em: TaskEmitter
    region: Region
    channels: Channels
    start: int
    stop: int
    ops: list[Op] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)

    def steps(self, modulator: Loc, choice: Choice) -> Steps:
        em, (left,) = self.em, self.channels.modulators
        for name in self.channels.wide:
            self._make(name)
        for op in self.channels.ops:
            self._cut(op)
        item = modulator.row_bytes // self.channels.width
        columns = modulator.columns(self.start * item, (self.stop - self.start) * item)
        kept = set(ends(em, self.ops))
        for value in [*self._sums(), self.parts[left]]:
            kept.add(value)
            if em.row_bytes(value) == columns.row_bytes:
                em.where[value] = columns
        return run(em, pieces(self.ops, kept), choice)

    def _make(self, name: str) -> None:
        """The tile of what the first convolution reads: of a layer, perhaps seen as an image."""
        producers = {o.outputs[0]: o for o in self.region.ops}
        if producers[name].kind in VIEWS:
            self._make(str(producers[name].inputs[0]))
            self._cut(producers[name])
            return
        chain, self.parts[name] = columns_chain(
            self.em, list(self.region.ops), name, self.start, self.stop
        )
        self.ops += (o for o in chain if o not in self.ops)

    def _cut(self, op: Op) -> None:
        value = op.outputs[0]
        if op.kind not in VIEWS:
            part = self.em.columns(op, self.start, self.stop, self._parts_of(op))
        else:
            part = self._view(op)
        self.ops.append(part)
        self.parts[value] = part.outputs[0]

    def _parts_of(self, op: Op) -> dict[str, str]:
        names = (n for n in op.inputs if n is not None)
        return {n: self.parts.get(n, n) for n in names}

    def _view(self, op: Op) -> Op:
        t = sliced_type(self.em.type(op.outputs[0]), self.start, self.stop)
        out = f"{op.outputs[0]}[{self.start}:{self.stop}]"
        self.em.values[out] = Value(out, t)
        x = self.parts[str(op.inputs[0])]
        return Op("reshape", op.name, (x,), (out,), {"shape": t.shape}, op.origin)

    def _sums(self) -> Iterator[str]:
        """The one sum of what the convolutions so far have made: it waits in the modulator's columns,
        so that an image is free when the next one but one is made."""
        fixed = set(ends(self.em, self.ops))
        for i, op in enumerate(self.ops):
            if op.kind in CONVOLUTIONS:
                later = {n for o in self.ops[i:] for n in o.inputs}
                done = [o.outputs[0] for o in self.ops[:i] if self._is_new(o)]
                waiting = [n for n in done if n in later]
                if len(waiting) == 1 and waiting[0] not in fixed:
                    yield waiting[0]

    def _is_new(self, op: Op) -> bool:
        """Whether an operation makes rows of the tile behind a convolution."""
        behind = {self.parts[o.outputs[0]] for o in self.channels.ops}
        return op.kind in TOKENWISE and op.outputs[0] in behind
