"""Random stems of convolutions before tokens, and their schedules in strips of a given height."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from util_models import Net, VitConfig, block, images

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.memory.model import Arena
from mcuformer.memory.placement import ANYWHERE, plan
from mcuformer.passes import run_float_passes
from mcuformer.plan.assemble import assemble
from mcuformer.plan.fit import Schedule, curve
from mcuformer.price.book import CostBook
from mcuformer.schedule.ways.conv import schedules_of


@dataclass(frozen=True)
class Layer:
    width: int  # 0: depthwise
    kernel: int
    stride: int
    pad: int
    relu: bool = True
    pool: bool = False  # the largest of every window; no width, no weights


@dataclass(frozen=True)
class Stem:
    size: tuple[int, int]
    layers: tuple[Layer, ...]
    position: bool = True
    blocks: int = 0
    seed: int = 0
    heads: int = 1
    ratio: int = 2  # of the MLPs
    shortcut: bool = False  # two more convolutions with a residual around them


def stem_model(stem: Stem) -> Graph:
    """Convolutions, tokens, a position table, perhaps a transformer block, mean and head."""
    net = Net("stem", stem.seed)
    net.image("image", *stem.size, 3)
    x = "image"
    for i, layer in enumerate(stem.layers):
        if layer.pool:
            x = _pool(net, x, layer, f"pool.{i}")
            continue
        n = layer.width or net.b.values[x].type.shape[-1]
        group = 1 if layer.width else n
        x = net.conv(x, n, f"stem.{i}", layer.kernel, layer.stride, layer.pad, group)
        if layer.relu:
            x = net.unary(x, "relu", f"stem.{i}.act")
    if stem.shortcut:
        n = net.b.values[x].type.shape[-1]
        y = net.unary(net.conv(x, n + 1, "inner.0", 3, 1, 1), "relu", "inner.0.act")
        x = net.add(x, net.conv(y, n, "inner.1", 3, 1, 1), "shortcut")
    h, w, c = net.b.values[x].type.shape
    x = net.emit("reshape", "tokens", [x], (h * w, c))
    if stem.position:
        x = net.add(x, net.weights("pos_embed", h * w, c, scale=0.3), "pos")
    config = VitConfig(width=c, heads=stem.heads, hidden=stem.ratio * c)
    for i in range(stem.blocks):
        x = block(net, x, config, f"blocks.{i}")
    y = net.linear(net.emit("mean", "pool", [x], (1, c)), 4, "head")
    meta = {
        "input_layouts": ("NCHW",),
        "input_shapes": ((1, 3, *stem.size),),
        "output_shapes": ((1, *net.b.values[y].type.shape),),
    }
    return run_float_passes(net.b.done(["image"], [y], meta))


def _pool(net: Net, x: str, layer: Layer, name: str) -> str:
    """Padded at the end a little more than at the start, where there is room."""
    h, w, c = net.b.values[x].type.shape
    more = min(layer.pad + 1, layer.kernel - 1)
    pads = (layer.pad, layer.pad, more, layer.pad)
    size = [
        (n + pads[a] + pads[a + 2] - layer.kernel) // layer.stride + 1 for a, n in ((0, h), (1, w))
    ]
    window = {"kernel": (layer.kernel,) * 2, "strides": (layer.stride,) * 2, "pads": pads}
    return net.emit("maxpool", name, [x], (size[0], size[1], c), **window)


def lowered(stem: Stem, activations: str = "8") -> Graph:
    graph = stem_model(stem)
    stats = quant.calibrate(graph, images(VitConfig(image=stem.size), 3))
    return quant.lower(graph, stats, activations)  # type: ignore[arg-type]


@st.composite
def stems(draw: st.DrawFn, largest: int = 40) -> Stem:
    """One to four convolutions or pools, kernels 1 to 5, that leave at least one line and column."""
    size = (draw(st.integers(7, largest)), draw(st.integers(7, largest)))
    layers: list[Layer] = []
    left = size
    for _ in range(draw(st.integers(1, 4))):
        kernel = draw(st.sampled_from((1, 2, 3, 3, 3, 4, 5)))
        pad = draw(st.integers(0, min(2, kernel - 1)))
        stride = draw(st.sampled_from((1, 2, 2, 3)))
        width = draw(st.sampled_from((0, 3, 4, 5, 8, 9, 12))) if layers else draw(st.integers(2, 9))
        after = tuple((n + 2 * pad - kernel) // stride + 1 for n in left)
        if min(n + 2 * pad - kernel for n in left) < 0 or min(after) < 1:
            break
        pool = draw(st.sampled_from((False, False, True)))
        left = (after[0], after[1])  # a pool's padding may leave a line more
        layers.append(Layer(width, kernel, stride, pad, draw(st.booleans()), pool))
    layers = layers or [Layer(4, 3, 2, 1)]
    return Stem(size, tuple(layers), draw(st.booleans()), draw(st.integers(0, 1)),
                draw(st.integers(0, 99)))  # fmt: skip


def in_strips(
    graph: Graph, mode: str, lines: int, budget: int, regions: Sequence[Arena] = ANYWHERE
) -> Schedule:
    """The model's smallest schedule (K and V kept where it would absorb weights), but the stem in strips
    of `lines` lines and its kernels' scratch within `budget`."""
    trade = curve(graph, mode, CostBook())
    point = trade.points[-1]
    choices = [replace(c, schedule="kv") if "absorbed" in c.schedule else c for c in point.choices]
    for i, region in enumerate(trade.exact.regions):
        if region.in_lines:
            ways = schedules_of(region)
            schedule = ways[min(len(ways) - 1, lines % 2)]  # of odd heights the other one
            choices[i] = replace(choices[i], schedule=schedule, lines=lines, budget=budget)
    program = assemble(trade.skeleton(())[1], choices, trade.book)[0]
    return Schedule(graph, program, plan(program, regions), point, trade.points)


MODES = st.sampled_from(("bands", "resident", "flash"))
LINES = st.sampled_from((1, 1, 2, 3, 5, 1000))
BUDGETS = st.sampled_from((0, 600, 2000, 65536))
