"""L(x) * s + c -> L'(x) for L in linear, conv2d, layernorm, groupnorm and constants s, c per channel.

Takes in biases, LayerScale and BatchNorm; also what is added to pixels of a convolution that were made
rows, as the position of a network's one token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, is_affine, uses

_HOSTS = ("linear", "conv2d", "layernorm", "groupnorm")


def fold_affine(graph: Graph) -> Graph:
    if not any(is_affine(graph, op) for op in graph.ops):
        return graph
    edit, reads = Edit(graph), uses(graph)
    made: dict[str, int] = {}  # value -> place of its producer in edit.ops
    for op in graph.ops:
        host = _host(edit, made, reads, op)
        if host is None:
            made[op.outputs[0]] = len(edit.ops)
            edit.ops.append(op)
            continue
        place, factor = host
        seen = edit.ops[place]
        if seen.kind == "reshape":
            at = made[str(seen.inputs[0])]
            kept = edit.ops[at].outputs
            edit.ops[at] = _merge(edit, edit.ops[at], op, factor).replace(outputs=kept)
            edit.ops[place] = seen.replace(outputs=op.outputs)
        else:
            edit.ops[place] = _merge(edit, seen, op, factor)
        made[op.outputs[0]] = place
    return edit.done()


def _host(
    edit: Edit, made: dict[str, int], reads: dict[str, int], op: Op
) -> tuple[int, NDArray] | None:
    """The producer that can take `op` in, or the reshape behind it, and op's constant."""
    if op.kind not in ("add", "mul"):
        return None
    for x, c in (op.inputs, op.inputs[::-1]):
        const = edit.data(c)
        if const is None or const.ndim != 1 or x not in made or reads[x] != 1:
            continue
        found = edit.ops[made[x]]
        if found.kind in _HOSTS or (op.kind == "add" and _is_pixels(edit, made, reads, found)):
            return made[x], const
    return None


def _is_pixels(edit: Edit, made: dict[str, int], reads: dict[str, int], op: Op) -> bool:
    """Whether it makes rows of a convolution's pixels, with all their channels."""
    x = op.inputs[0]
    if op.kind != "reshape" or x not in made or reads[x] != 1:
        return False
    channels = {edit.graph.type(str(name)).shape[-1] for name in (x, op.outputs[0])}
    return edit.ops[made[x]].kind == "conv2d" and len(channels) == 1


def _merge(edit: Edit, host: Op, op: Op, const: NDArray) -> Op:
    """`host` with the constant inside, writing op's value."""
    wide = const.astype(np.float64)
    weight, bias = edit.data(host.operand(1)), edit.data(host.operand(2))
    second, third = host.operand(1), host.operand(2)
    if op.kind == "mul":
        edit.rescaled(host.outputs[0], op.outputs[0], const)
        shape = const.shape if weight is None else weight.shape
        scaled = edit.const(
            f"{host.name}.scaled", shape, lambda: wide if weight is None else weight * wide
        )
        second = scaled
        edit.scales(host.operand(1), scaled, lambda s: s * wide)
        if bias is not None:
            third = edit.const(f"{host.name}.shifted", const.shape, lambda: bias * wide)
    else:
        third = edit.const(
            f"{host.name}.shifted", const.shape, lambda: wide if bias is None else bias + wide
        )
    inputs = (host.inputs[0], second) if third is None else (host.inputs[0], second, third)
    return host.replace(
        inputs=inputs, outputs=op.outputs, origin=tuple(dict.fromkeys((*host.origin, *op.origin)))
    )
