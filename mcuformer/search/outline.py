"""The outline of a candidate's int graph: its float graph through passes and lowering (docs/adr/0009).

Planning asks for thousands. So what is equal from block to block, or from candidate to candidate, is
lowered once: a network in which every attention and every width of MLP occurs once is cut into runs of
operations, which are put together in the blocks' order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value
from mcuformer.operators.outline import STAGE
from mcuformer.passes import run_float_passes
from mcuformer.quant.lower import lower_shapes
from mcuformer.search.arch import Arch
from mcuformer.search.builder import HEAD, INPUT, STEM
from mcuformer.search.float_graph import HalfBlock, float_graph, halves, parts
from mcuformer.util.speed import record


@record(frozen=True, slots=True, eq=False)
class Run:
    """Operations that read one value from outside, of type `before`, and make `leaves`."""

    ops: tuple[Op, ...]
    enters: str
    before: TensorType
    leaves: str
    values: Mapping[str, Value]


Known = dict[tuple[object, ...], Run]
"""Runs of earlier candidates, by all that they depend on."""


def whole_outline(arch: Arch) -> Graph:
    """uint8 pixels [H,W,C] -> int8 logits [1, classes], all blocks."""
    return _lowered(arch, parts(arch))


def _lowered(arch: Arch, body: Sequence[HalfBlock]) -> Graph:
    return lower_shapes(run_float_passes(float_graph(arch, body)), pixels=(INPUT,))


def short_outline(arch: Arch, known: Known | None = None) -> Graph:
    """`whole_outline` with one block of each kind, in the order of their last ones: all that decides a
    placement (plan/repeat.py). meta["times"] says how often each occurs (operators/outline.py).
    """
    *body, last = arch.hidden
    kinds = sorted(set(body), key=lambda h: -body[::-1].index(h))
    own = arch.pool == "cls"  # of the last block only one row is asked for
    order = kinds if own else [*kinds, last]
    times = {
        part.name: body.count(h) for i, h in enumerate(kinds) for part in halves(f"blocks.{i}", h)
    }
    ending = halves("last", last) if own else ()
    runs = _runs(arch, sorted(set(order)), ending, {} if known is None else known)
    blocks = [
        (part.name, runs[f"mlp.{h}" if part.hidden else "attn"])
        for i, h in enumerate(order)
        for part in halves(f"blocks.{i}", h)
    ]
    ends = [(part.name, runs[part.name]) for part in ending]
    made = _joined([(STEM, runs[STEM]), *blocks, *ends, (HEAD, runs[HEAD])])
    if made is None:  # a run that stands elsewhere reads another type
        made = whole_outline(replace(arch, hidden=(*kinds, last)))
    return made.replace(meta={**made.meta, "times": times})


def _runs(
    arch: Arch, widths: Sequence[int], ending: Sequence[HalfBlock], known: Known
) -> dict[str, Run]:
    """Of everything between image and logits, by the names of parts; what is not known is lowered."""
    body = [HalfBlock("attn"), *(HalfBlock(f"mlp.{h}", h) for h in widths)] if widths else []
    keys = {
        part.name: _key(arch, part) for part in (HalfBlock(STEM), *body, *ending, HalfBlock(HEAD))
    }
    missing = {name for name, key in keys.items() if key not in known}
    if missing:
        graph = _lowered(arch, [*(part for part in body if part.name in missing), *ending])
        known.update((keys[name], run) for name, run in _cut(graph) if name in missing)
    return {name: known[key] for name, key in keys.items()}


def _key(arch: Arch, part: HalfBlock) -> tuple[object, ...]:
    """All that the lowering of a part depends on beside the type of what it reads."""
    kind = part.name.partition(".")[0]  # the last block is one of its own
    sizes = (kind, arch.tokens, arch.dim)
    if kind == STEM:
        return (*sizes, arch.image, arch.stem, arch.patch, arch.pool)
    if kind == HEAD:
        return (*sizes, arch.pool, arch.classes)
    if part.hidden:
        return (*sizes, part.hidden, arch.rank_fc1, arch.rank_fc2)
    return (*sizes, arch.heads, arch.head_dim, arch.relative, arch.rank_qkv, arch.rank_proj)


def _cut(graph: Graph) -> Iterator[tuple[str, Run]]:
    """Runs of one origin, which say of what part of the network they are."""
    enters = graph.inputs[0]
    for name, group in groupby(graph.ops, key=lambda op: op.origin[0]):
        ops = tuple(group)
        used = {n for op in ops for n in (*op.inputs, *op.outputs) if n is not None and n != enters}
        leaves = ops[-1].outputs[0]
        values = {n: graph.values[n] for n in used}
        yield name, Run(ops, enters, graph.type(enters), leaves, values)
        enters = leaves


def _joined(runs: Sequence[tuple[str, Run]]) -> Graph | None:
    """The runs one behind the other under these origins; None where one reads another type than it did.

    A run that reads a second value from outside fails here: it would not find it.
    """
    stream = runs[0][1].enters
    inputs, values, ops = (stream,), {stream: Value(stream, runs[0][1].before)}, list[Op]()
    for origin, run in runs:
        now = values[stream].type
        if (now.shape, now.dtype) != (run.before.shape, run.before.dtype):
            return None
        names = {run.enters: stream}
        for op in run.ops:
            ops.append(_copied(values, run, op, origin, names))
        stream = names[run.leaves]
    return Graph("candidate", STAGE, inputs, (stream,), tuple(ops), values, {"shapes_only": True})


def _copied(values: dict[str, Value], run: Run, op: Op, origin: str, names: dict[str, str]) -> Op:
    """`op` with results of its own; weights are shared, which are all placeholders."""
    inputs: list[str | None] = []
    for name in op.inputs:
        if name is None or name in names:
            inputs.append(name and names[name])
            continue
        value = run.values[name]
        assert value.is_const, f"{op.name} reads {name} of another part"
        values[name] = value
        inputs.append(name)
    (out,) = op.outputs
    made = names[out] = f"{origin}/{out}"
    values[made] = Value(made, run.values[out].type)
    return Op(op.kind, f"{origin}/{op.name}", tuple(inputs), (made,), op.attrs, (origin,))
