"""The float graph of an Arch without numbers: what the frontend makes of its export (search/net.py).

It goes through the passes, the rewrites and the lowering of every model: what becomes of an attention,
a residual sum or a class token is decided there, and nowhere here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mcuformer.ir.graph import Graph
from mcuformer.search.arch import Arch
from mcuformer.search.builder import HEAD, STEM, FloatBuilder


class HalfBlock(NamedTuple):
    """Half a block: the attention or the MLP of a width, and the residual sum behind it."""

    name: str  # the origin of its operations
    hidden: int = 0  # 0: the attention


def parts(arch: Arch) -> list[HalfBlock]:
    """Of all blocks in order."""
    return [part for i, hidden in enumerate(arch.hidden) for part in halves(f"blocks.{i}", hidden)]


def halves(name: str, hidden: int) -> tuple[HalfBlock, HalfBlock]:
    return HalfBlock(f"{name}.attn"), HalfBlock(f"{name}.mlp", hidden)


def float_graph(arch: Arch, body: Sequence[HalfBlock]) -> Graph:
    """The image [H,W,C] -> logits [1, classes], at the stage before the canonical passes."""
    net = FloatBuilder(arch)
    net.origin = (STEM,)
    x = _tokens(net, arch)
    for part in body:
        net.origin = (part.name,)
        made = _mlp(net, arch, x, part) if part.hidden else _attention(net, arch, x, part.name)
        x = net.op("add", f"{part.name}.add", (x, made), arch.tokens, arch.dim)
    net.origin = (HEAD,)
    x = net.layernorm(x, "norm")
    if arch.pool == "mean" and arch.tokens > 1:
        x = net.op("mean", "mean", (x,), 1, arch.dim)
    elif arch.pool == "cls":
        x = net.op("slice", "head.rows", (x,), 1, arch.dim, axis=0, start=0, stop=1)
    y = net.linear(x, arch.classes, "head")
    return net.done(y)


def _tokens(net: FloatBuilder, arch: Arch) -> str:
    """Stem, class token, positions."""
    x = net.stem()
    down, across, dim = net.shape(x)
    x = net.reshape(x, "tokens", down * across, dim)
    if arch.pool == "cls":
        x = net.op("concat", "concat", (net.const("cls", 1, dim), x), arch.tokens, dim, axis=0)
    shape = (arch.tokens, dim) if arch.tokens > 1 else (dim,)  # one row is a number per channel
    table = net.const("position", *shape)
    return net.op("add", "embedded", (x, table), arch.tokens, dim)


def _mlp(net: FloatBuilder, arch: Arch, x: str, part: HalfBlock) -> str:
    at, hidden = part.name, part.hidden
    rank = arch.ranks_of(hidden)
    h = net.linear(net.layernorm(x, f"{at}.norm"), hidden, f"{at}.fc1", rank.fc1)
    h = net.unary(h, "gelu", f"{at}.gelu")
    return net.linear(h, arch.dim, f"{at}.fc2", rank.fc2)


def _attention(net: FloatBuilder, arch: Arch, x: str, at: str) -> str:
    """q, k and v are layers of their own, which share the first factor of a low rank."""
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
