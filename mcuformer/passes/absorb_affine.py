"""L(x * s + c) -> L'(x) for constants s, c per channel that only linear layers read.

Also for convolutions, c where they pad nothing: mean and std of the pixels go into the patch weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, is_affine

Taken = Sequence[tuple[str, NDArray]]  # (add or mul, its constant)


def absorb_affine(graph: Graph) -> Graph:
    if not any(is_affine(graph, op) for op in graph.ops):
        return graph
    edit = Edit(graph)
    readers = graph.consumers()
    into_layers = _read_by_layers(graph, readers)
    absorbed: dict[str, Op] = {}  # value -> the add or mul that goes into its readers
    for op in graph.ops:
        if op.kind in ("linear", "conv2d") and op.inputs[0] in absorbed:
            op = _absorb(edit, op, absorbed)
        if op.outputs[0] in into_layers:
            absorbed[op.outputs[0]] = op
        edit.ops.append(op)
    return edit.done()


def _read_by_layers(graph: Graph, readers: Mapping[str, Sequence[Op]]) -> set[str]:
    """Sums and products with a constant that only layers read, or others such before layers."""
    found: set[str] = set()
    for op in reversed(graph.ops):  # readers first
        if _only_layers_read(graph, readers, op, found):
            found.add(op.outputs[0])
    return found


def _only_layers_read(
    graph: Graph, readers: Mapping[str, Sequence[Op]], op: Op, found: set[str]
) -> bool:
    if not is_affine(graph, op) or op.outputs[0] in graph.outputs:
        return False
    users = readers[op.outputs[0]]
    return bool(users) and all(_takes(readers, u, op.kind, found) for u in users)


def _takes(readers: Mapping[str, Sequence[Op]], user: Op, kind: str, found: set[str]) -> bool:
    if user.kind == "conv2d":
        return user.attrs["group"] == 1 and (kind == "mul" or not any(user.attrs["pads"]))
    if user.kind == "linear":
        return True
    return user.outputs[0] in found and not _behind_padding(readers, user, kind)


def _behind_padding(readers: Mapping[str, Sequence[Op]], op: Op, kind: str) -> bool:
    """A shift must not pass through further factors into a convolution that pads."""
    convolutions = [u for u in readers[op.outputs[0]] if u.kind == "conv2d"]
    return kind == "add" and any(any(u.attrs["pads"]) for u in convolutions)


def _absorb(edit: Edit, op: Op, absorbed: dict[str, Op]) -> Op:
    x = op.inputs[0]
    w, b = edit.data(op.operand(1)), edit.data(op.operand(2))
    assert w is not None
    taken: list[tuple[str, NDArray]] = []
    origin = list(op.origin)
    while x in absorbed:
        before = absorbed[x]
        x, const = _split(edit, before)
        taken.append((before.kind, const))
        origin = [*before.origin, *origin]
    inputs = [x, edit.const(f"{op.name}.absorbed", w.shape, lambda: _merged(w, b, taken)[0])]
    if b is not None or _shifts(edit, w, taken):
        bias = w.shape[-1:]
        inputs.append(edit.const(f"{op.name}.shifted", bias, lambda: _merged(w, b, taken)[1]))
    return op.replace(inputs=tuple(inputs), origin=tuple(dict.fromkeys(origin)))


def _merged(w: NDArray, b: NDArray | None, taken: Taken) -> tuple[NDArray, NDArray]:
    """Weights [..., Ci, Co] and bias with what was `taken`, from the layer outwards."""
    wide = w.astype(np.float64)
    bias = np.zeros(w.shape[-1]) if b is None else b.astype(np.float64)
    for kind, const in taken:
        if kind == "mul":
            wide = const[:, None] * wide
        else:
            bias = bias + const @ wide.reshape(-1, *wide.shape[-2:]).sum(0)
    return wide, bias


def _shifts(edit: Edit, w: NDArray, taken: Taken) -> bool:
    """Whether a layer without a bias gets one; of shapes alone, whether it may."""
    added = any(kind == "add" for kind, _ in taken)
    return added and (edit.graph.shapes_only or bool(_merged(w, None, taken)[1].any()))


def _split(edit: Edit, op: Op) -> tuple[str | None, NDArray]:
    """The activation and the constant of an add or mul."""
    first, second = (edit.data(i) for i in op.inputs)
    const = second if first is None else first
    assert const is not None
    return (op.inputs[0] if first is None else op.inputs[1]), const.astype(np.float64)
