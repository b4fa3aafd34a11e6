"""Random hierarchical networks of blocks that run in strips of lines: convolutions and layers between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st
from util_models import Net, VitConfig, images

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.passes import run_float_passes


@dataclass(frozen=True)
class Blocks:
    """`kinds`: of `KINDS`, in order; `width`: channels before the first."""

    size: tuple[int, int]
    kinds: tuple[str, ...]
    width: int = 6
    seed: int = 0


def shape(net: Net, x: str) -> tuple[int, ...]:
    return net.b.values[x].type.shape


def tokens(net: Net, x: str, name: str) -> str:
    h, w, c = shape(net, x)
    return net.emit("reshape", f"{name}.rows", [x], (h * w, c))


def image(net: Net, x: str, size: tuple[int, ...], name: str) -> str:
    return net.emit("reshape", f"{name}.image", [x], (*size[:2], net.width(x)))


def pointwise(net: Net, x: str, n: int, name: str) -> str:
    """A layer over every pixel."""
    return image(net, net.linear(tokens(net, x, name), n, name), shape(net, x), name)


def inverted(net: Net, x: str, name: str, stride: int = 1) -> str:
    """Wide, depthwise, narrow; the residual where nothing shrinks."""
    c = net.width(x)
    y = net.unary(pointwise(net, x, 4 * c, f"{name}.expand"), "relu", f"{name}.act1")
    y = net.unary(net.conv(y, 4 * c, f"{name}.dw", 3, stride, 1, 4 * c), "relu", f"{name}.act2")
    y = pointwise(net, y, c if stride == 1 else c + 2, f"{name}.project")
    return net.add(x, y, f"{name}.add") if stride == 1 else y


def inverted_down(net: Net, x: str, name: str) -> str:
    return inverted(net, x, name, 2)


def bottleneck(net: Net, x: str, name: str) -> str:
    """1x1, 3x3, 1x1, and a convolution around them."""
    c = net.width(x)
    y = net.unary(pointwise(net, x, 3, f"{name}.in"), "relu", f"{name}.act1")
    y = net.unary(net.conv(y, 3, f"{name}.mid", 3, 1, 1), "relu", f"{name}.act2")
    y = pointwise(net, y, 2 * c, f"{name}.out")
    y = net.add(pointwise(net, x, 2 * c, f"{name}.shortcut"), y, f"{name}.add")
    return net.conv(net.unary(y, "relu", f"{name}.act3"), c, f"{name}.down", 3, 1, 1)


def peg(net: Net, x: str, name: str) -> str:
    """x and a depthwise convolution of it."""
    c = net.width(x)
    return net.add(x, net.conv(x, c, f"{name}.dw", 3, 1, 1, c), f"{name}.add")


def ffn(net: Net, x: str, name: str) -> str:
    """LayerNorm, layer, depthwise convolution, GELU, layer, residual."""
    c, rows = net.width(x), tokens(net, x, name)
    y = net.linear(net.layernorm(rows, f"{name}.norm"), 4 * c, f"{name}.fc1")
    y = image(net, y, shape(net, x), f"{name}.mid")
    y = net.conv(y, 4 * c, f"{name}.dw", 3, 1, 1, 4 * c)
    y = net.unary(tokens(net, y, f"{name}.dw"), "gelu", f"{name}.act")
    y = net.add(rows, net.linear(y, c, f"{name}.fc2"), f"{name}.add")
    return image(net, y, shape(net, x), name)


def embed(net: Net, x: str, name: str) -> str:
    """Overlapping patches and a LayerNorm."""
    y = net.conv(x, net.width(x) + 3, f"{name}.proj", 5, 2, 2)
    return image(net, net.layernorm(tokens(net, y, name), f"{name}.norm"), shape(net, y), name)


def gated(net: Net, x: str, name: str) -> str:
    """One branch convolves, the other one gates."""
    c, rows = net.width(x), tokens(net, x, name)
    a = net.conv(x, c, f"{name}.dw", 5, 1, 2, c)
    b = net.unary(net.linear(rows, c, f"{name}.gate"), "sigmoid", f"{name}.act")
    y = net.emit("mul", f"{name}.mul", [tokens(net, a, f"{name}.a"), b], shape(net, b))
    return image(net, net.linear(y, c, f"{name}.out"), shape(net, x), name)


def fused(net: Net, x: str, name: str) -> str:
    """What a branch makes beside what it is made of, convolved together."""
    c, rows = net.width(x), tokens(net, x, name)
    y = image(net, net.linear(rows, c + 1, f"{name}.in"), shape(net, x), f"{name}.in")
    y = tokens(net, net.conv(y, c + 1, f"{name}.mid", 3, 1, 1), f"{name}.mid")
    y = net.emit("concat", f"{name}.join", [rows, y], (net.rows(y), 2 * c + 1), axis=1)
    return net.conv(image(net, y, shape(net, x), f"{name}.join"), c, f"{name}.out", 3, 1, 1)


KINDS: dict[str, Callable[[Net, str, str], str]] = {
    "inverted": inverted, "inverted_down": inverted_down, "bottleneck": bottleneck, "peg": peg,
    "ffn": ffn, "embed": embed, "gated": gated, "fused": fused,
}  # fmt: skip


def blocks_model(blocks: Blocks) -> Graph:
    """A convolution, the blocks, another convolution, mean and head."""
    net = Net("blocks", blocks.seed)
    net.image("image", *blocks.size, 3)
    x = net.unary(net.conv("image", blocks.width, "stem", 3, 2, 1), "relu", "stem.act")
    for i, kind in enumerate(blocks.kinds):
        x = KINDS[kind](net, x, f"blocks.{i}.{kind}")
    rows = tokens(net, net.conv(x, 5, "last", 3, 1, 1), "last")
    y = net.linear(net.emit("mean", "pool", [rows], (1, net.width(rows))), 4, "head")
    meta = {
        "input_layouts": ("NCHW",),
        "input_shapes": ((1, 3, *blocks.size),),
        "output_shapes": ((1, *shape(net, y)),),
    }
    return run_float_passes(net.b.done(["image"], [y], meta))


def lowered_blocks(blocks: Blocks, activations: str = "8") -> Graph:
    graph = blocks_model(blocks)
    stats = quant.calibrate(graph, images(VitConfig(image=blocks.size), 3))
    return quant.lower(graph, stats, activations)  # type: ignore[arg-type]


@st.composite
def drawn_blocks(draw: st.DrawFn, largest: int = 40) -> Blocks:
    size = (draw(st.integers(9, largest)), draw(st.integers(9, largest)))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    return Blocks(size, tuple(kinds), draw(st.integers(3, 8)), draw(st.integers(0, 99)))
