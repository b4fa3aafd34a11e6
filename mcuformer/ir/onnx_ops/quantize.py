"""QuantizeLinear and DequantizeLinear, per tensor, per axis and blocked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops.base import (
    Args,
    Attrs,
    OnnxOp,
    Types,
    need,
    operand_type,
    optional,
    same_shape,
)


def _along(param: NDArray, x: NDArray, attrs: Attrs) -> NDArray:
    """Scale or zero point, shaped to broadcast against x."""
    axis = attrs.get("axis", 1)
    block = attrs.get("block_size", 0)
    if block:
        wanted = list(x.shape)
        wanted[axis] = -(-wanted[axis] // block)
        _expect(block > 0 and list(param.shape) == wanted, param, f"{wanted} (block_size {block})")
        grown = np.repeat(param, min(block, x.shape[axis]), axis)
        return grown[(slice(None),) * (axis % x.ndim) + (slice(x.shape[axis]),)]
    if param.size == 1 and param.ndim <= 1:
        return param.reshape(())
    _expect(param.size == x.shape[axis], param, f"[] or [{x.shape[axis]}] (axis {axis})")
    shape = [1] * x.ndim
    shape[axis] = -1
    return param.reshape(shape)


def _expect(fits: bool, param: NDArray, wanted: str) -> None:
    if not fits:
        found = list(param.shape)
        raise ValueError(f"looked for a scale and a zero point of shape {wanted}, found {found}")


def quantize(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, scale, zero = need(args, 0), need(args, 1), optional(args, 2)
    dtype = np.dtype(np.uint8) if zero is None else zero.dtype
    if attrs.get("output_dtype") is not None:
        dtype = np.dtype(attrs["output_dtype"])
    info = np.iinfo(dtype)
    least, most = (int(end) >> 8 - attrs.get("bits", 8) for end in (info.min, info.max))
    q = np.rint(x / _along(scale, x, attrs))
    if zero is not None:
        q = q + _along(zero, x, attrs).astype(np.float64)
    return (np.clip(q, least, most).astype(dtype),)


def dequantize(attrs: Attrs, args: Args, n_out: int) -> tuple[NDArray, ...]:
    x, scale, zero = need(args, 0), need(args, 1), optional(args, 2)
    wide = x.astype(np.int64)
    if zero is not None:
        wide = wide - _along(zero, x, attrs).astype(np.int64)
    return ((wide.astype(scale.dtype) * _along(scale, x, attrs)).astype(scale.dtype),)


def _stored(op: Op, types: Types, data: Args) -> str:
    zero = optional(data, 2)
    return str(op.attrs.get("output_dtype", "uint8")) if zero is None else str(zero.dtype)


_NOTE = "its scale is used"
ROWS = (
    OnnxOp("QuantizeLinear", "compiled", same_shape, _stored, quantize, _NOTE),
    OnnxOp("DequantizeLinear", "compiled", same_shape, operand_type(1), dequantize, _NOTE),
)
