"""Joined values and moves of bytes: where parts of a concatenation lie, and what has to be copied.

Parts are computed in place, as rows or as columns of the joined buffer, where the kernel that makes
them can write rows with a stride. All other moves are views, or copies that the plan knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mcuformer.ir.graph import Graph, Op
from mcuformer.kernels import elementwise
from mcuformer.program.expressions import Expr
from mcuformer.schedule.columns import is_column_view
from mcuformer.schedule.emit import TaskEmitter
from mcuformer.schedule.patch_views import by_patches
from mcuformer.schedule.places import Loc, Rows
from mcuformer.schedule.regions import CONVOLUTIONS, VIEWS, Choice, Region
from mcuformer.schedule.tasks import Shown, Steps, Task


def places(em: TaskEmitter, op: Op, whole: Loc) -> Iterator[tuple[str, Loc]]:
    """Every part of a concatenation that lies at `whole`, and where it belongs."""
    at = 0
    for name in map(str, op.inputs):
        if op.attrs["axis"] == 0:
            yield name, whole.at(at)
            at += em.values[name].type.shape[0]
        else:
            yield name, whole.columns(at, em.row_bytes(name))
            at += em.row_bytes(name)


def is_dense(at: Loc, rows: int) -> bool:
    return at.stride == at.row_bytes or rows == 1


def _same(a: Loc, b: Loc, rows: int) -> bool:
    if rows > 1 and a.stride != b.stride:
        return False
    return (a.start, a.row_bytes, a.buffer, a.constant) == (
        b.start, b.row_bytes, b.buffer, b.constant
    )  # fmt: skip


def fits(em: TaskEmitter, graph: Graph, value: str, at: Loc) -> bool:
    """Whether `value` can be made at `at`, or copied there by the move that makes it."""
    op, shape = graph.producers()[value], em.values[value].type.shape
    if value in graph.outputs or is_column_view(op):
        return False
    if is_dense(at, shape[0]):
        return True
    if op.kind == "reshape":
        return em.values[str(op.inputs[0])].type.shape[-1] == shape[-1]
    return op.kind not in CONVOLUTIONS or by_patches(graph, op)


def view(em: TaskEmitter, op: Op) -> Loc | None:
    """Where the result of a move lies without moving a byte; None where that cannot be."""
    source = em.where.get(str(op.inputs[0])) if op.inputs else None
    if source is None:
        return None
    row_bytes = em.row_bytes(op.outputs[0])
    if op.kind == "slice" and op.attrs["axis"] == 0:
        return source.at(op.attrs["start"])
    if is_column_view(op):
        item = row_bytes // em.values[op.outputs[0]].type.shape[-1]
        return source.columns(op.attrs["start"] * item, row_bytes)
    rows = em.values[str(op.inputs[0])].type.shape[0]
    if op.kind == "reshape" and is_dense(source, rows):
        return Loc(source.start, row_bytes, row_bytes, source.buffer, source.constant)
    return None


def move(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """Nothing where the result is a view, else a copy of it."""
    op = region.ops[-1]
    rows, x = em.values[op.outputs[0]].type.shape[0], view(em, op)
    if x is not None and _same(x, target, rows):
        return []
    x = x or em.where[str(op.inputs[0])]
    shown = op.outputs[0], target, Rows.all(rows), 0
    return [copy(layer_of(em, op), x, target, rows * target.row_bytes, shown)]


def concat(em: TaskEmitter, region: Region, target: Loc, choice: Choice) -> Steps:
    """Constants and parts that could not be computed in place are copied to their rows or columns."""
    op = region.ops[-1]
    value, across = op.outputs[0], op.attrs["axis"] == 1
    copies: list[Task] = []
    for name, y in places(em, op, target):
        x, t = (
            em.constant(name) if em.values[name].is_const else em.where[name],
            em.values[name].type,
        )
        if _same(x, y, t.shape[0]):
            continue
        first = y.start.const - target.start.const
        shown = (value, y, Rows.all(t.shape[0]), first) if across else None
        copies.append(copy(em.layer_ids[op.name], x, y, t.size_bytes, shown))
    if copies and not across and _read_whole(em, value):
        rows = em.values[value].type.shape[0]
        copies[-1] = replace(copies[-1], shown=(value, target, Rows.all(rows), 0))
    return [*copies]


def _read_whole(em: TaskEmitter, value: str) -> bool:
    """Whether every row is wanted, those too that lay there before the last one was copied."""
    readers = em.graph.consumers()[value]
    return value in em.graph.outputs or any(r.kind.startswith("q_") for r in readers)


def copy(layer: int, x: Loc, y: Loc, size: int, shown: Shown | None) -> Task:
    """`size` bytes, in pieces as they lie together on both sides."""
    piece = x.row_bytes if x.stride != x.row_bytes else y.row_bytes
    assert y.row_bytes in (piece, y.stride), "pieces of two lengths"
    ends = [loc if loc.stride != loc.row_bytes else replace(loc, stride=piece) for loc in (x, y)]
    x, y = (replace(loc, row_bytes=piece) for loc in ends)
    count = Expr(size // piece)
    cost = elementwise.copy_instructions(piece, count.const)
    parts = (x, y, piece, count)
    return Task("mcf_copy", layer, parts, x.span(count), y.span(count), shown=shown,
                instructions=cost)  # fmt: skip


def layer_of(em: TaskEmitter, op: Op) -> int:
    """The layer that a call of `op` counts for; of a move: the one whose result it moves, else the first."""
    producers = em.graph.producers()
    before: Op | None = op
    while before is not None and before.kind in VIEWS:
        before = producers.get(str(before.inputs[0]))
    return 0 if before is None else em.layer_ids[before.name]


def copies_first(graph: Graph) -> Graph:
    """A reshape that only a concatenation of channels reads follows its source at once: what it
    copies from is needed no longer."""
    joined = {
        str(name) for op in graph.ops if op.kind == "concat" and op.attrs["axis"] == 1
        for name in op.inputs
    }  # fmt: skip
    early: dict[str, list[Op]] = {}
    for op in graph.ops:
        if op.kind == "reshape" and op.outputs[0] in joined and op.inputs[0] in graph.producers():
            early.setdefault(str(op.inputs[0]), []).append(op)
    if not early:
        return graph
    moved = {op.name for ops in early.values() for op in ops}
    ops: list[Op] = []
    for op in graph.ops:
        if op.name not in moved:
            ops += [op, *early.get(op.outputs[0], ())]
    return graph.replace(ops=tuple(ops))
