"""Attention inside padded windows: a window's rows are gathered, attended to, and put back where they lay.

Beside the stream live one window's rows, their norm, K and V; its queries run in tiles. What is padded
is written into the window, and what comes of it is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mcuformer.ir.graph import Op
from mcuformer.program.buffers import Addr
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Expr, var
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.tasks import Steps, Task
from mcuformer.schedule.ways.sides import sides
from mcuformer.schedule.ways.window_tiles import in_tiles
from mcuformer.schedule.window_maps import PADDED, WindowMap, lands, window_map

_ROW = 30  # instructions of a moved row beside its bytes


def by_window_map(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """Window by window, from the source's rows to the target's."""
    assert region.attention is not None
    found = window_map(em.graph, region.attention)
    assert found is not None
    return _Window(em, region, target, choice, found).steps()


class _Window:
    """One window: `x` its rows, `parted` what q, k and v are made of, `y` the rows of the target."""

    def __init__(
        self, em: TaskEmitter, region: Region, target: Loc, choice: Choice, found: WindowMap
    ) -> None:
        self.em, self.region, self.target, self.choice = em, region, target, choice
        self.map, self.part = found, sides(region)
        assert region.attention is not None
        self.op = region.attention
        self.size = len(found.rows) // self.op.attrs["windows"]
        table = em.index_constant(f"{self.op.name}.rows", found.rows)
        self.index = Addr(None, var("t") * 2, table.constant)
        self.x = self.parted = em.rows_buffer(found.source, self.size)
        last = region.ops[-1]
        self.y = (
            self.x if lands(em.graph, found, last) else em.rows_buffer(last.outputs[0], self.size)
        )

    def steps(self) -> Steps:
        em, n = self.em, self.size
        window = Rows(var("t"), Expr(n), n, n)
        body: Steps = [self._gather(), *self._norm()]
        kn, vn = (str(name) for name in self.op.inputs[1:3])
        made = {o.outputs[0] for o in self.part.kv}
        kv = {name: em.rows_buffer(name, n) for name in dict.fromkeys((kn, vn)) if name in made}

        def keys(first: Expr, rows: Rows) -> list[Task]:
            tiles = self._tiles(first)
            return em.chain(self._rowwise(self.part.kv), tiles, rows,
                            {name: loc.at(first) for name, loc in kv.items()})  # fmt: skip

        def queries(first: Expr, rows: Rows) -> list[Task]:
            return self._queries(first, rows, {**self._tiles(Expr()), **kv})

        tile, name = self.choice.tile, self.op.name
        body += in_tiles(window, tile, keys, f"{name}: K and V")
        body += in_tiles(window, tile, queries, f"{name}: queries")
        comment = f"{name}: padded windows of {n} rows"
        return [Loop("t", len(self.map.rows), n, (*body, self._scatter()), comment)]

    def _tiles(self, first: Expr) -> dict[str, Loc]:
        """Where rows of the window lie, from row `first` of it on."""
        return {
            self.map.source: self.x.at(first),
            self.map.gather.outputs[0]: self.parted.at(first),
        }

    def _rowwise(self, ops: Iterable[Op]) -> list[Op]:
        moved = {o.name for o in (*self.map.moves, *self.map.norm)}
        return [o for o in ops if o.name not in moved]

    def _queries(self, first: Expr, rows: Rows, window: dict[str, Loc]) -> list[Task]:
        em, op = self.em, self.op
        tiles, heads, out = self._tiles(first), op.attrs["heads"], op.outputs[0]
        tasks = em.chain(self._rowwise(self.part.q), tiles, rows, {})
        q = em.location(str(op.inputs[0]), tiles, rows)
        k, v = (window.get(str(n)) for n in op.inputs[1:3])
        assert q is not None and k is not None and v is not None
        behind, back = self.map.behind, self.map.back
        at = self.y.at(first)
        whole = {str(back.inputs[0]): at} if back is self.region.ops[-1] else {}
        tiles[out] = y = whole.get(out) or em.rows_buffer(out, rows)
        bias = em.values[str(op.inputs[3])].type.shape[0] if op.inputs[3:] and op.inputs[3] else 1
        own_bias = var("t") * heads if bias > heads else Expr()
        tasks.append(em.attention(op, q, k, v, y, rows, 0, heads, own_bias + first))
        tasks += em.chain(behind, tiles, rows, whole)
        tiles[back.outputs[0]] = tiles[str(back.inputs[0])]
        after = [o for o in self._rowwise(self.part.after) if o not in behind]
        return tasks + _unshown(em.chain(after, tiles, rows, {self.region.target: at}))

    def _norm(self) -> list[Task]:
        """Of the window's rows; then the rows that are padded."""
        em, found, n = self.em, self.map, Expr(self.size)
        if not found.norm:
            return []
        tiles, rows = {found.source: self.x}, Rows.all(self.size)
        tasks = _unshown(em.chain(found.norm, tiles, rows, {}))
        self.parted = y = tiles[found.norm[-1].outputs[0]]
        parts = (y, Expr(y.row_bytes), n, self.index, em.constant(found.pad).addr)
        cost = (
            self.size * 10
            + found.rows.count(PADDED) * (y.row_bytes + _ROW) // (self.op.attrs["windows"])
        )
        layer, span = em.layer_ids[found.join.name], y.span(n)
        fill = Task("mcf_fill_padded", layer, parts, span, span, instructions=cost, overwrites=True)
        return [*tasks, fill]

    def _gather(self) -> Task:
        em, found, n = self.em, self.map, Expr(self.size)
        x, y = em.where[found.source], self.x
        rows = Expr(em.values[found.source].type.shape[0])
        fill = em.constant(found.pad).addr if not found.norm else "NULL"
        parts = (x, y, Expr(y.row_bytes), n, self.index, fill)
        return Task("mcf_gather_padded", em.layer_ids[found.gather.name], parts, x.span(rows),
                    y.span(n), instructions=self.size * (y.row_bytes + _ROW))  # fmt: skip

    def _scatter(self) -> Task:
        """What lies where the source lies keeps the rows of other windows."""
        em, found, n = self.em, self.map, Expr(self.size)
        x, y, name = self.y, self.target, self.region.target
        rows = Rows.all(em.values[name].type.shape[0])
        kept = y.span(rows.count) if y.buffer == em.where[found.source].buffer else ()
        return Task("mcf_scatter_padded", em.layer_ids[found.back.name],
                    (x, y, Expr(x.row_bytes), n, self.index), (*x.span(n), *kept), y.span(rows.count),
                    shown=(name, y, rows, 0), instructions=self.size * (x.row_bytes + _ROW),
                    overwrites=bool(kept))  # fmt: skip


def _unshown(tasks: list[Task]) -> list[Task]:
    """Rows in another order than those of their value are not traced."""
    return [replace(task, shown=None) for task in tasks]
