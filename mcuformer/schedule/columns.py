"""Channel ranges of row-wise operations: one head's share of a linear layer, of a LayerNorm over heads."""

from __future__ import annotations

from dataclasses import replace

from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import QParams, TensorType, Value
from mcuformer.schedule.regions import is_column_view

# Per-output-channel inputs of an op, by position (ADR 0002); the axis of the channel.
_PER_CHANNEL: dict[str, dict[int, int]] = {
    "q_linear": {1: 0, 2: 0, 3: 0, 4: 0, 5: 1, 6: 0},
    "q_layernorm": {1: 0, 2: 0, 3: 0, 4: 0},
    "q_add": {1: 1, 2: 0, 3: 0, 4: 0},
    "q_requant": {1: 0, 2: 0, 3: 0, 4: 0},
    "q_unary": {},
}


def sliced_type(t: TensorType, start: int, stop: int) -> TensorType:
    def cut(a: NDArray) -> NDArray:
        return a[start:stop] if a.ndim else a

    qp = t.qparams and QParams(cut(t.qparams.scale), cut(t.qparams.zero_point))
    return TensorType((*t.shape[:-1], stop - start), t.dtype, qp)


def take_columns(
    values: dict[str, Value], op: Op, start: int, stop: int, x: str | None = None
) -> Op:
    """`op` restricted to output channels [start, stop); new constants are added to `values` (views, no copies).

    `x` replaces the activation input where the op is elementwise and its input was restricted too.
    """
    width = values[op.outputs[0]].type.shape[-1]
    if (start, stop) == (0, width) and x is None:
        return op
    suffix = f"[{start}:{stop}]"
    inputs = list(op.inputs)
    for i, axis in _PER_CHANNEL[op.kind].items():
        name = inputs[i] if i < len(inputs) else None
        if name is None or values[name].data is None:
            continue
        data = values[name].data
        assert data is not None
        if data.ndim <= axis or data.shape[axis] == 1:
            continue
        cut = data[start:stop] if axis == 0 else data[:, start:stop]
        inputs[i] = name + suffix
        values[name + suffix] = Value(
            name + suffix, TensorType(cut.shape, values[name].type.dtype), cut
        )
    if x is not None:
        inputs[0] = x
    attrs = dict(op.attrs)
    if op.kind == "q_layernorm":
        group = width // attrs["groups"]
        assert start % group == 0 and stop % group == 0
        attrs["groups"] = (stop - start) // group
    out = op.outputs[0] + suffix
    values[out] = Value(out, sliced_type(values[op.outputs[0]].type, start, stop))
    return Op(op.kind, op.name, tuple(inputs), (out,), attrs, op.origin)


def take_group(values: dict[str, Value], op: Op, group: int) -> Op:
    """Output channels of one group of a block-diagonal q_linear, as a plain one on that group's inputs."""
    groups = op.attrs["groups"]
    width = values[op.outputs[0]].type.shape[-1] // groups
    part = take_columns(values, op, group * width, (group + 1) * width)
    x = values[str(op.inputs[0])].type
    k = x.shape[-1] // groups
    name = f"{op.inputs[0]}[{group * k}:{(group + 1) * k}]"
    values.setdefault(name, Value(name, sliced_type(x, group * k, (group + 1) * k)))
    attrs = {key: v for key, v in part.attrs.items() if key != "groups"}
    return Op(part.kind, part.name, (name, *part.inputs[1:]), part.outputs, attrs, part.origin)


def split_column_views(graph: Graph) -> Graph:
    """slice(q_linear(x), channels) -> q_linear with those channels, where only slices read the layer."""
    if not any(map(is_column_view, graph.ops)):
        return graph
    values = dict(graph.values)
    consumers = graph.consumers()
    producers = graph.producers()
    ops: list[Op] = []
    for op in graph.ops:
        users = consumers[op.outputs[0]]
        if (
            op.kind == "q_linear"
            and users
            and all(map(is_column_view, users))
            and op.outputs[0] not in graph.outputs
        ):
            continue
        source = producers.get(op.inputs[0] or "")
        if is_column_view(op) and source is not None and source.kind == "q_linear":
            siblings = consumers[source.outputs[0]]
            if all(map(is_column_view, siblings)) and source.outputs[0] not in graph.outputs:
                part = take_columns(values, source, op.attrs["start"], op.attrs["stop"])
                ops.append(
                    replace(
                        part, name=op.name, outputs=op.outputs, origin=source.origin + op.origin
                    )
                )
                continue
        ops.append(op)
    return graph.replace(ops=tuple(ops), values=values)
