"""ONNX's Attention and RotaryEmbedding, in the operators that they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend import arithmetic, attention
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.views import OwnFault, Unsupported, View
from mcuformer.ir.graph import Op
from mcuformer.ir.onnx_ops import attention as onnx_attention
from mcuformer.ir.onnx_ops.base import Attrs


def attention_of(emit: Emitter, op: Op, args: Sequence[Operand | None]) -> View:
    given = [*args, *[None] * (7 - len(args))]
    if given[4] is not None or given[5] is not None:
        raise OwnFault(
            "looked for all keys and values of the sequence, found some of a cache (past_key): export "
            "without a cache (use_cache=False)"
        )
    if emit.is_read(op.outputs[1:]):
        raise OwnFault(
            "looked for the result of the attention alone, found a reader of its scores or of present "
            "keys: MatMul and Softmax, which opset 20 writes, give them"
        )
    lengths = given[6]
    if isinstance(lengths, View):
        raise Unsupported("looked for a constant number of keys, found one that is computed")
    q, k, v = (a if isinstance(a, View) else emit.constant(np.asarray(a)) for a in given[:3])
    masks = masks_of(op.attrs, q.shape[-2], k.shape[-2], given[3], lengths)
    return attend(emit, op.attrs, q, k, v, masks)


def rotary(emit: Emitter, op: Op, args: Sequence[Operand | None]) -> View:
    x, *given = args
    if not isinstance(x, View) or any(isinstance(a, View) for a in given):
        raise Unsupported("looked for constant positions and caches, found computed ones")
    cos, sin, at = (*(a for a in given if not isinstance(a, View)), None)[:3]
    assert cos is not None and sin is not None
    return rotate(emit, op.attrs, x, cos, sin, at)


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """What scores get added: constants, and an activation."""

    bias: NDArray
    computed: View | None


def attend(emit: Emitter, attrs: Attrs, q: View, k: View, v: View, masks: Masks) -> View:
    """q, k and v as the node has them; [B, T, heads * d] or [B, heads, T, d]."""
    flat = len(q.shape) == 3
    q = _moved(q, lambda x: onnx_attention.split_heads(x, attrs.get("q_num_heads")))
    heads, kv_heads = q.shape[1], attrs.get("kv_num_heads")
    k, v = (
        _moved(
            x,
            lambda x: onnx_attention.repeated_heads(onnx_attention.split_heads(x, kv_heads), heads),
        )
        for x in (k, v)
    )
    scale = attrs.get("scale") or float(k.shape[-1]) ** -0.5
    scores = attention.product(emit, q, k.transposed())
    scores = arithmetic.scaled(scores, scale)
    cap = attrs.get("softcap") or 0.0
    if cap > 0:
        scores = arithmetic.scaled(
            arithmetic.unary(emit, arithmetic.scaled(scores, 1 / cap), "tanh"), cap
        )
    if masks.computed is not None:
        scores = arithmetic.add(emit, scores, masks.computed)
    scores = arithmetic.add(emit, scores, masks.bias)
    p = attention.softmax(emit, scores, -1)
    p = attention.without_rows(emit, p, _hidden_rows(masks.bias, p.shape))
    y = attention.product(emit, p, v)
    if not flat:
        return y
    return _moved(y, lambda x: x.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[2], -1))


def masks_of(
    attrs: Attrs, rows: int, keys: int, mask: Operand | None, lengths: NDArray | None
) -> Masks:
    constant = mask if isinstance(mask, np.ndarray) else None
    bias = onnx_attention.constant_bias(attrs, rows, keys, constant, lengths)
    return Masks(bias, mask if isinstance(mask, View) else None)


def _hidden_rows(bias: NDArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """[B, heads, rows]: those that see no key."""
    hidden = np.asarray(np.isneginf(bias).all(axis=-1))
    return np.broadcast_to(hidden, shape[:-1])


def rotate(
    emit: Emitter, attrs: Attrs, x: View, cos: NDArray, sin: NDArray, at: NDArray | None
) -> View:
    flat = len(x.shape) == 3
    apart = _moved(x, lambda i: onnx_attention.split_heads(i, attrs.get("num_heads")))
    c, s, other = onnx_attention.rotations(attrs, cos, sin, at, apart.shape[-1])
    still = arithmetic.multiply(emit, apart, c[:, None])
    turned = arithmetic.multiply(emit, _moved(apart, lambda i: i[..., other]), s[:, None])
    y = arithmetic.add(emit, still, turned)
    return _moved(y, lambda i: i.transpose(0, 2, 1, 3).reshape(x.shape)) if flat else y


def _moved(x: View, move: Callable[[NDArray], NDArray]) -> View:
    return x.with_index(move(x.index))
