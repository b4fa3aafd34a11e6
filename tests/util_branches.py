"""Random networks of parallel branches that are fused again and again (HRFormer, HRNet)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from util_models import Net, VitConfig, images

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.passes import run_float_passes


@dataclass(frozen=True)
class Branches:
    """`count` branches of width * 2^i channels at 1/2^i; `modules`: blocks of every branch in each,
    before all branches are added to all."""

    count: int
    modules: tuple[int, ...]
    size: tuple[int, int] = (32, 32)
    width: int = 4
    seed: int = 0
    linear: bool = False  # up-sampled between pixels, not by the nearest one


def shape(net: Net, x: str) -> tuple[int, ...]:
    return net.b.values[x].type.shape


def pointwise(net: Net, x: str, n: int, name: str) -> str:
    """A layer over every pixel."""
    h, w, c = shape(net, x)
    rows = net.emit("reshape", f"{name}.rows", [x], (h * w, c))
    return net.emit("reshape", f"{name}.image", [net.linear(rows, n, name)], (h, w, n))


def block(net: Net, x: str, name: str) -> str:
    """Wide, depthwise, narrow, residual."""
    c = net.width(x)
    y = net.unary(pointwise(net, x, 3 * c, f"{name}.in"), "gelu", f"{name}.act")
    y = net.conv(y, 3 * c, f"{name}.dw", 3, 1, 1, 3 * c)
    return net.add(x, pointwise(net, y, c, f"{name}.out"), f"{name}.add")


def up(net: Net, x: str, size: tuple[int, ...], name: str, linear: bool) -> str:
    """By a whole factor, to the nearest pixel as the importer writes it, or between pixels."""
    h, w, c = shape(net, x)
    factor = size[0] // h
    if not linear:
        index = np.arange(h * w).reshape(h, w).repeat(factor, 0).repeat(factor, 1).ravel()
        rows = net.emit("reshape", f"{name}.rows", [x], (h * w, c))
        attrs = {"indices": tuple(int(i) for i in index)}
        rows = net.emit("gather", f"{name}.near", [rows], (len(index), c), **attrs)
        return net.emit("reshape", f"{name}.up", [rows], (*size, c))
    tables: list[str | None] = []
    starts = {}
    for key, n in (("rows", h), ("columns", w)):
        at = (np.arange(n * factor) + 0.5) / factor - 0.5
        low = np.floor(at)
        starts[key] = tuple(int(i) for i in low)
        tables.append(net.b.const(f"{name}.{key}", np.stack([1 - at + low, at - low], 1)))
    return net.emit("resize", f"{name}.up", [x, *tables], (*size, c), **starts)


def fused(net: Net, xs: list[str], i: int, name: str, linear: bool) -> str:
    """All branches at the size of branch i."""
    total = None
    for j, x in enumerate(xs):
        term = f"{name}.{j}to{i}"
        if j > i:
            size = shape(net, xs[i])[:2]
            x = up(net, pointwise(net, x, net.width(xs[i]), term), size, term, linear)
        for step in range(i - j):
            c = net.width(x)
            x = net.conv(x, c, f"{term}.{step}", 3, 2, 1, c)
            last = step == i - j - 1
            x = pointwise(net, x, net.width(xs[i]) if last else c, f"{term}.{step}.mix")
            x = x if last else net.unary(x, "relu", f"{term}.{step}.act")
        total = x if total is None else net.add(total, x, f"{term}.add")
    assert total is not None
    return net.unary(total, "relu", f"{name}.{i}.relu")


def branches_model(drawn: Branches) -> Graph:
    net = Net("branches", drawn.seed)
    net.image("image", *drawn.size, 3)
    xs = [net.unary(net.conv("image", drawn.width, "stem", 3, 2, 1), "relu", "stem.act")]
    for i in range(1, drawn.count):
        xs.append(net.conv(xs[-1], drawn.width << i, f"entry.{i}", 3, 2, 1))
    for m, blocks in enumerate(drawn.modules):
        for i in range(drawn.count):
            for b in range(blocks):
                xs[i] = block(net, xs[i], f"module.{m}.branch.{i}.{b}")
        xs = [fused(net, xs, i, f"module.{m}", drawn.linear) for i in range(drawn.count)]
    parts = []
    for i, x in enumerate(xs):
        h, w, c = shape(net, x)
        rows = net.emit("reshape", f"head.{i}.rows", [x], (h * w, c))
        pooled = net.emit("mean", f"head.{i}.pool", [rows], (1, c))
        parts.append(net.linear(pooled, 4, f"head.{i}"))
    y = parts[0]
    for i, part in enumerate(parts[1:], 1):
        y = net.add(y, part, f"head.add.{i}")
    meta = {
        "input_layouts": ("NCHW",),
        "input_shapes": ((1, 3, *drawn.size),),
        "output_shapes": ((1, *shape(net, y)),),
    }
    return run_float_passes(net.b.done(["image"], [y], meta))


def lowered_branches(drawn: Branches, activations: str = "8") -> Graph:
    graph = branches_model(drawn)
    stats = quant.calibrate(graph, images(VitConfig(image=drawn.size), 3))
    return quant.lower(graph, stats, activations)  # type: ignore[arg-type]


@st.composite
def drawn_branches(draw: st.DrawFn) -> Branches:
    count = draw(st.integers(2, 4))
    unit = 2**count
    size = (unit * draw(st.integers(1, 3)), unit * draw(st.integers(1, 3)))
    modules = draw(st.lists(st.integers(0, 2), min_size=1, max_size=2))
    width, seed = draw(st.integers(2, 6)), draw(st.integers(0, 99))
    return Branches(count, tuple(modules), size, width, seed, draw(st.booleans()))
