"""Random row-wise operations, and how to run their kernels on padded, unaligned rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from harness import HostDevice, Ptr, UnicornDevice

from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.types import TensorType
from mcuformer.kernels.base import KernelData
from mcuformer.operators.interpreter import run_op

VALUES = ("random", "lowest", "highest", "mixed", "narrow")


@dataclass(frozen=True)
class Case:
    graph: Graph
    op: Op
    inputs: tuple[np.ndarray, ...]  # activations
    expected: np.ndarray


def fill(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, values: str) -> np.ndarray:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if values == "narrow":
        low, high = int(rng.integers(low, high - 2)), 0
        return rng.integers(low, low + 3, shape).astype(dtype)
    if values == "random":
        return rng.integers(low, high + 1, shape).astype(dtype)
    if values == "mixed":
        return np.where(rng.integers(0, 2, shape), low, high).astype(dtype)
    return np.full(shape, low if values == "lowest" else high, dtype)


def make(
    kind: str, inputs: list[np.ndarray | None], constant: list[bool], out: TensorType, attrs: dict
) -> Case:
    """A graph of one op; `constant` says which inputs are constants."""
    b = Builder(kind, "int")
    names: list[str | None] = []
    env = {}
    for data, const in zip(inputs, constant, strict=True):
        if data is None:
            names.append(None)
        elif const:
            names.append(b.const("c", data))
        else:
            names.append(b.add_value("x", TensorType(data.shape, str(data.dtype))))
            env[names[-1]] = data
    y = b.op(kind, kind, names, out, attrs)
    graph = b.done(list(env), [y], {})
    return Case(graph, graph.ops[0], tuple(env.values()), run_op(graph, graph.ops[0], env))


def padded(x: np.ndarray, pad: int) -> tuple[np.ndarray, int]:
    """The rows of x, each after `pad` elements, and their stride in bytes; nothing follows."""
    head = pad * x.itemsize
    stride = x[0].nbytes + head
    buffer = np.full((x.shape[0], stride), 0x5A, np.uint8)
    buffer[:, head:] = np.ascontiguousarray(x).view(np.uint8).reshape(x.shape[0], -1)
    return buffer.reshape(-1), stride


def call_rows(
    device: HostDevice | UnicornDevice,
    function: str,
    data: KernelData,
    xs: list[np.ndarray],
    like: np.ndarray,
    pad: int = 0,
    in_place: bool = False,
    scratch: np.ndarray | None = None,
) -> tuple[np.ndarray, int]:
    """function(data, x, stride.., y, stride, rows[, scratch]); in place: y is operand 0.

    An operand of one row is repeated.
    """
    args: list = [data]
    buffers = []
    for x in xs:
        buffer, stride = padded(x, pad)
        buffers.append((buffer, stride))
        args += [Ptr(buffer, pad * x.itemsize), stride if len(x) == len(like) else 0]
    if in_place and xs[0].dtype == like.dtype and xs[0].shape == like.shape:
        y, ys = buffers[0]
    else:
        y, ys = padded(np.zeros_like(like), pad)
    for buffer, _ in buffers:
        buffer.flags.writeable = buffer is y
    args += [Ptr(y, pad * like.itemsize), ys, like.shape[0]]
    count = device.call(function, args if scratch is None else [*args, scratch])
    rows = y.reshape(-1, ys)[:, pad * like.itemsize :]
    return np.ascontiguousarray(rows).view(like.dtype).reshape(like.shape), count
