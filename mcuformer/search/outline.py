"""The outline of a candidate's int graph: its float graph through passes and lowering (docs/adr/0009).

Planning asks for thousands. So what is equal from block to block is lowered once: a network in which
every attention and every width of MLP occurs once, whose pieces are put together in the blocks' order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import Value
from mcuformer.passes import run_float_passes
from mcuformer.quant.lower import lower_shapes
from mcuformer.search.arch import Arch
from mcuformer.search.float_graph import IMAGE, Part, float_graph, halves, parts


def whole_outline(arch: Arch) -> Graph:
    """uint8 pixels [H,W,C] -> int8 logits [1, classes], all blocks."""
    return _lowered(arch, parts(arch))


def _lowered(arch: Arch, body: Sequence[Part]) -> Graph:
    return lower_shapes(run_float_passes(float_graph(arch, body)), pixels=(IMAGE,))


def short_outline(arch: Arch) -> Graph:
    """`whole_outline` with one block of each kind, in the order of their last ones: all that decides a
    placement (schedule/repeat.py). meta["times"] says how often each occurs (schedule/outline.py).
    """
    *body, last = arch.hidden
    kinds = sorted(set(body), key=lambda h: -body[::-1].index(h))
    own = arch.pool == "cls"  # of the last block only one row is asked for
    shared = kinds if own else sorted({*kinds, last})
    ending = halves("last", last) if own else ()
    pieces = [Part("attn"), *(Part(f"mlp.{h}", h) for h in shared)] if shared else []
    graph = _lowered(arch, (*pieces, *ending))
    order = [(f"blocks.{i}", h) for i, h in enumerate(kinds if own else (*kinds, last))]
    blocks = [(name, piece) for name, h in order for piece in ("attn", f"mlp.{h}")]
    times = {f"blocks.{i}": body.count(h) for i, h in enumerate(kinds)}
    return _Pieces(graph, {p.name for p in pieces}).joined(blocks, times)


@dataclass(slots=True)
class _Pieces:
    """The runs of operations of a lowered graph by their origin; each reads and makes one stream value."""

    graph: Graph
    names: set[str]

    def joined(self, blocks: Sequence[tuple[str, str]], times: Mapping[str, int]) -> Graph:
        """What stands before the pieces, these (block, piece) in order, and what stands behind."""
        graph = self.graph
        places = [i for i, op in enumerate(graph.ops) if op.origin and op.origin[0] in self.names]
        if not places:
            return graph.replace(meta={"times": times})
        start, stop = places[0], places[-1] + 1
        runs: dict[str, list[Op]] = {}
        for op in graph.ops[start:stop]:
            runs.setdefault(op.origin[0], []).append(op)
        ops, values = list(graph.ops[:start]), dict(graph.values)
        enters, stream = {}, graph.ops[start].inputs[0]
        for name, run in runs.items():
            enters[name] = stream
            stream = run[-1].outputs[0]
        left, stream = stream, enters[next(iter(runs))]
        for block, piece in blocks:
            names = {enters[piece]: stream}
            ops += (_copied(values, op, block, names) for op in runs[piece])
            stream = ops[-1].outputs[0]
        for op in graph.ops[start:stop]:  # a piece that read them from outside would fail now
            if op.origin[0] in self.names:
                values.pop(op.outputs[0])
        behind = [_read(op, {left: stream}) for op in graph.ops[stop:]]
        return graph.replace(ops=(*ops, *behind), values=values, meta={"times": times})


def _copied(
    values: dict[str, Value], op: Op, block: str, names: dict[str | None, str | None]
) -> Op:
    """`op` as one of `block`; weights are shared, which are all placeholders."""
    (out,) = op.outputs
    name = names[out] = f"{block}.{out}"
    values[name] = Value(name, values[out].type)
    inputs = tuple(names.get(n, n) for n in op.inputs)
    return Op(op.kind, f"{block}.{op.name}", inputs, (name,), op.attrs, (block,))


def _read(op: Op, names: Mapping[str | None, str | None]) -> Op:
    return op.replace(inputs=tuple(names.get(n, n) for n in op.inputs))
