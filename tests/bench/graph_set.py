"""The largest set of tensors of a graph that must live together, operator by operator, in the best order.

A function of the integer graph alone: nothing of the planner is asked, neither its regions nor its
orders. Every value is a tensor; the operators are as they are lowered (a layer with its residual and
table, an attention whole), and run one after the other. What runs holds the operands it has and all that is
read later, and its result, of which these cost nothing:
    a view, which lies where its source lies;
    a row-wise operation over an operand that is read for the last time and at least as large, a
        layer over its residual alone, for it reads its input again;
    a joined value, as far as its parts are read for the last time: they may be made in their place.
So are the sets of Liberis and Lane (arXiv:1910.05110), minimised over all orders. An input that is read by
lines and an output that leaves by lines are no tensors of the arena and in no set.

`largest` is exact, or a proven lower bound where more than `most` sets of done operations had to be
told apart: then the orders that are left all need that much. In two steps. No order needs less than what is
forced: what an ancestor makes and a descendant reads lives while an operation runs, whatever the order.
From that on the sets of done operations are searched, the least peak first (Dijkstra's, over maxima
instead of sums). Of a set, operations are done at once that lead without a higher peak to no more bytes than
any part of them does: by their first step every order could do them, and would have no more alive then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.line_outputs import leaving
from mcuformer.operators.table import INT_OPS, operand
from mcuformer.schedule.images import reads_by_bands

MOST = 20_000  # sets of done operations
NEAR = 10  # operations that are looked at together


@dataclass(frozen=True)
class Piece:
    """An operation: the pieces whose results it `reads`, the bytes of its own, and over which of the
    results that it reads it may lie. `joins`: over all of them together."""

    reads: tuple[int, ...]
    size: int
    over: tuple[int, ...] = ()
    joins: bool = False
    kept: bool = False


@dataclass(frozen=True)
class Bound:
    size_bytes: int
    exact: bool


def largest_of_graph(graph: Graph, mode: str, most: int = MOST) -> Bound:
    """Of an integer graph whose input comes by `mode`."""
    return largest(pieces_of(graph, mode), most)


def pieces_of(graph: Graph, mode: str) -> list[Piece]:
    """Inputs of the arena, then operations that are no views."""
    made: dict[str, int] = {}
    found: list[Piece] = []
    kept = set(graph.outputs) - set(leaving(graph))
    root = {name: name for name in graph.inputs}
    for op in graph.ops:
        view = INT_OPS[op.kind].movement == "view"
        root[op.outputs[0]] = root.get(str(op.inputs[0]), op.outputs[0]) if view else op.outputs[0]
    kept = {root[name] for name in kept}
    pulled = mode == "flash" or (mode == "bands" and reads_by_bands(graph))
    for name in graph.inputs[1 if pulled else 0 :]:
        made[name] = len(found)
        found.append(Piece((), graph.type(name).size_bytes, kept=name in kept))
    for op in graph.ops:
        if root[op.outputs[0]] != op.outputs[0]:
            continue
        size, out = graph.type(op.outputs[0]).size_bytes, op.outputs[0]
        reads = [made[root[n]] for n in op.inputs if n in root and root[n] in made]
        over = [made[root[n]] for n in _overwritten(graph, op) if root.get(n) in made]
        joins = INT_OPS[op.kind].movement == "join"
        made[out] = len(found)
        gone = out in leaving(graph) and not graph.consumers()[out]
        unique = tuple(dict.fromkeys(reads))
        found.append(Piece(unique, 0 if gone else size, tuple(over), joins, out in kept))
    return found


def _overwritten(graph: Graph, op: Op) -> list[str]:
    """The operands that a row-wise result, or rows in another order, may lie over."""
    row = INT_OPS[op.kind]
    names = [operand(op, "res")] if row.weights else [n for n in op.inputs if n in graph.values]
    if row.movement not in ("rows", "pick") and not row.weights:
        return []
    return [n for n in names if n is not None and graph.values[n].data is None]


@dataclass
class Search:
    """`needs`, `users`, `before`, `after`: of a piece, as bits of pieces. A state is the bits of what is done."""

    pieces: Sequence[Piece]
    needs: list[int] = field(default_factory=list)
    users: list[int] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.pieces)
        self.needs = [sum(1 << n for n in piece.reads) for piece in self.pieces]
        self.users, self.before, self.after = [0] * count, [0] * count, [0] * count
        for i, piece in enumerate(self.pieces):
            for n in piece.reads:
                self.users[n] |= 1 << i
                self.before[i] |= self.before[n] | 1 << n
        for i in reversed(range(count)):
            for u in _bits(self.users[i]):
                self.after[i] |= self.after[u] | 1 << u

    def forced(self, i: int) -> int:
        """Bytes that live while piece i runs, in any order."""
        later = self.after[i] | 1 << i
        held = [
            n for n in _bits(self.before[i]) if self.pieces[n].kept or self.users[n] & later
        ]  # fmt: skip
        able = {n for n in held if not (self.pieces[n].kept or self.users[n] & self.after[i])}
        return sum(self.pieces[n].size for n in held) + self._adds(i, able)

    def step(self, done: int, live: int, i: int) -> tuple[int, int]:
        """Bytes that live while piece i runs, and after it."""
        after, piece = done | 1 << i, self.pieces[i]
        dying = {n for n in piece.reads if not (self.pieces[n].kept or self.users[n] & ~after)}
        stays = piece.size if self.users[i] or piece.kept else 0
        freed = sum(self.pieces[n].size for n in dying)
        return live + self._adds(i, dying), live + stays - freed

    def _adds(self, i: int, dying: set[int]) -> int:
        piece = self.pieces[i]
        if piece.joins:
            return max(0, piece.size - sum(self.pieces[n].size for n in dying))
        over = any(n in dying and self.pieces[n].size >= piece.size for n in piece.over)
        return 0 if over else piece.size

    def ready(self, done: int, among: int) -> list[int]:
        return [i for i in _bits(among & ~done) if not self.needs[i] & ~done]

    def settled(
        self, done: int, live: int, peak: int, ready: Sequence[int]
    ) -> tuple[int, int] | None:
        """A larger set that can be reached within `peak` and has the fewest bytes of all its parts."""
        tried = set[int]()
        for r in ready:
            for t in (r, *_bits(self.after[r])):
                together = (self.before[t] | 1 << t) & ~done
                if together in tried or together.bit_count() > NEAR:
                    continue
                tried.add(together)
                end = self._least(done, live, peak, together)
                if end is not None:
                    return done | together, end
        return None

    def _least(self, done: int, live: int, peak: int, together: int) -> int | None:
        """The bytes alive after `together`, where no part leaves fewer and some order keeps to `peak`."""
        states = {done: (live, True)}
        least, last = live, live
        for _ in range(together.bit_count()):
            found: dict[int, tuple[int, bool]] = {}
            for state, (held, within) in states.items():
                for i in self.ready(state, together):
                    most, new = self.step(state, held, i)
                    old = found.get(state | 1 << i, (0, False))[1]
                    found[state | 1 << i] = new, old or (within and most <= peak)
            states = found
            last = min(held for held, _ in states.values())
            least = min(least, last)
        ((end, within),) = states.values()
        return end if within and end == least else None


def largest(pieces: Sequence[Piece], most: int = MOST) -> Bound:
    """`pieces` in an order that respects what they read."""
    search, everything = Search(pieces), (1 << len(pieces)) - 1
    peak = max((search.forced(i) for i in range(len(pieces))), default=0)
    heap, closed = [(peak, 0, 0, 0)], set[int]()
    while heap:
        peak, _, live, done = heappop(heap)
        if done == everything:
            return Bound(peak, True)
        if done in closed:
            continue
        closed.add(done)
        if len(closed) > most:
            return Bound(peak, False)
        ready = search.ready(done, everything)
        found = search.settled(done, live, peak, ready)
        if found is not None:
            heappush(heap, (peak, -found[0].bit_count(), found[1], found[0]))
            continue
        for i in ready:
            needs, held = search.step(done, live, i)
            new = done | 1 << i
            heappush(heap, (max(peak, needs), -new.bit_count(), held, new))
    raise AssertionError("some order does them all")


def _bits(bits: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
