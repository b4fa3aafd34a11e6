"""Tokens of an image whose keys are sub-sampled, which are merged then: Twins, PVT, ConvNeXt, Swin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from util_models import Net, VitConfig, mlp

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.memory.model import Arena
from mcuformer.memory.placement import plan
from mcuformer.plan.assemble import assemble
from mcuformer.plan.fit import Schedule, curve
from mcuformer.price.book import CostBook
from mcuformer.schedule.regions import Choice

SRAM = (Arena("sram", 0x20000000, 300_000),)


@dataclass(frozen=True)
class Stage:
    """`keys`: side of the patches that K and V are made of, 0: no attention. `merge`: side of those
    of the last layer, 0: none. `form`: its result is "tokens", an "image", or "quads": four strided
    slices side by side, as Swin has them. `norm`: whether one stands in front of it. `kept`: what was
    merged is read again at the end."""

    size: tuple[int, int]
    width: int = 8
    keys: int = 4
    merge: int = 2
    form: str = "tokens"
    norm: bool = True
    out: int = 12
    seed: int = 0
    kept: bool = False


def stage_model(stage: Stage) -> Graph:
    """A residual stream, sub-sampled attention, merging, a convolution or FFN behind it; mean; head."""
    net = Net("stage", stage.seed)
    rows, config = stage.size[0] * stage.size[1], VitConfig(width=stage.width, hidden=20)
    net.tokens("tokens", rows, stage.width)
    x = net.add("tokens", mlp(net, "tokens", config, "first"), "stream")
    if stage.keys:
        x = net.add(x, _sub_sampled(net, x, stage), "attended")
        x = net.add(x, mlp(net, net.layernorm(x, "norm2"), config, "mlp"), "fed")
    before = x
    if stage.merge:
        x = _merged(net, x, stage)
    config = VitConfig(width=net.width(x), hidden=20)
    x = net.add(x, mlp(net, net.layernorm(x, "norm3"), config, "last"), "end")
    y = net.linear(net.emit("mean", "pool", [x], (1, net.width(x))), 5, "head")
    if stage.kept:
        other = net.emit("mean", "other", [before], (1, stage.width))
        y = net.add(y, net.linear(other, 5, "aux"), "both")
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, rows, stage.width),),
        "output_shapes": ((1, 5),),
    }
    return net.b.done(["tokens"], [y], meta)


def patches(net: Net, x: str, size: tuple[int, int], side: int, n: int, name: str) -> str:
    """A convolution of non-overlapping windows of tokens, as an image."""
    image = net.emit("reshape", f"{name}.image", [x], (*size, net.width(x)))
    return net.conv(image, n, name, side, side, 0)


def as_rows(net: Net, x: str, name: str) -> str:
    h, w, c = net.b.values[x].type.shape
    return net.emit("reshape", name, [x], (h * w, c))


def _sub_sampled(net: Net, x: str, stage: Stage) -> str:
    n = net.layernorm(x, "norm1")
    few = as_rows(net, patches(net, n, stage.size, stage.keys, stage.width, "sr"), "sr.rows")
    few = net.layernorm(few, "sr.norm")
    q, k, v = (net.linear(t, stage.width, c) for t, c in ((n, "q"), (few, "k"), (few, "v")))
    attrs = {"heads": 2, "scale": (stage.width // 2) ** -0.5}
    o = net.emit("attention", "sdpa", [q, k, v], (net.rows(x), stage.width), **attrs)
    return net.linear(o, stage.width, "proj")


def _merged(net: Net, x: str, stage: Stage) -> str:
    if stage.form == "quads":
        return _quads(net, x, stage)
    x = net.layernorm(x, "merge.norm") if stage.norm else x
    y = patches(net, x, stage.size, stage.merge, stage.out, "merge")
    if stage.form == "image":
        y = net.add(y, net.conv(y, stage.out, "peg", 3, 1, 1, stage.out), "positions")
    return as_rows(net, y, "merged")


def _quads(net: Net, x: str, stage: Stage) -> str:
    """[H*W, C] -> the rows of each quad side by side -> norm -> linear without bias."""
    h, w = stage.size
    order = np.arange(h * w).reshape(h // 2, 2, w // 2, 2).transpose(0, 2, 3, 1).reshape(-1)
    rows = net.emit("gather", "quads", [x], (h * w, stage.width), indices=tuple(order.tolist()))
    wide = net.emit("reshape", "quads.rows", [rows], (h * w // 4, 4 * stage.width))
    return net.linear(net.layernorm(wide, "merge.norm"), stage.out, "merge", bias=False)


def lowered(stage: Stage, activations: str = "8") -> Graph:
    graph = stage_model(stage)
    shape = graph.meta["input_shapes"][0]
    samples = np.random.default_rng(3).normal(size=(4, *shape)).astype(np.float32)
    return quant.lower(graph, quant.calibrate(graph, samples), activations)  # type: ignore[arg-type]


def run_as(graph: Graph, chosen: Mapping[str, Choice], regions: Sequence[Arena] = SRAM) -> Schedule:
    """The smallest schedule (K and V kept where it would absorb weights), but the regions of these
    names run so."""
    trade = curve(graph, "resident", CostBook())
    point = trade.points[-1]
    usual = [replace(c, schedule="kv") if "absorbed" in c.schedule else c for c in point.choices]
    pairs = zip(trade.exact.regions, usual, strict=True)
    choices = [chosen.get(region.name, choice) for region, choice in pairs]
    program = assemble(trade.skeleton(())[1], choices, trade.book)[0]
    return Schedule(graph, program, plan(program, regions), point, trade.points)
