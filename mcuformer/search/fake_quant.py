"""The prepared float graph in torch, every stored value rounded as the integer interpreter does.

Straight-through estimator: rounding passes gradients on, saturation stops them. Inside an operation
(probabilities, the GELU table's index, LayerNorm's root) numbers stay real: the interpreter has
finer steps there than in what it stores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcuformer.errors import McuformerError
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import DTYPES, QParams
from mcuformer.quant.gptq import GRID, SHRINK

Weights = Callable[[Op], tuple[Tensor, Tensor]]
FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """real = scale * (q - zero), low <= q <= high; scale and zero are () or per channel."""

    scale: Tensor
    zero: Tensor
    low: int
    high: int

    @staticmethod
    def of(qparams: QParams, dtype: str, device: torch.device) -> Grid:
        info = np.iinfo(DTYPES[dtype])
        scale, zero = (
            torch.tensor(np.asarray(v), dtype=torch.float32, device=device)
            for v in (qparams.scale, qparams.zero_point)
        )
        return Grid(scale, zero, int(info.min), int(info.max))

    def rounded(self, x: Tensor) -> Tensor:
        """The nearest value of the grid, halves up."""
        q = (x / self.scale + self.zero).clamp(self.low, self.high)
        q = q + ((q + 0.5).floor().clamp(max=self.high) - q).detach()
        return (q - self.zero) * self.scale


def rounded_weights(w: Tensor, bits: int) -> Tensor:
    """w[K, N] on the grid of least squared error per output channel (quant/gptq.py)."""
    low, high = GRID[bits]
    scale = weight_scale(w.detach(), bits)
    inside = torch.maximum(torch.minimum(w, high * scale), low * scale)
    return inside + ((inside / scale).round() * scale - inside).detach()


@torch.no_grad()
def weight_scale(w: Tensor, bits: int) -> Tensor:
    """`quant.gptq.weight_scale` without input statistics, in torch; (N,)."""
    low, high = GRID[bits]
    full = torch.maximum(w.amax(dim=0) / high, w.amin(dim=0) / low).clamp(min=1e-30)
    best, least = full, torch.full_like(full, math.inf)
    for shrink in SHRINK[bits]:
        scale = full * shrink
        error = (w - scale * (w / scale).round().clamp(low, high)).square().sum(dim=0)
        best = torch.where(error < least, scale, best)
        least = torch.minimum(error, least)
    return best


class Evaluator:
    """`graph` is the prepared float graph; `grids` has one entry per activation.

    `weights(op)` gives w in the graph's layout and b (N,); other constants come from the graph.
    """

    def __init__(
        self, graph: Graph, grids: Mapping[str, Grid], weights: Weights, device: torch.device
    ) -> None:
        self.graph, self.grids, self.weights = graph, grids, weights
        self.constants = {
            name: torch.tensor(v.data, dtype=torch.float32, device=device)
            for name, v in graph.values.items()
            if v.data is not None
        }

    def __call__(self, x: Tensor) -> Tensor:
        """Normalised images [B,C,H,W] -> logits [B, classes]."""
        name = self.graph.inputs[0]
        env = {name: self.grids[name].rounded(x.permute(0, 2, 3, 1))}
        for op in self.graph.ops:
            args = [None if n is None else env.get(n, self.constants.get(n)) for n in op.inputs]
            out = op.outputs[0]
            env[out] = self.grids[out].rounded(self._run(op, args))
        return env[self.graph.outputs[0]].flatten(1)

    def _run(self, op: Op, args: list[Tensor | None]) -> Tensor:
        if op.kind in ("linear", "conv2d", "patch_embed"):
            return self._weighted(op, args)
        given = [a for a in args if a is not None]
        if op.kind == "reshape":
            return given[0].reshape(len(given[0]), *self.graph.type(op.outputs[0]).shape)
        if op.kind == "concat":
            batch = max(len(a) for a in given if a.ndim == 3)
            return torch.cat([a.expand(batch, *a.shape[-2:]) for a in given], dim=1)
        if op.kind not in _OPS:
            raise McuformerError(f"{op.name}: no training with rounding for {op.kind}")
        return _OPS[op.kind](op, given)

    def _weighted(self, op: Op, args: list[Tensor | None]) -> Tensor:
        x, res = args[0], args[3]
        assert x is not None
        w, b = self.weights(op)
        if op.kind == "linear":
            y = x @ w + b
        else:
            y = self._conv(op, x, w) + b
            y = y.flatten(1, 2) if op.kind == "patch_embed" else y
        y = y if res is None else y + res
        fn = op.attrs["fn"]
        return y if fn is None else FUNCTIONS[fn](y)

    def _conv(self, op: Op, x: Tensor, w: Tensor) -> Tensor:
        """Padding holds the integer nearest to real 0, which raw pixels do not have exactly."""
        grid = self.grids[str(op.inputs[0])]
        blank = ((grid.zero + 0.5).floor().clamp(grid.low, grid.high) - grid.zero) * grid.scale
        top, left, bottom, right = op.attrs["pads"]
        image = F.pad((x - blank).permute(0, 3, 1, 2), (left, right, top, bottom))
        image = image + blank.expand(x.shape[-1])[:, None, None]
        y = F.conv2d(
            image,
            w.permute(3, 2, 0, 1),
            stride=tuple(op.attrs["strides"]),
            groups=op.attrs.get("group", 1),
        )
        return y.permute(0, 2, 3, 1)


def _layernorm(op: Op, args: list[Tensor]) -> Tensor:
    x = args[0]
    groups = op.attrs["groups"]
    split = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    y = F.layer_norm(split, split.shape[-1:], eps=op.attrs["eps"]).reshape(x.shape)
    y = y if len(args) < 2 else y * args[1]
    return y if len(args) < 3 else y + args[2]


def _attention(op: Op, args: list[Tensor]) -> Tensor:
    heads = op.attrs["heads"]
    q, k, v = (a.reshape(*a.shape[:2], heads, -1).transpose(1, 2) for a in args[:3])
    scores = q @ k.transpose(-2, -1) * op.attrs["scale"]
    scores = scores if len(args) < 4 else scores + args[3]
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


_OPS: Mapping[str, Callable[[Op, list[Tensor]], Tensor]] = {
    "layernorm": _layernorm,
    "attention": _attention,
    "add": lambda op, args: args[0] + args[1],
    "mean": lambda op, args: args[0].mean(dim=-2, keepdim=True),
    "unary": lambda op, args: FUNCTIONS[op.attrs["fn"]](args[0]),
    "slice": lambda op, args: args[0].narrow(
        op.attrs["axis"] + 1, op.attrs["start"], op.attrs["stop"] - op.attrs["start"]
    ),
    "gather": lambda op, args: args[0][:, list(op.attrs["indices"])],
}
