"""Raw nodes with weights, statistics and windows: products, convolutions, norms, pools, softmax, attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fuzz.graph import TooLarge
from fuzz.raw_graph import Raw


def matmul(r: Raw, x: str) -> str:
    """A constant matrix on either side, or one per batch."""
    shape = r.shapes[x]
    if len(shape) < 2:
        raise TooLarge
    n = r.number(1, 24)
    left = r.chance(20)
    k = shape[-2] if left else shape[-1]
    batch = shape[:-2] if r.chance(15) else shape[-3:-2] if r.chance(10) else ()
    sizes = (n, k) if left else (k, n)
    w = r.normal(*batch, *sizes, scale=k**-0.5)
    y = r.node("MatMul", [w, x] if left else [x, w])
    bias = r.one_of((0, 0, 1, 2))
    if not bias:
        return y
    b = r.normal(n, 1) if left else r.normal(n)
    return r.node("Add", [y, b] if bias == 1 else [b, y])


def product(r: Raw, x: str) -> str:
    """Of two activations."""
    rank = r.rank(x)
    if rank < 2:
        raise TooLarge
    y = r.pick(rank) if r.chance(30) else x
    if r.shapes[y][-2] != r.shapes[x][-1]:
        y = r.node("Transpose", [y], perm=[*range(rank - 2), rank - 1, rank - 2])
    scale = r.const(r.shapes[x][-1] ** -0.5)
    return r.node("MatMul", [r.node("Mul", [x, scale]), y])


def einsum(r: Raw, x: str) -> str:
    if r.rank(x) not in (3, 4):
        raise TooLarge
    if r.rank(x) == 3:
        text = r.one_of(
            ("bij,jk->bik", "bij,ik->bjk", "bij,bkj->bik", "bij,j->bi", "bij->bji", "bij->bj")
        )
    else:
        text = r.one_of(
            ("bhij,bhkj->bhik", "bhij,hjk->bhik", "bchw,oc->bohw", "bchw,c->bhw", "bhij->bijh")
        )
    left, right = text.split("->")[0].split(","), text.split("->")[1]
    sizes = dict(zip(left[0], r.shapes[x], strict=True)) | {"k": 5, "o": 6}
    if len(left) == 1:
        return r.node("Einsum", [x], equation=text)
    if left[1].startswith("b"):
        return r.node("Einsum", [x, x], equation=text)
    summed = math.prod(sizes[c] for c in left[0] if c not in right)
    w = r.normal(*(sizes[c] for c in left[1]), scale=summed**-0.5)
    return r.node("Einsum", [x, w], equation=text)


def gemm(r: Raw, x: str) -> str:
    if r.rank(x) != 2:
        x = r.node("Flatten", [x], axis=1)
    (m, k), n = r.shapes[x], r.number(1, 24)
    if r.chance(25):
        return _gemm_of_constant(r, x, n)
    attrs: dict[str, Any] = {"transB": 1} if r.chance(60) else {}
    attrs |= {"alpha": 0.5} if r.chance(20) else {}
    attrs |= {"beta": 2.0} if r.chance(20) else {}
    w = r.normal(*((n, k) if "transB" in attrs else (k, n)), scale=k**-0.5)
    c = r.one_of([(n,), (1, n), (), (m, 1), (m, n)])
    return r.node("Gemm", [x, w, *([r.normal(*c)] if r.chance(80) else [])], **attrs)


def _gemm_of_constant(r: Raw, x: str, n: int) -> str:
    """The constant matrix stands first: rows of x, or its columns, are mixed."""
    turned = r.chance(50)
    k, columns = r.shapes[x][::-1] if turned else r.shapes[x]
    attrs: dict[str, Any] = {"transB": 1} if turned else {}
    attrs |= {"transA": 1} if r.chance(50) else {}
    attrs |= {"alpha": 0.5} if r.chance(20) else {}
    a = r.normal(*((k, n) if "transA" in attrs else (n, k)), scale=k**-0.5)
    c = r.one_of([(columns,), (1, columns), (), (n, 1), (n, columns)])
    return r.node("Gemm", [a, x, *([r.normal(*c)] if r.chance(80) else [])], **attrs)


def conv(r: Raw, x: str) -> str:
    """Of one or two axes, with odd windows, steps, groups and borders."""
    _, c, *sides = r.shapes[x]
    if len(sides) not in (1, 2):
        raise TooLarge
    group = r.one_of([1, 1, c, *(g for g in range(2, c) if c % g == 0)])
    out = group * r.number(1, max(1, 16 // group))
    kernel = [r.number(1, min(5, n)) for n in sides]
    w = r.normal(out, c // group, *kernel, scale=(c // group * math.prod(kernel)) ** -0.5)
    bias = [r.normal(out)] if r.chance(70) else []
    return r.node("Conv", [x, w, *bias], group=group, **_window(r, kernel, True))


def _window(r: Raw, kernel: list[int], dilated: bool) -> dict[str, Any]:
    attrs: dict[str, Any] = (
        {"strides": [r.one_of((1, 1, 2, 3)) for _ in kernel]} if r.chance(60) else {}
    )
    if dilated and r.chance(20):
        attrs["dilations"] = [r.one_of((1, 2)) for _ in kernel]
    way = r.number(0, 3)
    if way == 1:
        attrs["pads"] = [k // 2 for k in kernel] * 2
    elif way == 2:
        attrs["pads"] = [r.number(0, k - 1) for k in [*kernel, *kernel]]
    elif way == 3:
        attrs["auto_pad"] = r.one_of(("SAME_UPPER", "SAME_LOWER", "VALID"))
        attrs.pop("dilations", None)
    return attrs


def conv_transpose(r: Raw, x: str) -> str:
    _, c, *sides = r.shapes[x]
    if len(sides) not in (1, 2):
        raise TooLarge
    group = r.one_of([1, 1, c, *(g for g in range(2, c) if c % g == 0)])
    kernel = [r.number(1, 4) for _ in sides]
    w = r.normal(c, r.number(1, 6), *kernel, scale=(c // group * math.prod(kernel)) ** -0.5)
    attrs: dict[str, Any] = {"strides": [r.one_of((2, 2, 1, 3)) for _ in sides]}
    if r.chance(40):
        attrs["pads"] = [r.number(0, k - 1) for k in [*kernel, *kernel]]
    if r.chance(30):
        attrs["output_padding"] = [r.number(0, s - 1) for s in attrs["strides"]]
    bias = [r.normal(group * r.weights[w].shape[1])] if r.chance(60) else []
    return r.node("ConvTranspose", [x, w, *bias], group=group, **attrs)


def batchnorm(r: Raw, x: str) -> str:
    c = r.shapes[x][1]
    scale, bias, mean = r.normal(c, offset=1.0, scale=0.3), r.normal(c), r.normal(c)
    variance = r.const(np.abs(np.random.default_rng(c).normal(size=c)) + 0.3)
    return r.node("BatchNormalization", [x, scale, bias, mean, variance])


def norm(r: Raw, x: str) -> str:
    shape = r.shapes[x]
    kind = r.one_of(("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization",
                     "LpNormalization", "MeanVarianceNormalization"))  # fmt: skip
    if kind == "LpNormalization":
        return r.node(kind, [x], axis=r.axis(x, 1), p=2)
    if kind == "MeanVarianceNormalization":
        axes = sorted({r.number(0, len(shape) - 1) for _ in range(r.number(1, 3))})
        return r.node(kind, [x], axes=axes) if r.chance(60) else r.node(kind, [x])
    if kind in ("InstanceNormalization", "GroupNormalization"):
        groups = r.one_of([g for g in range(1, shape[1] + 1) if shape[1] % g == 0])
        c = groups if kind == "GroupNormalization" and r.opset < 21 else shape[1]
        attrs = {"num_groups": groups} if kind == "GroupNormalization" else {}
        return r.node(kind, [x, r.normal(c, offset=1.0, scale=0.3), r.normal(c)], **attrs)
    at = r.axis(x, 1) if r.chance(30) else -1
    sizes = shape[at % len(shape) :]
    more = [r.normal(*sizes)] if kind == "LayerNormalization" and r.chance(70) else []
    gamma = r.normal(*sizes, offset=1.0, scale=0.3)
    return r.node(kind, [x, gamma, *more], axis=at)


def spelled_norm(r: Raw, x: str) -> str:
    """Its mean, its difference, its variance are values like others."""
    axes = [-1] if r.chance(50) else sorted({r.number(1, r.rank(x) - 1) for _ in range(2)})
    mean = r.with_axes("ReduceMean", x, axes, keepdims=1)
    apart = r.node("Sub", [x, mean])
    square = r.node("Mul", [apart, apart]) if r.chance(50) else r.node("Pow", [apart, r.const(2.0)])
    variance = r.with_axes("ReduceMean", square, axes, keepdims=1)
    root = r.node("Sqrt", [r.node("Add", [variance, r.const(r.one_of((1e-5, 1e-3)))])])
    y = r.node("Div", [apart, root])
    if r.chance(60):
        c = r.shapes[x][-1]
        y = r.node("Mul", [y, r.normal(c, offset=1.0, scale=0.3)])
        y = r.node("Add", [y, r.normal(c)])
    return y


def unit_length(r: Raw, x: str) -> str:
    axes = [r.axis(x, 1)]
    length = r.with_axes("ReduceL2", x, axes, keepdims=1)
    way = r.number(0, 2)
    if way == 0:
        length = r.node("Clip", [length, r.const(np.float32(1e-12)), ""])
    elif way == 1:
        length = r.node("Add", [length, r.const(1e-3)])
    return r.node("Div", [x, length])


def reduction(r: Raw, x: str) -> str:
    kind = r.one_of(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare",
                     "ReduceL1", "ReduceLogSumExp", "ReduceMean"))  # fmt: skip
    axes = sorted({r.axis(x) % r.rank(x) for _ in range(r.number(1, 2))})
    keepdims = int(r.chance(60))
    if r.chance(8):
        return r.node(kind, [x], keepdims=keepdims)
    y = r.with_axes(kind, x, axes, keepdims=keepdims)
    return r.node("Mul", [y, r.const(1 / 8)]) if kind == "ReduceSum" else y


def pool(r: Raw, x: str) -> str:
    sides = r.shapes[x][2:]
    if len(sides) not in (1, 2):
        raise TooLarge
    if r.chance(20):
        return r.node(r.one_of(("GlobalAveragePool", "GlobalMaxPool")), [x])
    kind = r.one_of(("MaxPool", "AveragePool", "LpPool"))
    kernel = [r.number(1, min(4, n)) for n in sides]
    attrs = _window(r, kernel, kind == "MaxPool")
    if "auto_pad" not in attrs and r.chance(30):
        attrs["ceil_mode"] = 1
    if kind == "AveragePool" and r.chance(40):
        attrs["count_include_pad"] = 1
    return r.node(kind, [x], kernel_shape=kernel, **attrs)


def softmax(r: Raw, x: str) -> str:
    return r.node(r.one_of(("Softmax", "Softmax", "LogSoftmax")), [x], axis=r.axis(x))


def largest(r: Raw, x: str) -> str:
    kind = r.one_of(("ArgMax", "ArgMin"))
    return r.node(kind, [x], axis=r.axis(x), keepdims=int(r.chance(50)))


def attention(r: Raw, x: str) -> str:
    """Heads by reshapes, scores, a mask, and back."""
    if r.rank(x) != 3:
        raise TooLarge
    b, t, c = r.shapes[x]
    heads, d = r.one_of((1, 2, 3)), r.one_of((4, 6, 8))
    q, k, v = (_heads(r, x, heads, d, i == 1) for i in range(3))
    if r.chance(50):
        q = r.node("Mul", [q, r.const(d**-0.5)])
        scores = r.node("MatMul", [q, k])
    else:
        scores = r.node("Div", [r.node("MatMul", [q, k]), r.const(d**0.5)])
    way = r.number(0, 5)
    if way == 1:
        scores = r.node("Add", [scores, r.normal(heads, t, t)])
    elif way == 2:
        mask = np.triu(np.full((t, t), r.one_of((-1e4, -np.inf, -1e9))), 1)
        scores = r.node("Add", [scores, r.const(mask)])
    elif way == 3:
        seen = r.const(np.tri(t, dtype=np.bool_))
        scores = r.node("Where", [seen, scores, r.const(r.one_of((-1e9, -3e38)))])
    elif way == 4:
        scores = r.node("Mul", [scores, r.normal(heads, 1, 1, offset=1.0, scale=0.2)])
    p = r.node("Softmax", [scores], axis=-1)
    if r.chance(20):
        p = r.node("Mul", [p, r.normal(heads, 1, 1, offset=1.0, scale=0.2)])
    y = r.node("Transpose", [r.node("MatMul", [p, v])], perm=[0, 2, 1, 3])
    y = r.node("Reshape", [y, r.ints(b, t, heads * d)])
    w = r.normal(heads * d, c, scale=(heads * d) ** -0.5)
    y = r.node("MatMul", [y, w])
    return r.node("Add", [x, y]) if r.chance(60) else y


def _heads(r: Raw, x: str, heads: int, d: int, turned: bool) -> str:
    b, t, c = r.shapes[x]
    y = r.node("MatMul", [x, r.normal(c, heads * d, scale=c**-0.5)])
    if r.chance(70):
        y = r.node("Add", [y, r.normal(heads * d, scale=0.3)])
    y = r.node("Reshape", [y, r.ints(b, t, heads, d)])
    return r.node("Transpose", [y], perm=[0, 2, 3, 1] if turned else [0, 2, 1, 3])


def attention_node(r: Raw, x: str) -> str:
    """One node of it, with three axes or four."""
    b, t, c = r.shapes[x] if r.rank(x) == 3 else (0, 0, 0)
    if not b:
        raise TooLarge
    heads = r.one_of((1, 2, 4))
    q, k, v = (r.node("MatMul", [x, r.normal(c, heads * 4, scale=c**-0.5)]) for _ in range(3))
    more = [r.normal(t, t)] if r.chance(30) else []
    attrs: dict[str, Any] = {"is_causal": 1} if r.chance(30) and not more else {}
    attrs |= {"softcap": 20.0} if r.chance(15) else {}
    attrs |= {"scale": 0.4} if r.chance(30) else {}
    return r.node("Attention", [q, k, v, *more], q_num_heads=heads, kv_num_heads=heads, **attrs)
