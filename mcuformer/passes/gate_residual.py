"""x + (x * g * s + c) -> x * (g * s + 1) + c for one row g[1, C] and constants s, c per channel.

The residual of a global response normalisation (ConvNeXt v2): one product of all rows is left, and one
rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.passes.edit import Edit, is_affine, uses

_Steps = list[tuple[Op, NDArray]]  # mul or add, its constant; the innermost one last


def gate_residual(graph: Graph) -> Graph:
    if "qdq" in graph.meta or not any(op.kind == "add" for op in graph.ops):
        return graph
    edit, made, reads = Edit(graph), graph.producers(), uses(graph)
    for op in graph.ops:
        found = _gated(graph, made, reads, op) if op.kind == "add" else None
        if found is None:
            edit.ops.append(op)
        else:
            _write(edit, op, *found)
    return edit.done()


def _gated(
    graph: Graph, made: Mapping[str, Op], reads: Mapping[str, int], op: Op
) -> tuple[str, str, _Steps] | None:
    """Rows x, g and the steps between x * g and the sum; reshapes on the way move nothing."""
    for residual, last in (op.inputs, op.inputs[::-1]):
        steps, name = _Steps(), str(last)
        while (step := made.get(name)) is not None and reads[name] == 1:
            if step.kind == "mul" and not is_affine(graph, step):
                return _product(graph, made, str(residual), step, steps)
            const = next((c for c in map(graph.const, step.inputs) if c is not None), None)
            if is_affine(graph, step) and const is not None:
                steps.append((step, const))
            elif step.kind != "reshape" or not _same_channels(graph, step):
                break
            name = next(str(n) for n in step.inputs if graph.const(n) is None)
    return None


def _product(
    graph: Graph, made: Mapping[str, Op], residual: str, op: Op, steps: _Steps
) -> tuple[str, str, _Steps] | None:
    """Of rows of the residual and one row."""
    for x, g in (map(str, op.inputs), map(str, op.inputs[::-1])):
        shape, row = graph.type(x).shape, graph.type(g).shape
        same = _source(graph, made, x) == _source(graph, made, residual)
        if same and len(shape) == 2 and shape[0] > 1 and row == (1, shape[1]):
            return x, g, steps
    return None


def _source(graph: Graph, made: Mapping[str, Op], name: str) -> str:
    while (op := made.get(name)) is not None and op.kind == "reshape" and _same_channels(graph, op):
        name = str(op.inputs[0])
    return name


def _same_channels(graph: Graph, op: Op) -> bool:
    return graph.type(str(op.inputs[0])).shape[-1] == graph.type(op.outputs[0]).shape[-1]


def _write(edit: Edit, op: Op, x: str, g: str, steps: _Steps) -> None:
    channels = edit.values[g].type.shape[-1:]
    origin = tuple(dict.fromkeys(o for s in (*(s for s, _ in steps[::-1]), op) for o in s.origin))

    def factor() -> NDArray:
        return np.prod([c for step, c in steps if step.kind == "mul"], axis=0)

    def term() -> NDArray:
        """Each constant times the factors that come behind it."""
        total, outer = np.zeros(channels), np.ones(channels)
        for step, const in steps:
            total = total + outer * const if step.kind == "add" else total
            outer = outer * const if step.kind == "mul" else outer
        return total

    def emit(kind: str, stem: str, like: str, *inputs: str) -> str:
        name = edit.activation(f"{op.outputs[0]}.{stem}", edit.values[like].type.shape)
        edit.ops.append(Op(kind, name, inputs, (name,), {}, origin))
        return name

    gate, scaled = g, any(step.kind == "mul" for step, _ in steps)
    if scaled:
        gate = emit("mul", "factor", g, gate, edit.const(f"{op.name}.scale", channels, factor))
    one = edit.const(f"{op.name}.one", channels, lambda: np.ones(channels))
    y = emit("mul", "gated", x, x, emit("add", "gate", g, gate, one))
    if any(step.kind == "add" for step, _ in steps):
        y = emit("add", "shifted", x, y, edit.const(f"{op.name}.shift", channels, term))
    shape = edit.values[op.outputs[0]].type.shape
    if shape == edit.values[y].type.shape:
        edit.ops[-1] = edit.ops[-1].replace(outputs=op.outputs)
    else:
        edit.ops.append(op.replace(kind="reshape", inputs=(y,), attrs={"shape": shape}))
