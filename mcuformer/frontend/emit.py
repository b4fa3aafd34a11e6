"""Writes canonical operators, and makes a View a tensor with its elements in a wanted order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.frontend.views import (
    Index,
    Probs,
    Scores,
    Tensor,
    Unsupported,
    View,
    granule,
    is_arange,
)
from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.optable import CANONICAL, ShapeError
from mcuformer.ir.types import TensorType
from mcuformer.operators.moves import MOST_ROWS

Grid = tuple[float, int, str]  # of a QDQ file: scale, zero point, stored type
_KEPT = ("add", "mul", "max", "unary", "softmax", "reshape", "slice", "gather")


class Emitter:
    """`stem` and `origin` name what is being emitted now; `graph` is the ONNX stage."""

    def __init__(
        self, graph: Graph, builder: Builder, product: Callable[[Emitter, View], View]
    ) -> None:
        """`product` emits what a view of Scores or Probs is of (frontend/products.py)."""
        self.graph, self.builder, self._product = graph, builder, product
        self.stem = "value"
        self.origin: tuple[str, ...] = ()
        self.made: dict[str, Op] = {}
        self.qdq: dict[str, Grid] = {}  # canonical activation -> file's quantisation
        self.score_grids: dict[Scores, Grid] = {}  # the same of scores that are no activation yet
        self.weight_scales: dict[str, NDArray] = {}  # canonical weight -> scale per output channel
        self.products: dict[Scores | Probs, View] = {}  # of those whose numbers somebody asked for
        self.of_products: set[str | None] = (
            set()
        )  # they, and what is made of them element by element
        self.convolved: set[str] = set()  # of a convolution, and constants per channel behind it

    def op(
        self,
        kind: str,
        inputs: Iterable[str | None],
        attrs: Mapping[str, Any] | None = None,
        suffix: str | None = None,
    ) -> Tensor:
        """Emit one canonical operator; its name is the stem and `suffix` (default: the kind)."""
        operands, attrs = tuple(inputs), attrs or {}
        shapes = [None if i is None else self.builder.values[i].type.shape for i in operands]
        try:
            shape = CANONICAL[kind].infer(attrs, shapes)
        except ShapeError as error:
            raise Unsupported(f"{kind}: {error}") from None
        tail = kind if suffix is None else suffix
        name = ".".join(part for part in (self.stem, tail) if part) or kind
        out = self.builder.op(
            kind,
            self.builder.fresh(name),
            operands,
            TensorType(shape, "float32"),
            attrs,
            self.origin,
        )
        self.made[out] = self.builder.ops[-1]
        if kind == "matmul" or (kind in _KEPT and not self.of_products.isdisjoint(operands)):
            self.of_products.add(out)
        per_channel = kind in ("add", "mul") and len(shapes[1] or ()) == 1
        if kind == "conv2d" or (per_channel and operands[0] in self.convolved):
            self.convolved.add(out)
        if kind in ("reshape", "slice", "gather") and operands[0] in self.qdq:
            self.qdq[out] = self.qdq[str(operands[0])]
        return Tensor(out, shape)

    def writes(self, name: str, kind: str) -> bool:
        """Whether an operator of this kind made the value, or what a reshape made of its result."""
        op = self.made.get(name)
        while op is not None and op.kind == "reshape":
            op = self.made.get(str(op.inputs[0]))
        return op is not None and op.kind == kind

    def is_const(self, view: View) -> bool:
        return isinstance(view.base, Tensor) and self.builder.values[view.base.name].is_const

    def const(self, suffix: str, data: NDArray) -> str:
        array = np.ascontiguousarray(data, np.float32)
        return self.builder.const(f"{self.stem or 'const'}.{suffix}", array)

    def constant(self, data: NDArray) -> View:
        """A constant that stands among activations."""
        name = self.const("const", data.reshape(-1, data.shape[-1]))
        shape = self.builder.values[name].type.shape
        return View(Tensor(name, shape), np.arange(data.size).reshape(data.shape))

    def weight(self, data: NDArray, scales: NDArray | None) -> str:
        """A layer's weights, and the scales per output channel that a QDQ file gives them."""
        name = self.const("w", data)
        if scales is not None:
            self.weight_scales[name] = scales
        return name

    @contextmanager
    def below(self, part: str) -> Iterator[None]:
        """Name what is emitted inside as a part of the current stem."""
        outer = self.stem
        self.stem = f"{outer}.{part}" if outer else part
        yield
        self.stem = outer

    # tensors

    def tokens(self, x: Tensor) -> Tensor:
        """An image [H, W, C] as tokens [H*W, C]."""
        if len(x.shape) == 2:
            return x
        return self.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))

    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        if x.shape == shape:
            return x
        return self.op("reshape", [x.name], {"shape": shape})

    def scaled(self, x: Tensor, scale: float) -> Tensor:
        if scale == 1.0:
            return x
        factor = self.const("scale", np.full(x.shape[-1], scale))
        return self.op("mul", [x.name, factor], suffix="scaled")

    def rows(self, x: Tensor, rows: NDArray) -> Tensor:
        if len(rows) == x.shape[0] and is_arange(rows):
            return x
        if (np.diff(rows) == 1).all():
            attrs = {"axis": 0, "start": int(rows[0]), "stop": int(rows[-1]) + 1}
            return self.op("slice", [x.name], attrs, "rows")
        return self.op("gather", [x.name], {"indices": tuple(int(r) for r in rows)}, "rows")

    def columns(self, x: Tensor, cols: NDArray) -> Tensor:
        if len(cols) == x.shape[1] and is_arange(cols):
            return x
        if (np.diff(cols) == 1).all():
            attrs = {"axis": 1, "start": int(cols[0]), "stop": int(cols[-1]) + 1}
            return self.op("slice", [x.name], attrs, "channels")
        producer = self.made.get(x.name)
        if producer is not None and producer.kind in ("linear", "add", "mul", "max", "unary"):
            chosen = self._columns_of(producer, cols)
            if chosen is not None:
                return chosen
        index = np.arange(math.prod(x.shape)).reshape(x.shape)[:, cols]
        return self._by_granules(x, index)

    def _columns_of(self, producer: Op, cols: NDArray) -> Tensor | None:
        """The chosen channels of a linear layer and what follows it, computed by themselves."""
        values = self.builder.values
        data = [None if i is None else values[i].data for i in producer.inputs]
        if producer.kind == "linear":
            x, w = producer.inputs[0], data[1]
            assert w is not None
            operands = [x, self.const("w", w[:, cols])]
            old = self.weight_scales.get(str(producer.inputs[1]))
            if old is not None:
                self.weight_scales[str(operands[1])] = old[cols]
            operands += [self.const("b", b[cols]) for b in data[2:] if b is not None]
            return self.op("linear", operands, suffix="")
        consts = [d for d in data if d is not None]
        if producer.kind == "unary":
            x, consts = producer.inputs[0], []
        elif len(consts) == 1 and consts[0].ndim == 1:
            x = producer.inputs[0] if data[0] is None else producer.inputs[1]
        else:
            return None
        inner = self.columns(Tensor(str(x), values[str(x)].type.shape), cols)
        operands = [inner.name, *(self.const("const", c[cols]) for c in consts)]
        part = self.op(producer.kind, operands, producer.attrs, suffix="")
        if producer.outputs[0] in self.qdq:
            self.qdq[part.name] = self.qdq[producer.outputs[0]]
        return part

    def _by_granules(self, x: Tensor, index2: Index) -> Tensor:
        """Any movement at all: pieces of equal length, gathered."""
        size = granule(index2, x.shape[1])
        pieces = self.reshape(x, (math.prod(x.shape) // size, size))
        moved = self.rows(pieces, index2.reshape(-1, size)[:, 0] // size)
        return self.reshape(moved, index2.shape)

    # views

    def place(self, view: View, target: Index, keep_scale: bool = False) -> Tensor:
        """A tensor of target's shape holding base elements `target`, the view's scale applied."""
        if target.size == 0:
            raise Unsupported("a tensor without elements")
        value = view.scale * view.fill
        view = self.real(view.with_index(target))
        assert isinstance(view.base, Tensor)
        fill = value / view.scale if value else 0.0
        out = self._placed(view.base, view.index, fill)
        return out if keep_scale else self.scaled(out, view.scale)

    def is_scattered(self, view: View, target: Index) -> bool:
        """Whether `place` would have to gather more single pieces than one operator can tell apart."""
        base = view.base
        if not isinstance(base, Tensor) or target.size <= MOST_ROWS or is_arange(target):
            return False
        channels = base.shape[-1]
        row, col = np.divmod(target.reshape(-1, target.shape[-1]), channels)
        if (row == row[:, :1]).all() and (col == col[:1]).all():
            return False
        flat = target.reshape(-1, target.shape[-1])
        return target.size // granule(flat, channels) > MOST_ROWS

    def _placed(self, base: Tensor, target: Index, fill: float) -> Tensor:
        data = self.builder.values[base.name].data
        if data is not None:
            moved = np.append(data.reshape(-1), fill)[target]
            return Tensor(self.const("const", moved), target.shape)
        if target.size == math.prod(base.shape) and is_arange(target):
            return self.reshape(base, target.shape)
        x, flat = self.tokens(base), target.reshape(-1, target.shape[-1])
        if (flat < 0).any():
            x, flat = self._with_filled_row(x, flat, fill)
        row, col = flat // x.shape[1], flat % x.shape[1]
        if (row == row[:, :1]).all() and (col == col[:1]).all():
            out = self.rows(self.columns(x, col[0]), row[:, 0])  # columns sink into a layer
        else:
            out = self._by_granules(x, flat)
        return self.reshape(out, target.shape)

    def _with_filled_row(self, x: Tensor, flat: Index, fill: float) -> tuple[Tensor, Index]:
        row = self.const("zeros" if fill == 0 else "fill", np.full((1, x.shape[1]), fill))
        grown = self.op("concat", [x.name, row], {"axis": 0}, "padded")
        column = np.broadcast_to(np.arange(flat.shape[1]) % x.shape[1], flat.shape)
        return grown, np.where(flat < 0, x.shape[0] * x.shape[1] + column, flat)

    def real(self, view: View) -> View:
        """`view` of a tensor: the product that it is of is emitted."""
        return view if isinstance(view.base, Tensor) else self._product(self, view)

    def is_read(self, names: Iterable[str]) -> bool:
        """Whether a node reads one of these values of the file, or it is an output."""
        read = {i for reader in self.graph.ops for i in reader.inputs} | set(self.graph.outputs)
        return not read.isdisjoint(names)

    def ordered(self, view: View) -> View:
        """The same tensor over a base that holds just its elements, each once."""
        view = self.real(view)
        base = view.base
        assert isinstance(base, Tensor)
        if len(view.shape) < 4:  # no image any more: [H, W, C] goes on as tokens
            base = self.tokens(base)
            view = replace(view, base=base)
        if view.is_bijective():
            return view
        used = np.unique(view.index)
        if used.size == view.index.size and used[0] >= 0:
            c = base.shape[-1]
            rows, cols = np.unique(used // c), np.unique(used % c)
            if len(rows) * len(cols) == used.size:
                cut = self.columns(self.rows(self.tokens(base), rows), cols)
                return View(cut, np.searchsorted(used, view.index), view.scale)
        last = view.shape[-1] if view.shape else 1
        made = self.place(view, view.index.reshape(-1, last), keep_scale=True)
        return View(made, np.arange(view.index.size).reshape(view.shape), view.scale)

    def zero_filled(self, view: View) -> View:
        """The same, and -1 may be written for a zero."""
        if view.fill == 0 or view.index.size == 0:
            return view
        return self.ordered(view) if view.index.min() < 0 else replace(view, fill=0.0)

    def unscaled(self, view: View) -> View:
        """`ordered`, with the scale applied."""
        view = self.ordered(view)
        if view.scale == 1.0:
            return view
        assert isinstance(view.base, Tensor)
        return View(self.scaled(view.base, view.scale), view.index)

    def result(self, view: View) -> Tensor:
        """The tensor in ONNX order as [rows, last axis], for a graph output."""
        last = view.shape[-1] if view.shape else 1
        return self.place(view, view.index.reshape(-1, last))
