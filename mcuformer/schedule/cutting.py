"""Which images exist whole: runs of operations that work by lines, cut into regions by need.

Inside a region of convolutions and row-wise operations no image exists whole, only windows of lines
(ways/conv.py). A *run* is what lies between values that have to be whole in any case (attention,
means and joins read them). It is cut so that the most that any of its regions needs, with its inputs,
its target and what lives beside them, is as little as can be. `limit` is the most that any run of
the model then needs; among all cuttings within it each run takes the one with the most borders: a
region that holds less is faster to plan and free to choose its tiles.

Only shapes decide, so networks of equal shapes are cut alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mcuformer.ir.graph import Graph, Op
from mcuformer.schedule.images import LINES, line_counts, runs_by_lines
from mcuformer.schedule.needs import Needs
from mcuformer.schedule.patch_views import by_patches, takes_patches
from mcuformer.schedule.regions import CONVOLUTIONS, Region, repeated
from mcuformer.util.speed import record

LONGEST = 24  # atoms of a region: what reaches further down is smaller for other reasons


@record(frozen=True, slots=True, eq=False)
class Atom:
    """An operation and the reshapes of its result, which are the same bytes."""

    op: Op
    views: tuple[Op, ...]
    border: bool  # whether the regions as given end here

    @property
    def values(self) -> tuple[str, ...]:
        return (self.op.outputs[0], *(v.outputs[0] for v in self.views))


def cut(graph: Graph, regions: Sequence[Region], mode: str) -> list[Region]:
    """`regions`, but for runs by lines, which are cut anew."""
    lines = [op for op in graph.ops if op.kind in LINES]
    if all(by_patches(graph, op) for op in lines):
        return list(regions)
    counts = line_counts(graph.ops, graph)
    parts = _parts(graph, regions, counts)
    needs = Needs.of(graph, regions, counts, mode)
    runs = [_Run(graph, part, needs) for part, by_lines in parts if by_lines]
    limit = max((run.least() for run in runs), default=0)
    made = iter(runs)
    found: list[Region] = []
    for part, by_lines in parts:
        found += next(made).regions(limit) if by_lines else part
    return found


def least(
    graph: Graph, regions: Sequence[Region], needs: Needs, names: Collection[str] | None = None
) -> int:
    """The most that any run needs where it is cut best; `names`: operations, only of runs with one of them."""
    parts = [part for part, by_lines in _parts(graph, regions, needs.counts) if by_lines]
    wanted = [
        part for part in parts
        if names is None or any(op.name in names for region in part for op in region.ops)
    ]  # fmt: skip
    return max((_Run(graph, part, needs).least() for part in wanted), default=0)


def cut_like(graph: Graph, regions: Sequence[Region], like: Sequence[Region]) -> list[Region]:
    """`regions` as those of the same network with other attentions: the choices of one are the other's."""
    given = {region.target: region for region in regions}
    ops = {op.name: op for op in graph.ops}
    made = [_alike(r, given, ops) for r in like]
    known = {r.target for r in made if r is not None}
    others = iter([r for r in regions if r.target not in known])  # their targets have other names
    return [r if r is not None else next(others) for r in made]


def _alike(region: Region, given: Mapping[str, Region], ops: Mapping[str, Op]) -> Region | None:
    """What makes the same value; of a run's regions the same operations."""
    plain = not (region.in_lines or region.over)
    if region.target in given and (region.attention is not None or plain):
        same = given[region.target]
        names = {op.name for op in same.ops}
        if region.attention is not None or names == {op.name for op in region.ops}:
            return same
    if any(op.name not in ops for op in region.ops):
        return given.get(region.target)
    inner = tuple(ops[op.name] for op in region.ops)
    return Region(region.target, inner, copied=region.copied, also=region.also, over=region.over)


def _parts(
    graph: Graph, regions: Sequence[Region], counts: Mapping[str, int]
) -> list[tuple[list[Region], bool]]:
    """Stretches of regions, and whether each is a run with a convolution in it."""
    parts: list[tuple[list[Region], bool]] = []
    for region in regions:
        able = region.attention is None and not takes_patches(region.ops[-1])
        able = able and all(runs_by_lines(graph, op, counts) for op in region.ops)
        if not parts or parts[-1][1] != able:
            parts.append(([], able))
        parts[-1][0].append(region)
    return [
        (part, able and any(o.kind in CONVOLUTIONS for r in part for o in r.ops))
        for part, able in parts
    ]


@dataclass(slots=True)
class _Run:
    graph: Graph
    given: list[Region]
    needs: Needs
    first: list[Region] = field(default_factory=list)  # views of what was made before
    atoms: list[Atom] = field(default_factory=list)
    last_read: list[int] = field(default_factory=list)  # the last atom that reads what one makes
    costs: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ops = [op for region in self.given for op in region.ops]
        borders = {region.target for region in self.given}
        roots = {op.outputs[0]: op.outputs[0] for op in ops if op.kind != "reshape"}
        views: dict[str, list[Op]] = {}
        for op in ops:
            if op.kind == "reshape":
                root = roots.get(str(op.inputs[0]))
                if root is None:
                    self.first.append(Region(op.outputs[0], (op,)))
                else:
                    roots[op.outputs[0]] = root
                    views.setdefault(root, []).append(op)
        for op in ops:
            if op.kind != "reshape":
                own = tuple(views.get(op.outputs[0], ()))
                border = any(n in borders for n in (op.outputs[0], *(v.outputs[0] for v in own)))
                self.atoms.append(Atom(op, own, border or self._is_narrow(op, own)))
        self._note_reads()
        for b in range(len(self.atoms)):
            for a, cost in self.needs.regions_to(b, self.atoms, self.last_read, LONGEST):
                self.costs[a, b] = cost

    def _is_narrow(self, op: Op, views: Sequence[Op]) -> bool:
        """Whether the result is smaller than what it is made of, and than all that is made of it."""
        values, size = self.graph.values, self.graph.type(op.outputs[0]).size_bytes
        readers = [
            u for n in (op.outputs[0], *(v.outputs[0] for v in views))
            for u in self.graph.consumers()[n] if u not in views
        ]  # fmt: skip
        read = [n for n in op.inputs if n is not None and values[n].data is None]
        sizes = [self.graph.type(u.outputs[0]).size_bytes for u in readers]
        largest = max((self.graph.type(n).size_bytes for n in read), default=0)
        return size < largest and bool(sizes) and size < min(sizes)

    def _note_reads(self) -> None:
        """Values that something outside of the run reads, or that are read again for every row, are whole."""
        consumers = self.graph.consumers()
        place = {atom.op.name: i for i, atom in enumerate(self.atoms)}
        inner = {v.name for atom in self.atoms for v in atom.views}
        again = {n for op in self.graph.ops for n in repeated(self.graph, op)}
        for atom in self.atoms:
            last = -1
            for name in atom.values:
                users = [u for u in consumers[name] if u.name not in inner]
                outside = name in self.graph.outputs or name in again
                if outside or any(u.name not in place for u in users):
                    last = len(self.atoms)
                last = max([last, *(place.get(u.name, len(self.atoms)) for u in users)])
            self.last_read.append(last)

    def least(self) -> int:
        """The most that a region needs where that is as little as can be."""
        best = [0]
        for b in range(len(self.atoms)):
            best.append(
                min(
                    max(best[a], min(self.costs[a, b]))
                    for a in range(b + 1)
                    if (a, b) in self.costs
                )
            )
        return best[-1]

    def regions(self, limit: int) -> list[Region]:
        """Within `limit`: with the most of the borders as given, and the fewest others."""
        best: list[tuple[int, int, int, int] | None] = [(0, 0, 0, 0)]  # where from comes last
        for b, atom in enumerate(self.atoms):
            found = None
            for a in range(b + 1):
                before = best[a]
                if before is None or min(self.costs.get((a, b), (limit + 1,) * 2)) > limit:
                    continue
                copies = self.costs[a, b][0] > limit
                border, other = atom.border, not atom.border
                mine = (before[0] - copies, before[1] + border, before[2] - other, a)
                found = mine if found is None else max(found, mine)
            best.append(found)
        regions: list[Region] = []
        b = len(self.atoms)
        while b:
            step = best[b]
            assert step is not None
            regions = self._region(step[3], b - 1, limit) + regions
            b = step[3]
        return [*self.first, *regions]

    def _region(self, a: int, b: int, limit: int) -> list[Region]:
        plain, copying = self.costs[a, b]
        inner = [op for atom in self.atoms[a:b] for op in (atom.op, *atom.views)]
        last = self.atoms[b]
        sides = [self.atoms[i] for i in range(a, b) if self.last_read[i] > b]
        also = tuple(atom.op.outputs[0] for atom in sides)
        ops, over = (*inner, last.op), False
        copied: tuple[str, ...] = ()
        if plain > limit and copying < plain:
            over = self.needs.over(ops, also)
            copied = () if over else self.needs.copied(ops, also)
        target = Region(last.op.outputs[0], ops, copied=copied, also=also, over=over)
        views = (v for atom in (*sides, last) for v in atom.views)
        return [target, *(Region(v.outputs[0], (v,)) for v in views)]
