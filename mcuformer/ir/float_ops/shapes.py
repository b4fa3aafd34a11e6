"""Shape rules of the canonical operators: attributes and operand shapes in, the result's out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcuformer.ir import product
from mcuformer.ir.neighbours import contradiction

Shape = tuple[int, ...]
Shapes = Sequence[Shape | None]
ShapeRule = Callable[[Mapping[str, Any], Shapes], Shape]


class ShapeError(ValueError):
    """The operand shapes or attributes of an operator do not belong together."""


def _rows(x: Shape | None) -> tuple[int, int]:
    if x is None or len(x) != 2:
        raise ShapeError(f"wants tokens [T, C], has {x}")
    return x[0], x[1]


def _want(ok: bool, message: str) -> None:
    if not ok:
        raise ShapeError(message)


def same(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    _want(s[0] is not None, "input missing")
    assert s[0] is not None
    return s[0]


def linear(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    (t, k), (wk, n) = _rows(s[0]), _rows(s[1])
    _want(k == wk, f"x has {k} channels, w has {wk} rows")
    _want(len(s) < 3 or s[2] in (None, (n,)), f"bias is {s[2:]}, wants ({n},)")
    return (t, n)


def conv_output(size: int, kernel: int, stride: int, begin: int, end: int) -> int:
    return (size + begin + end - kernel) // stride + 1


def conv2d(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    x, w, group = s[0], s[1], attrs.get("group", 1)
    _want(x is not None and len(x) == 3, f"wants an image [H, W, C], has {x}")
    _want(w is not None and len(w) == 4, f"wants w[kh, kw, Ci/g, Co], has {w}")
    assert x is not None and w is not None
    _want(x[2] == w[2] * group, f"x has {x[2]} channels, w wants {w[2] * group}")
    _want(w[3] % group == 0, "groups do not divide the output channels")
    _want(len(s) < 3 or s[2] in (None, (w[3],)), f"bias is {s[2:]}, wants ({w[3]},)")
    return (*_window_grid(attrs, x, w[:2]), w[3])


def _window_grid(attrs: Mapping[str, Any], x: Shape, kernel: Sequence[int]) -> tuple[int, int]:
    top, left, bottom, right = attrs["pads"]
    h = conv_output(x[0], kernel[0], attrs["strides"][0], top, bottom)
    w = conv_output(x[1], kernel[1], attrs["strides"][1], left, right)
    _want(h > 0 and w > 0, f"kernel {tuple(kernel)} does not fit image {x}")
    return h, w


def pool(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    x = s[0]
    _want(x is not None and len(x) == 3, f"wants an image [H, W, C], has {x}")
    assert x is not None
    return (*_window_grid(attrs, x, attrs["kernel"]), x[2])


def resize(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    x, size = s[0], (len(attrs["rows"]), len(attrs["columns"]))
    _want(x is not None and len(x) == 3, f"wants an image [H, W, C], has {x}")
    assert x is not None
    for n, w in zip(size, s[1:], strict=True):
        _want(w is not None and len(w) == 2 and w[0] == n, f"weights are {w}, want ({n}, taps)")
    return (*size, x[2])


def layernorm(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    t, c = _rows(s[0])
    _want(c % attrs["groups"] == 0, f"{attrs['groups']} groups do not divide {c} channels")
    _want(all(p in (None, (c,)) for p in s[1:]), f"gamma and beta want ({c},), have {list(s[1:])}")
    return (t, c)


def rms(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    _, c = _rows(s[0])
    _want(c % attrs["groups"] == 0, f"{attrs['groups']} groups do not divide {c} channels")
    return (1, attrs["groups"])


def binary(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    shapes = sorted((x for x in s if x is not None), key=len)
    _want(len(shapes) == 2, "wants two operands")
    small, big = shapes
    if len(small) == len(big) == 2:  # [1, C] and [T, 1] are repeated
        ok = all(a == b or 1 in (a, b) for a, b in zip(small, big, strict=True))
        _want(ok, f"shapes {small} and {big} do not match")
        return (max(small[0], big[0]), max(small[1], big[1]))
    _want(small in (big, big[-1:]), f"shapes {small} and {big} do not match")
    return big


def attention(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    (tq, qd), (tk, kd), (tv, vd) = _rows(s[0]), _rows(s[1]), _rows(s[2])
    h, windows = attrs["heads"], attrs.get("windows", 1)
    _want(qd == kd and tk == tv, f"q {s[0]}, k {s[1]}, v {s[2]} do not match")
    _want(qd % h == 0 and vd % h == 0, f"{h} heads do not divide {qd} or {vd} channels")
    _want(tq % windows == 0 and tk % windows == 0, f"{windows} windows do not divide the rows")
    if len(s) > 3 and s[3] is not None:
        q, k = tq // windows, tk // windows
        _want(s[3] in ((1, q, k), (h, q, k), (windows * h, q, k)), f"bias is {s[3]}")
    wrong = contradiction(attrs, tq, tk, len(s) > 3 and s[3] is not None)
    _want(wrong is None, str(wrong))
    return (tq, vd)


def concat(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    rows = [_rows(x) for x in s]
    if attrs["axis"] == 1:
        _want(len({t for t, _ in rows}) == 1, f"rows differ: {list(s)}")
        return (rows[0][0], sum(c for _, c in rows))
    _want(len({c for _, c in rows}) == 1, f"channels differ: {list(s)}")
    return (sum(t for t, _ in rows), rows[0][1])


def slice_(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    x, axis = list(_rows(s[0])), attrs["axis"]
    _want(0 <= attrs["start"] < attrs["stop"] <= x[axis], f"slice {dict(attrs)} of {s[0]}")
    x[axis] = attrs["stop"] - attrs["start"]
    return (x[0], x[1])


def gather(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    t, c = _rows(s[0])
    _want(all(0 <= i < t for i in attrs["indices"]), f"an index is outside of {t} rows")
    return (len(attrs["indices"]), c)


def reshape(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    shape = tuple(attrs["shape"])
    _want(s[0] is not None and math.prod(s[0]) == math.prod(shape), f"{s[0]} to {shape}")
    return shape


def patch_embed(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    h, w, n = conv2d(attrs, s)
    return (h * w, n)


def argmax(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    return (_rows(s[0])[0], 1)


def mean(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    return (1, _rows(s[0])[1])


def matmul(attrs: Mapping[str, Any], s: Shapes) -> Shape:
    wrong = product.problem(attrs)
    _want(wrong is None, str(wrong))
    sizes = product.sizes_of(attrs)
    for x, operand in zip(s, "ab", strict=False):
        wanted = product.matrix(attrs[operand], sizes)
        _want(x == wanted, f"{operand} is {x}, its layout {attrs[operand]} says {wanted}")
    return product.matrix(attrs["y"], sizes)
