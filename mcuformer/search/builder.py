"""Builds float graphs without numbers, operation by operation, for the networks of any family."""

from __future__ import annotations

from typing import Any

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.placeholders import constant
from mcuformer.ir.types import TensorType, Value
from mcuformer.search.architecture import PATCH, Architecture

INPUT = "image"
STEM, HEAD = "stem", "head"  # origins of what stands before and behind the blocks
Pads = tuple[int, int, int, int]  # above, left, below, right


class FloatBuilder:
    """Collects values and operations; `origin` is that of the operations to come."""

    def __init__(self, arch: Architecture) -> None:
        self.arch = arch
        self.values = {INPUT: Value(INPUT, TensorType(arch.image, "float32"))}
        self.ops: list[Op] = []
        self.origin: tuple[str, ...] = ()

    def const(self, name: str, *shape: int) -> str:
        self.values[name] = constant(name, "float32", shape)
        return name

    def op(self, kind: str, name: str, inputs: tuple[str, ...], *shape: int, **attrs: Any) -> str:
        self.values[name] = Value(name, TensorType(shape, "float32"))
        self.ops.append(Op(kind, name, inputs, (name,), attrs, self.origin))
        return name

    def shape(self, x: str) -> tuple[int, ...]:
        return self.values[x].type.shape

    def linear(self, x: str, n: int, name: str, rank: int = 0) -> str:
        """Two factors where `rank` is not 0."""
        x = self.factor(x, rank, name) if rank else x
        rows, k = self.shape(x)
        weights = self.const(f"{name}.w", k, n), self.const(f"{name}.b", n)
        return self.op("linear", name, (x, *weights), rows, n)

    def factor(self, x: str, rank: int, name: str) -> str:
        """The first of a low rank: it has no bias."""
        rows, k = self.shape(x)
        name = f"{name}.down"
        return self.op("linear", name, (x, self.const(f"{name}.w", k, rank)), rows, rank)

    def layernorm(self, x: str, name: str) -> str:
        rows, c = self.shape(x)
        affine = self.const(f"{name}.gamma", c), self.const(f"{name}.beta", c)
        return self.op("layernorm", name, (x, *affine), rows, c, eps=1e-5, groups=1)

    def conv(
        self,
        x: str,
        n: int,
        name: str,
        kernel: int,
        stride: int,
        pads: Pads,
        group: int = 1,
        biased: bool = True,
    ) -> str:
        h, w, c = self.shape(x)
        above, left, below, right = pads
        down = (h + above + below - kernel) // stride + 1
        across = (w + left + right - kernel) // stride + 1
        weights = [self.const(f"{name}.w", kernel, kernel, c // group, n)]
        weights += [self.const(f"{name}.b", n)] if biased else []
        attrs = {"strides": (stride, stride), "pads": pads, "group": group}
        return self.op("conv2d", name, (x, *weights), down, across, n, **attrs)

    def unary(self, x: str, fn: str, name: str) -> str:
        return self.op("unary", name, (x,), *self.shape(x), fn=fn)

    def add(self, x: str, y: str, name: str) -> str:
        return self.op("add", name, (x, y), *self.shape(x))

    def reshape(self, x: str, name: str, *shape: int) -> str:
        return self.op("reshape", name, (x,), *shape, shape=shape)

    def stem(self) -> str:
        """[rows, columns, width] of the image, padded to whole patches."""
        arch, x = self.arch, INPUT
        if arch.stem == PATCH:
            below, right = arch.padding
            x = self.conv(x, arch.width, "stem", arch.patch, arch.patch, (0, 0, below, right))
        for i, (width, stride) in enumerate(arch.convolutions):
            x = self.unary(x, "relu", f"stem.relu{i - 1}") if i else x
            x = self.conv(x, width, f"stem.conv{i}", 3, stride, (1, 1, 1, 1))
        return x

    def done(self, y: str) -> Graph:
        """The image -> `y`, at the stage before the canonical passes."""
        meta = {"shapes_only": True}
        return Graph("candidate", "float", (INPUT,), (y,), tuple(self.ops), self.values, meta)
