"""What a row of the table of integer operators consists of.

A facet that nobody gave fails where the row is made, with the names of row and facet. What an
operator does not have it says explicitly: `kernel=None`, `macs=none`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from numpy.typing import NDArray

from mcuformer.errors import McuformerError
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_linear import Args
from mcuformer.ir.optable import Shape, ShapeError, ShapeRule, conv_output
from mcuformer.ir.types import TensorType
from mcuformer.kernels.base import KernelData
from mcuformer.kernels.conv import output_lines
from mcuformer.kernels.lines import Lines
from mcuformer.kernels.shapes import Values
from mcuformer.operators.lowering import Target

IntEvaluation = Callable[[Op, Args, TensorType], NDArray]
Movement = Literal["rows", "lines", "view", "join", "pick", "attention", "mean"]
"""rows: row i of the output needs row i of the operands; lines: an image, some lines of another;
view, join, pick: no arithmetic, the same bytes seen otherwise, side by side, or row by row elsewhere;
attention, mean: a way of their own."""
Figure = Callable[..., int]  # of (op, graph, rows, **choices); a cost also of `costs`
TypeOf = Callable[[str], TensorType]
MISSING: Any = object()


class IncompleteRow(McuformerError):
    """A bug of the compiler: a facet of an operator that nobody gave."""


@dataclass(frozen=True, slots=True)
class OperandFacets:
    """`along`: the axis of this operand that runs along the output's channels, None where it is read
    whole whichever channels are computed."""

    name: str
    along: int | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """`name` of the entry, and what a core executes, by its cost set (kernels/costs.py). `attrs`:
    attributes that it depends on."""

    name: str
    instructions: Figure
    attrs: frozenset[str] = frozenset()


def no_bytes(op: Op, graph: Values, rows: int, **_: Any) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Sums:
    """Of a kernel that sums tiles of rows: `bytes` of (op, graph) that start at zero, and the function
    that makes the result of them, of so many instructions."""

    bytes: Callable[[Op, Values], int]
    finish: str
    instructions: Callable[[Op, Values], int]


@dataclass(frozen=True, slots=True)
class Kernel:
    """The C function, declared in `header`, and the const struct that `pack` makes.

    `reads`: the operands that a call has by address, NULL where one is absent. `again`: those that it
    reads again after it wrote a row. `scratch_bytes`: None where a call has no scratch. `menu`: what
    it can choose from under a budget of scratch (price/menus.py), "" nothing. `column`: whether the
    function of that suffix is called, for operands of one number per row. `placed`: whether a call
    has the number of its first row.
    """

    function: str
    header: str
    pack: Callable[..., KernelData]
    reads: tuple[str, ...]
    again: tuple[str, ...] = ()
    scratch_bytes: Figure | None = None
    weight_bytes_read: Figure = no_bytes
    menu: Literal["", "linear", "conv", "attention"] = ""
    column: Callable[[Op, Values], bool] | None = None
    placed: bool = False
    sums: Sums | None = None

    def function_of(self, op: Op, graph: Values) -> str:
        column = self.column is not None and self.column(op, graph)
        return f"{self.function}_column" if column else self.function


@dataclass(frozen=True, slots=True)
class Lowering:
    """How a float operator becomes integer ones: a function of (ctx, op), or "module.function" of
    mcuformer.quant, which stands above this table and finds it at import. `refuse`: why an operation
    has no integer form, None where it has one. `onnx`: what it comes from, whole or as a part.

    What the choice of grids has to know of it: `moves`: it computes no numbers, so that operands and
    result share a grid; `weighted`: it has weights per output channel and an epilogue; `one_scale`:
    on which side it wants one scale for all channels, whatever its operands are. `wide`: its operands
    and its result want 16 bits whatever the mode.
    """

    function: str | Callable[[Target, Op], None]
    refuse: Callable[[Graph, Op], str | None] | None = None
    onnx: tuple[str, ...] = ()
    moves: bool = False
    weighted: bool = False
    one_scale: Literal["", "in", "out", "both"] = ""
    wide: bool = False


def window_lines(op: Op, graph: Values) -> Lines:
    """Of a window with the attributes of a convolution."""
    (kernel, _), (stride, _), (top, *_) = (
        op.attrs["kernel"],
        op.attrs["strides"],
        op.attrs.get("pads", (0,)),
    )
    return Lines.of_windows(int(kernel), int(stride), int(top), output_lines(op, graph))


def as_it_is(op: Op, wide: bool, type_of: TypeOf) -> dict[str, Any]:
    """No attribute in the outline but those that structure decides."""
    return {}


def none(op: Op, type_of: TypeOf) -> int:
    return 0


def row_by_row(op: Op) -> tuple[str, ...]:
    """No operand that is read whole."""
    return ()


@dataclass(frozen=True, slots=True)
class IntOp:
    """An integer operator.

    `operands` of a join are one, repeated. `lowered`: the float kinds that become it. `numbers`:
    attributes that weights and scales decide; the outline has `nominal` ones in their place. `macs`:
    multiply-accumulates. `counted`: the constant that reports count as the layer's weights.
    `weights`: the operand that is a matrix of 4 or 8 bits. `cut`: its output's channels can be
    computed apart; `grouped`: in whole groups (attribute "groups"). `broadcast`: an operand of one
    row or one channel is read again for all of the output's. `lines`: of movement "lines", which lines
    of the first operand an output line reads.
    """

    kind: str
    operands: tuple[OperandFacets, ...] = MISSING
    movement: Movement = MISSING
    shape: ShapeRule = MISSING
    evaluate: IntEvaluation = MISSING
    lowered: Mapping[str, Lowering] = MISSING
    kernel: Kernel | None = MISSING
    cost: Cost | None = MISSING
    numbers: frozenset[str] = MISSING
    nominal: Callable[[Op, bool, TypeOf], dict[str, Any]] = MISSING
    macs: Callable[[Op, TypeOf], int] = MISSING
    counted: str | None = MISSING
    weights: str | None = None
    cut: bool = False
    grouped: bool = False
    repeated: bool = False
    broadcast: bool = False
    whole: Callable[[Op], tuple[str, ...]] = row_by_row
    lines: Callable[[Op, Values], Lines] = window_lines
    places: Mapping[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for facet in fields(self):
            if getattr(self, facet.name) is MISSING:
                raise IncompleteRow(f"integer operator {self.kind}: no {facet.name} is given")
        names = [o.name for o in self.operands]
        said = [*(self.kernel.reads if self.kernel else ()), self.counted, self.weights]
        for name in said:
            if name is not None and name not in names:
                raise IncompleteRow(f"integer operator {self.kind}: no operand {name}")
        if self.kernel is not None and self.cost is None:
            raise IncompleteRow(f"integer operator {self.kind}: a kernel without cost")
        if self.movement == "mean" and (self.kernel is None or self.kernel.sums is None):
            raise IncompleteRow(f"integer operator {self.kind}: a mean without sums")
        object.__setattr__(self, "places", {n: i for i, n in enumerate(names)})


def named(*names: str) -> tuple[OperandFacets, ...]:
    """Operands from words such as "res?:-1": optional, its last axis along the output's channels."""
    found = []
    for word in names:
        name, _, axis = word.partition(":")
        found.append(
            OperandFacets(name.rstrip("?"), int(axis) if axis else None, name.endswith("?"))
        )
    return tuple(found)


def want(ok: bool, message: str) -> None:
    if not ok:
        raise ShapeError(message)


def first(s: Sequence[Shape | None]) -> Shape:
    want(bool(s) and s[0] is not None, "its first operand is missing")
    assert s[0] is not None
    return s[0]


def same(attrs: Mapping[str, Any], s: Sequence[Shape | None]) -> Shape:
    return first(s)


def per_channel(s: Sequence[Shape | None], n: int, *places: int) -> None:
    for i in places:
        if i < len(s) and s[i] is not None:
            want(s[i] in ((n,), ()), f"operand {i} is {s[i]}, wants ({n},)")


def window_grid(attrs: Mapping[str, Any], x: Shape) -> tuple[int, int]:
    """Lines and pixels of the image of windows."""
    want(len(x) == 3, f"wants an image [H, W, C], has {x}")
    (kh, kw), (sy, sx) = attrs["kernel"], attrs["strides"]
    top, left, bottom, right = attrs.get("pads", (0, 0, 0, 0))
    grid = conv_output(x[0], kh, sy, top, bottom), conv_output(x[1], kw, sx, left, right)
    want(min(grid) > 0, f"kernel {(kh, kw)} does not fit image {x}")
    return grid
