"""Where materialised values lie: views, parts of a concatenation, token overwriting, buffers of their own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.table import kernel_of, operand
from mcuformer.program.buffers import IMAGE, Kind
from mcuformer.program.expressions import Expr
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.images import reads_by_bands
from mcuformer.schedule.outlets import needs_no_bytes
from mcuformer.schedule.patch_views import by_patches
from mcuformer.schedule.places import Loc
from mcuformer.schedule.regions import (
    JOINS,
    PICKS,
    TOKENWISE,
    Region,
    activations,
    repeated,
)
from mcuformer.schedule.squeezes import gates_its_mean
from mcuformer.schedule.ways import join
from mcuformer.schedule.ways.embed import may_overwrite
from mcuformer.schedule.ways.modulate import line_operations
from mcuformer.schedule.ways.over import trailing
from mcuformer.schedule.ways.over_image import place_over_image
from mcuformer.schedule.ways.patch_rows import may_lie_over, reads_patches, sources
from mcuformer.schedule.ways.rows import can_widen, over_copies, widened
from mcuformer.schedule.window_maps import window_map


@dataclass(slots=True)
class Storage:
    """Fills `em.where` for every materialised value and knows when each buffer is last read."""

    em: TaskEmitter
    graph: Graph
    regions: list[Region]
    mode: str
    read_until: dict[str | None, int] = field(default_factory=dict)  # buffer -> last region

    def assign(self) -> None:
        self._input()
        self._concats()
        last = self._last_reads()
        for value in self.em.where:
            self._note_read(value, last)
        for i, region in enumerate(self.regions):
            for name in region.also:
                if name not in self.em.where:
                    self.em.where[name] = self._own(name, self.graph.producers()[name])
                self._note_read(name, last)
            value = region.target
            if value in self.em.where or needs_no_bytes(self.em, region):
                continue
            op = region.ops[-1]
            self.em.where[value] = (
                self._view(op)
                or self._overwritten(region, i, last)
                or self._merged(region, i, last)
                or self._own(value, op)
            )
            self._note_read(value, last)

    def _note_read(self, value: str, last: dict[str, int]) -> None:
        buffer = self.em.where[value].buffer
        self.read_until[buffer] = max(self.read_until.get(buffer, -1), last.get(value, -1))

    def _input(self) -> None:
        """Input 0: a buffer (resident; anything but patches wants it whole), or the caller's memory.
        The others are resident."""
        for i, name in enumerate(self.graph.inputs):
            mode = "resident" if i else self.mode
            t = self.em.values[name].type
            line = t.size_bytes // t.shape[0]
            if mode == "flash":
                self.em.where[name] = Loc(Expr(), line, line, None, IMAGE)
            elif mode == "resident" or not reads_by_bands(self.graph):
                kind: Kind = "input" if mode == "resident" else "activation"
                buffer = self.em.buffer(name, t.size_bytes, kind)
                self.em.where[name] = Loc(Expr(), line, line, buffer)

    def _concats(self) -> None:
        """Parts of a concatenation are computed where they belong."""
        targets = {region.target for region in self.regions}
        for op in reversed(self.graph.ops):
            if op.kind not in JOINS or op.outputs[0] not in targets:
                continue
            whole = self.em.where.get(op.outputs[0]) or self._own(op.outputs[0], op)
            self.em.where[op.outputs[0]] = whole
            for name, at in join.places(self.em, op, whole):
                if self._is_made_in(op, name):
                    self._place(name, at)

    def _is_made_in(self, op: Op, name: str) -> bool:
        """Whether a part of a join may be computed where it belongs: nothing else reads it."""
        alone = len(self.graph.consumers()[name]) == 1 and list(op.inputs).count(name) == 1
        return alone and not self.em.values[name].is_const and name not in self.graph.inputs

    def _place(self, value: str, at: Loc) -> None:
        """`value` at a place, where it can be; the image that it is a reshape of lies there too."""
        if not join.fits(self.em, self.graph, value, at):
            return
        self.em.where[value] = at
        if not join.is_dense(at, self.em.values[value].type.shape[0]):
            return
        op = self.graph.producers().get(value)
        source = str(op.inputs[0]) if op is not None and op.kind == "reshape" else None
        if source is None or source in self.graph.inputs:
            return
        if len(self.graph.consumers()[source]) == 1:
            line = self.em.row_bytes(source)
            self._place(source, replace(at, stride=line, row_bytes=line))

    def _own(self, value: str, op: Op) -> Loc:
        image = self._image_under(value, op)
        if image is not None:
            row_bytes = self.em.row_bytes(value)
            return Loc(Expr(), row_bytes, row_bytes, image)
        loc = self.em.rows_buffer(value, self.em.values[value].type.shape[0])
        if self._stays(value):
            buffer = self.em.buffers[str(loc.buffer)]
            self.em.buffers[buffer.name] = replace(buffer, kind="output")
        return loc

    def _image_under(self, value: str, op: Op) -> str | None:
        """The resident image's buffer, where `value` holds its patch tokens and may be written over it."""
        first, others = 0, self._joins_inputs(op)
        if op.kind in JOINS and op.attrs["axis"] == 0:
            producers = self.graph.producers()
            for name in map(str, op.inputs):
                if name in producers and producers[name].kind == "q_patch_embed":
                    if not self._is_made_in(op, name):
                        return None
                    op = producers[name]
                    break
                first += self.em.values[name].type.shape[0]
        source = str(op.inputs[0]) if by_patches(self.graph, op) else None
        image = self.em.where.get(source) if source is not None and not others else None
        if image is None or image.buffer is None or self.em.buffers[image.buffer].kind != "input":
            return None
        target, size = self.em.values[value].type, self.em.buffers[image.buffer].size_bytes
        alone = len(self.graph.consumers()[str(source)]) == 1 and target.size_bytes <= size
        return image.buffer if alone and may_overwrite(self.em, op, target, first) else None

    def _joins_inputs(self, op: Op) -> bool:
        """Whether a part may be made of another input, before the image is read."""
        parts = [n for n in op.inputs if n is not None and not self.em.values[n].is_const]
        return op.kind in JOINS and len(parts) > 1 and len(self.graph.inputs) > 1

    def _view(self, op: Op) -> Loc | None:
        """Where a move leaves its bytes; a caller wants an output's in one piece."""
        at, value = join.view(self.em, op), op.outputs[0]
        if at is None or value not in self.graph.outputs:
            return at
        together = at.buffer and join.is_dense(at, self.em.values[value].type.shape[0])
        return at if together else None

    def _stays(self, value: str) -> bool:
        """Whether the caller reads `value` in the arena when all is done."""
        return value in self.graph.outputs and value not in self.em.leaving

    def _last_reads(self) -> dict[str, int]:
        """Index of the last region that reads a value."""
        last = {name: len(self.regions) for name in self.graph.outputs if self._stays(name)}
        for i, region in enumerate(self.regions):
            last.setdefault(region.target, i)  # handed out, where it leaves
            for op in region.ops:
                for name in activations(self.graph, op):
                    last[name] = max(last.get(name, 0), i)
        return last

    def _overwritten(self, region: Region, index: int, last: dict[str, int]) -> Loc | None:
        """Token overwriting: the input whose rows die here gives its buffer to the target, row for row."""
        if self._stays(region.target):
            return None
        op, graph = region.ops[-1], self.graph
        if op.kind in PICKS:
            return self._permuted(op, index)
        if region.in_lines or gates_its_mean(region.ops):
            return self._trailing(region, index, last)
        found = region.attention and window_map(graph, region.attention)
        if not (found or all(self._by_rows(region, o) for o in region.ops)):
            return None
        if region.attention is op:
            return None
        inputs = dict.fromkeys(n for o in region.ops for n in activations(graph, o))
        inputs = {found.source: None} if found else inputs
        dying = [self.em.where[n] for n in inputs if self._dies_row_by_row(n, region, index, last)]
        size = self.em.row_bytes(region.target)
        for loc in dying:
            if loc.row_bytes == size and (found or self._read_before(region, loc)):
                return loc
        for loc in dying:
            if loc.row_bytes > size and self._read_aside(region, loc):
                return replace(loc, stride=size, row_bytes=size)
        for loc in dying:
            if can_widen(self.em, region, loc) and self._read_aside(region, loc):
                return widened(self.em, region, loc)
        return over_copies(self.em, region, dying)

    def _dies_row_by_row(self, name: str, region: Region, index: int, last: dict[str, int]) -> bool:
        """Whether a value has a row for each of the target's, in a buffer that nobody reads after them."""
        loc = self.em.where.get(name)
        if loc is None or loc.buffer is None or name in self.graph.inputs:
            return False
        rows = self.em.values[region.target].type.shape[0]
        alike = loc.start == Expr() and loc.stride == loc.row_bytes
        kept = self.em.buffers[loc.buffer].kind == "output" or last.get(name, -1) > index
        same = alike and self.em.values[name].type.shape[0] == rows
        return same and not kept and self.read_until[loc.buffer] <= index

    def _read_aside(self, region: Region, source: Loc) -> bool:
        """Whether a narrower row i may be written where rows up to i lay: tiles of them are made of
        it first, and what is written reads those alone."""
        if region.attention is not None:
            return False
        again = [n for o in region.ops for n in repeated(self.graph, o)]
        directly = [*again, *activations(self.graph, region.ops[-1])]
        read = [self.em.where.get(n) for n in directly]
        return all(at is None or at.buffer != source.buffer for at in read)

    def _merged(self, region: Region, index: int, last: dict[str, int]) -> Loc | None:
        """Patches lie over the image that dies here, or over the rows that it is made of: a row of the
        grid on the bytes that it consumed."""
        if region.target in self.graph.outputs or not reads_patches(self.em, region):
            return None
        read = [n for o in region.ops for n in activations(self.graph, o) if n in self.em.where]
        for name in sources(self.em, region):
            loc = self.em.where[name]
            alike = [n for n in read if n != name and self.em.where[n].buffer == loc.buffer]
            if alike or not self._dies_whole(name, index, last):
                continue
            if may_lie_over(self.em, region, name):
                row_bytes = self.em.row_bytes(region.target)
                return Loc(Expr(), row_bytes, row_bytes, loc.buffer)
        return None

    def _dies_whole(self, name: str, index: int, last: dict[str, int]) -> bool:
        """Whether a value has a buffer by itself that nobody reads after region `index`."""
        loc = self.em.where[name]
        if loc.buffer is None or loc.start != Expr() or loc.stride != loc.row_bytes:
            return False
        free = self.em.buffers[loc.buffer].kind == "activation" and name not in self.graph.inputs
        return free and max(last.get(name, -1), self.read_until[loc.buffer]) <= index

    def _trailing(self, region: Region, index: int, last: dict[str, int]) -> Loc | None:
        """The place of an input that dies here, where a strip region's target may be written line by line."""
        if by_patches(self.graph, region.ops[-1]) or reads_patches(self.em, region):
            return None
        if region.modulates:
            region = replace(region, ops=line_operations(self.graph, region.ops))
        read = [n for o in region.ops for n in activations(self.graph, o) if n in self.em.where]
        dying = [n for n in dict.fromkeys(read) if self._dies_whole(n, index, last)]
        if region.over:
            return place_over_image(self.em, region, dying, read)
        return trailing(self.em, region, dying, read) if dying else None

    def _by_rows(self, region: Region, op: Op) -> bool:
        """Whether an operation reads materialised values row by row, or not at all."""
        if op.kind in TOKENWISE or op is region.attention:
            return True
        return region.modulates and not any(n in self.em.where for n in activations(self.graph, op))

    def _read_before(self, region: Region, target: Loc) -> bool:
        """Whether row i of the target may be written at `target` as soon as row i was read there.

        A linear layer reads its rows again for every panel of channels, an attention its keys for
        every query, a sum or product a repeated row for all others; the last operation may read the
        row's other bytes after it has written some.
        """
        op, attention = region.ops[-1], region.attention
        again = [operand(op, n) for n in kernel_of(op).again]
        again += attention.inputs[:3] if attention else ()
        again += [n for o in region.ops for n in repeated(self.graph, o)]
        where = [self.em.where.get(str(n)) for n in again]
        if any(at is not None and at.buffer == target.buffer for at in where):
            return False
        read = [self.em.where.get(n) for n in activations(self.graph, op)]
        return all(at is None or at.buffer != target.buffer or at == target for at in read)

    def _permuted(self, op: Op, index: int) -> Loc | None:
        """The buffer of a value whose rows are only reordered here and read by no one after."""
        name = str(op.inputs[0])
        loc = self.em.where.get(name)
        rows = self.em.values[name].type.shape[0]
        if loc is None or loc.buffer is None or name in self.graph.inputs or rows >= 65535:
            return None
        whole = loc.start == Expr() and sorted(op.attrs["indices"]) == list(range(rows))
        free = self.read_until[loc.buffer] <= index
        kind = self.em.buffers[loc.buffer].kind
        return loc if whole and free and kind != "output" else None
