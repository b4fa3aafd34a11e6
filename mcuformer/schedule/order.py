"""The order of parallel pieces of work that keeps the fewest bytes alive.

`best_order` is exact while no more than `most` sets of done pieces of one size have to be told apart,
which few branches never reach; beyond it only the most promising sets are followed. It is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.util.speed import record

MOST_SETS = 512


@record(frozen=True, slots=True)
class Piece:
    """Work that reads the results of other pieces and makes `size` bytes.

    `weight`: how much it matters that little else lives meanwhile; `kept`: its result lives to the end.
    """

    reads: tuple[int, ...]
    size: int
    weight: int = 1
    kept: bool = False


@record(frozen=True, slots=True)
class Tally:
    """The most bytes alive at a time, then the sum over pieces of weight x bytes alive."""

    peak: int
    area: int

    def __lt__(self, other: Tally) -> bool:
        return (self.peak, self.area) < (other.peak, other.area)


@record(frozen=True, slots=True)
class _State:
    """After the pieces of a set: what it took, the bytes alive now, the last piece and the state before."""

    peak: int
    area: int
    live: int
    piece: int
    before: _State | None


@record(frozen=True, slots=True, eq=False)
class _Table:
    """`needs[i]` and `users[i]`: sets of pieces, as bits."""

    pieces: Sequence[Piece]
    needs: Sequence[int]
    users: Sequence[int]

    @staticmethod
    def of(pieces: Sequence[Piece]) -> _Table:
        users = [0] * len(pieces)
        for i, piece in enumerate(pieces):
            for n in piece.reads:
                users[n] |= 1 << i
        return _Table(pieces, [sum(1 << n for n in set(p.reads)) for p in pieces], users)

    def step(self, state: _State, done: int, i: int) -> _State:
        """The result may lie where an input lies that is at least as large and read here for the last time."""
        piece = self.pieces[i]
        after, freed, over = done | 1 << i, 0, False
        for n in set(piece.reads):
            if not (self.users[n] & ~after or self.pieces[n].kept):
                size = self.pieces[n].size
                freed += size
                over = over or size >= piece.size
        most = state.live + (0 if over else piece.size)
        live = state.live + piece.size - freed
        area = state.area + piece.weight * most
        return _State(max(state.peak, most), area, live, i, state)


def best_order(pieces: Sequence[Piece], most: int = MOST_SETS) -> tuple[int, ...]:
    """The order of `pieces` (given in one that respects what they read) of least peak, then least area."""
    table = _Table.of(pieces)
    given = cost_of(pieces, range(len(pieces)))
    states = {0: _State(0, 0, 0, -1, None)}
    for _ in pieces:
        found: dict[int, _State] = {}
        for done, state in states.items():
            for i, needs in enumerate(table.needs):
                if done >> i & 1 or needs & ~done:
                    continue
                new = table.step(state, done, i)
                old = found.get(done | 1 << i)
                if new.peak <= given.peak and (old is None or _key(new) < _key(old)):
                    found[done | 1 << i] = new
        if len(found) > most:
            kept = sorted(found.items(), key=lambda item: (*_key(item[1]), item[1].live, item[0]))
            found = dict(kept[:most])
        states = found
    last = next(iter(states.values()), None)
    if last is None or not Tally(*_key(last)) < given:
        return tuple(range(len(pieces)))
    order = []
    while last.before is not None:
        order.append(last.piece)
        last = last.before
    return tuple(reversed(order))


def cost_of(pieces: Sequence[Piece], order: Sequence[int]) -> Tally:
    table, state, done = _Table.of(pieces), _State(0, 0, 0, -1, None), 0
    for i in order:
        assert not table.needs[i] & ~done, "a piece runs before what it reads"
        state = table.step(state, done, i)
        done |= 1 << i
    return Tally(state.peak, state.area)


def _key(state: _State) -> tuple[int, int]:
    return state.peak, state.area
