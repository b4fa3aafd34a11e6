"""Graphs of one integer operation, run by the interpreter, and numbers for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Builder, Graph
from mcuformer.ir.types import TensorType
from mcuformer.operators.interpreter import run_int

RNG = np.random.default_rng(0)


def one_op(kind: str, x: NDArray, consts: list, out: tuple, dtype: str, **attrs) -> Graph:
    """A graph of one operation; `consts` are its inputs after x (None: absent)."""
    b = Builder("one", "int")
    name = b.add_value("x", TensorType(x.shape, str(x.dtype)))
    names = [None if c is None else b.const(f"c{i}", c) for i, c in enumerate(consts)]
    y = b.op(kind, "y", [name, *names], TensorType(out, dtype), attrs)
    return b.done([name], [y], {})


def run(kind: str, x: NDArray, consts: list, out: tuple, dtype: str, **attrs) -> NDArray:
    return run_int(one_op(kind, x, consts, out, dtype, **attrs), x)["y"]


def i8(*shape: int) -> NDArray[np.int8]:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def i32(low: int, high: int, *shape: int) -> NDArray[np.int32]:
    return RNG.integers(low, high, shape).astype(np.int32)
