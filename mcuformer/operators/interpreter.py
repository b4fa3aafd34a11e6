"""The integer interpreter: the definition of every number that generated code computes.

Host C, the emulators and a board must equal `run_int` bit for bit (docs/adr/0002).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import McuformerError, UsageError
from mcuformer.ir import int_ops_simple as simple
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.layout import Feeds, feeds
from mcuformer.ir.types import DTYPES, TensorType
from mcuformer.operators.table import INT_OPS

_NUMBERS = 2**18  # of the largest activation that one part of a batch has


def run_int(graph: Graph, x_int: Feeds) -> dict[str, NDArray]:
    """Every activation of the int graph for one sample, or for a batch with one axis in front.

    `x_int` is the array of the only input, or one per input, of their types; the results carry the
    same batch axis.
    """
    env: dict[str, NDArray] = dict(zip(graph.inputs, feeds(graph, x_int), strict=True))
    for name, x in env.items():
        _check_input(graph.type(name), x, name)
    for op in graph.ops:
        env[op.outputs[0]] = run_op(graph, op, env)
    return env


def run_op(graph: Graph, op: Op, env: Mapping[str, NDArray]) -> NDArray:
    """One operation; `env` holds its activation inputs.

    A batch goes in parts whose 64-bit integers stay in the cache.
    """
    read = {n: env[n] for n in op.inputs if n is not None and graph.const(n) is None}
    batch = {n: x for n, x in read.items() if x.ndim > len(graph.type(n).shape)}
    count = max(map(len, batch.values()), default=0)
    numbers = max(math.prod(graph.type(n).shape) for n in (*read, op.outputs[0]))
    size = max(1, _NUMBERS // numbers)
    if count <= size:
        return _run_part(graph, op, read)
    starts = range(0, count, size)
    parts = ({n: x[i : i + size] for n, x in batch.items()} for i in starts)
    return np.concatenate([_run_part(graph, op, {**read, **part}) for part in parts])


def _run_part(graph: Graph, op: Op, env: Mapping[str, NDArray]) -> NDArray:
    args = [_argument(graph, env, name) for name in op.inputs]
    out = graph.type(op.outputs[0])
    if op.kind == "reshape":
        rank = len(graph.type(str(op.inputs[0])).shape)
        return simple.reshape(op, args, out, rank)
    if op.kind not in INT_OPS:
        raise McuformerError(f"{op.name}: no integer definition of {op.kind}")
    return INT_OPS[op.kind].evaluate(op, args, out)


def _argument(graph: Graph, env: Mapping[str, NDArray], name: str | None) -> NDArray | None:
    if name is None:
        return None
    data = graph.const(name)
    return env[name] if data is None else data


def _check_input(type_: TensorType, x: NDArray, name: str) -> None:
    if x.shape[x.ndim - len(type_.shape) :] != type_.shape or x.dtype != DTYPES[type_.dtype]:
        raise UsageError(f"input {name} wants {type_}, got {x.dtype}{list(x.shape)}")
