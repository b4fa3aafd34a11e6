"""The integer graph of an Arch in outline: what frontend, passes and quant make of its export.

It has no numbers (schedule/outline.py), so a graph of ten million weights costs no memory.
tests/search/test_figures.py holds it equal to the outline of what the lowering makes of random
networks, operation by operation, and its figures equal to `mcuformer analyze`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.placeholders import placeholder
from mcuformer.ir.types import TensorType
from mcuformer.schedule.outline import STAGE, nominal
from mcuformer.search.arch import Arch


@dataclass(slots=True)
class _Net:
    """`b` collects; `wide` names values of a single row, which quant keeps in int16."""

    arch: Arch
    b: Builder = field(default_factory=lambda: Builder("candidate", STAGE))

    def const(self, name: str, dtype: str, *shape: int) -> str:
        return self.b.add_value(name, TensorType(shape, dtype), placeholder(dtype, shape))

    def op(
        self,
        kind: str,
        name: str,
        inputs: Sequence[str | None],
        out: TensorType,
        attrs: dict[str, Any],
    ) -> str:
        y = self.b.add_value(name, out)
        self.b.ops.append(nominal(Op(kind, name, tuple(inputs), (y,), attrs), self.type))
        return y

    def type(self, name: str) -> TensorType:
        return self.b.values[name].type

    def shape(self, x: str) -> tuple[int, ...]:
        return self.b.values[x].type.shape

    def numbers(self, name: str, n: int, k: int) -> list[str | None]:
        """Weights, bias, mult, offset."""
        return [
            self.const(f"{name}.w", "int8", n, k),
            *(self.const(f"{name}.{part}", "int32", n) for part in ("bias", "mult", "offset")),
        ]

    def linear(
        self,
        x: str,
        n: int,
        name: str,
        *,
        res: str | None = None,
        table: bool = False,
        wide: bool | None = None,
    ) -> str:
        """`wide`: int16 output; by default where there is one row, which costs next to nothing."""
        rows, k = self.shape(x)
        wide = rows == 1 if wide is None else wide
        inputs = [x, *self.numbers(name, n, k), res, None, None]
        attrs: dict[str, Any] = {}
        if res is not None:
            inputs[6] = self.const(f"{name}.rmult", "int32", n)
        if table:
            attrs["table_bits"] = 12 if wide else 11
            size, dtype = 1 << attrs["table_bits"], "int16" if wide else "int8"
            inputs[7] = self.const(f"{name}.table", dtype, size)
        return self.op("q_linear", name, inputs, _type(wide, rows, n), attrs)

    def layernorm(self, x: str, name: str) -> str:
        """Channels of int8 tokens have scales and zero points of their own."""
        rows, c = self.shape(x)
        own = self.b.values[x].type.dtype == "int8"
        per = [self.const(f"{name}.{p}", "int16", c) if own else None for p in ("a", "z")]
        out = _type(rows == 1, rows, c)
        attrs = {"groups": 1, "frac": 16}
        return self.op("q_layernorm", name, [x, *per, None, None], out, attrs)

    def first_row(self, x: str, name: str) -> str:
        t = self.b.values[x].type
        out = TensorType((1, t.shape[1]), t.dtype)
        return self.op("slice", name, [x], out, {"axis": 0, "start": 0, "stop": 1})


def _type(wide: bool, *shape: int) -> TensorType:
    return TensorType(shape, "int16" if wide else "int8")


def int_graph(arch: Arch) -> Graph:
    """uint8 pixels [H,W,C] -> int8 logits [1, classes]."""
    net = _Net(arch)
    net.b.add_value("image", TensorType(arch.image, "uint8"))
    x = _tokens(net, "image")
    for i in range(arch.depth):
        x = _block(net, x, i, last=i == arch.depth - 1 and arch.pool == "cls")
    x = net.layernorm(x, "norm")
    if arch.pool == "mean":
        parts = [net.const(f"mean.{p}", "int32", arch.dim) for p in ("bias", "mult", "offset")]
        x = net.op("q_mean", "mean", [x, *parts], _type(True, 1, arch.dim), {})
    y = net.linear(x, arch.classes, "head", wide=False)
    return net.b.done(["image"], [y], {})


def short_graph(arch: Arch) -> Graph:
    """`int_graph` with one block of each kind, in the order of their last ones: all that decides a
    placement (schedule/repeat.py). meta["times"] says how often each occurs (schedule/outline.py).
    """
    *body, last = arch.hidden  # whose rows are summed at once, or of which only one is asked for
    kinds = sorted(set(body), key=lambda h: -body[::-1].index(h))
    graph = int_graph(replace(arch, hidden=(*kinds, last)))
    times = {f"blocks.{i}": body.count(h) for i, h in enumerate(kinds)}
    return graph.replace(meta={"times": times})


def _tokens(net: _Net, x: str) -> str:
    """Stem, position embedding, class token."""
    arch = net.arch
    down, across = arch.grid
    places, e = down * across, arch.dim
    if arch.stem == "patch" and not any(arch.padding):
        x = _patch_embed(net, x, places)
    else:
        x = _padded(net, x) if arch.stem == "patch" else _convolutions(net, x)
        x = net.op("reshape", "tokens", [x], _type(False, places, e), {"shape": (places, e)})
    if arch.pool == "cls":
        inputs = [net.const("cls", "int8", 1, e), x]
        x = net.op("concat", "concat", inputs, _type(False, places + 1, e), {"axis": 0})
    return x


def _patch_embed(net: _Net, x: str, places: int) -> str:
    arch, p = net.arch, net.arch.patch
    res = net.const("stem.res", "int16", places, arch.dim)
    inputs = [
        x,
        *net.numbers("stem", arch.dim, p * p * arch.image[2]),
        res,
        net.const("stem.rmult", "int32", arch.dim),
        None,
    ]
    attrs = {"kernel": (p, p), "strides": (p, p)}
    return net.op("q_patch_embed", "stem", inputs, _type(False, places, arch.dim), attrs)


def _padded(net: _Net, x: str) -> str:
    """Patches that the image does not fill are a convolution with padding."""
    p, (below, right) = net.arch.patch, net.arch.padding
    return _conv(net, x, "stem", net.arch.dim, p, p, (0, 0, below, right), position=True)


def _convolutions(net: _Net, x: str) -> str:
    chain = net.arch.convolutions
    for i, (width, stride) in enumerate(chain):
        last = i == len(chain) - 1
        x = _conv(net, x, f"stem.conv{i}", width, 3, stride, (1, 1, 1, 1), position=last)
    return x


def _conv(
    net: _Net,
    x: str,
    name: str,
    n: int,
    kernel: int,
    stride: int,
    pads: tuple[int, int, int, int],
    position: bool,
) -> str:
    """`position`: the table of positions is added before the result is rounded."""
    h, w, c = net.shape(x)
    top, left, bottom, right = pads
    out = ((h + top + bottom - kernel) // stride + 1, (w + left + right - kernel) // stride + 1, n)
    attrs = {
        "kernel": (kernel, kernel),
        "strides": (stride, stride),
        "pads": pads,
    }
    inputs = [x, *net.numbers(name, n, kernel * kernel * c), None, None, None]
    if position:
        inputs[5] = net.const(f"{name}.res", "int16", *out)
        inputs[6] = net.const(f"{name}.rmult", "int32", n)
    return net.op("q_conv2d", name, inputs, _type(False, *out), attrs)


def _block(net: _Net, x: str, i: int, last: bool) -> str:
    """`last`: of the last block only the class token's row is read."""
    arch, rank, at = net.arch, net.arch.ranks(i), f"blocks.{i}"
    n = net.layernorm(x, f"{at}.norm1")
    stream = x
    if rank.qkv:
        source = net.linear(n, rank.qkv, f"{at}.attn.qkv.down")
        asked = net.first_row(source, f"{at}.attn.rows") if last else source
    else:
        source = asked = n
        if last:
            stream = net.first_row(x, f"{at}.rows")
            asked = net.layernorm(stream, f"{at}.norm1.rows")
    q, k, v = (
        net.linear(s, arch.inner, f"{at}.attn.{part}", wide=False)
        for s, part in ((asked, "q"), (source, "k"), (source, "v"))
    )
    rows = net.shape(q)[0]
    bias = None
    if arch.relative:
        bias = net.const(f"{at}.attn.bias", "int16", arch.heads, rows, arch.tokens)
    attrs = {"heads": arch.heads, "pre_shift": 0}
    a = net.op(
        "q_attention",
        f"{at}.attn.attention",
        [q, k, v, bias],
        _type(False, rows, arch.inner),
        attrs,
    )
    if rank.proj:
        a = net.linear(a, rank.proj, f"{at}.attn.proj.down")
    if last and stream == x:
        stream = net.first_row(x, f"{at}.rows")
    x = net.linear(a, arch.dim, f"{at}.attn.proj", res=stream)
    h = net.layernorm(x, f"{at}.norm2")
    if rank.fc1:
        h = net.linear(h, rank.fc1, f"{at}.fc1.down")
    h = net.linear(h, arch.hidden[i], f"{at}.fc1", table=True)
    if rank.fc2:
        h = net.linear(h, rank.fc2, f"{at}.fc2.down")
    return net.linear(h, arch.dim, f"{at}.fc2", res=x)
