"""Values seen as images of so many lines: what may run in strips of them.

Tokens are an image where a reshape of an image says so: [H*W, C] and [H, W, C] are the same bytes.
Row-wise operations keep the lines of their operands, concatenations of channels those of their parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value
from mcuformer.kernels.shapes import Values
from mcuformer.operators.table import INT_OPS, kernel_of, kinds, operand, read_whole
from mcuformer.schedule.patch_views import by_patches

ROWS, LINES, _JOINS = kinds("rows"), kinds("lines"), kinds("join")


class KnownValues(Values, Protocol):
    """A graph, or the emitter of one."""

    @property
    def values(self) -> Mapping[str, Value]: ...


def is_image_view(op: Op, type_of: Callable[[str], TensorType]) -> bool:
    """A reshape between lines of an image and its pixels as rows."""
    if op.kind != "reshape":
        return False
    x, y = type_of(str(op.inputs[0])).shape, type_of(op.outputs[0]).shape
    tokens, image = sorted((x, y), key=len)
    return len(tokens) == 2 and len(image) == 3 and tokens == (image[0] * image[1], image[2])


def _activations(op: Op, graph: KnownValues) -> list[str]:
    return [n for n in op.inputs if n is not None and graph.values[n].data is None]


def alike(op: Op, graph: KnownValues) -> list[str]:
    """Of a row-wise operation, the operands of which row i is wanted for row i of the result."""
    rows = graph.type(op.outputs[0]).shape[:1]
    return [n for n in dict.fromkeys(_activations(op, graph)) if graph.type(n).shape[:1] == rows]


def joins_channels(op: Op) -> bool:
    """A concatenation of which row i is made of row i of its parts."""
    return op.kind in _JOINS and op.attrs["axis"] == 1


def _joins_lines(graph: Graph, op: Op, counts: Mapping[str, int]) -> bool:
    """Whether a concatenation gains by lines: some part lies elsewhere, for others read it as well;
    where all can be made in their columns, nothing is copied."""
    names, consumers = _activations(op, graph), graph.consumers()
    if not joins_channels(op) or len(names) < len(op.inputs) or op.outputs[0] in graph.outputs:
        return False
    same = all(counts.get(n) == counts[op.outputs[0]] for n in names)
    return same and any(len(consumers[n]) > 1 or n in graph.inputs for n in names)


def image_operand(op: Op) -> str:
    """What a convolution, pool or resize reads some lines of."""
    return str(operand(op, kernel_of(op).reads[0]))


def beside(op: Op, graph: KnownValues) -> list[str]:
    """The other activations of such an operation, which have the lines of its result."""
    names = [operand(op, n) for n in kernel_of(op).reads[1:]]
    return [n for n in names if n is not None and graph.values[n].data is None]


def line_counts(ops: Sequence[Op], graph: KnownValues) -> dict[str, int]:
    """Lines of every value that `ops` read or make and whose lines are known."""
    found: dict[str, int] = {}
    links: list[list[str]] = []
    for op in ops:
        out = op.outputs[0]
        names = [out, *_activations(op, graph)]
        found.update((n, graph.type(n).shape[0]) for n in names if len(graph.type(n).shape) == 3)
        if op.kind in LINES:
            found[out] = INT_OPS[op.kind].lines(op, graph).count
            links.append([out, *beside(op, graph)])
        elif op.kind in ROWS or joins_channels(op):
            links.append([out, *alike(op, graph)])
        elif is_image_view(op, graph.type):
            links.append(names)
    changed = True
    while changed:
        changed = False
        for link in (*links, *reversed(links)):
            known = next((found[n] for n in link if n in found), None)
            if known is not None and not all(n in found for n in link):
                found.update(dict.fromkeys(link, known))
                changed = True
    return found


def runs_by_lines(graph: Graph, op: Op, counts: Mapping[str, int]) -> bool:
    """Whether some lines of the operation's result can be made of some lines of its operands."""
    out, names = op.outputs[0], _activations(op, graph)
    count = counts.get(out, 0)
    if not count or graph.type(out).shape[0] % count:
        return False
    if op.kind in LINES:
        others = beside(op, graph)
        together = sorted(names) == sorted([image_operand(op), *others])
        return (
            together and not by_patches(graph, op) and all(counts.get(n) == count for n in others)
        )
    if op.kind in ROWS:
        by_row = alike(op, graph)
        once = [n for n in names if n not in by_row]
        return (
            not read_whole(op)
            and bool(by_row)
            and all(graph.type(n).shape[0] == 1 for n in once)
            and all(counts.get(n) == count for n in by_row)
        )
    if op.kind in _JOINS:
        return _joins_lines(graph, op, counts)
    return is_image_view(op, graph.type) and counts.get(str(op.inputs[0])) == count


def has_lines(ops: Iterable[Op]) -> bool:
    return any(op.kind in LINES for op in ops)


def reads_by_bands(graph: Graph) -> bool:
    """Whether the graph input is read line by line: by unpadded patch embeddings or one convolution."""
    name = graph.inputs[0]
    users = graph.consumers()[name]
    if len(users) == 1 and users[0].kind in LINES:
        return list(users[0].inputs).count(name) == 1
    return bool(users) and all(by_patches(graph, u) for u in users)
