"""Networks of windowed attention: grids of tokens, windows that are shifted, their masks and tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from util_models import Net

from mcuformer.ir.graph import Graph

INPUTS = 3  # channels of a token
HIDDEN = -100.0  # what Swin adds to the score of a key of another part of the image


def partition(side: int, window: int, shift: int) -> NDArray[np.int64]:
    """Rows of a grid in the order of its windows, which begin `shift` further down and right."""
    per = side // window
    rows = np.roll(np.arange(side * side).reshape(side, side), (-shift, -shift), (0, 1))
    return rows.reshape(per, window, per, window).swapaxes(1, 2).reshape(-1)


def padded_partition(side: int, window: int, shift: int) -> NDArray[np.int64]:
    """The same of a grid that is padded to whole windows at its lower and right end; side * side
    stands for what is padded."""
    whole = -(-side // window) * window
    rows = np.full((whole, whole), side * side)
    rows[:side, :side] = np.arange(side * side).reshape(side, side)
    return rows.reshape(-1)[partition(whole, window, shift)]


def shift_mask(side: int, window: int, shift: int) -> NDArray[np.float64]:
    """[windows, n, n]: 0 between neighbours of the image, HIDDEN between parts that a roll joined."""
    part = np.repeat([0, 1, 2], [side - window, window - shift, shift])
    parts = (3 * part[:, None] + part[None]).reshape(-1)[partition(side, window, 0)]
    parts = parts.reshape(-1, window * window)
    return np.where(parts[:, :, None] == parts[:, None], 0.0, HIDDEN)


def position_bias(table: NDArray, window: int) -> NDArray:
    """[heads, n, n] of a table [heads, 2w-1, 2w-1] by the distance between query and key."""
    y, x = np.divmod(np.arange(window * window), window)
    down, right = (a[:, None] - a[None] + window - 1 for a in (y, x))
    return table[:, down, right]


def swin(
    side: int,
    window: int,
    width: int,
    heads: int,
    shifts: Sequence[int],
    seed: int,
    bias: str = "",
    norm: bool = True,
) -> Graph:
    """A block for each shift on side x side tokens, and a head on all of them. `bias`: "" none, "table"
    relative positions, "mask" those and the masks of shifted windows. Where windows do not fit, what
    is normed (`norm`) is padded with zeros."""
    net, rows, rng = Net("swin", seed), side * side, np.random.default_rng(seed)
    whole = -(-side // window) * window
    net.tokens("tokens", rows, INPUTS)
    x = net.linear("tokens", width, "embed")
    for i, shift in enumerate(shifts):
        order = padded_partition(side, window, shift)
        n = net.layernorm(x, f"norm{i}") if norm else x
        if len(order) > rows:
            zeros = net.b.const(f"zeros{i}", np.zeros((1, width), np.float32))
            n = net.emit("concat", f"pad{i}", [n, zeros], (rows + 1, width), axis=0)
        g = net.emit("gather", f"part{i}", [n], (len(order), width), indices=tuple(order.tolist()))
        operands: list[str | None] = [net.linear(g, width, f"{name}{i}") for name in "qkv"]
        if bias:
            table = rng.normal(size=(heads, 2 * window - 1, 2 * window - 1))
            added = position_bias(table, window)
            if bias == "mask" and shift:
                masks = shift_mask(whole, window, shift)[:, None]
                added = (added + masks).reshape(-1, *added.shape[1:])
            operands.append(net.b.const(f"bias{i}", added.astype(np.float32)))
        attrs = {"heads": heads, "scale": (width // heads) ** -0.5}
        windows = (whole // window) ** 2
        attrs |= {"windows": windows} if windows > 1 else {}
        a = net.emit("attention", f"attention{i}", operands, (len(order), width), **attrs)
        back = tuple(np.argsort(order)[:rows].tolist())
        p = net.emit("gather", f"reverse{i}", [a], (rows, width), indices=back)
        y = net.add(x, net.linear(p, width, f"proj{i}"), f"sum{i}")
        h = net.linear(net.layernorm(y, f"after{i}"), 2 * width, f"fc1{i}")
        x = net.add(y, net.linear(net.unary(h, "gelu", f"act{i}"), width, f"fc2{i}"), f"out{i}")
    y = net.linear(net.layernorm(x, "last"), 3, "head")
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, rows, INPUTS),),
        "output_shapes": ((1, rows, 3),),
    }
    return net.b.done(["tokens"], [y], meta)


def samples(side: int, count: int = 4) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(count, 1, side * side, INPUTS)).astype(np.float32)
