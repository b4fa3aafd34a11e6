"""MatMul and Gemm of constants and activations, on either side."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend import arithmetic, attention, layers
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.operands import Operands, activation, both, file_scales, wanted
from mcuformer.frontend.views import View
from mcuformer.ir.graph import Op


def matmul(emit: Emitter, op: Op, args: Operands) -> Operand:
    a, b = both(args)
    left = isinstance(a, np.ndarray)
    if isinstance(a, View) and isinstance(b, View):
        return attention.product(emit, a, b)
    scales = file_scales(emit, op, 0 if left else 1, -2 if left else -1)
    return product(emit, a, b, scales)


def product(emit: Emitter, a: Operand, b: Operand, scales: NDArray | None = None) -> Operand:
    """MatMul of anything; `scales` per output channel of a constant operand."""
    if isinstance(a, View) and isinstance(b, View):
        return attention.product(emit, a, b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.asarray(a @ b)
    if isinstance(a, np.ndarray) and isinstance(b, View) and math.prod(a.shape[:-2]) > 1:
        return attention.constant_query(emit, a, b)
    if isinstance(a, View) and isinstance(b, np.ndarray) and math.prod(b.shape[:-2]) > 1:
        return attention.constant_query(emit, np.swapaxes(b, -1, -2), a.transposed()).transposed()
    return layers.matmul(emit, a, b, scales)


def gemm(emit: Emitter, op: Op, args: Operands) -> Operand:
    c = args[2] if len(args) > 2 else None
    if isinstance(args[1], View):
        return _gemm_of(emit, op, *both(args[:2]), c)
    scales = file_scales(emit, op, 1, -2 if op.attrs.get("transB", 0) else -1)
    return layers.gemm(emit, activation(args, 0), wanted(args, 1), c, op.attrs, scales)


def _gemm_of(emit: Emitter, op: Op, a: Operand, b: Operand, c: Operand | None) -> Operand:
    """Where B is no constant: a product like that of MatMul, its factor and its sum."""
    a, b = (
        x if not op.attrs.get(turn, 0) else x.transposed() if isinstance(x, View) else x.T
        for x, turn in ((a, "transA"), (b, "transB"))
    )
    left = isinstance(a, np.ndarray)
    scales = file_scales(emit, op, 0, -1 if op.attrs.get("transA", 0) else -2) if left else None
    y = arithmetic.times(product(emit, a, b, scales), op.attrs.get("alpha", 1.0))
    beta = op.attrs.get("beta", 1.0)
    return y if c is None else arithmetic.add(emit, y, arithmetic.times(c, beta))
