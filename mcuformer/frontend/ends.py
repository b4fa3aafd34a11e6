"""The graph's ends: ONNX inputs as canonical images or tokens, results in the order of the file."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend import names
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.names import shown
from mcuformer.frontend.pixels import channels_last, is_converted
from mcuformer.frontend.views import Tensor, Unsupported, View, is_opaque
from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.types import TensorType


def convert_inputs(
    graph: Graph, builder: Builder, env: dict[str, Operand | None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Every input as image [H, W, C] or tokens [T, C]; (layouts, value names)."""
    if not graph.inputs:
        raise UnsupportedModelError("the model has no input")
    made = [_convert_input(graph, builder, env, name) for name in graph.inputs]
    return tuple(layout for layout, _ in made), tuple(name for _, name in made)


def _convert_input(
    graph: Graph, builder: Builder, env: dict[str, Operand | None], onnx_name: str
) -> tuple[str, str]:
    type_ = graph.type(onnx_name)
    shape = type_.shape
    if not type_.dtype.startswith("float") and not is_converted(graph, onnx_name):
        raise UnsupportedModelError(
            f"input {shown(onnx_name)} is {type_.dtype}, want float, or an image in uint8 that is cast to float",
            hint="export from behind the embedding or the conversion that reads it",
        )
    if len(shape) == 4 and shape[0] == 1:
        layout = "NHWC" if channels_last(graph, onnx_name) else "NCHW"
    elif len(shape) == 3 and 1 in shape[:2]:
        layout = "tokens"
    elif len(shape) <= 2 and (len(shape) < 2 or shape[0] == 1):
        layout = "flat"
    else:
        raise UnsupportedModelError(
            f"input {shown(onnx_name)} has shape {list(shape)}; "
            "want [1, C, H, W], [1, H, W, C], [1, T, E], [T, 1, E] or [1, N]",
            hint="export with batch 1, or with a dynamic batch axis",
        )
    base_shape, index = laid_out(shape)
    if layout == "NHWC":
        base_shape, index = shape[1:], np.arange(math.prod(shape)).reshape(shape)
    name = builder.add_value(names.plain(onnx_name) or "input", TensorType(base_shape, "float32"))
    env[onnx_name] = View(Tensor(name, base_shape), index)
    return layout, name


def laid_out(shape: tuple[int, ...]) -> tuple[tuple[int, ...], NDArray]:
    """The canonical shape [H, W, C] or [T, C] of an ONNX tensor, and which element goes where."""
    if len(shape) == 4 and shape[0] == 1:
        _, c, h, w = shape
        return (h, w, c), np.arange(h * w * c).reshape(h, w, c).transpose(2, 0, 1)[None]
    last = math.prod(shape) if len(shape) < 2 else shape[-1]
    return (math.prod(shape) // last, last), np.arange(math.prod(shape)).reshape(shape)


def convert_outputs(
    graph: Graph, emit: Emitter, env: dict[str, Operand | None], problems: list[str]
) -> tuple[str, ...]:
    outputs, made = [], graph.producers()
    for name in graph.outputs:
        value = env.get(name)
        if isinstance(value, View):
            try:
                outputs.append(emit.result(value).name)
            except Unsupported as reason:
                if not is_opaque(value):
                    problems.append(f"graph output {shown(name)}: {reason}")
        elif isinstance(value, np.ndarray):
            problems.append(f"graph output {shown(name)}: it does not depend on the input")
        elif _is_left_out(made.get(name), env):
            problems.append(f"graph output {shown(name)}: only the node's first result is compiled")
    return tuple(outputs)


def _is_left_out(op: Op | None, env: dict[str, Operand | None]) -> bool:
    """Whether a node was converted, but for its further results."""
    return op is not None and env.get(op.outputs[0]) is not None
