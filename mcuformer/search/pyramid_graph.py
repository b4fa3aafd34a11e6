"""The float graph of a Pyramid without numbers: what the frontend makes of its export (search/pyramid_net.py)."""

from __future__ import annotations

from mcuformer.ir.graph import Graph
from mcuformer.passes import run_float_passes
from mcuformer.quant.lower import lower_shapes
from mcuformer.search.builder import HEAD, INPUT, STEM, FloatBuilder
from mcuformer.search.mixer_graphs import GRAPHS, bias_saved, merged
from mcuformer.search.mixers import GridSize, Mixer, WindowAttention
from mcuformer.search.pyramid import Pyramid, Stage


def pyramid_graph(arch: Pyramid) -> Graph:
    """The image [H,W,C] -> logits [1, classes], at the stage before the canonical passes."""
    net = FloatBuilder(arch)
    net.origin = (STEM,)
    x, grids = net.stem(), arch.grids
    x = net.layernorm(net.reshape(x, "tokens", grids[0][0] * grids[0][1], arch.width), "norm0")
    for i, (stage, grid) in enumerate(zip(arch.stages, grids, strict=True)):
        if i:
            net.origin = (f"stages.{i}",)
            x = merged(net, x, grids[i - 1], stage.dim, 2, f"stages.{i}.merge")
        for j, mixer in enumerate(stage.mixers):
            at = f"stages.{i}.blocks.{j}"
            net.origin = (at,)
            x = _block(net, x, stage, mixer, grid, at)
            if arch.conditional and j == 0:
                x = _position(net, x, grid, f"stages.{i}.position")
    net.origin = (HEAD,)
    x = net.layernorm(x, "norm")
    rows, dim = net.shape(x)
    x = net.op("mean", "mean", (x,), 1, dim) if rows > 1 else x
    return net.done(net.linear(x, arch.classes, "head"))


def _block(net: FloatBuilder, x: str, stage: Stage, mixer: Mixer, grid: GridSize, at: str) -> str:
    normed = net.layernorm(x, f"{at}.norm1")
    x = net.add(x, GRAPHS[type(mixer)](net, normed, mixer, grid, f"{at}.mixer"), f"{at}.add1")
    h = net.linear(net.layernorm(x, f"{at}.norm2"), stage.hidden, f"{at}.fc1")
    return net.add(
        x, net.linear(net.unary(h, "gelu", f"{at}.gelu"), stage.dim, f"{at}.fc2"), f"{at}.add2"
    )


def _position(net: FloatBuilder, x: str, grid: GridSize, at: str) -> str:
    rows, dim = net.shape(x)
    image = net.reshape(x, f"{at}.image", *grid, dim)
    made = net.conv(image, dim, at, 3, 1, (1, 1, 1, 1), dim)
    return net.add(x, net.reshape(made, f"{at}.rows", rows, dim), f"{at}.add")


def pyramid_outline(arch: Pyramid) -> Graph:
    """uint8 pixels [H,W,C] -> int8 logits [1, classes]."""
    graph = lower_shapes(run_float_passes(pyramid_graph(arch)), pixels=(INPUT,))
    return graph.replace(meta={**graph.meta, "bias_saved": _saved(arch)})


def _saved(arch: Pyramid) -> dict[str, int]:
    """Bytes of flash by the origin of a block (operators/flash_bytes.py)."""
    return {
        f"stages.{i}.blocks.{j}": bias_saved(mixer, grid)
        for i, (stage, grid) in enumerate(zip(arch.stages, arch.grids, strict=True))
        for j, mixer in enumerate(stage.mixers)
        if isinstance(mixer, WindowAttention)
    }
