"""An ONNX graph under construction: tokens [1, T, C] and images [1, C, H, W] by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fuzz.choices import Choices

Shape = tuple[int, ...]
T = TypeVar("T")
MOST_ELEMENTS = 8000  # of a value
MOST_WEIGHTS = 40000  # of a layer
OPSET = 23


def in_opset(operator: str) -> bool:
    """Whether the draws' files may have it; onnxruntime's own operators are outside of the standard."""
    return not onnx.defs.has(operator) or onnx.defs.has(operator, max_inclusive_version=OPSET)


class TooLarge(Exception):
    """This operator would be larger than draws are: it is left out."""


@dataclass
class Draw:
    """`shapes`: the values that may be read again, `ends`: those that are outputs only."""

    choices: Choices
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, NDArray] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    ends: dict[str, Shape] = field(default_factory=dict)
    prefix: str = "n"

    def node(self, kind: str, inputs: list[str], shape: Shape | None, **attrs: Any) -> str:
        """A node with one output; one without `shape` is a step on the way that nobody else reads."""
        name = f"{self.prefix}{len(self.nodes)}_{kind}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attrs))
        if shape is not None:
            self.shapes[name] = shape
        return name

    def const(self, data: NDArray) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(data, np.int64 if data.dtype.kind == "i" else np.float32)
        return name

    def weight_of(self, data: NDArray) -> str:
        """A constant of its own type: a mask."""
        name = f"w{len(self.weights)}"
        self.weights[name] = data
        return name

    def ints(self, *numbers: int) -> str:
        return self.const(np.array(numbers, np.int64))

    def random(self, *shape: int) -> NDArray:
        """Normal numbers; a replayed draw has the same ones for the same shape."""
        salt = self.choices.number(0, 999)
        return np.random.default_rng([salt, *shape]).normal(size=shape)

    def normal(self, *shape: int, scale: float = 1.0) -> str:
        return self.const(self.random(*shape) * scale)

    def number(self, low: int, high: int) -> int:
        return self.choices.number(low, max(low, high))

    def chance(self, percent: int) -> bool:
        return self.choices.chance(percent)

    def one_of(self, options: tuple[T, ...] | list[T]) -> T:
        return self.choices.one_of(options)

    def pick(self, rank: int, fits: Callable[[Shape], bool] = lambda _: True) -> str | None:
        """A value of this rank, a late one more often than an early one."""
        found = [n for n, s in self.shapes.items() if len(s) == rank and fits(s)]
        at = int(len(found) * (self.number(0, 99) / 100) ** 2)
        return found[-1 - at] if found else None

    def reshape(self, x: str, shape: Shape, kept: bool = True) -> str:
        return self.node("Reshape", [x, self.ints(*shape)], shape if kept else None)

    def transpose(self, x: str, perm: tuple[int, ...], shape: Shape | None) -> str:
        return self.node("Transpose", [x], shape, perm=list(perm))

    def slice(self, x: str, axis: int, start: int, stop: int, step: int = 1) -> str:
        shape = list(self.shapes[x])
        shape[axis] = -(-(stop - start) // step)
        numbers = [self.ints(n) for n in (start, stop, axis, step)]
        return self.node("Slice", [x, *numbers], tuple(shape))

    def model(self, outputs: list[str]) -> onnx.ModelProto:
        info = helper.make_tensor_value_info
        known = self.shapes | self.ends
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [info(n, TensorProto.FLOAT, self.shapes[n]) for n in self.inputs],
            [
                info(n, TensorProto.INT64 if n in self.ends else TensorProto.FLOAT, known[n])
                for n in outputs
            ],
            [numpy_helper.from_array(a, n) for n, a in self.weights.items()],
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=10)


def small(*shape: int) -> bool:
    return math.prod(shape) <= MOST_ELEMENTS
