"""Runs float graphs in numpy: ONNX operators as they are, and canonical ones over a batch.

float32 like onnxruntime, sums of normalisations in float64. What each operator computes stands in
its row (`ir/optable.py`); calibration, quantisation and proofs run through here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UnsupportedModelError, UsageError
from mcuformer.ir.float_ops.evaluate import finished
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.layout import Feeds, feeds, to_canonical
from mcuformer.ir.optable import FLOAT_OPS, ONNX_STAGE
from mcuformer.ir.types import grid_ends


def run_onnx(graph: Graph, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """All values of a graph at stage "onnx"; feeds and results carry the file's own shapes."""
    env = {n: v.data for n, v in graph.values.items() if v.data is not None} | dict(feeds)
    for op in graph.ops:
        args = [None if i is None else env[i] for i in op.inputs]
        results = ONNX_STAGE[op.kind].evaluate(op.attrs, args, len(op.outputs))
        env.update(zip(op.outputs, results, strict=False))
    return env


def onnx_outputs(graph: Graph, env: Mapping[str, NDArray]) -> list[NDArray]:
    """The graph's results in the shapes that the ONNX file declares."""
    pairs = zip(graph.outputs, graph.meta["output_shapes"], strict=True)
    return [env[n].reshape(shape) for n, shape in pairs]


def run_float(graph: Graph, x: Feeds) -> dict[str, NDArray]:
    """All activations of a canonical graph for one sample in the ONNX layout."""
    inputs = to_canonical(graph, x)
    if any(len(a) != 1 for a in inputs):
        raise UsageError(f"one sample is wanted, there are {len(inputs[0])}")
    env = _inputs(graph, inputs)
    for op in graph.ops:
        env[op.outputs[0]] = eval_op(graph, op, env)
    return {name: a[0] for name, a in env.items()}


def _inputs(graph: Graph, x: Feeds) -> dict[str, NDArray]:
    pairs = zip(graph.inputs, feeds(graph, x), strict=True)
    return {name: np.asarray(a, np.float32) for name, a in pairs}


def arguments(graph: Graph, op: Op, env: Mapping[str, NDArray]) -> list[NDArray | None]:
    """Inputs of `op` in order: constants from the graph, activations from `env`."""

    def get(name: str | None) -> NDArray | None:
        if name is None:
            return None
        data = graph.const(name)
        return env[name] if data is None else data

    return [get(name) for name in op.inputs]


def eval_op(graph: Graph, op: Op, env: Mapping[str, NDArray]) -> NDArray:
    """One canonical operation on batched inputs; `env` holds its activations.

    Quiet where numbers overflow, as float runtimes are: who uses the result checks it (calibrate).
    """
    with np.errstate(all="ignore"):
        return _eval_op(graph, op, env)


def _eval_op(graph: Graph, op: Op, env: Mapping[str, NDArray]) -> NDArray:
    row = FLOAT_OPS.get(op.kind)
    if row is None:
        raise UnsupportedModelError(f"{op.name}: no float definition of {op.kind}")
    y = row.evaluate(op.attrs, arguments(graph, op, env))
    return np.asarray(_saturated(graph, op.outputs[0], y), np.float32)


def weighted_sum(op: Op, args: Sequence[NDArray | None]) -> NDArray:
    """linear, conv2d, patch_embed up to their bias: (x, w, b?, residual?)."""
    return FLOAT_OPS[op.kind].evaluate({**op.attrs, "fn": None}, args[:3])


def after_sum(graph: Graph, op: Op, y: NDArray, env: Mapping[str, NDArray]) -> NDArray:
    """What `eval_op` gives where `y` is the `weighted_sum` of `op`."""
    with np.errstate(all="ignore"):
        y = finished(op.attrs, y, arguments(graph, op, env)[3])
        return np.asarray(_saturated(graph, op.outputs[0], y), np.float32)


def _saturated(graph: Graph, name: str, y: NDArray) -> NDArray:
    """Cut where the grid ends that a QDQ model gives the value: it may stand for a Relu or Clip."""
    grid = graph.meta.get("qdq", {}).get(name)
    return y if grid is None else np.clip(y, *grid_ends(*grid))


def eval_steps(graph: Graph, x: Feeds) -> Iterator[tuple[Op, dict[str, NDArray]]]:
    """After each operation: it and the values still alive (with a reader to come, or outputs).

    `x` holds samples [N, ...] in the layout of the graph's input, one array per input.
    """
    last: dict[str, int] = {}
    for i, op in enumerate(graph.ops):
        last.update({n: i for n in op.inputs if n is not None})
    env = _inputs(graph, x)
    for i, op in enumerate(graph.ops):
        env[op.outputs[0]] = eval_op(graph, op, env)
        yield op, env
        for name in {n for n in op.inputs if n is not None}:
            if last[name] == i and name in env and name not in graph.outputs:
                del env[name]
