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

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import DTYPES, QParams
from mcuformer.quant.gptq import GRID, SHRINK
from mcuformer.search.twins import twin

WeightSource = Callable[[Op], tuple[Tensor, Tensor]]
_WEIGHTED = ("linear", "conv2d", "patch_embed")


@dataclass(frozen=True, slots=True, eq=False)
class TorchGrid:
    """real = scale * (q - zero), low <= q <= high; scale and zero are () or per channel."""

    scale: Tensor
    zero: Tensor
    low: int
    high: int

    @staticmethod
    def of(qparams: QParams, dtype: str, device: torch.device) -> TorchGrid:
        info = np.iinfo(DTYPES[dtype])
        scale, zero = (
            torch.tensor(np.asarray(v), dtype=torch.float32, device=device)
            for v in (qparams.scale, qparams.zero_point)
        )
        return TorchGrid(scale, zero, int(info.min), int(info.max))

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


class RoundedEvaluator:
    """`graph` is the prepared float graph; `grids` has one entry per activation.

    `weights(op)` gives w in the graph's layout and b (N,); other constants come from the graph.
    """

    def __init__(
        self,
        graph: Graph,
        grids: Mapping[str, TorchGrid],
        weights: WeightSource,
        device: torch.device,
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
        attrs = op.attrs
        if op.kind in _WEIGHTED:
            args[1:3] = self.weights(op)
            if any(attrs.get("pads", ())):
                args[0], attrs = self._padded(op, args[0]), {**attrs, "pads": (0, 0, 0, 0)}
        return twin(op.kind)(attrs, args)

    def _padded(self, op: Op, x: Tensor | None) -> Tensor:
        """Padding holds the integer nearest to real 0, which raw pixels do not have exactly."""
        assert x is not None
        grid = self.grids[str(op.inputs[0])]
        blank = ((grid.zero + 0.5).floor().clamp(grid.low, grid.high) - grid.zero) * grid.scale
        top, left, bottom, right = op.attrs["pads"]
        return F.pad(x - blank, (0, 0, left, right, top, bottom)) + blank
