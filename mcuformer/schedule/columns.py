"""Channel ranges of row-wise operations: one head's share of a linear layer, of a LayerNorm over heads.

An operation that is cut has every operand cut that runs along its output's channels: constants are
sliced, activations become columns of where they lie (a `slice` of channels, which moves nothing).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import QParams, TensorType, Value
from mcuformer.operators.table import INT_OPS


def is_column_view(op: Op) -> bool:
    """A slice of channels: the same rows at another byte offset."""
    return op.kind == "slice" and op.attrs["axis"] == 1


def can_cut(values: Mapping[str, Value], op: Op, start: int, stop: int) -> bool:
    """Whether channels [start, stop) of the output can be computed by themselves."""
    if not INT_OPS[op.kind].cut:
        return False
    if INT_OPS[op.kind].grouped:
        group = values[op.outputs[0]].type.shape[-1] // op.attrs["groups"]
        return start % group == 0 and stop % group == 0
    return bool(op.attrs.get("groups", 1) == 1)


def cut_activations(values: Mapping[str, Value], op: Op) -> list[str]:
    """The activations among the operands that are cut with the output."""
    inputs = [name for _, name, _ in _along(values, op)]
    return [n for n in dict.fromkeys(inputs) if not values[n].is_const]


def _along(values: Mapping[str, Value], op: Op) -> Iterator[tuple[int, str, int]]:
    """The operands that run along the output's channels: place, name, axis of channels.

    One number per row is repeated for all channels.
    """
    width = values[op.outputs[0]].type.shape[-1]
    for i, (name, operand) in enumerate(zip(op.inputs, INT_OPS[op.kind].operands, strict=False)):
        if name is not None and operand.along is not None:
            shape = values[name].type.shape
            if values[name].is_const or shape[-1] == width:
                yield i, name, operand.along


def sliced_type(t: TensorType, start: int, stop: int) -> TensorType:
    def cut(a: NDArray) -> NDArray:
        return a[start:stop] if a.ndim else a

    qp = t.qparams and QParams(cut(t.qparams.scale), cut(t.qparams.zero_point))
    return TensorType((*t.shape[:-1], stop - start), t.dtype, qp)


def column_view(values: dict[str, Value], x: str, start: int, stop: int) -> Op:
    """Channels [start, stop) of the value `x`, which is added to `values`."""
    name = f"{x}[{start}:{stop}]"
    values[name] = Value(name, sliced_type(values[x].type, start, stop))
    return Op("slice", name, (x,), (name,), {"axis": 1, "start": start, "stop": stop})


def take_columns(
    values: dict[str, Value], op: Op, start: int, stop: int, parts: Mapping[str, str]
) -> Op:
    """`op` restricted to output channels [start, stop), which `can_cut` allows.

    New constants are added to `values` (views, no copies). `parts` has the channels of every one
    of `cut_activations`.
    """
    width = values[op.outputs[0]].type.shape[-1]
    if (start, stop) == (0, width):
        return op
    suffix = f"[{start}:{stop}]"
    inputs = list(op.inputs)
    for i, name, axis in _along(values, op):
        const = values[name].is_const
        inputs[i] = _cut_constant(values, name, axis, start, stop) if const else parts[name]
    attrs = dict(op.attrs)
    if len(attrs.get("pad_value", ())) == width:
        attrs["pad_value"] = attrs["pad_value"][start:stop]
    if INT_OPS[op.kind].grouped:
        attrs["groups"] = attrs["groups"] * (stop - start) // width
    out = op.outputs[0] + suffix
    values[out] = Value(out, sliced_type(values[op.outputs[0]].type, start, stop))
    return Op(op.kind, op.name, tuple(inputs), (out,), attrs, op.origin)


def _cut_constant(values: dict[str, Value], name: str, axis: int, start: int, stop: int) -> str:
    """Itself where it is one number for all channels."""
    data = values[name].data
    assert data is not None
    if not data.ndim or data.shape[axis] == 1:
        return name
    cut = data[start:stop] if axis == 0 else data[..., start:stop]
    part = f"{name}[{start}:{stop}]"
    values[part] = Value(part, TensorType(cut.shape, values[name].type.dtype), cut)
    return part


def take_group(values: dict[str, Value], op: Op, group: int) -> Op:
    """Output channels of one group of a block-diagonal q_linear, as a plain one on that group's inputs."""
    groups = op.attrs["groups"]
    width = values[op.outputs[0]].type.shape[-1] // groups
    part = take_columns(values, op, group * width, (group + 1) * width, {})
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
    layers = {
        op.outputs[0]: op
        for op in graph.ops
        if INT_OPS[op.kind].weights
        and consumers[op.outputs[0]]
        and all(map(is_column_view, consumers[op.outputs[0]]))
        and op.outputs[0] not in graph.outputs
        and can_cut(values, op, 0, 0)
    }
    ops: list[Op] = []
    for op in graph.ops:
        layer = layers.get(str(op.inputs[0])) if is_column_view(op) else None
        if layer is not None:
            views = {v.name for v in ops}  # those of one range may serve several layers
            ops += [o for o in _columns_of_layer(values, layer, op) if o.name not in views]
        elif op.outputs[0] not in layers:
            ops.append(op)
    return graph.replace(ops=tuple(ops), values=values)


def _columns_of_layer(values: dict[str, Value], layer: Op, cut: Op) -> list[Op]:
    """The layer's channels that `cut` wants, as the value that `cut` writes."""
    start, stop = cut.attrs["start"], cut.attrs["stop"]
    views = [column_view(values, x, start, stop) for x in cut_activations(values, layer)]
    parts = {str(v.inputs[0]): v.outputs[0] for v in views}
    part = take_columns(values, layer, start, stop, parts)
    origin = layer.origin + cut.origin
    return [*views, replace(part, name=cut.name, outputs=cut.outputs, origin=origin)]
