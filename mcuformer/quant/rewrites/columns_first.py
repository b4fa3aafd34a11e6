"""Whatever reads q, k or v out of one layer's channels reads a slice of channels. Exact: bytes that move.

    slice(slice(layer, rows), channels)     ->  slice(slice(layer, channels), rows)
    gather(reshape(layer, [n, c]), rows)    ->  gather(reshape(slice(layer, channels), [m, c]), rows')
    slice(layer, some of those channels)    ->  slice(slice(layer, channels), some)

The gather takes numbers of these channels alone (a transposed k; every third row of [3T, C]); rows of one
constant number may be joined to the layer's before (padding). Where only
such readers are left, the schedule computes the channels by themselves (schedule/columns.py), when they are wanted,
and q, k and v need not lie in SRAM together. No channel is computed twice: ranges are nested, or apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import is_uniform
from mcuformer.quant.rewrites.edit import Rewrite

_Range = tuple[int, int]


@dataclass(frozen=True)
class _Use:
    """`op` reads channels `range` of a layer through `way`: a slice of rows, or a reshape; None: directly.
    `padded`: what joins constant rows to the layer's before the reshape."""

    op: Op
    range: _Range
    way: Op | None = None
    padded: Op | None = None


def columns_first(graph: Graph) -> Graph:
    if not graph.has("gather", "slice"):
        return graph
    found: dict[str, _Layer] = {}
    for op in graph.ops:
        layer = _Layer.of(graph, op) if op.kind == "linear" else None
        if layer is not None:
            found |= {use.op.name: layer for use in layer.uses}
    if not found:
        return graph
    edit = Rewrite(graph)
    for op in graph.ops:
        layer = found.get(op.name)
        if layer is None:
            edit.keep(op)
        else:
            layer.write(edit, next(use for use in layer.uses if use.op is op))
    return edit.done()


@dataclass
class _Layer:
    """A layer of which every reader wants some channels; `wide`: the widest ranges; `made`: their slices."""

    op: Op
    uses: list[_Use]
    wide: list[_Range]
    made: dict[_Range, str] = field(default_factory=dict)

    @staticmethod
    def of(graph: Graph, op: Op) -> _Layer | None:
        """None where a reader wants all channels, ranges overlap, or nothing is to be done."""
        out = op.outputs[0]
        found = [] if out in graph.outputs else list(_uses(graph, out))
        if not found or None in found:
            return None
        uses = [use for use in found if use is not None]
        ranges = {use.range for use in uses}
        wide = [r for r in ranges if not any(r != w and _within(r, w) for w in ranges)]
        apart = sum(b - a for a, b in wide) == len({n for r in wide for n in range(*r)})
        whole = (0, graph.type(out).shape[1]) in ranges
        plain = all(use.way is None for use in uses) and ranges == set(wide)
        return None if whole or plain or not apart else _Layer(op, uses, sorted(wide))

    def write(self, edit: Rewrite, use: _Use) -> None:
        start, stop = next(w for w in self.wide if _within(use.range, w))
        rows = edit.graph.type(self.op.outputs[0]).shape[0]
        if use.way is None and use.range == (start, stop) and use.range not in self.made:
            edit.keep(use.op)
            self.made[use.range] = use.op.outputs[0]
            return
        if (start, stop) not in self.made:
            cut = {"axis": 1, "start": start, "stop": stop}
            self.made[start, stop] = _emit(
                edit, use.op, self.op.outputs[0], (rows, stop - start), "slice", cut
            )
        x = self.made[start, stop]
        if use.op.kind == "gather":
            assert use.way is not None
            self._gather(edit, use, x, start, stop)
            return
        if use.range != (start, stop):
            cut = {"axis": 1, "start": use.range[0] - start, "stop": use.range[1] - start}
            if use.way is None:
                edit.emit(use.op, [x], attrs=cut)
                return
            x = _emit(edit, use.op, x, (rows, use.range[1] - use.range[0]), "slice", cut)
        if use.way is None:
            edit.rename(use.op.outputs[0], x)
        else:
            edit.emit(use.op, [x], attrs=dict(use.way.attrs))

    def _gather(self, edit: Rewrite, use: _Use, x: str, start: int, stop: int) -> None:
        assert use.way is not None
        rows, width = edit.graph.type(self.op.outputs[0]).shape
        most = rows
        if use.padded is not None:
            most = edit.graph.type(use.padded.outputs[0]).shape[0]
            parts = [self._cut(edit, str(n), start, stop) for n in use.padded.inputs[1:]]
            name = f"{use.padded.name}.channels"
            x = edit.emit_new(use.padded, [x, *parts], (most, stop - start), name=name)
        size = edit.graph.type(use.way.outputs[0]).shape[1]
        at = np.asarray(use.op.attrs["indices"]) * size
        moved = at // width * (stop - start) + at % width - start
        ours = at < rows * width  # all numbers of padding are one
        moved = np.where(ours, moved, at // width * (stop - start)) // size
        shape = (most * (stop - start) // size, size)
        seen = _emit(edit, use.op, x, shape, "reshape", {"shape": shape})
        edit.emit(use.op, [seen], attrs={**use.op.attrs, "indices": tuple(int(i) for i in moved)})

    def _cut(self, edit: Rewrite, name: str, start: int, stop: int) -> str:
        """The channels of constant rows."""
        data, (rows, _) = edit.graph.const(name), edit.graph.type(name).shape
        assert data is not None
        return edit.const(f"{name}.channels", (rows, stop - start), lambda: data[:, start:stop])


def _emit(
    edit: Rewrite, op: Op, x: str, shape: tuple[int, int], kind: str, attrs: Mapping[str, object]
) -> str:
    """A move in front of `op`."""
    name = f"{op.name}.{'channels' if kind == 'slice' else 'pieces'}"
    return edit.emit_new(op, [x], shape, kind=kind, name=name, attrs=attrs)


def _uses(graph: Graph, value: str) -> Iterator[_Use | None]:
    """Of every reader of a layer; None: one that is no such use."""
    width, consumers = graph.type(value).shape[1], graph.consumers()
    for op in consumers[value]:
        users = consumers[op.outputs[0]] if op.outputs[0] not in graph.outputs else ()
        if op.kind == "slice" and op.attrs["axis"] == 1:
            yield _Use(op, (op.attrs["start"], op.attrs["stop"]))
        elif op.kind == "slice" and users and all(_cuts(u) for u in users):
            yield from (_Use(u, (u.attrs["start"], u.attrs["stop"]), op) for u in users)
        elif op.kind == "reshape":
            yield from _picked(graph, op, None, width)
        elif _pads(graph, op, value) and users and all(u.kind == "reshape" for u in users):
            for user in users:
                yield from _picked(graph, user, op, width)
        else:
            yield None


def _picked(graph: Graph, way: Op, padded: Op | None, width: int) -> Iterator[_Use | None]:
    """Of everything that gathers pieces of rows of so many channels."""
    value = way.outputs[0]
    users = graph.consumers()[value] if value not in graph.outputs else ()
    shape = graph.type(value).shape
    pieces = len(shape) == 2 and width % shape[-1] == 0 and all(u.kind == "gather" for u in users)
    if not users or not pieces:
        yield None
    else:
        rows = graph.type(str((padded or way).inputs[0])).shape[0]
        yield from (_Use(u, _range(u, shape[-1], rows, width), way, padded) for u in users)


def _pads(graph: Graph, op: Op, value: str) -> bool:
    """Whether rows of one constant number follow those of `value`."""
    first, *others = op.inputs
    rows = op.kind == "concat" and op.attrs["axis"] == 0 and first == value
    data = [graph.const(n) for n in others]
    return rows and all(d is not None and is_uniform(d) for d in data)


def _cuts(op: Op) -> bool:
    return op.kind == "slice" and op.attrs["axis"] == 1


def _range(gather: Op, size: int, rows: int, width: int) -> _Range:
    """The channels that a choice among pieces of `size` numbers takes of the first `rows`; all, if of none."""
    at = np.asarray(gather.attrs["indices"]) * size
    at = at[at < rows * width] % width
    return (int(at.min()), int(at.max()) + size) if at.size else (0, width)


def _within(inner: _Range, outer: _Range) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]
