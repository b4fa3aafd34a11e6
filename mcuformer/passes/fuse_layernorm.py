"""(x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) -> LayerNormalization(x, 1),
x / sqrt(mean(x^2) + eps) -> RMSNormalization(x, 1), and x / max(|x|, eps) -> RMSNormalization(x, 1) / sqrt(n).

A root of a mean square that divides nothing -> RootMeanSquare(x).

Over other axes than the last ones between two Transposes. Gamma and beta follow as Mul and Add, which
`fold_affine` takes in later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value
from mcuformer.passes.norm_reader import Deviation, NormReader

_LEAST_VARIANCE = 1e-18  # MeanVarianceNormalization divides by the deviation + 1e-9
_LEAST = 1e-30  # where nothing is added: a group of zeros stays one


def fuse_layernorm(graph: Graph) -> Graph:
    reader = NormReader(graph, graph.producers())
    values = dict(graph.values)
    ops: list[Op] = []
    skipped: list[str] = []
    for op in graph.ops:
        if "error" in op.attrs or -1 in graph.type(op.outputs[0]).shape:
            ops.append(op)
            continue
        root = _root(reader, op)
        if root is not None:
            ops += _root_mean_square(values, op, *root)
            continue
        found = _match(reader, op)
        reason = _near_miss(reader, op) if found is None else None
        if reason is not None:
            skipped.append(f"{op.origin[0]}: {reason}")
        ops += [op] if found is None else _normalisation(values, op, *found)
    meta = {**graph.meta, "skipped": tuple(skipped)}
    return graph.replace(ops=tuple(ops), values=values, meta=meta).pruned()


def _match(reader: NormReader, op: Op) -> tuple[Deviation, bool] | None:
    """What is normalised and how, and whether the mean was subtracted."""
    if op.kind == "Div":
        return _normed(reader, op.inputs[0], op.inputs[1], reader.deviation(op.inputs[1]))
    if op.kind == "Mul":
        for dividend, inverse in (op.inputs, op.inputs[::-1]):
            found = _normed(reader, dividend, inverse, reader.inverse_deviation(inverse))
            if found is not None:
                return found
    if op.kind == "LpNormalization" and op.attrs.get("p", 2) == 2 and op.inputs[0] is not None:
        shape = reader.graph.type(op.inputs[0]).shape
        axis = op.attrs.get("axis", -1) % len(shape)
        return Deviation(op.inputs[0], (axis,), 0.0, 1 / math.sqrt(shape[axis])), False
    if op.kind == "MeanVarianceNormalization" and op.inputs[0] is not None:
        rank = len(reader.graph.type(op.inputs[0]).shape)
        axes = tuple(sorted(a % rank for a in op.attrs.get("axes", (0, 2, 3))))
        return Deviation(op.inputs[0], axes, _LEAST_VARIANCE, 1.0), True
    return None


def _root(reader: NormReader, op: Op) -> tuple[Deviation, bool] | None:
    """Of a deviation that may be part of no normalisation: it is dead where it is part of one."""
    found = reader.deviation(op.outputs[0]) if op.kind in ("Sqrt", "Pow") else None
    if found is None or not reader.fits(op.outputs[0], found.v, found.axes):
        return None
    centre = reader.centred(found.v)
    if centre is None or centre[1] != found.axes:
        return found, found.centred
    return Deviation(centre[0], found.axes, found.eps, found.factor), True


def _root_mean_square(
    values: dict[str, Value], op: Op, found: Deviation, centred: bool
) -> Iterator[Op]:
    out = op.outputs[0]
    inner = out if found.factor == 1.0 else f"{out}\0root"
    values.setdefault(inner, Value(inner, values[out].type))
    attrs = {"axes": found.axes, "epsilon": found.eps, "centred": centred}
    yield op.replace(kind="RootMeanSquare", inputs=(found.v,), outputs=(inner,), attrs=attrs)
    if inner != out:
        back = _constant(values, f"{out}\0factor", np.float32(1 / found.factor))
        yield op.replace(kind="Mul", inputs=(inner, back), attrs={})


def _normed(
    reader: NormReader, dividend: str | None, divisor: str | None, found: Deviation | None
) -> tuple[Deviation, bool] | None:
    """`dividend` over the deviation of v: v itself, or another x - mean(x) of the same x."""
    if found is None or dividend is None or not reader.fits(divisor, found.v, found.axes):
        return None
    if found.centred:
        return (found, True) if reader.centred(dividend) == (found.v, found.axes) else None
    centre = reader.centred(found.v)
    if centre is not None and reader.centred(dividend) == centre and centre[1] == found.axes:
        return Deviation(centre[0], found.axes, found.eps, found.factor), True
    return (found, False) if dividend == found.v else None


def _normalisation(
    values: dict[str, Value], op: Op, found: Deviation, centred: bool
) -> Iterator[Op]:
    """Transpose, norm, Transpose, Mul: those of them that are wanted."""
    x, out = found.v, op.outputs[0]
    shape = values[x].type.shape
    order = [*(a for a in range(len(shape)) if a not in found.axes), *found.axes]
    turned, factor = order != list(range(len(shape))), found.factor
    inner = tuple(shape[a] for a in order)
    axis = len(shape) - len(found.axes)

    def step(kind: str, to: str | None, of: tuple[int, ...], *inputs: str, **attrs: object) -> str:
        name = to or f"{out}\0{kind.lower()}{len(values)}"
        values.setdefault(name, Value(name, TensorType(of, "float32")))
        steps.append(Op(kind, op.name, inputs, (name,), attrs, op.origin))
        return name

    steps: list[Op] = []
    ones = _constant(values, f"{out}\0ones", np.ones(inner[axis:], np.float32))
    kind = "LayerNormalization" if centred else "RMSNormalization"
    x = step("Transpose", None, inner, x, perm=tuple(order)) if turned else x
    last = None if turned or factor != 1.0 else out
    x = step(kind, last, inner, x, ones, axis=axis, epsilon=max(found.eps, _LEAST))
    if turned:
        back = tuple(int(a) for a in np.argsort(order))
        x = step("Transpose", None if factor != 1.0 else out, shape, x, perm=back)
    if factor != 1.0:
        step("Mul", out, shape, x, _constant(values, f"{out}\0factor", np.float32(factor)))
    yield from steps


def _constant(values: dict[str, Value], name: str, data: np.ndarray | np.float32) -> str:
    array = np.asarray(data, np.float32)
    values[name] = Value(name, TensorType(array.shape, "float32"), array)
    return name


def _near_miss(reader: NormReader, op: Op) -> str | None:
    """Why x / sqrt(mean(...) + eps) is no LayerNorm, None where it does not look like one."""
    root = reader.op(op.inputs[1], "Sqrt") if op.kind == "Div" else None
    shifted = reader.op(root.inputs[0], "Add") if root is not None else None
    if shifted is None or not any(reader.op(i, "ReduceMean") for i in shifted.inputs):
        return None
    found = reader.deviation(op.inputs[1])
    centre = None if found is None else reader.centred(found.v)
    if found is None or centre is None:
        return "its divisor is no standard deviation"
    if centre[1] != found.axes:
        return "its mean and its deviation are over different axes"
    return "its dividend is not x - mean(x)"
