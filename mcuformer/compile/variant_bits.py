"""`--weight-bits` of a package of several programs: what all of them take of the flash, and which layers give
up bits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from mcuformer.compile.flash_room import weights_room
from mcuformer.compile.options import CompileOptions
from mcuformer.compile.quantise import Measured
from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.flash_bytes import constant_bytes, matrix_bytes
from mcuformer.operators.table import operand
from mcuformer.quant.lower import outline_of, ready
from mcuformer.quant.policy import Mode
from mcuformer.quant.slices import stacks_of
from mcuformer.quant.tasks import adapters, even_codes, own_layers
from mcuformer.quant.weight_bits import WeightBits, choose_bits


def task_bits(options: CompileOptions, found: Sequence[Measured], mode: Mode) -> WeightBits:
    """Of the layers that all tasks share; adapters and heads keep 8 bits. A layer's 4 bits cost what all
    tasks' outputs lose by them."""
    first, *others = [f.widening.stats for f in found]
    graphs = [ready(f.widening.stats, found[0].formats).graph for f in found]
    own = own_layers(graphs)
    outlines = [_outline(f, mode) for f in found]
    counted = _own_bytes(outlines[0], own)  # as if every block had codes of its own
    stored = sum(_own_bytes(o, own, _again(g)) for o, g in zip(outlines, graphs, strict=True))

    def room(constant_bytes: int) -> int | None:
        return weights_room(options, found[0].source.board, constant_bytes + stored - counted)

    return choose_bits(first, options.weight_bits, room, lambda: outlines[0], own, others)


def width_bits(
    options: CompileOptions, found: Sequence[Measured], full: int, mode: Mode
) -> WeightBits:
    """By operation of the `full` width: what the others have beside its matrices and tables of functions
    takes room, too. Layers that read one value are one matrix, and have the same bits."""
    wide = found[full]
    outlines = [_outline(f, mode) for i, f in enumerate(found) if i != full]
    beside = sum(_numbers_bytes(o, op) for o in outlines for op in o.ops)

    def room(constant_bytes: int) -> int | None:
        return weights_room(options, wide.source.board, constant_bytes + beside)

    stats = wide.widening.stats
    stacks = stacks_of(ready(stats, wide.formats).graph)
    names = [[op.name for op in stack] for stack in stacks]
    return choose_bits(
        stats,
        options.weight_bits,
        room,
        partial(_outline, wide, mode),
        tied=[n for n in names if n],
    )


def _numbers_bytes(outline: Graph, op: Op) -> int:
    """Without a function's table, which programs share."""
    table = operand(op, "table")
    return constant_bytes(outline, op) - (outline.type(table).size_bytes if table else 0)


def _outline(found: Measured, mode: Mode) -> Graph:
    stats = found.widening.stats
    pixels = [n for n, f in zip(stats.graph.inputs, found.formats, strict=True) if f is not None]
    return outline_of(stats.graph, mode, pixels)


def _own_bytes(outline: Graph, own: Collection[str], again: Collection[str] = ()) -> int:
    """What one task has of its own; the matrices of the layers `again` are those of others."""
    ops = [op for op in outline.ops if op.name in own]
    matrices = sum(matrix_bytes(outline, op) for op in ops if op.name not in again)
    return matrices + sum(constant_bytes(outline, op) for op in ops)


def _again(graph: Graph) -> set[str]:
    """The adapters' layers whose codes an earlier one has."""
    seen, found = set[bytes](), set[str]()
    for op in (op for pair in adapters(graph) for op in pair):
        w = graph.const(op.inputs[1])
        assert w is not None
        codes = even_codes(w.reshape(-1, w.shape[-1]).astype(float), 8)[0].tobytes()
        found |= {op.name} if codes in seen else set()
        seen.add(codes)
    return found
