"""Windows of rows that were padded and are cropped again: which rows of the stream a window has.

    x -> norm -> concat(., row) -> gather -> q, k, v -> attention -> gather -> projection, sum with x

The two gathers are one map: every row of the stream stands in one window, what is missing there is
the constant row. So all of it is one region, and a window's result may land where its rows lay.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import kinds, operand
from mcuformer.util.speed import record

PADDED = 65535  # in place of a row's number
_TOKENWISE, _PICKS, _JOINS = kinds("rows"), kinds("pick"), kinds("join")


@record(frozen=True, slots=True, eq=False)
class WindowMap:
    """`rows[i]`: the row of `source` that is row i of the windows, or PADDED: then it is `pad`.

    `norm` makes what `pad` stands beside, `join` and `gather` pad and part it, `before` makes q, k and
    v; `back` crops what the attention and `behind` make.
    """

    source: str
    pad: str
    norm: tuple[Op, ...]
    join: Op
    gather: Op
    before: tuple[Op, ...]
    behind: tuple[Op, ...]
    back: Op
    rows: tuple[int, ...]

    @property
    def moves(self) -> tuple[Op, ...]:
        return self.join, self.gather, self.back


def window_map(graph: Graph, attention: Op) -> WindowMap | None:
    """Of an attention whose rows are padded and cropped so; None where they are not."""
    if attention.attrs.get("windows", 1) == 1:
        return None
    before = _before(graph, attention)
    behind = [*_behind(graph, attention.outputs[0])]
    back = _reader(graph, (behind or [attention])[-1].outputs[0])
    roots = {n for o in (attention, *before) for n in _activations(graph, o)}
    roots -= {o.outputs[0] for o in before}
    gather = graph.producers().get(roots.pop()) if len(roots) == 1 else None
    if gather is None or back is None or {gather.kind, back.kind} - _PICKS:
        return None
    inside = (*before, attention)
    if any(u not in inside for o in (gather, *before) for u in graph.consumers()[o.outputs[0]]):
        return None
    join = graph.producers().get(str(gather.inputs[0]))
    if join is None or join.kind not in _JOINS or _reader(graph, join.outputs[0]) is not gather:
        return None
    rows = _rows(graph, join, gather, back)
    if rows is None:
        return None
    source, norm = _norm(graph, str(join.inputs[0]))
    return WindowMap(source, str(join.inputs[1]), norm, join, gather, tuple(before), tuple(behind),
                     back, rows)  # fmt: skip


def inner_values(graph: Graph, found: WindowMap) -> Iterator[str]:
    """Values that live in one window at a time."""
    attention = graph.producers()[str((*found.behind, found.back)[0].inputs[0])]
    for op in (*found.norm, found.join, found.gather, *found.before, attention, *found.behind):
        yield op.outputs[0]
    reader = _reader(graph, found.back.outputs[0])
    if reader is not None and reader.kind in _TOKENWISE:
        yield found.back.outputs[0]


def lands(graph: Graph, found: WindowMap, last: Op) -> bool:
    """Whether the result of `last` may be written over the rows of the source, one by one."""
    same = graph.type(last.outputs[0]), graph.type(found.source)
    return same[0].size_bytes == same[1].size_bytes and operand(last, "x") != found.source


def _rows(graph: Graph, join: Op, gather: Op, back: Op) -> tuple[int, ...] | None:
    """The map, where `back` undoes `gather` and one constant row is what is padded with."""
    if join.attrs["axis"] != 0 or len(join.inputs) != 2 or graph.const(join.inputs[1]) is None:
        return None
    count, more = (graph.type(str(n)).shape[0] for n in join.inputs)
    if more != 1 or count >= PADDED or len(back.attrs["indices"]) != count:
        return None
    rows, at = np.array(gather.attrs["indices"]), np.array(back.attrs["indices"])
    if (rows[at] != np.arange(count)).any() or (rows < count).sum() != count:
        return None
    return tuple(np.where(rows < count, rows, PADDED).tolist())


def _before(graph: Graph, attention: Op) -> list[Op]:
    """The row-wise operations that make q, k and v, in order."""
    made, wanted = graph.producers(), dict.fromkeys(str(n) for n in attention.inputs[:3])
    found: dict[str, Op] = {}
    stack = [*wanted]
    while stack:
        op = made.get(stack.pop())
        if op is not None and op.kind in _TOKENWISE and op.name not in found:
            found[op.name] = op
            stack += _activations(graph, op)
    return [op for op in graph.ops if op.name in found]


def _behind(graph: Graph, value: str) -> Iterator[Op]:
    """Row-wise operations that alone read what is before them."""
    reader = _reader(graph, value)
    while reader is not None and reader.kind in _TOKENWISE and _one(graph, reader):
        yield reader
        reader = _reader(graph, reader.outputs[0])


def _norm(graph: Graph, value: str) -> tuple[str, tuple[Op, ...]]:
    """Back from what is padded to the stream that others read as well."""
    norm: list[Op] = []
    made = graph.producers()
    while _reader(graph, value) is not None and value in made:
        op = made[value]
        if op.kind not in _TOKENWISE or not _one(graph, op):
            break
        norm.insert(0, op)
        (value,) = _activations(graph, op)
    return value, tuple(norm)


def _one(graph: Graph, op: Op) -> bool:
    """Whether rows come from one activation, and constants are the same for all of them."""
    rows = graph.type(op.outputs[0]).shape[0]
    constants = [
        graph.type(n).shape for n in op.inputs if n is not None and graph.const(n) is not None
    ]
    alike = all(len(s) < 2 or s[0] != rows or op.kind == "q_linear" for s in constants)
    residual = operand(op, "res")
    return alike and len(_activations(graph, op)) == 1 and residual is None


def _reader(graph: Graph, value: str) -> Op | None:
    readers = graph.consumers()[value]
    return readers[0] if len(readers) == 1 and value not in graph.outputs else None


def _activations(graph: Graph, op: Op) -> list[str]:
    return list(dict.fromkeys(n for n in op.inputs if n is not None and graph.const(n) is None))
