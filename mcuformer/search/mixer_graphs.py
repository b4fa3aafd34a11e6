"""The float graphs of `mixers.py` without numbers: what the frontend makes of `mixer_layers.py`.

Each reads tokens [T, dim] that are normed and makes as many. An order of rows (roll, partition, pad) is one
gather, as the frontend has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.operators.flash_bytes import relative_saving
from mcuformer.search.builder import FloatBuilder
from mcuformer.search.mixers import (
    FocalModulation,
    GridSize,
    Mixer,
    ReducedAttention,
    WindowAttention,
)

_MASKED = -100  # of a masked score: any number that is not 0 would do


def modulation(net: FloatBuilder, x: str, mixer: FocalModulation, grid: GridSize, at: str) -> str:
    rows, dim = net.shape(x)
    q, z = net.linear(x, dim, f"{at}.q"), net.linear(x, dim, f"{at}.z")
    z = net.reshape(z, f"{at}.image", *grid, dim)
    total = ""
    for level, kernel in enumerate(mixer.kernels):
        name, p = f"{at}.contexts.{level}", kernel // 2
        z = net.conv(z, dim, name, kernel, 1, (p, p, p, p), dim, biased=False)
        z = net.unary(z, "gelu", f"{name}.gelu")
        gate = net.linear(x, 1, f"{name}.gate")
        flat = net.reshape(z, f"{name}.rows", rows, dim)
        gated = net.op("mul", f"{name}.mul", (flat, gate), rows, dim)
        total = net.add(total, gated, f"{name}.add") if total else gated
    mean = net.op("mean", f"{at}.mean", (flat,), 1, dim)
    mean = net.unary(mean, "gelu", f"{at}.mean.gelu")
    gate = net.linear(x, 1, f"{at}.gate")
    total = net.add(total, net.op("mul", f"{at}.all", (gate, mean), rows, dim), f"{at}.total")
    h = net.linear(total, dim, f"{at}.h")
    return net.linear(net.op("mul", f"{at}.mul", (q, h), rows, dim), dim, f"{at}.proj")


def windows(net: FloatBuilder, x: str, mixer: WindowAttention, grid: GridSize, at: str) -> str:
    rows, dim = net.shape(x)
    order, back = row_orders(mixer, grid)
    if len(order) > rows:
        zeros = net.const(f"{at}.zeros", 1, dim)
        x = net.op("concat", f"{at}.padded", (x, zeros), rows + 1, dim, axis=0)
    moved = order != tuple(range(rows))
    if moved:
        x = net.op("gather", f"{at}.part", (x,), len(order), dim, indices=order)
    inner = mixer.heads * mixer.head_dim
    operands = [net.linear(x, inner, f"{at}.{part}") for part in "qkv"]
    whole, n = mixer.padded(grid), mixer.rows * mixer.columns
    count = whole[0] * whole[1] // n
    if any(mixer.shift):
        operands.append(net.const(f"{at}.bias", count * mixer.heads, n, n))
    elif mixer.relative:
        operands.append(net.const(f"{at}.bias", mixer.heads, n, n))
    attrs: dict[str, Any] = {"heads": mixer.heads, "scale": mixer.head_dim**-0.5}
    attrs |= {"windows": count} if count > 1 else {}
    y = net.op("attention", f"{at}.attention", tuple(operands), len(order), inner, **attrs)
    if moved:
        y = net.op("gather", f"{at}.back", (y,), rows, inner, indices=back)
    return net.linear(y, dim, f"{at}.proj")


def reduced(net: FloatBuilder, x: str, mixer: ReducedAttention, grid: GridSize, at: str) -> str:
    (rows, dim), inner, seen = net.shape(x), mixer.heads * mixer.head_dim, x
    q = net.linear(x, inner, f"{at}.q") if mixer.reduction == 1 else ""
    if mixer.reduction > 1:
        seen = merged(net, x, grid, dim, mixer.reduction, f"{at}.reduce")
        q = net.linear(x, inner, f"{at}.q")
    k, v = (net.linear(seen, inner, f"{at}.{part}") for part in "kv")
    attrs = {"heads": mixer.heads, "scale": mixer.head_dim**-0.5}
    y = net.op("attention", f"{at}.attention", (q, k, v), rows, inner, **attrs)
    return net.linear(y, dim, f"{at}.proj")


def merged(net: FloatBuilder, x: str, grid: GridSize, dim: int, step: int, at: str) -> str:
    """A convolution whose stride is its side, and a norm: [T, C] to [T / step^2, dim]."""
    image = net.reshape(x, f"{at}.image", *grid, net.shape(x)[1])
    pads = (0, 0, -grid[0] % step, -grid[1] % step)
    made = net.conv(image, dim, f"{at}.conv", step, step, pads)
    down, across, _ = net.shape(made)
    return net.layernorm(net.reshape(made, f"{at}.rows", down * across, dim), f"{at}.norm")


@lru_cache(1 << 12)
def row_orders(mixer: WindowAttention, grid: GridSize) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows of the grid in the order of the windows (T stands for what is padded), and the way back."""
    (high, wide), (down, across) = grid, mixer.padded(grid)
    rows = np.full((down, across), high * wide)
    rows[:high, :wide] = np.arange(high * wide).reshape(grid)
    rows = np.roll(rows, tuple(-s for s in mixer.shift), (0, 1))
    order = _tiles(rows, mixer).reshape(-1)
    return tuple(order.tolist()), tuple(np.argsort(order)[: high * wide].tolist())


@lru_cache(1 << 12)
def bias_saved(mixer: WindowAttention, grid: GridSize) -> int:
    """Bytes of flash that the bias takes less than a number for every query and key of every window."""
    if not mixer.relative and not any(mixer.shift):
        return 0
    n, whole = mixer.rows * mixer.columns, mixer.padded(grid)
    size = (mixer.heads, 2 * mixer.rows - 1, 2 * mixer.columns - 1)
    table = np.random.default_rng(0).integers(-1000, 1000, size)  # of no smaller window
    y, x = np.divmod(np.arange(n), mixer.columns)
    down, right = (a[:, None] - a[None] for a in (y, x))
    bias = table[:, down + mixer.rows - 1, right + mixer.columns - 1] * mixer.relative
    if any(mixer.shift):
        bias = (bias + parted(mixer, whole)[:, None] * _MASKED).reshape(-1, n, n)
    return relative_saving(bias.astype(np.int16), mixer.heads)


def parted(mixer: WindowAttention, whole: GridSize) -> NDArray[np.bool_]:
    """[windows, n, n]: tokens that only the roll made neighbours."""
    sides = zip(whole, (mixer.rows, mixer.columns), mixer.shift, strict=True)
    down, across = (
        np.repeat([0, 1, 2], [side - window, window - shift, shift])
        if shift
        else np.zeros(side, int)
        for side, window, shift in sides
    )
    part = _tiles(3 * down[:, None] + across[None], mixer)
    return part[:, :, None] != part[:, None]


def _tiles(rows: NDArray[np.int64], mixer: WindowAttention) -> NDArray[np.int64]:
    """[windows, n] of a padded grid."""
    down, across = rows.shape
    cut = rows.reshape(down // mixer.rows, mixer.rows, across // mixer.columns, mixer.columns)
    return cut.swapaxes(1, 2).reshape(-1, mixer.rows * mixer.columns)


GRAPHS: Mapping[type[Mixer], Callable[..., str]] = MappingProxyType(
    {FocalModulation: modulation, WindowAttention: windows, ReducedAttention: reduced}
)
