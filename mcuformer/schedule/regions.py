"""Which tensors exist whole, and the regions of operations that compute each of them tile by tile.

A value is *materialised* when it has a buffer of its own for all its rows. Everything else lives in a
tile of rows inside a region: LayerNorm feeds the next linear layer, the hidden layer of an FFN is a
tile, q, k and v are recomputed from their root by whatever schedule the attention runs under.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import INT_OPS, kinds, operand, read_whole
from mcuformer.schedule.columns import can_cut
from mcuformer.schedule.meetings import meeting
from mcuformer.schedule.modulation import Modulation, modulations
from mcuformer.schedule.patch_views import patch_views
from mcuformer.schedule.squeezes import sweep
from mcuformer.schedule.window_maps import inner_values, window_map
from mcuformer.util.speed import record

TOKENWISE = kinds("rows")
(ATTENTION,) = kinds("attention")
CONVOLUTIONS = kinds("lines")  # and pools: lines of an image from lines of another
MEANS = kinds("mean")
JOINS = kinds("join")
PICKS = kinds("pick")
VIEWS = kinds("view")  # no layers: they move no byte, or are copied for their reader


def activations(graph: Graph, op: Op) -> list[str]:
    values = graph.values
    return [i for i in op.inputs if i is not None and values[i].data is None]


def repeated(graph: Graph, op: Op) -> list[str]:
    """Activations that an operation reads again for each of its rows: all of them, or their one row."""
    whole = [str(op.inputs[i]) for i in read_whole(op)]
    if whole:
        return [n for n in whole if graph.values[n].data is None]
    if not INT_OPS[op.kind].broadcast or graph.type(op.outputs[0]).shape[0] == 1:
        return []
    return [n for n in activations(graph, op) if graph.type(n).shape[0] == 1]


@record(frozen=True, slots=True, eq=False)
class Region:
    """Operations that compute the materialised `target`; `ops` in order, `attention` among them or None.
    `copied`: inputs of which a few lines at a time are copied, since the target overwrites them. `also`:
    made whole on the way, for others. `over`: is written over an input of which channels or rows are copied."""

    target: str
    ops: tuple[Op, ...]
    attention: Op | None = None
    copied: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    over: bool = False

    @property
    def name(self) -> str:
        return self.ops[-1].name

    @property
    def in_lines(self) -> bool:
        """Whether it runs in strips of lines."""
        if self.attention is not None or CONVOLUTIONS.isdisjoint([op.kind for op in self.ops]):
            return False
        return not self.modulates

    @property
    def modulates(self) -> bool:
        """Whether a mean comes back to the rows that it is of (schedule/modulation.py)."""
        return any(op.kind in MEANS for op in self.ops[:-1])


@record(frozen=True, slots=True)
class Choice:
    """How one region runs. `tile`: token rows; `query_tile`: rows of an attention's query loop;
    `budget`: scratch bytes a kernel may take; `lines`: image lines of patches, or lines of a strip of
    a convolution's output, at a time; `channels`: of a modulation, at a time."""

    schedule: str = "rows"
    tile: int = 64
    query_tile: int = 32
    budget: int = 0
    lines: int = 1 << 30
    channels: int = 0


def recomputed(graph: Graph) -> set[str]:
    """Values that only feed q, k and v, or patches: made per tile where they are read, not kept.

    A linear layer that adds a residual, or that several others read (the latent of a low-rank attention, also
    where it stands for K and V), ends the walk: recomputing those would repeat real work, and so would any linear
    layer before patches, which several tiles may read. So do K and V that no head can have its share of, and a row
    that is repeated. A view of channels is none: it lies in its source. Tokens seen as an image belong to their maker.
    """
    consumers = graph.consumers()
    producers = graph.producers()
    views = patch_views(graph)
    found, patched = set(views), set(views)
    again = {n for op in graph.ops for n in repeated(graph, op)}
    for op in reversed(graph.ops):
        for value in op.outputs:
            users = consumers[value]
            if not users or value in graph.outputs or op.kind not in TOKENWISE or value in again:
                continue
            if any(u.kind == ATTENTION and not _shared_by_heads(graph, op, u) for u in users):
                continue
            before_patches = any(u.outputs[0] in patched for u in users)
            if _is_work(graph, op, users, before_patches):
                continue
            if all(u.kind == ATTENTION or u.outputs[0] in found for u in users):
                found.add(value)
                patched.update({value} if before_patches else ())
    found -= {image for image, tokens in views.items() if tokens not in found}
    assert all(v in producers for v in found)
    return found


def _before_patches(graph: Graph, made_again: set[str]) -> set[str]:
    """Values among those that patches are made of."""
    consumers = graph.consumers()
    found = {image for image in patch_views(graph) if image in made_again}
    for op in reversed(graph.ops):
        value = op.outputs[0]
        if value in made_again and any(u.outputs[0] in found for u in consumers[value]):
            found.add(value)
    return found


def _is_work(graph: Graph, op: Op, users: Sequence[Op], before_patches: bool) -> bool:
    """Whether an operation is too much work to be done again for each of its readers."""
    if before_patches and (INT_OPS[op.kind].weights or read_whole(op)):
        return True
    value = op.outputs[0]
    return INT_OPS[op.kind].weights is not None and (
        residual(graph, op) is not None
        or (len(users) > 1 and not all(u.kind == ATTENTION for u in users))
        or any("kv_heads" in u.attrs and value in u.inputs[1:3] for u in users)
    )


def _shared_by_heads(graph: Graph, op: Op, attention: Op) -> bool:
    """Whether `op` can make each head's channels of its value, an operand of `attention`, by itself."""
    value, heads = op.outputs[0], attention.attrs.get("kv_heads", attention.attrs["heads"])
    width = graph.type(value).shape[1] // heads
    whole = heads == 1 or value not in attention.inputs[1:3]
    return whole or can_cut(graph.values, op, width, 2 * width)


def residual(graph: Graph, op: Op) -> str | None:
    """The activation that a layer adds in its epilogue."""
    name = operand(op, "res")
    return None if name is None or graph.values[name].is_const else name


def materialised(graph: Graph, swept: Sequence[Modulation] = ()) -> set[str]:
    """Values with a buffer of their own, but for those of `swept` (an attention's may still be fused by a schedule)."""
    consumers = graph.consumers()
    feeders = recomputed(graph)
    patched = _before_patches(graph, feeders)
    whole = set(graph.inputs) | set(graph.outputs)
    whole.update(n for op in graph.ops for n in repeated(graph, op))
    for op in graph.ops:
        value = op.outputs[0]
        if value in feeders:
            continue
        users = consumers[value]
        fused_user = len(users) == 1 and (users[0].kind in TOKENWISE or users[0].kind in MEANS)
        if any(u.outputs[0] in patched for u in users):
            whole.add(value)  # patches are made of rows that lie somewhere
        if in_chain(graph, op, users) and op.inputs[0] not in feeders:
            continue
        if not (op.kind in TOKENWISE or op.kind == ATTENTION) or not fused_user:
            whole.add(value)
    for op in graph.ops:
        found = window_map(graph, op) if op.kind == ATTENTION else None
        if found is not None:
            whole.difference_update(inner_values(graph, found))
    for modulation in modulations(graph):
        _join(graph, whole, modulation)
    sweep(graph, whole, swept)
    whole -= meeting(graph, whole)
    _separate_means(graph, whole)
    _separate_parallel_attentions(graph, whole)
    return whole


def _join(graph: Graph, whole: set[str], found: Modulation) -> None:
    """What a modulation consists of is materialised by nobody, nor is a norm that it alone reads."""
    producers, consumers = graph.producers(), graph.consumers()
    whole -= found.inner
    target = found.leaves
    while target not in whole:
        (user, *others) = consumers[target]
        if others or user.kind not in TOKENWISE:
            whole.add(found.leaves)
            target = found.leaves
        else:
            target = user.outputs[0]
    op = producers.get(found.enters)
    norm = op is not None and op.kind in TOKENWISE and not INT_OPS[op.kind].weights
    if not norm or found.enters in graph.outputs:
        return
    inside = closure(graph, target, whole - {found.enters}, producers)
    if any(o.kind == ATTENTION for o in inside):
        whole.add(found.enters)  # a norm of what an attention makes is in that one's region
    elif {o.name for o in inside}.issuperset(u.name for u in consumers[found.enters]):
        whole.discard(found.enters)


def _separate_means(graph: Graph, whole: set[str]) -> None:
    """A mean sums tiles of rows as they are made; rows that an attention makes are kept for it."""
    means = [op for op in graph.ops if op.kind in MEANS and op.inputs[0] not in whole]
    for op in means:
        rows = closure(graph, str(op.inputs[0]), whole, graph.producers())
        if any(o.kind == ATTENTION for o in rows):
            whole.add(str(op.inputs[0]))


def in_chain(graph: Graph, op: Op, users: Sequence[Op]) -> bool:
    """An image that only one convolution reads: lines of it live inside the chain's region."""
    value = op.outputs[0]
    if op.kind not in CONVOLUTIONS or len(graph.type(value).shape) != 3 or value in graph.outputs:
        return False
    return (
        len(users) == 1
        and users[0].kind in CONVOLUTIONS
        and users[0].inputs[0] == value
        and list(users[0].inputs).count(value) == 1
    )


def _separate_parallel_attentions(graph: Graph, whole: set[str]) -> None:
    """A region runs one attention; where two meet in one sum, the first ones are kept whole."""
    if not _may_meet(graph, whole):
        return
    producers = graph.producers()
    for target in [op.outputs[0] for op in graph.ops if op.outputs[0] in whole]:
        ops = closure(graph, target, whole, producers)
        attentions = [op for op in ops if op.kind == ATTENTION]
        whole.update(_result(graph, op) for op in attentions[:-1])


def _result(graph: Graph, attention: Op) -> str:
    """What an attention makes; of one with absorbed weights, what W_v makes of it."""
    out = attention.outputs[0]
    return graph.consumers()[out][0].outputs[0] if "kv_heads" in attention.attrs else out


def _may_meet(graph: Graph, whole: set[str]) -> bool:
    """Whether attentions may meet in one region; False is certain."""
    count: dict[str | None, int] = {}
    for op in graph.ops:
        found = int(op.kind == ATTENTION)
        for i in op.inputs:
            if i in count and i not in whole:
                found += count[i]
        if found > 1:
            return True
        count[op.outputs[0]] = found
    return False


def closure(graph: Graph, target: str, whole: set[str], producers: Mapping[str, Op]) -> list[Op]:
    """Operations between materialised values and `target`, in graph order."""
    wanted: dict[str, Op] = {}
    stack = [target]
    while stack:
        op = producers[stack.pop()]
        if op.name in wanted:
            continue
        wanted[op.name] = op
        stack += [i for i in op.inputs if i is not None and i in producers and i not in whole]
    places = graph.places()
    return sorted(wanted.values(), key=lambda op: places[op.name])


def split(graph: Graph, swept: Sequence[Modulation] = ()) -> list[Region]:
    """The regions in an order that respects every dependence (the graph's own)."""
    whole, producers = materialised(graph, swept), graph.producers()
    regions = []
    for target in (op.outputs[0] for op in graph.ops if op.outputs[0] in whole):
        ops = closure(graph, target, whole, producers)
        attention = next((o for o in ops if o.kind == ATTENTION), None)
        regions.append(Region(target, tuple(ops), attention))
    return regions


def ancestors(region_ops: Iterable[Op], value: str) -> list[Op]:
    """The operations of a region that `value` depends on, in order."""
    ops = list(region_ops)
    wanted = {value}
    kept: list[Op] = []
    for op in reversed(ops):
        if op.outputs[0] in wanted:
            kept.append(op)
            wanted.update(i for i in op.inputs if i is not None)
    return kept[::-1]
