"""Depthwise layers over their image, and rows that widen in place: squeeze-and-excite keeps both whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import follow, scheduled
from util_models import Net, VitConfig, images
from util_strips import Blocks, image, lowered_blocks, pointwise, tokens

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.passes import run_float_passes
from mcuformer.schedule.build import Skeleton, skeleton
from mcuformer.schedule.ways.over_image import lies_over_image

SIZE = (12, 10)


def squeezed(net: Net, x: str, name: str) -> str:
    """x times a gate that is made of its mean."""
    c, rows = net.width(x), tokens(net, x, f"{name}.x")
    mean = net.emit("mean", f"{name}.mean", [rows], (1, c))
    gate = net.unary(net.linear(mean, c, name), "sigmoid", f"{name}.gate")
    return image(net, net.emit("mul", f"{name}.mul", [rows, gate], (net.rows(rows), c)), SIZE, name)


def gated_network(width: int, stride: int, kernel: int, deep: bool = False) -> Graph:
    """Narrow, wide, depthwise over few lines of which a kernel reads most; a gate on either side."""
    net = Net("squeeze", 3)
    net.image("image", *SIZE, 3)
    x = net.unary(net.conv("image", width, "stem", 3, 1, 1), "relu", "stem.act")
    x = squeezed(net, x, "first")
    x = net.unary(pointwise(net, x, 2 * width, "expand"), "relu", "expand.act")
    x = squeezed(net, x, "second") if stride > 1 else x  # which keeps the wide image whole
    x = net.conv(x, 2 * width, "dw", kernel, stride, kernel // 2, 2 * width)
    x = net.unary(x, "hardswish", "dw.act")
    if deep:  # a layer by itself that reads its rows for every panel of weights
        x = net.unary(pointwise(net, x, 2 * width, "mix"), "relu", "mix.act")
        x = net.conv(x, 2 * width, "dw2", kernel, 1, kernel // 2, 2 * width)
    x = net.emit("mean", "pool", [tokens(net, x, "pooled")], (1, 2 * width))
    y = net.linear(x, 4, "head")
    meta = {
        "input_layouts": ("NCHW",),
        "input_shapes": ((1, 3, *SIZE),),
        "output_shapes": ((1, 1, 4),),
    }
    return run_float_passes(net.b.done(["image"], [y], meta))


def lowered(
    width: int, stride: int, kernel: int = 5, activations: str = "8", deep: bool = False
) -> Graph:
    graph = gated_network(width, stride, kernel, deep)
    stats = quant.calibrate(graph, images(VitConfig(image=SIZE), 3))
    return quant.lower(graph, stats, activations)  # type: ignore[arg-type]


def over(fr: Skeleton) -> Iterator[str]:
    """Depthwise layers that lie over their image."""
    return (r.name for r in fr.regions if r.in_lines and lies_over_image(fr.emitter, r))


def widened(fr: Skeleton) -> Iterator[str]:
    """Regions whose target's rows are wider than those of an input that lies there."""
    where = fr.emitter.where
    for region in fr.regions:
        read = [where[str(n)] for op in region.ops for n in op.inputs if n in where]
        at = where.get(region.target)
        if at is not None and any(x.buffer == at.buffer and x.stride < at.stride for x in read):
            yield region.name


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("width", "activations"), [(64, "8"), (63, "8"), (32, "16")])
def test_the_same_bits(tmp_path: Path, width: int, activations: str, stride: int) -> None:
    """Channels in fours and not, bytes and 16 bits, a result of as many pixels and of fewer."""
    graph = lowered(width, stride, activations=activations)
    fr = skeleton(graph, "bands")
    assert list(over(fr))
    assert list(widened(fr))
    follow(scheduled(graph, "bands", "ram"), tmp_path, ("host", "unicorn"))


@pytest.mark.parametrize("goal", ["balanced", "speed"])
def test_every_goal(tmp_path: Path, goal: str) -> None:
    follow(scheduled(lowered(64, 1), "resident", goal), tmp_path, ("host", "unicorn"))


def test_no_image_is_whole_twice() -> None:
    """The wide image and four channels of it, and not the narrow one or a second wide one beside it."""
    graph = lowered(64, 1)
    wide = SIZE[0] * SIZE[1] * 128
    made = scheduled(graph, "bands", "ram")
    assert wide < made.plan.arena_bytes < 1.25 * wide


@pytest.mark.parametrize("goal", ["ram", "speed"])
def test_a_layer_over_rows_that_are_copied(tmp_path: Path, goal: str) -> None:
    graph = lowered(64, 1, deep=True)
    fr = skeleton(graph, "bands")
    assert [r.name for r in fr.regions if r.over and not r.in_lines] == ["mix"]
    made = scheduled(graph, "bands", goal)
    assert goal == "speed" or made.plan.arena_bytes < 1.25 * SIZE[0] * SIZE[1] * 128
    follow(made, tmp_path, ("host", "unicorn"))


def test_strips_where_they_are_smaller() -> None:
    """Without gates no wide image is whole."""
    blocks = Blocks((20, 18), ("inverted", "inverted_down", "inverted"))
    fr = skeleton(lowered_blocks(blocks), "bands")
    assert not list(over(fr))
