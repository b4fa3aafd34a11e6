"""L(x) * s + c -> L'(x) for L in linear, conv2d, layernorm, groupnorm and constants s, c per channel.

Takes in biases, LayerScale and BatchNorm.
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
        merged = _merge(edit, edit.ops[place], op, factor)
        edit.ops[place] = merged
        made[op.outputs[0]] = place
    return edit.done()


def _host(
    edit: Edit, made: dict[str, int], reads: dict[str, int], op: Op
) -> tuple[int, NDArray] | None:
    """The producer that can take `op` in, and op's constant."""
    if op.kind not in ("add", "mul"):
        return None
    for x, c in (op.inputs, op.inputs[::-1]):
        const = edit.data(c)
        if const is None or const.ndim != 1 or x not in made or reads[x] != 1:
            continue
        if edit.ops[made[x]].kind in _HOSTS:
            return made[x], const
    return None


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
