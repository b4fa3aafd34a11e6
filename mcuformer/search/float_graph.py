"""The float graph of an Arch without numbers: what the frontend makes of its export (search/net.py).

It goes through the passes, the rewrites and the lowering of every model: what becomes of an attention,
a residual sum or a class token is decided there, and nowhere here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.placeholders import constant
from mcuformer.ir.types import TensorType, Value
from mcuformer.passes import run_float_passes
from mcuformer.quant.lower import lower_shapes
from mcuformer.search.arch import PATCH, Arch

IMAGE = "image"
Pads = tuple[int, int, int, int]  # above, left, below, right


def outline_of(arch: Arch) -> Graph:
    """The outline of the int graph: uint8 pixels [H,W,C] -> int8 logits [1, classes]."""
    return lower_shapes(run_float_passes(float_graph(arch)), pixels=(IMAGE,))


def short_outline(arch: Arch) -> Graph:
    """`outline_of` with one block of each kind, in the order of their last ones: all that decides a
    placement (schedule/repeat.py). meta["times"] says how often each occurs (schedule/outline.py).
    """
    *body, last = arch.hidden  # whose rows are summed at once, or of which only one is asked for
    kinds = sorted(set(body), key=lambda h: -body[::-1].index(h))
    graph = outline_of(replace(arch, hidden=(*kinds, last)))
    times = {block(i): body.count(h) for i, h in enumerate(kinds)}
    return graph.replace(meta={"times": times})


def block(index: int) -> str:
    """The origin of all operations of a block."""
    return f"blocks.{index}"


class _Net:
    """Collects values and operations; `origin` is that of the operations to come."""

    def __init__(self, arch: Arch) -> None:
        self.arch = arch
        self.values = {IMAGE: Value(IMAGE, TensorType(arch.image, "float32"))}
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
        """Two factors where `rank` is not 0: the first has no bias."""
        rows, k = self.shape(x)
        if rank:
            down = f"{name}.down"
            x = self.op("linear", down, (x, self.const(f"{down}.w", k, rank)), rows, rank)
            k = rank
        weights = self.const(f"{name}.w", k, n), self.const(f"{name}.b", n)
        return self.op("linear", name, (x, *weights), rows, n)

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


def float_graph(arch: Arch) -> Graph:
    """The image [H,W,C] -> logits [1, classes], at the stage before the canonical passes."""
    net = _Net(arch)
    x = _tokens(net)
    for i in range(arch.depth):
        net.origin = (block(i),)
        x = _block(net, x, i)
    net.origin = ()
    x = net.layernorm(x, "norm")
    if arch.pool == "mean":
        x = net.op("mean", "mean", (x,), 1, arch.dim)
    else:
        x = net.op("slice", "head.rows", (x,), 1, arch.dim, axis=0, start=0, stop=1)
    y = net.linear(x, arch.classes, "head")
    meta = {"shapes_only": True}
    return Graph("candidate", "float", (IMAGE,), (y,), tuple(net.ops), net.values, meta)


def _tokens(net: _Net) -> str:
    """Stem, class token, positions."""
    arch, x = net.arch, IMAGE
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
    table = net.const("position", arch.tokens, dim)
    return net.op("add", "embedded", (x, table), arch.tokens, dim)


def _block(net: _Net, x: str, i: int) -> str:
    arch, rank, at = net.arch, net.arch.ranks(i), block(i)
    rows, dim = arch.tokens, arch.dim
    a = _attention(net, net.layernorm(x, f"{at}.norm1"), f"{at}.attn", rank.qkv)
    a = net.linear(a, dim, f"{at}.attn.proj", rank.proj)
    x = net.op("add", f"{at}.add", (x, a), rows, dim)
    h = net.linear(net.layernorm(x, f"{at}.norm2"), arch.hidden[i], f"{at}.fc1", rank.fc1)
    h = net.op("unary", f"{at}.gelu", (h,), rows, arch.hidden[i], fn="gelu")
    h = net.linear(h, dim, f"{at}.fc2", rank.fc2)
    return net.op("add", f"{at}.add.1", (x, h), rows, dim)


def _attention(net: _Net, x: str, at: str, rank: int) -> str:
    """One layer makes q, k and v, as channels next to each other."""
    arch = net.arch
    rows, inner = arch.tokens, arch.inner
    made = net.linear(x, 3 * inner, f"{at}.qkv", rank)
    operands = [
        net.op(
            "slice", f"{at}.{part}.channels", (made,), rows, inner,
            axis=1, start=j * inner, stop=(j + 1) * inner,
        )
        for j, part in enumerate("qkv")
    ]  # fmt: skip
    if arch.relative:
        operands.append(net.const(f"{at}.bias", arch.heads, rows, rows))
    scale = arch.head_dim**-0.5
    attrs = {"heads": arch.heads, "scale": scale}
    return net.op("attention", f"{at}.attention", tuple(operands), rows, inner, **attrs)
