"""The layers of `mixers.py` in torch: [batch, rows, columns, dim] to the same shape.

A layer of a narrower network, a smaller kernel or a smaller window is a slice of a larger one's
(`slices.py`), so the order of outputs matters: the gate of the whole image stands first, since every
number of levels has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcuformer.search.mixers import (
    FocalModulation,
    GridSize,
    Mixer,
    ReducedAttention,
    WindowAttention,
)

_MASKED = -100.0  # what Swin adds to the score of a key that a roll brought here


class ModulationLayer(nn.Module):
    """y = proj(q * h(sum of gate * context)): FocalNet's modulation (arXiv 2203.11926, section 3)."""

    def __init__(self, dim: int, mixer: FocalModulation, grid: GridSize) -> None:
        super().__init__()
        self.q, self.z = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.gates = nn.Linear(dim, mixer.levels + 1)
        self.contexts = nn.ModuleList(
            nn.Conv2d(dim, dim, k, padding=k // 2, groups=dim, bias=False) for k in mixer.kernels
        )
        self.h, self.proj = nn.Conv2d(dim, dim, 1), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, z, gates = (layer(x).permute(0, 3, 1, 2) for layer in (self.q, self.z, self.gates))
        total: Tensor | float = 0.0
        for level, context in enumerate(self.contexts, 1):
            z = F.gelu(context(z))
            total = total + z * gates[:, level : level + 1]
        total = total + F.gelu(z.mean((2, 3), keepdim=True)) * gates[:, :1]
        return self.proj((q * self.h(total)).permute(0, 2, 3, 1))


def attend(
    q: Tensor, k: Tensor, v: Tensor, heads: int, biased: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """[n, rows, heads * width] of as wide q [n, rows], k and v [n, keys]; `biased` adds to the scores."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    scores = scores if biased is None else biased(scores)
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


class WindowLayer(nn.Module):
    """Attention within windows, shifted or not (Swin, arXiv 2103.14030)."""

    def __init__(self, dim: int, mixer: WindowAttention, grid: GridSize) -> None:
        super().__init__()
        self.mixer, self.whole, inner = mixer, mixer.padded(grid), mixer.heads * mixer.head_dim
        self.qkv, self.proj = nn.Linear(dim, 3 * inner), nn.Linear(inner, dim)
        self.places: Tensor
        self.mask: Tensor | None
        self.relative: nn.Parameter | None = None
        if mixer.relative:
            sides = 2 * mixer.rows - 1, 2 * mixer.columns - 1
            self.relative = nn.Parameter(torch.zeros(mixer.heads, *sides))
            self.register_buffer("places", distances(mixer.rows, mixer.columns), persistent=False)
        mask = shift_mask(mixer, self.whole) if any(mixer.shift) else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, dim = x.shape
        rows, columns = self.mixer.rows, self.mixer.columns
        down, across = self.whole
        if (down, across) != (height, width):
            x = F.pad(x, (0, 0, 0, across - width, 0, down - height))
        if any(self.mixer.shift):
            x = torch.roll(x, tuple(-s for s in self.mixer.shift), (1, 2))
        x = x.reshape(batch, down // rows, rows, across // columns, columns, dim).transpose(2, 3)
        x = x.reshape(-1, rows * columns, dim)
        q, k, v = self.qkv(x).chunk(3, -1)
        x = self.proj(attend(q, k, v, self.mixer.heads, self._biased))
        x = x.reshape(batch, down // rows, across // columns, rows, columns, dim).transpose(2, 3)
        x = x.reshape(batch, down, across, dim)
        if any(self.mixer.shift):
            x = torch.roll(x, self.mixer.shift, (1, 2))
        return x[:, :height, :width] if (down, across) != (height, width) else x

    def _biased(self, scores: Tensor) -> Tensor:
        if self.relative is not None:
            scores = scores + self.relative.flatten(1)[:, self.places][None]
        if self.mask is not None:
            windows = scores.unflatten(0, (-1, len(self.mask))) + self.mask[None, :, None]
            scores = windows.flatten(0, 1)
        return scores


class ReducedLayer(nn.Module):
    """Keys and values from LN(Conv(x)): the global attention of PVT and Twins (arXiv 2104.13840)."""

    def __init__(self, dim: int, mixer: ReducedAttention, grid: GridSize) -> None:
        super().__init__()
        self.reduction, self.heads, inner = (
            mixer.reduction,
            mixer.heads,
            mixer.heads * mixer.head_dim,
        )
        self.q, self.kv, self.proj = (
            nn.Linear(*n) for n in ((dim, inner), (dim, 2 * inner), (inner, dim))
        )
        if mixer.reduction > 1:
            self.add_module(f"reduce{mixer.reduction}", NonOverlapping(dim, dim, mixer.reduction))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.get_submodule(f"reduce{self.reduction}")(x) if self.reduction > 1 else x
        k, v = self.kv(seen.flatten(1, 2)).chunk(2, -1)
        return self.proj(attend(self.q(x.flatten(1, 2)), k, v, self.heads)).reshape(x.shape)


class NonOverlapping(nn.Module):
    """A convolution whose stride is its side, and a norm; zeros fill the last patches below and at the right."""

    def __init__(self, before: int, dim: int, step: int) -> None:
        super().__init__()
        self.step = step
        self.conv, self.norm = nn.Conv2d(before, dim, step, step), nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        below, right = -x.shape[2] % self.step, -x.shape[3] % self.step
        if below or right:
            x = F.pad(x, (0, right, 0, below))
        return self.norm(self.conv(x).permute(0, 2, 3, 1))


def distances(rows: int, columns: int) -> Tensor:
    """[n, n] indices into a table [2 * rows - 1, 2 * columns - 1] by the way from key to query."""
    y, x = (a.reshape(-1) for a in np.mgrid[:rows, :columns])
    table = (y[:, None] - y + rows - 1) * (2 * columns - 1) + x[:, None] - x + columns - 1
    return torch.from_numpy(table.astype(np.int64))


def shift_mask(mixer: WindowAttention, whole: GridSize) -> Tensor:
    """[windows, n, n]: _MASKED between tokens that only the roll made neighbours, 0 else."""
    parts = [
        np.repeat([0, 1, 2], [side - window, window - shift, shift])
        if shift
        else np.zeros(side, int)
        for side, window, shift in zip(whole, (mixer.rows, mixer.columns), mixer.shift, strict=True)
    ]
    part = 3 * parts[0][:, None] + parts[1][None]
    per = whole[0] // mixer.rows, whole[1] // mixer.columns
    tiles = part.reshape(per[0], mixer.rows, per[1], mixer.columns).swapaxes(1, 2)
    rows = tiles.reshape(per[0] * per[1], -1)
    return torch.from_numpy(np.where(rows[:, :, None] == rows[:, None], 0.0, _MASKED)).float()


LAYERS: Mapping[type[Mixer], Any] = MappingProxyType(
    {FocalModulation: ModulationLayer, WindowAttention: WindowLayer, ReducedAttention: ReducedLayer}
)
