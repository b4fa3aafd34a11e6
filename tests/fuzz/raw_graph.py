"""An ONNX graph of raw nodes under construction: values of any rank, of any opset, shaped by onnx itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fuzz.choices import Choices
from fuzz.graph import Shape, TooLarge

T = TypeVar("T")
MOST_ELEMENTS = 3000  # of a value
MOST_RANK = 6
AXES_ARE_AN_INPUT = {"Squeeze": 13, "Unsqueeze": 13, "ReduceSum": 13}
OTHER_REDUCTIONS = 18


@dataclass
class Raw:
    """`shapes`: every value, all float32 but those of `integers`; `weights`: constants."""

    choices: Choices
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, NDArray] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    integers: set[str] = field(default_factory=set)

    def node(self, kind: str, inputs: list[str], **attrs: Any) -> str:
        return self.several(kind, inputs, 1, **attrs)[0]

    def several(self, kind: str, inputs: list[str], count: int, **attrs: Any) -> list[str]:
        """A node with `count` outputs; TooLarge where onnx gives them no shape that draws may have."""
        name = f"n{len(self.nodes)}_{kind}"
        names = [name, *(f"{name}_{i}" for i in range(1, count))]
        made = helper.make_node(kind, inputs, names, name=name, **attrs)
        types = _inferred(self, made)
        if any(not _fine(t.shape) for t in types):
            raise TooLarge
        self.nodes.append(made)
        for n, t in zip(names, types, strict=True):
            self.shapes[n] = t.shape
            if t.integer:
                self.integers.add(n)
        return names

    def const(self, data: NDArray | float) -> str:
        name = f"w{len(self.weights)}"
        array = np.asarray(data)
        kept = array.dtype in (np.bool_, np.int64)
        self.weights[name] = array if kept else array.astype(np.float32)
        return name

    def ints(self, *numbers: int) -> str:
        return self.const(np.array(numbers, np.int64))

    def normal(self, *shape: int, scale: float = 1.0, offset: float = 0.0) -> str:
        """A replayed draw has the same numbers for the same shape."""
        if math.prod(shape) > 4 * MOST_ELEMENTS:
            raise TooLarge
        salt = self.number(0, 999)
        rng = np.random.default_rng([salt, *shape])
        return self.const(rng.normal(size=shape) * scale + offset)

    def with_axes(self, kind: str, x: str, axes: list[int], **attrs: Any) -> str:
        """As the opset wants them: an attribute, or an input."""
        if self.opset >= AXES_ARE_AN_INPUT.get(kind, OTHER_REDUCTIONS):
            return self.node(kind, [x, self.ints(*axes)], **attrs)
        return self.node(kind, [x], axes=axes, **attrs)

    def rank(self, x: str) -> int:
        return len(self.shapes[x])

    def axis(self, x: str, first: int = 0) -> int:
        """One of x's, counted from either end."""
        rank = self.rank(x)
        if rank <= first:
            raise TooLarge
        at = self.number(first, rank - 1)
        return at - rank if self.chance(30) else at

    def number(self, low: int, high: int) -> int:
        return self.choices.number(low, max(low, high))

    def chance(self, percent: int) -> bool:
        return self.choices.chance(percent)

    def one_of(self, options: tuple[T, ...] | list[T]) -> T:
        return self.choices.one_of(options)

    def pick(self, rank: int | None = None) -> str:
        """A value of numbers, a late one more often than an early one."""
        found = [
            n for n, s in self.shapes.items()
            if n not in self.integers and rank in (None, len(s))
        ]  # fmt: skip
        if not found:
            raise TooLarge
        return found[-1 - int(len(found) * (self.number(0, 99) / 100) ** 2)]

    def model(self, outputs: list[str]) -> onnx.ModelProto:
        """The nodes that the outputs need."""
        nodes = _needed(self.nodes, outputs)
        read = {i for n in nodes for i in n.input}
        self.inputs = [n for n in self.inputs if n in read] or self.inputs[:1]
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes,
            "raw",
            [info(n, TensorProto.FLOAT, self.shapes[n]) for n in self.inputs],
            [
                info(n, TensorProto.INT64 if n in self.integers else TensorProto.FLOAT, self.shapes[n])
                for n in outputs
            ],
            [numpy_helper.from_array(a, n) for n, a in self.weights.items() if n in read],
        )  # fmt: skip
        opset = helper.make_opsetid("", self.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=10)


@dataclass(frozen=True)
class _Type:
    shape: Shape
    integer: bool


def _fine(shape: Shape) -> bool:
    return len(shape) <= MOST_RANK and 0 < math.prod(shape) <= MOST_ELEMENTS


def _inferred(raw: Raw, node: onnx.NodeProto) -> list[_Type]:
    """Of every output, by onnx's own inference."""
    info = helper.make_tensor_value_info
    known = [i for i in dict.fromkeys(node.input) if i in raw.shapes]
    graph = helper.make_graph(
        [node],
        "one",
        [info(i, TensorProto.INT64 if i in raw.integers else TensorProto.FLOAT, raw.shapes[i])
         for i in known],
        [onnx.ValueInfoProto(name=o) for o in node.output],
        [numpy_helper.from_array(raw.weights[i], i) for i in dict.fromkeys(node.input) if i in raw.weights],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", raw.opset)])
    try:
        found = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises classes of its own
        raise TooLarge from error
    return [_type(o) for o in found.graph.output]


def _type(info: onnx.ValueInfoProto) -> _Type:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape") or any(not d.HasField("dim_value") for d in tensor.shape.dim):
        raise TooLarge
    shape = tuple(d.dim_value for d in tensor.shape.dim)
    return _Type(shape, tensor.elem_type != TensorProto.FLOAT)


def _needed(nodes: list[onnx.NodeProto], outputs: list[str]) -> list[onnx.NodeProto]:
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]
