"""The residual stream in another orthonormal basis, in which no channel stands out.

As QuaRot (Ashkboos et al., 2024) does for RMSNorm; here the rotation keeps the vector of ones, so
it commutes with LayerNorm's mean as well and costs nothing at run time.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import is_row_selection
from mcuformer.quant.classes import changes_channels
from mcuformer.quant.rewrites.edit import Rewrite
from mcuformer.quant.rewrites.fuse_epilogue import PRODUCERS

StreamBlocks = tuple[tuple[int, int], ...]  # (channels, seed) of each; meta["stream_blocks"]


def basis(graph: Graph, size: int) -> NDArray[np.float64]:
    """Q of a stream of `size` channels: one rotation, or one per block where meta says so."""
    blocks: StreamBlocks = graph.meta.get("stream_blocks", ((size, 0),))
    q, at = np.zeros((size, size)), 0
    for channels, seed in blocks:
        q[at : at + channels, at : at + channels] = rotation(channels, seed)
        at += channels
    return q


@lru_cache(32)
def rotation(size: int, seed: int = 0) -> NDArray[np.float64]:
    """A fixed random orthogonal Q with 1 Q = 1 (rows are vectors)."""
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    ones = np.ones(size) / np.sqrt(size)
    mirror = ones @ q - ones
    length = float(mirror @ mirror)
    if length < 1e-12:
        return q
    return q - np.outer(q @ mirror, mirror) * (2.0 / length)


@dataclass(slots=True)
class Web:
    """Values that share one basis, and who writes and reads them; not `ok`: others do."""

    values: set[str] = field(default_factory=set)
    writers: dict[str, Op] = field(default_factory=dict)
    readers: dict[str, Op] = field(default_factory=dict)
    moves: dict[str, Op] = field(default_factory=dict)
    ok: bool = True


def rotate_stream(graph: Graph, given: Collection[str] = ()) -> Graph:
    """linear -> w Q, b Q, positions Q; layernorm of the stream unchanged; linear' -> Q^T w.

    For every connected residual stream that only linear layers and patch embeddings write, and
    only LayerNorms without gamma in front of linear layers (or linear layers themselves) read.
    Slices of one network are rotated in blocks, which a slice takes whole (quant/slices); without
    any blocks nothing is rotated.
    """
    blocks: StreamBlocks | None = graph.meta.get("stream_blocks")
    edit = Rewrite(graph)
    seen: set[str] = set()
    webs: list[Web] = []
    for op in graph.ops:
        start = str(op.inputs[0])
        if op.kind == "layernorm" and start not in seen:
            web = _web(edit, start)
            seen |= web.values
            fits = blocks is None or graph.type(start).shape[-1] == sum(n for n, _ in blocks)
            if web.ok and fits and not web.values & {*given, *graph.inputs, *graph.outputs}:
                webs.append(web)
    rotated = tuple(sorted(name for web in webs for name in web.values))
    if not graph.shapes_only:  # numbers change, and nothing else
        for op in graph.ops:
            for web in webs:  # a layer may read one stream and write another
                op = _rotated(edit, op, web)
            edit.keep(op)
        graph = edit.done()
    return graph.replace(meta={**graph.meta, "rotated": rotated})


def _web(edit: Rewrite, start: str) -> Web:
    """Everything connected to `start` by residual sums and by moves of rows."""
    web, stack = Web(), [start]
    while stack and web.ok:
        value = stack.pop()
        if value in web.values:
            continue
        web.values.add(value)
        producer = edit.producers.get(value)
        web.ok = producer is not None and _add_writer(edit, web, producer, stack)
        for op in edit.consumers[value]:
            web.ok = web.ok and _add_reader(edit, web, op, value, stack)
    return web


def _activations(edit: Rewrite, names: Collection[str | None]) -> list[str]:
    return [n for n in names if n is not None and edit.graph.const(n) is None]


def _is_move(edit: Rewrite, op: Op) -> bool:
    if op.kind in ("reshape", "concat"):
        return not changes_channels(edit.graph, op)
    return op.kind in ("add", "mean") or is_row_selection(op)


def _is_writer(op: Op) -> bool:
    """One that can write in any basis of its output channels."""
    return op.kind in PRODUCERS and op.attrs["fn"] is None and op.attrs.get("group", 1) == 1


def _add_writer(edit: Rewrite, web: Web, op: Op, stack: list[str]) -> bool:
    if _is_writer(op):
        web.writers[op.outputs[0]] = op
        stack += _activations(edit, op.inputs[3:])
        return True
    if _is_move(edit, op):
        web.moves[op.outputs[0]] = op
        stack += _activations(edit, op.inputs)
        return True
    return False


def _add_reader(edit: Rewrite, web: Web, op: Op, value: str, stack: list[str]) -> bool:
    if op.kind in PRODUCERS and value in op.inputs[3:]:
        stack.append(op.outputs[0])
        return value != op.inputs[0] and _is_writer(op)
    if _is_move(edit, op):
        stack.append(op.outputs[0])
    elif op.kind == "linear":
        web.readers[op.outputs[0]] = op
    elif op.kind == "layernorm" and len(op.inputs) == 1 and op.attrs["groups"] == 1:
        return _add_norm_readers(edit, web, op.outputs[0])
    else:
        return False
    return True


def _add_norm_readers(edit: Rewrite, web: Web, value: str) -> bool:
    if value in edit.graph.outputs:
        return False
    for op in edit.consumers[value]:
        moved = op.kind == "mean" or is_row_selection(op)
        if op.kind == "linear" and value not in op.inputs[3:]:
            web.readers[op.outputs[0]] = op
        elif not (moved and _add_norm_readers(edit, web, op.outputs[0])):
            return False
    return True


def _rotated(edit: Rewrite, op: Op, web: Web) -> Op:
    """`op` with its constants in the new basis of the web."""
    name = op.outputs[0]
    if not (name in web.writers or name in web.readers or name in web.moves):
        return op
    inputs = list(op.inputs)
    if name in web.readers:
        data = edit.b.values[str(inputs[1])].data
        assert data is not None
        turned = partial(_read, edit.graph, data)
        inputs[1] = edit.const(f"{inputs[1]}.turned", data.shape, turned)
    written = range(1, 4) if name in web.writers else range(len(inputs) * (name in web.moves))
    for i in written:
        _turn_written(edit, inputs, i)
    return op.replace(inputs=tuple(inputs))


def _turn_written(edit: Rewrite, inputs: list[str | None], i: int) -> None:
    """Constant `i`, whose last axis is the stream's channels, times Q."""
    name = inputs[i]
    data = None if name is None else edit.b.values[name].data
    if data is not None:
        inputs[i] = edit.const(f"{name}.turned", data.shape, partial(_written, edit.graph, data))


def _read(graph: Graph, w: NDArray) -> NDArray:
    return basis(graph, len(w)).T @ w


def _written(graph: Graph, w: NDArray) -> NDArray:
    return w @ basis(graph, w.shape[-1])
