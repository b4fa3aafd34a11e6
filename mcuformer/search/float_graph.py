"""The float graph of an Arch without numbers: what the frontend makes of its export (search/net.py).

It goes through the passes, the rewrites and the lowering of every model: what becomes of an attention,
a residual sum or a class token is decided there, and nowhere here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.placeholders import constant
from mcuformer.ir.types import TensorType, Value
from mcuformer.search.arch import PATCH, Arch

INPUT = "image"
STEM, HEAD = "stem", "head"  # origins of what stands before and behind the blocks
Pads = tuple[int, int, int, int]  # above, left, below, right


class HalfBlock(NamedTuple):
    """Half a block: the attention or the MLP of a width, and the residual sum behind it."""

    name: str  # the origin of its operations
    hidden: int = 0  # 0: the attention


def parts(arch: Arch) -> list[HalfBlock]:
    """Of all blocks in order."""
    return [part for i, hidden in enumerate(arch.hidden) for part in halves(f"blocks.{i}", hidden)]


def halves(name: str, hidden: int) -> tuple[HalfBlock, HalfBlock]:
    return HalfBlock(f"{name}.attn"), HalfBlock(f"{name}.mlp", hidden)


class _Net:
    """Collects values and operations; `origin` is that of the operations to come."""

    def __init__(self, arch: Arch) -> None:
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

    def conv(self, x: str, n: int, name: str, kernel: int, stride: int, pads: Pads) -> str:
        h, w, c = self.shape(x)
        above, left, below, right = pads
        down = (h + above + below - kernel) // stride + 1
        across = (w + left + right - kernel) // stride + 1
        weights = self.const(f"{name}.w", kernel, kernel, c, n), self.const(f"{name}.b", n)
        attrs = {"strides": (stride, stride), "pads": pads, "group": 1}
        return self.op("conv2d", name, (x, *weights), down, across, n, **attrs)


def float_graph(arch: Arch, body: Sequence[HalfBlock]) -> Graph:
    """The image [H,W,C] -> logits [1, classes], at the stage before the canonical passes."""
    net = _Net(arch)
    net.origin = (STEM,)
    x = _tokens(net)
    for part in body:
        net.origin = (part.name,)
        made = _mlp(net, x, part) if part.hidden else _attention(net, x, part.name)
        x = net.op("add", f"{part.name}.add", (x, made), arch.tokens, arch.dim)
    net.origin = (HEAD,)
    x = net.layernorm(x, "norm")
    if arch.pool == "mean" and arch.tokens > 1:
        x = net.op("mean", "mean", (x,), 1, arch.dim)
    elif arch.pool == "cls":
        x = net.op("slice", "head.rows", (x,), 1, arch.dim, axis=0, start=0, stop=1)
    y = net.linear(x, arch.classes, "head")
    meta = {"shapes_only": True}
    return Graph("candidate", "float", (INPUT,), (y,), tuple(net.ops), net.values, meta)


def _tokens(net: _Net) -> str:
    """Stem, class token, positions."""
    arch, x = net.arch, INPUT
    if arch.stem == PATCH:
        below, right = arch.padding
        x = net.conv(x, arch.dim, "stem", arch.patch, arch.patch, (0, 0, below, right))
    for i, (width, stride) in enumerate(arch.convolutions):
        if i:
            x = net.op("unary", f"stem.relu{i - 1}", (x,), *net.shape(x), fn="relu")
        x = net.conv(x, width, f"stem.conv{i}", 3, stride, (1, 1, 1, 1))
    down, across, dim = net.shape(x)
    x = net.op("reshape", "tokens", (x,), down * across, dim, shape=(down * across, dim))
    if arch.pool == "cls":
        x = net.op("concat", "concat", (net.const("cls", 1, dim), x), arch.tokens, dim, axis=0)
    shape = (arch.tokens, dim) if arch.tokens > 1 else (dim,)  # one row is a number per channel
    table = net.const("position", *shape)
    return net.op("add", "embedded", (x, table), arch.tokens, dim)


def _mlp(net: _Net, x: str, part: HalfBlock) -> str:
    arch, at, hidden = net.arch, part.name, part.hidden
    rank = arch.ranks_of(hidden)
    h = net.linear(net.layernorm(x, f"{at}.norm"), hidden, f"{at}.fc1", rank.fc1)
    h = net.op("unary", f"{at}.gelu", (h,), arch.tokens, hidden, fn="gelu")
    return net.linear(h, arch.dim, f"{at}.fc2", rank.fc2)


def _attention(net: _Net, x: str, at: str) -> str:
    """q, k and v are layers of their own, which share the first factor of a low rank."""
    arch = net.arch
    rank, rows, inner = arch.ranks_of(0), arch.tokens, arch.inner
    x = net.layernorm(x, f"{at}.norm")
    if rank.qkv:
        x = net.factor(x, rank.qkv, f"{at}.qkv")
    operands = [net.linear(x, inner, f"{at}.{part}") for part in "qkv"]
    if arch.relative:
        operands.append(net.const(f"{at}.bias", arch.heads, rows, rows))
    attrs = {"heads": arch.heads, "scale": arch.head_dim**-0.5}
    a = net.op("attention", f"{at}.attention", tuple(operands), rows, inner, **attrs)
    return net.linear(a, arch.dim, f"{at}.proj", rank.proj)
