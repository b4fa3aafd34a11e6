"""The op tables: the ONNX operators that the compiler takes, the canonical ones with shape rules.

`mcuformer ops` prints both; the importer, the verifier and the node tests read them. A new
operator is a row here, a kernel in `ir/numpy_ops` (ONNX) or `ir/interp_float.py` (canonical).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Shape = tuple[int, ...]
ShapeRule = Callable[[Mapping[str, Any], Sequence[Shape | None]], Shape]


class ShapeError(ValueError):
    """The operand shapes or attributes of an operator do not belong together."""


@dataclass(frozen=True, slots=True)
class OpSpec:
    """A canonical operator: operand names ("?" optional), required attributes, result shape."""

    kind: str
    operands: tuple[str, ...]
    attrs: tuple[str, ...]
    infer: ShapeRule
    notes: str = ""


@dataclass(frozen=True, slots=True)
class OnnxSpec:
    """An ONNX operator.

    `use`: "compiled" runs on the device; "moved" becomes an index map, which costs nothing or one
    copy; "folded" is understood on constants and shapes only; "removed" is the identity.
    """

    name: str
    use: Literal["compiled", "moved", "folded", "removed"]
    notes: str = ""


def _rows(x: Shape | None) -> tuple[int, int]:
    if x is None or len(x) != 2:
        raise ShapeError(f"wants tokens [T, C], has {x}")
    return x[0], x[1]


def _want(ok: bool, message: str) -> None:
    if not ok:
        raise ShapeError(message)


def _same(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    _want(s[0] is not None, "input missing")
    assert s[0] is not None
    return s[0]


def _linear(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    (t, k), (wk, n) = _rows(s[0]), _rows(s[1])
    _want(k == wk, f"x has {k} channels, w has {wk} rows")
    _want(len(s) < 3 or s[2] in (None, (n,)), f"bias is {s[2:]}, wants ({n},)")
    return (t, n)


def conv_output(size: int, kernel: int, stride: int, begin: int, end: int) -> int:
    return (size + begin + end - kernel) // stride + 1


def _conv2d(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x, w = s[0], s[1]
    _want(x is not None and len(x) == 3, f"wants an image [H, W, C], has {x}")
    _want(w is not None and len(w) == 4, f"wants w[kh, kw, Ci/g, Co], has {w}")
    assert x is not None and w is not None
    _want(x[2] == w[2] * attrs["group"], f"x has {x[2]} channels, w wants {w[2] * attrs['group']}")
    _want(w[3] % attrs["group"] == 0, "groups do not divide the output channels")
    _want(len(s) < 3 or s[2] in (None, (w[3],)), f"bias is {s[2:]}, wants ({w[3]},)")
    return (*_window_grid(attrs, x, w[:2]), w[3])


def _window_grid(attrs: Mapping[str, Any], x: Shape, kernel: Sequence[int]) -> tuple[int, int]:
    top, left, bottom, right = attrs["pads"]
    h = conv_output(x[0], kernel[0], attrs["strides"][0], top, bottom)
    w = conv_output(x[1], kernel[1], attrs["strides"][1], left, right)
    _want(h > 0 and w > 0, f"kernel {tuple(kernel)} does not fit image {x}")
    return h, w


def _pool(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = s[0]
    _want(x is not None and len(x) == 3, f"wants an image [H, W, C], has {x}")
    assert x is not None
    return (*_window_grid(attrs, x, attrs["kernel"]), x[2])


def _layernorm(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    t, c = _rows(s[0])
    _want(c % attrs["groups"] == 0, f"{attrs['groups']} groups do not divide {c} channels")
    _want(all(p in (None, (c,)) for p in s[1:]), f"gamma and beta want ({c},), have {list(s[1:])}")
    return (t, c)


def _binary(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    shapes = sorted((x for x in s if x is not None), key=len)
    _want(len(shapes) == 2, "wants two operands")
    small, big = shapes
    if len(small) == len(big) == 2:  # [1, C] and [T, 1] are repeated
        ok = all(a == b or 1 in (a, b) for a, b in zip(small, big, strict=True))
        _want(ok, f"shapes {small} and {big} do not match")
        return (max(small[0], big[0]), max(small[1], big[1]))
    _want(small in (big, big[-1:]), f"shapes {small} and {big} do not match")
    return big


def _attention(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    (tq, qd), (tk, kd), (tv, vd) = _rows(s[0]), _rows(s[1]), _rows(s[2])
    h, windows = attrs["heads"], attrs.get("windows", 1)
    _want(qd == kd and tk == tv, f"q {s[0]}, k {s[1]}, v {s[2]} do not match")
    _want(qd % h == 0 and vd % h == 0, f"{h} heads do not divide {qd} or {vd} channels")
    _want(tq % windows == 0 and tk % windows == 0, f"{windows} windows do not divide the rows")
    if len(s) > 3 and s[3] is not None:
        q, k = tq // windows, tk // windows
        _want(s[3] in ((1, q, k), (h, q, k), (windows * h, q, k)), f"bias is {s[3]}")
    return (tq, vd)


def _concat(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    rows = [_rows(x) for x in s]
    if attrs["axis"] == 1:
        _want(len({t for t, _ in rows}) == 1, f"rows differ: {list(s)}")
        return (rows[0][0], sum(c for _, c in rows))
    _want(len({c for _, c in rows}) == 1, f"channels differ: {list(s)}")
    return (sum(t for t, _ in rows), rows[0][1])


def _slice(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x, axis = list(_rows(s[0])), attrs["axis"]
    _want(0 <= attrs["start"] < attrs["stop"] <= x[axis], f"slice {dict(attrs)} of {s[0]}")
    x[axis] = attrs["stop"] - attrs["start"]
    return (x[0], x[1])


def _gather(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    t, c = _rows(s[0])
    _want(all(0 <= i < t for i in attrs["indices"]), f"an index is outside of {t} rows")
    return (len(attrs["indices"]), c)


def _reshape(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    shape = tuple(attrs["shape"])
    _want(s[0] is not None and math.prod(s[0]) == math.prod(shape), f"{s[0]} to {shape}")
    return shape


def _argmax(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    return (_rows(s[0])[0], 1)


def _mean(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    return (1, _rows(s[0])[1])


CANONICAL: dict[str, OpSpec] = {
    spec.kind: spec
    for spec in (
        OpSpec("conv2d", ("x", "w", "b?"), ("strides", "pads", "group"), _conv2d),
        OpSpec("linear", ("x", "w", "b?"), (), _linear),
        OpSpec("layernorm", ("x", "gamma?", "beta?"), ("eps", "groups"), _layernorm),
        OpSpec("unary", ("x",), ("fn",), _same, "gelu gelu_tanh quick_gelu relu relu6 tanh "
               "sigmoid silu hardswish hardsigmoid(alpha, beta) clip(low, high) leaky_relu(alpha) "
               "elu(alpha)"),
        OpSpec("add", ("a", "b"), (), _binary, "[1, C] and [T, 1] are repeated"),
        OpSpec("mul", ("a", "b"), (), _binary, "[1, C] and [T, 1] are repeated"),
        OpSpec("attention", ("q", "k", "v", "bias?"), ("heads", "scale"), _attention,
               "windows (default 1): rows are windows * T, attention stays inside a window"),
        OpSpec("concat", ("x...",), ("axis",), _concat, "axis 0 joins rows, 1 channels"),
        OpSpec("slice", ("x",), ("axis", "start", "stop"), _slice),
        OpSpec("gather", ("x",), ("indices",), _gather),
        OpSpec("reshape", ("x",), ("shape",), _reshape),
        OpSpec("mean", ("x",), (), _mean),
        OpSpec("softmax", ("x",), (), _same),
        OpSpec("argmax", ("x",), (), _argmax, "of every row; the first of equals"),
        OpSpec("maxpool", ("x",), ("kernel", "strides", "pads"), _pool),
        OpSpec("avgpool", ("x",), ("kernel", "strides", "pads"), _pool),
    )
}  # fmt: skip


def _onnx(use: Literal["compiled", "moved", "folded", "removed"], **notes: str) -> list[OnnxSpec]:
    return [OnnxSpec(name, use, note) for name, note in notes.items()]


ONNX: dict[str, OnnxSpec] = {
    spec.name: spec
    for spec in [
        *_onnx(
            "compiled",
            MatMul="by a constant matrix, or q.k and p.v of an attention", Gemm="constant B",
            Conv="2-D, constant weights", Add="", Sub="", Mul="", Sum="",
            Div="by a constant", Neg="", Pow="exponent 1 or 2",
            LayerNormalization="over the last axes",
            BatchNormalization="folded into the layer beside it", Softmax="over the last axis",
            Gelu="erf and tanh form", QuickGelu="com.microsoft", Relu="", Tanh="", Sigmoid="",
            HardSwish="", HardSigmoid="", LeakyRelu="", Elu="", PRelu="constant slope", Erf="inside a GELU",
            Clip="constant bounds",
            ReduceMean="over tokens or inside a LayerNorm", ReduceSum="over tokens",
            ReduceMax="as MaxPool",
            GlobalAveragePool="", AveragePool="2-D", MaxPool="2-D; values, not indices",
            GlobalMaxPool="", Where="constant mask",
            Sqrt="inside a LayerNorm", Reciprocal="inside a LayerNorm",
            Max="with a constant, and inside an activation",
            Min="with a constant, and inside an activation",
            ArgMax="at the end of the model; the first of equals",
            QuantizeLinear="its scale is used", DequantizeLinear="its scale is used",
        ),
        *_onnx(
            "moved", Reshape="", Transpose="", Squeeze="", Unsqueeze="", Flatten="", Slice="",
            Split="", Concat="", Gather="constant indices", GatherElements="constant indices",
            GatherND="constant indices", Expand="", Tile="", Pad="with zeros", DepthToSpace="",
            SpaceToDepth="", Resize="nearest; any on constants",
        ),
        *_onnx(
            "removed", Identity="", Dropout="", Cast="between float types", IsNaN="always false",
        ),
        *_onnx(
            "folded", Constant="", ConstantOfShape="", Shape="", Size="", Range="", Equal="",
            Less="", Greater="", LessOrEqual="", GreaterOrEqual="", And="", Or="", Xor="", Not="",
            Mod="", Abs="", Sign="", Floor="", Ceil="", Round="", Exp="", Log="", Sin="", Cos="",
            Softplus="", Mean="", IsInf="", ReduceProd="", ReduceMin="", ReduceL1="",
            ReduceL2="", ReduceSumSquare="", LogSoftmax="", CumSum="", ArgMin="",
            NonZero="", Trilu="", ScatterND="",
        ),
    ]
}  # fmt: skip
