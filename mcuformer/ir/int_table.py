"""The integer operators: one row each, with what everybody behind lowering has to know of it.

A row names the operands (ADR 0002), says which of them run along the output's channels, what shape
comes out, how the operator moves through memory, and how it is evaluated. The interpreter, the
verifier at stage "int", the scheduler and the cutter of channels read it; a kind that has no row
does not exist. `ins(op).res` is an operand by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from mcuformer.ir import int_ops_attention as attention
from mcuformer.ir import int_ops_linear as linear
from mcuformer.ir import int_ops_norm as norm
from mcuformer.ir import int_ops_simple as simple
from mcuformer.ir.graph import Op
from mcuformer.ir.optable import CANONICAL, Shape, ShapeError, ShapeRule, conv_output
from mcuformer.ir.types import TensorType

Evaluation = Callable[[Op, linear.Args, TensorType], NDArray]
Movement = Literal["rows", "lines", "move", "attention", "mean"]
"""rows: row i of the output needs row i of the operands; lines: an image, some lines of another;
move: no arithmetic, the same bytes elsewhere; attention, mean: a way of their own."""


@dataclass(frozen=True, slots=True)
class Operand:
    """`along`: the axis of this operand that runs along the output's channels, None where it is read
    whole whichever channels are computed."""

    name: str
    along: int | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class IntOp:
    """`operands` of a join are one, repeated. `cut`: its output's channels can be computed apart.
    `broadcast`: an operand of one row or one channel is read again for all of the output's."""

    kind: str
    operands: tuple[Operand, ...]
    movement: Movement
    shape: ShapeRule
    evaluate: Evaluation
    cut: bool = False
    repeated: bool = False
    broadcast: bool = False
    places: Mapping[str, int] = field(default_factory=dict)


class Ins:
    """The operands of an operation by name; None where an optional one is absent."""

    __slots__ = ("_op", "_places")

    def __init__(self, op: Op) -> None:
        self._op, self._places = op, INT_OPS[op.kind].places

    def __getattr__(self, name: str) -> str | None:
        inputs, place = self._op.inputs, self._places.get(name)
        if place is None:
            raise AttributeError(f"{self._op.kind} has no operand {name}")
        return inputs[place] if place < len(inputs) else None


def ins(op: Op) -> Ins:
    return Ins(op)


def _want(ok: bool, message: str) -> None:
    if not ok:
        raise ShapeError(message)


def _first(s: Sequence[Shape | None]) -> Shape:
    _want(bool(s) and s[0] is not None, "its first operand is missing")
    assert s[0] is not None
    return s[0]


def _per_channel(s: Sequence[Shape | None], n: int, *places: int) -> None:
    for i in places:
        if i < len(s) and s[i] is not None:
            _want(s[i] in ((n,), ()), f"operand {i} is {s[i]}, wants ({n},)")


def _linear(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x, w = _first(s), s[1]
    _want(w is not None and len(w) == 2, f"wants w[N, K], has {w}")
    assert w is not None
    _want(x[-1] == w[1] * attrs.get("groups", 1), f"x has {x[-1]} channels, w[N, K] is {w}")
    _per_channel(s, w[0], 2, 3, 4, 6)
    return (*x[:-1], w[0])


def _windows(attrs: Mapping[str, Any], x: Shape) -> tuple[int, int]:
    _want(len(x) == 3, f"wants an image [H, W, C], has {x}")
    (kh, kw), (sy, sx) = attrs["kernel"], attrs["strides"]
    top, left, bottom, right = attrs.get("pads", (0, 0, 0, 0))
    grid = conv_output(x[0], kh, sy, top, bottom), conv_output(x[1], kw, sx, left, right)
    _want(min(grid) > 0, f"kernel {(kh, kw)} does not fit image {x}")
    return grid


def _conv2d(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x, w = _first(s), s[1]
    taps = attrs["kernel"][0] * attrs["kernel"][1]
    _want(w is not None and w[1] == taps * x[-1], f"w is {w}, wants [N, {taps * x[-1]}]")
    assert w is not None
    _per_channel(s, w[0], 2, 3, 4, 6)
    return (*_windows(attrs, x), w[0])


def _patches(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    h, w, n = _conv2d(attrs, s)
    return (h * w, n)


def _depthwise(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x, w = _first(s), s[1]
    taps = attrs["kernel"][0] * attrs["kernel"][1]
    _want(w == (x[-1], taps), f"w is {w}, wants {(x[-1], taps)}")
    _per_channel(s, x[-1], 2, 3, 4, 6)
    return (*_windows(attrs, x), x[-1])


def _pooled(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = _first(s)
    return (*_windows(attrs, x), x[-1])


def _normalised(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = _first(s)
    _want(x[-1] % attrs["groups"] == 0, f"{attrs['groups']} groups do not divide {x[-1]} channels")
    _per_channel(s, x[-1], 1, 2, 3, 4)
    return x


def _attended(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    """As of the float operator; with kv_heads 1 all heads read the same k and v (ADR 0002)."""
    shared = attrs["heads"] // attrs.get("kv_heads", attrs["heads"])
    q, k, v = s[:3]
    wide = [x and (x[0], x[1] * shared) for x in (k, v)]
    return CANONICAL["attention"].infer(attrs, [q, *wide, *s[3:]])


def _mean(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    x = _first(s)
    _per_channel(s, x[-1], 1, 2, 3)
    return (1, x[-1])


def _elementwise(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    """The larger operand; the other one is repeated over rows, channels or both."""
    x, y = _first(s), s[1]
    _want(y is not None, "its second operand is missing")
    assert y is not None
    wide, narrow = (x, y) if len(x) >= len(y) else (y, x)
    narrow = (*(1,) * (len(wide) - len(narrow)), *narrow)
    _want(
        all(a == b or 1 in (a, b) for a, b in zip(wide, narrow, strict=True)),
        f"operands {x} and {y} do not match",
    )
    return tuple(max(a, b) for a, b in zip(wide, narrow, strict=True))


def _same(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    return _first(s)


def _named(*names: str) -> tuple[Operand, ...]:
    """Operands from words such as "res?:-1": optional, its last axis along the output's channels."""
    found = []
    for word in names:
        name, _, axis = word.partition(":")
        found.append(Operand(name.rstrip("?"), int(axis) if axis else None, name.endswith("?")))
    return tuple(found)


_EPILOGUE = ("bias:0", "mult:0", "offset:0", "res?:-1", "rmult?:0", "table?")
_WEIGHTED = _named("x", "w:0", *_EPILOGUE)


def _row(
    kind: str, operands: tuple[Operand, ...], movement: Movement, shape: ShapeRule,
    evaluate: Evaluation, **more: bool,
) -> IntOp:  # fmt: skip
    places = {o.name: i for i, o in enumerate(operands)}
    return IntOp(kind, operands, movement, shape, evaluate, **more, places=places)


INT_OPS: Mapping[str, IntOp] = {
    row.kind: row
    for row in (
        _row("q_linear", _WEIGHTED, "rows", _linear, linear.q_linear, cut=True),
        _row("q_conv2d", _WEIGHTED, "lines", _conv2d, linear.q_conv2d),
        _row("q_patch_embed", _WEIGHTED, "lines", _patches, linear.q_conv2d),
        _row("q_dwconv2d", _WEIGHTED, "lines", _depthwise, linear.q_dwconv2d),
        _row("q_maxpool", _named("x"), "lines", _pooled, simple.q_maxpool),
        _row("q_layernorm", _named("x:-1", "a?:0", "z?:0", "g?:0", "b?:0"), "rows", _normalised,
             norm.q_layernorm, cut=True),
        _row("q_add", _named("a:-1", "b:-1", "ma:0", "mb:0", "offset:0"), "rows", _elementwise,
             simple.q_add, cut=True, broadcast=True),
        _row("q_mul", _named("a:-1", "b:-1", "mult:0", "offset:0"), "rows", _elementwise,
             simple.q_mul, cut=True, broadcast=True),
        _row("q_requant", _named("a:-1", "ma:0", "offset:0"), "rows", _same, simple.q_requant,
             cut=True),
        _row("q_unary", _named("x:-1", "table"), "rows", _same, simple.q_unary, cut=True),
        _row("q_softmax", _named("x"), "rows", _same, attention.q_softmax),
        _row("q_argmax", _named("x"), "rows", CANONICAL["argmax"].infer, simple.q_argmax),
        _row("q_attention", _named("q", "k", "v", "bias?"), "attention", _attended,
             attention.q_attention),
        _row("q_mean", _named("x", "bias:0", "mult:0", "offset:0"), "mean", _mean, simple.q_mean),
        _row("concat", _named("x"), "move", CANONICAL["concat"].infer, simple.concat,
             repeated=True),
        _row("slice", _named("x"), "move", CANONICAL["slice"].infer, simple.slice_),
        _row("gather", _named("x"), "move", CANONICAL["gather"].infer, simple.gather),
        _row("reshape", _named("x"), "move", CANONICAL["reshape"].infer, simple.reshape),
    )
}  # fmt: skip


def kinds(movement: Movement) -> frozenset[str]:
    """All kinds that move through memory that way."""
    return frozenset(row.kind for row in INT_OPS.values() if row.movement == movement)
