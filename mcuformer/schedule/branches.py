"""Branches that run side by side: which operations run together, and the order of such groups.

Blocks are groups: what one value goes into and one value comes out of, residuals included, keeps the
graph's own order. So does what is not stored because it is larger than what it is made of (an
up-sampled term of a sum). A chain of blocks becomes one group and stays as it is; where branches are
left over, `order.py` says which group runs next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from mcuformer.ir.graph import Graph, Op
from mcuformer.schedule.order import Piece, best_order
from mcuformer.schedule.regions import ATTENTION, CONVOLUTIONS, PICKS, TOKENWISE, VIEWS, activations

HEAVY = CONVOLUTIONS | {ATTENTION}  # they want room of their own beside what lives
STREAMED = TOKENWISE | CONVOLUTIONS | PICKS


@dataclass(slots=True, eq=False)
class Bundle:
    """Operations that run together; `place`: of the first in the graph. The last one's result leaves
    it, under `names`: its own and those of its views. `readers`: of a value, those that read it."""

    place: int
    ops: deque[Op]
    size: int
    before: dict[Bundle, None]  # in order
    after: dict[Bundle, None]
    names: set[str] = field(default_factory=set)
    readers: dict[str, list[Op]] = field(default_factory=dict)
    kept: bool = False
    heavy: int = 0  # how many of them are


def in_best_order(graph: Graph, mode: str) -> Graph:
    """The graph with its operations in the order of fewest bytes; itself where no other is better."""
    groups = grouped(graph, mode)
    places = {group: i for i, group in enumerate(groups)}
    pieces = [
        Piece(
            tuple(places[g] for g in group.before), group.size,
            group.heavy, group.kept,
        )
        for group in groups
    ]  # fmt: skip
    order = best_order(pieces) if len(groups) > 2 else range(len(groups))
    if list(order) == list(range(len(groups))):
        return graph
    return graph.replace(ops=tuple(_with_views(graph, (op for i in order for op in groups[i].ops))))


def _with_views(graph: Graph, ops: Iterable[Op]) -> Iterator[Op]:
    """Views follow what they are views of."""
    views: dict[str, list[Op]] = {}
    for op in graph.ops:
        if op.kind in VIEWS:
            views.setdefault(str(op.inputs[0]), []).append(op)

    def after(name: str) -> Iterator[Op]:
        for view in views.get(name, ()):
            yield view
            yield from after(view.outputs[0])

    for name in dict.fromkeys(n for n in views if n not in graph.producers()):
        yield from after(name)
    for op in ops:
        yield op
        yield from after(op.outputs[0])


def grouped(graph: Graph, mode: str) -> list[Bundle]:
    """Groups in an order that respects what they read; no two can be joined without loss."""
    alive = dict.fromkeys(_single(graph, mode))
    _join(alive, (_is_fused,))  # first: a block must not begin with the end of a sum
    _join(alive, (_is_series, _is_bypass, _is_fused, _is_streamed))
    return _sorted(alive)


def _single(graph: Graph, mode: str) -> list[Bundle]:
    """A group for every operation that is no view, and for every input in the arena."""
    makers: dict[str, Bundle] = {}
    found: list[Bundle] = []
    for i, name in enumerate(graph.inputs):
        if i or mode == "resident":
            makers[name] = Bundle(-1, deque(), graph.type(name).size_bytes, {}, {}, {name})
            found.append(makers[name])
    for place, op in enumerate(graph.ops):
        sources = [makers[n] for n in activations(graph, op) if n in makers]
        if op.kind in VIEWS:
            for source in sources:
                makers[op.outputs[0]] = source
                source.names.add(op.outputs[0])
            continue
        size = graph.type(op.outputs[0]).size_bytes
        readers = {n: [op] for n in activations(graph, op)}
        before = dict.fromkeys(sources)
        group = Bundle(place, deque([op]), size, before, {}, {op.outputs[0]}, readers)
        group.heavy = int(op.kind in HEAVY)
        makers[op.outputs[0]] = group
        found.append(group)
        for source in group.before:
            source.after[group] = None
    for name in graph.outputs:
        if name in makers:
            makers[name].kept = True
    return found


def _join(alive: dict[Bundle, None], ways: Sequence[Callable[[Bundle, Bundle], bool]]) -> None:
    """Groups are taken into the only one that reads them, where one of `ways` says that nothing is lost."""
    todo = list(alive)
    while todo:
        group = todo.pop()
        if group not in alive or group.kept or len(group.after) != 1 or not group.ops:
            continue
        (reader,) = group.after
        if any(way(group, reader) for way in ways):
            _take(group, reader)
            del alive[group]
            todo += [reader, *group.before, *(g for b in group.before for g in b.after)]


def _is_series(group: Bundle, reader: Bundle) -> bool:
    """One after the other. What joins branches may wait for room before a block begins."""
    if len(reader.before) != 1:
        return False
    small = reader.size < group.size or not reader.heavy
    return small or not group.before or (len(group.before) == 1 and _dies(group))


def _dies(group: Bundle) -> bool:
    """Whether nothing else reads what it is made of."""
    return all(len(source.after) == 1 for source in group.before)


def _is_bypass(group: Bundle, reader: Bundle) -> bool:
    """Beside another way from the same value to the same reader: a residual, or the like of it."""
    if len(group.before) != 1:
        return False
    (source,) = group.before
    others = (g for g in source.after if g is not group)
    return source in reader.before or any(
        len(g.before) == 1 and list(g.after) == [reader] for g in others
    )


def _is_fused(group: Bundle, reader: Bundle) -> bool:
    """Row by row into what works row by row, which regions.py does not part."""
    users = dict.fromkeys(op for name in group.names for op in reader.readers.get(name, ()))
    return group.ops[-1].kind in TOKENWISE and [op.kind in TOKENWISE for op in users] == [True]


def _is_streamed(group: Bundle, reader: Bundle) -> bool:
    """Larger than what it is made of, which may as well wait for the reader."""
    read = sum(g.size for g in group.before)
    return bool(group.before) and read <= group.size and group.ops[-1].kind in STREAMED


def _take(group: Bundle, reader: Bundle) -> None:
    del reader.before[group]
    for source in group.before:
        del source.after[group]
        source.after[reader] = None
        reader.before[source] = None
    if len(group.ops) < len(
        reader.ops
    ):  # what is small joins what is large: no square of their number
        reader.ops.extendleft(reversed(group.ops))
        small, large = group.readers, reader.readers
    else:
        group.ops.extend(reader.ops)
        reader.ops = group.ops
        small, large = reader.readers, group.readers
    for name, ops in small.items():
        large.setdefault(name, []).extend(ops)
    reader.readers = large
    reader.heavy += group.heavy
    reader.place = min(group.place, reader.place)


def _sorted(groups: Iterable[Bundle]) -> list[Bundle]:
    """What was earlier in the graph first, as far as dependences allow."""
    waiting = {g: len(g.before) for g in groups}
    table = {(g.place, i): g for i, g in enumerate(waiting)}
    keys = {g: key for key, g in table.items()}
    ready = [keys[g] for g, n in waiting.items() if n == 0]
    heapify(ready)
    found = []
    while ready:
        group = table[heappop(ready)]
        found.append(group)
        for reader in group.after:
            waiting[reader] -= 1
            if not waiting[reader]:
                heappush(ready, keys[reader])
    return found
