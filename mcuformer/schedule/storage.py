"""Where materialised values lie: views, parts of a concatenation, token overwriting, buffers of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mcuformer.ir.graph import Graph, Op
from mcuformer.schedule.embed import by_patches, may_overwrite
from mcuformer.schedule.emit import Emitter
from mcuformer.schedule.places import Loc
from mcuformer.schedule.program import IMAGE, Expr, Kind
from mcuformer.schedule.regions import (
    CONVOLUTIONS,
    TOKENWISE,
    Region,
    activations,
    is_column_view,
    residual,
)


@dataclass(slots=True)
class Storage:
    """Fills `em.where` for every materialised value and knows when each buffer is last read."""

    em: Emitter
    graph: Graph
    regions: list[Region]
    mode: str

    def assign(self) -> None:
        self._input()
        self._concats()
        last = self._last_reads()
        for i, region in enumerate(self.regions):
            value = region.target
            if value in self.em.where:
                continue
            op = region.ops[-1]
            view = self._view(op)
            self.em.where[value] = (
                view or self._overwritten(region, i, last) or self._own(value, op)
            )

    def _input(self) -> None:
        """The graph input: a buffer (resident; anything but patches wants it whole), or the caller's memory."""
        name = self.graph.inputs[0]
        t = self.em.values[name].type
        line = t.size_bytes // t.shape[0]
        if self.mode == "flash":
            self.em.where[name] = Loc(Expr(), line, line, None, IMAGE)
        elif self.mode == "resident" or not reads_by_bands(self.graph):
            kind: Kind = "input" if self.mode == "resident" else "activation"
            self.em.where[name] = Loc(Expr(), line, line, self.em.buffer(name, t.size_bytes, kind))

    def _concats(self) -> None:
        """Parts of a concatenation are computed where they belong."""
        consumers = self.graph.consumers()
        for op in reversed(self.graph.ops):
            if op.kind != "concat":
                continue
            whole = self.em.where.get(op.outputs[0]) or self._own(op.outputs[0], op)
            self.em.where[op.outputs[0]] = whole
            row = 0
            for name in map(str, op.inputs):
                alone = len(consumers[name]) == 1 and list(op.inputs).count(name) == 1
                if alone and not self.em.values[name].is_const and name not in self.graph.inputs:
                    self._place(name, whole.at(row))
                row += self.em.values[name].type.shape[0]

    def _place(self, value: str, at: Loc) -> None:
        """`value` at a place; the image that it is a reshape of lies there too."""
        self.em.where[value] = at
        op = self.graph.producers().get(value)
        source = str(op.inputs[0]) if op is not None and op.kind == "reshape" else None
        if source is None or source in self.graph.inputs:
            return
        if len(self.graph.consumers()[source]) == 1:
            line = self.em.row_bytes(source)
            self._place(source, replace(at, stride=line, row_bytes=line))

    def _own(self, value: str, op: Op) -> Loc:
        image = self.em.where.get(self.graph.inputs[0])
        if self.mode == "resident" and image is not None and self._tokens_over_image(value, op):
            row_bytes = self.em.row_bytes(value)
            return Loc(Expr(), row_bytes, row_bytes, image.buffer)
        loc = self.em.rows_buffer(value, self.em.values[value].type.shape[0])
        if value in self.graph.outputs:
            buffer = self.em.buffers[str(loc.buffer)]
            self.em.buffers[buffer.name] = replace(buffer, kind="output")
        return loc

    def _tokens_over_image(self, value: str, op: Op) -> bool:
        """Whether `value` holds the patch tokens and may be written over the image."""
        first = 0
        if op.kind == "concat":
            producers = self.graph.producers()
            for name in map(str, op.inputs):
                if name in producers and producers[name].kind == "q_patch_embed":
                    op = producers[name]
                    break
                first += self.em.values[name].type.shape[0]
        return by_patches(self.graph, op) and may_overwrite(
            self.em, op, self.em.values[value].type, first
        )

    def _view(self, op: Op) -> Loc | None:
        source = self.em.where.get(str(op.inputs[0])) if op.inputs else None
        if source is None:
            return None
        row_bytes = self.em.row_bytes(op.outputs[0])
        if op.kind == "slice" and op.attrs["axis"] == 0:
            return source.at(op.attrs["start"])
        if is_column_view(op):
            item = row_bytes // self.em.values[op.outputs[0]].type.shape[-1]
            return source.columns(op.attrs["start"] * item, row_bytes)
        if op.kind == "reshape" and source.stride == source.row_bytes:
            return replace(source, stride=row_bytes, row_bytes=row_bytes)
        return None

    def _last_reads(self) -> dict[str, int]:
        """Index of the last region that reads a value."""
        last: dict[str, int] = {name: len(self.regions) for name in self.graph.outputs}
        for i, region in enumerate(self.regions):
            for op in region.ops:
                for name in activations(self.graph, op):
                    last[name] = max(last.get(name, 0), i)
        return last

    def _overwritten(self, region: Region, index: int, last: dict[str, int]) -> Loc | None:
        """Token overwriting: the input whose rows die here gives its buffer to the target, row for row."""
        if region.target in self.graph.outputs:
            return None
        op, graph = region.ops[-1], self.graph
        if op.kind == "gather":
            return self._permuted(op, index, last)
        if not all(
            o.kind in TOKENWISE or is_column_view(o) or o is region.attention for o in region.ops
        ):
            return None
        if region.attention is op:
            return None
        whole = {str(n) for n in region.attention.inputs[:3]} if region.attention else set()
        rows = self.em.values[region.target].type.shape[0]
        inputs = dict.fromkeys(n for o in region.ops for n in activations(graph, o))
        for name in inputs:
            loc = self.em.where.get(name)
            if loc is None or loc.buffer is None or name in whole or name in graph.inputs:
                continue
            if op.kind == "q_linear" and name == op.inputs[0] and residual(graph, op) != name:
                continue
            buffer = self.em.buffers[loc.buffer]
            same = (
                loc.stride == loc.row_bytes == self.em.row_bytes(region.target)
                and loc.start == Expr()
                and self.em.values[name].type.shape[0] == rows
            )
            holders = [v for v, at in self.em.where.items() if at.buffer == loc.buffer]
            if same and buffer.kind != "output" and all(last.get(v, -1) <= index for v in holders):
                return loc
        return None

    def _permuted(self, op: Op, index: int, last: dict[str, int]) -> Loc | None:
        """The buffer of a value whose rows are only reordered here and read by no one after."""
        name = str(op.inputs[0])
        loc = self.em.where.get(name)
        rows = self.em.values[name].type.shape[0]
        if loc is None or loc.buffer is None or name in self.graph.inputs or rows >= 65535:
            return None
        whole = loc.start == Expr() and sorted(op.attrs["indices"]) == list(range(rows))
        holders = [v for v, at in self.em.where.items() if at.buffer == loc.buffer]
        free = all(last.get(v, -1) <= index for v in holders)
        kind = self.em.buffers[loc.buffer].kind
        return loc if whole and free and kind != "output" else None


def reads_by_bands(graph: Graph) -> bool:
    """Whether the graph input is read line by line: by unpadded patch embeddings or one convolution."""
    name = graph.inputs[0]
    users = graph.consumers()[name]
    if len(users) == 1 and users[0].kind in CONVOLUTIONS:
        return list(users[0].inputs).count(name) == 1
    return bool(users) and all(by_patches(graph, u) for u in users)
