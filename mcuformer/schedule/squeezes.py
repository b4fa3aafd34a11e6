"""Where the mean of an image comes back as a gate of that image: squeeze-and-excite.

    x -> expand -> depthwise -> wide ----------> product -> project (+ x) -> target
                                 |                 ^
                                 +-> mean -> gate -+

The wide image has to be whole for its mean before its first line is gated, or it is made twice. A
squeeze that is swept is one region from `x` to the target, as a focal modulation is (modulation.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import kinds
from mcuformer.schedule.images import line_counts, runs_by_lines
from mcuformer.schedule.modulation import LONGEST_WAY, Modulation, is_closed, modulations

_ROWS, _VIEWS, _MEANS = kinds("rows"), kinds("view"), kinds("mean")
_RECOMPUTED = frozenset({"q_dwconv2d"})  # of the operations by lines: cheap enough to run twice


def squeezes(graph: Graph) -> Iterator[Modulation]:
    """Each with the narrowest value that its wide image can be made of again."""
    means = [op for op in graph.ops if op.kind == "q_mean"]
    if not means:
        return
    counts = line_counts(graph.ops, graph)
    taken = {v for found in modulations(graph) for v in found.inner}
    for mean in means:
        product = _product(graph, mean)
        if product is None or mean.outputs[0] in taken:
            continue
        found = _widest_span(graph, mean, product, counts)
        if found is not None:
            yield found


def gates_its_mean(ops: Sequence[Op]) -> bool:
    """Whether a mean among `ops` becomes the gate of what it is of."""
    for mean in ops:
        if mean.kind in _MEANS:
            made = {mean.outputs[0]}
            for op in ops:
                if op.kind == "q_mul" and mean.inputs[0] in op.inputs and made & set(op.inputs):
                    return True
                if made & set(op.inputs):
                    made.add(op.outputs[0])
    return False


def sweep(graph: Graph, whole: set[str], swept: Sequence[Modulation]) -> None:
    """Of the values that are `whole`: those `swept` leave only what they are made of, and their targets."""
    whole.update(found.enters for found in swept)
    for found in swept:
        whole -= found.inner
        whole.add(_target(graph, found, whole))


def _product(graph: Graph, mean: Op) -> Op | None:
    """What multiplies the value that a mean is of with what is made of the mean's one row."""
    first = graph.places()[mean.name] + 1
    made = {mean.outputs[0]}
    for op in graph.ops[first : first + LONGEST_WAY]:
        if not made & set(op.inputs):
            continue
        if op.kind == "q_mul" and mean.inputs[0] in op.inputs:
            return op
        if op.kind not in _ROWS | _VIEWS or graph.type(op.outputs[0]).shape[0] != 1:
            return None
        made.add(op.outputs[0])
    return None


def _widest_span(
    graph: Graph, mean: Op, product: Op, counts: Mapping[str, int]
) -> Modulation | None:
    """Back from the product to the value with the fewest bytes through which all paths come."""
    places, producers = graph.places(), graph.producers()
    ops: list[Op] = []
    waiting, best, size = {product.outputs[0]}, None, graph.type(str(mean.inputs[0])).size_bytes
    while len(ops) < LONGEST_WAY:
        made = [producers[v] for v in waiting if v in producers]
        if len(made) < len(waiting):
            break  # an input, which may come by lines and once only
        op = max(made, key=lambda o: places[o.name])
        if not (_is_made_of_a_mean(graph, op, mean) or _runs(graph, op, counts)):
            break
        ops.append(op)
        waiting.remove(op.outputs[0])
        waiting.update(n for n in op.inputs if n is not None and graph.const(n) is None)
        if len(waiting) > 1 or mean not in ops or not any(o.kind in _RECOMPUTED for o in ops):
            continue
        if not is_closed(graph, ops, product):
            break
        (name,) = waiting
        bytes_ = graph.type(name).size_bytes
        if bytes_ < size and op.kind not in _VIEWS and name not in graph.inputs:
            inner = frozenset(o.outputs[0] for o in ops if o is not product)
            best, size = Modulation(name, inner, product.outputs[0]), bytes_
    return best


def _is_made_of_a_mean(graph: Graph, op: Op, mean: Op) -> bool:
    """The mean, or a row of what follows."""
    row = op.kind in _ROWS | _VIEWS and graph.type(op.outputs[0]).shape[0] == 1
    return op is mean or row


def _runs(graph: Graph, op: Op, counts: Mapping[str, int]) -> bool:
    cheap = op.kind in _ROWS | _VIEWS | _RECOMPUTED
    return cheap and runs_by_lines(graph, op, counts)


def _target(graph: Graph, found: Modulation, whole: set[str]) -> str:
    """The narrowest value that is made of the gated rows one by one: what the block projects them to."""
    best = target = found.leaves
    while target not in whole and len(users := graph.consumers()[target]) == 1:
        (user,) = users
        if user.kind not in _ROWS or graph.type(target).shape[0] == 1:
            break
        target = user.outputs[0]
        if graph.type(target).size_bytes <= graph.type(best).size_bytes:
            best = target
    return best
