"""x*s + (b - m*s) -> (x - m)*s + b, where s = r*g: ((x - m)*r)*g + b.

TensorFlow and Keras spell every normalisation so (`batch_normalization` of the nn library), to save a
subtraction. `fuse_layernorm` looks for the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeGuard

from mcuformer.ir.graph import Graph, Op, fresh_name
from mcuformer.ir.types import Value


def factor_norm_scale(graph: Graph) -> Graph:
    made = graph.producers()
    values, ops = dict(graph.values), list[Op]()
    for op in graph.ops:
        terms = _terms(made, op)
        if terms is not None and graph.type(terms[0]).shape != graph.type(op.outputs[0]).shape:
            terms = None  # the other operands repeat it: no norm
        ops += [op] if terms is None else _factored(graph, values, made, op, *terms)
    if len(ops) == len(graph.ops):
        return graph
    return graph.replace(ops=tuple(ops), values=values).pruned()


def _terms(made: Mapping[str, Op], op: Op) -> tuple[str, str, str, str] | None:
    """x, m, s and b of x*s + (b - m*s) in any order of the operands."""
    if not _is(op, "Add"):
        return None
    for product, difference in (op.inputs, op.inputs[::-1]):
        scaled, rest = made.get(str(product)), made.get(str(difference))
        if not _is(scaled, "Mul") or not _is(rest, "Sub"):
            continue
        shift = made.get(str(rest.inputs[1]))
        if not _is(shift, "Mul"):
            continue
        for x, s in (scaled.inputs, scaled.inputs[::-1]):
            if s in shift.inputs:
                m = shift.inputs[shift.inputs[0] == s]
                return str(x), str(m), str(s), str(rest.inputs[0])
    return None


def _is(op: Op | None, kind: str) -> TypeGuard[Op]:
    """Of this kind and with two operands, which a broken file may not have."""
    ok = op is not None and op.kind == kind and len(op.inputs) == 2
    return ok and op is not None and "error" not in op.attrs


def _factored(
    graph: Graph, values: dict[str, Value], made: Mapping[str, Op], op: Op,
    x: str, m: str, s: str, b: str,
) -> Iterator[Op]:  # fmt: skip
    """A factor that is a constant is multiplied last: it is the affine part of the norm."""

    def step(kind: str, stem: str, *inputs: str) -> Op:
        name = fresh_name(f"{op.outputs[0]}/{stem}", values, tried={})
        values[name] = Value(name, graph.type(op.outputs[0]))
        return Op(kind, name, inputs, (name,), {}, op.origin)

    scale = made.get(s)
    factors = [s]
    if _is(scale, "Mul"):
        factors = sorted(map(str, scale.inputs), key=lambda n: graph.const(n) is not None)
    at = step("Sub", "centred", x, m)
    yield at
    for factor in factors:
        at = step("Mul", "scaled", at.outputs[0], factor)
        yield at
    yield op.replace(kind="Add", inputs=(at.outputs[0], b))
