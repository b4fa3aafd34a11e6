"""The sides of an attention region: what makes q, k and v, what follows, and one head's share of it."""

from __future__ import annotations

from mcuformer.ir.graph import Op
from mcuformer.schedule.columns import can_cut, column_view, cut_activations
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc
from mcuformer.schedule.regions import Region, ancestors
from mcuformer.util.speed import record


@record(frozen=True, slots=True)
class Sides:
    """The operations of an attention region by the operand they feed, and those behind the attention."""

    q: list[Op]
    k: list[Op]
    v: list[Op]
    after: list[Op]

    @property
    def kv(self) -> list[Op]:
        """K and V together, what they share once."""
        return list(dict.fromkeys([*self.k, *self.v]))


def sides(region: Region) -> Sides:
    op = region.attention
    assert op is not None
    q, k, v = (ancestors(region.ops, str(name)) for name in op.inputs[:3])
    before = {id(o) for o in (*q, *k, *v)} | {id(op)}
    return Sides(q, k, v, [o for o in region.ops if id(o) not in before])


def head_chain(
    em: TaskEmitter, ops: list[Op], value: str, head: int, width: int
) -> tuple[list[Op], str]:
    """The chain `ops` that ends in `value`, restricted to a head's channels back to its linear layer."""
    head = 0 if em.heads_alike else head
    return columns_chain(em, ops, value, head * width, (head + 1) * width)


def columns_chain(
    em: TaskEmitter, ops: list[Op], value: str, start: int, stop: int
) -> tuple[list[Op], str]:
    """What of `ops` makes channels [start, stop) of `value`, and the value that holds them."""
    if (start, stop) == (0, em.values[value].type.shape[-1]):
        return ancestors(ops, value), value
    op = next((o for o in ops if o.outputs[0] == value), None)
    if op is None or not can_cut(em.values, op, start, stop):
        view = column_view(em.values, value, start, stop)
        return [*ancestors(ops, value), view], view.outputs[0]
    along = cut_activations(em.values, op)
    chain = [o for n in op.inputs if n is not None and n not in along for o in ancestors(ops, n)]
    parts: dict[str, str] = {}
    for name in along:
        before, parts[name] = columns_chain(em, ops, name, start, stop)
        chain += before
    part = em.columns(op, start, stop, parts)
    return [*dict.fromkeys(chain), part], part.outputs[0]


def operand(em: TaskEmitter, value: str, locs: dict[str, Loc]) -> Loc:
    if em.values[value].is_const:
        return em.constant(value)
    return locs[value] if value in locs else em.where[value]


def shapes(em: TaskEmitter, op: Op) -> tuple[int, int, int, int, int]:
    """Tq, Tk, heads, bytes of a head's q and k row, bytes of a head's v row."""
    q, k, v = (em.values[str(n)].type for n in op.inputs[:3])
    heads = op.attrs["heads"]
    return (
        q.shape[0],
        k.shape[0],
        heads,
        k.size_bytes // max(1, k.shape[0]) // heads,
        v.size_bytes // max(1, v.shape[0]) // heads,
    )
