"""Swin in the form that S3 searches (arXiv 2103.14030, 2111.14725), written from the papers.

A block is x += MHSA(norm(x)) within windows, then x += FFN(norm(x)); every second block's windows begin
half a window further down and right, by a roll of the image, and keys that only the roll brought together
are masked. Scores have a learnt bias for every relative position. Stages are joined by merging: four
neighbours side by side, normed, one linear layer. Needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hrformer import relative_index
from torch import Tensor, nn
from torch.nn import functional

HIDDEN = -100.0  # added to the score of a key of another part of the image


@dataclass(frozen=True)
class Shape:
    """`patch` pixels to a token; `depths` blocks of `dims` channels with `heads` heads and windows of
    `windows` tokens a side in the stages. Where a window is the whole image, nothing is shifted. `stem`
    channels come before the tokens, by 3x3 convolutions that overlap; 0: patches are cut apart."""

    patch: int
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    windows: tuple[int, ...]
    ratio: int = 4
    stem: int = 0


class WindowAttention(nn.Module):
    """Images [batch, side, side, dim] to the same."""

    def __init__(self, dim: int, heads: int, side: int, window: int, shift: int) -> None:
        super().__init__()
        if side % window:
            raise ValueError(f"an image of {side} tokens a side has no whole windows of {window}")
        self.heads, self.window, self.shift = heads, window, shift
        self.scale = (dim // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.positions = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.register_buffer("index", relative_index(window), persistent=False)
        mask = shift_mask(side, window, shift) if shift else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, side, _, dim = x.shape
        per, window = side // self.window, self.window
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        x = x.view(batch, per, window, per, window, dim).transpose(2, 3)
        x = self.attend(x.reshape(batch * per * per, window * window, dim))
        x = x.view(batch, per, per, window, window, dim).transpose(2, 3)
        x = x.reshape(batch, side, side, dim)
        return torch.roll(x, (self.shift, self.shift), (1, 2)) if self.shift else x

    def attend(self, x: Tensor) -> Tensor:
        """[batch * windows, tokens, dim] to the same."""
        count, tokens, dim = x.shape
        qkv = self.qkv(x).view(count, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        bias = self.positions[self.index].view(tokens, tokens, self.heads).permute(2, 0, 1)
        scores = (q * self.scale) @ k.transpose(-2, -1) + bias[None]
        if self.mask is not None:
            windows = len(self.mask)
            scores = scores.view(count // windows, windows, self.heads, tokens, tokens)
            scores = (scores + self.mask[None, :, None]).view(count, self.heads, tokens, tokens)
        x = (scores.softmax(-1) @ v).transpose(1, 2).reshape(count, tokens, dim)
        return self.proj(x)


def shift_mask(side: int, window: int, shift: int) -> Tensor:
    """[windows, n, n]: 0 between neighbours of the image, HIDDEN between parts that the roll joined."""
    part = torch.arange(3).repeat_interleave(torch.tensor([side - window, window - shift, shift]))
    per = side // window
    parts = (3 * part[:, None] + part[None]).view(per, window, per, window).transpose(1, 2)
    parts = parts.reshape(per * per, window * window)
    return (parts[:, :, None] != parts[:, None]) * HIDDEN


class Block(nn.Module):
    """Images [batch, side, side, dim] to the same."""

    def __init__(
        self, dim: int, heads: int, side: int, window: int, shift: int, ratio: int
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, heads, side, window, shift)
        self.fc1, self.fc2 = nn.Linear(dim, ratio * dim), nn.Linear(ratio * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class Merging(nn.Module):
    """Images [batch, H, W, dim] to [batch, H/2, W/2, out]."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1)))


def patch_embedding(shape: Shape, channels: int) -> nn.Module:
    """Images [batch, channels, H, W] to [batch, dim, H/patch, W/patch]."""
    dim, patch = shape.dims[0], shape.patch
    if not shape.stem:
        return nn.Conv2d(channels, dim, patch, patch)
    if patch != 2:
        raise ValueError(f"a stem makes tokens of 2x2 pixels, not of {patch}x{patch}")
    return nn.Sequential(
        nn.Conv2d(channels, shape.stem, 3, padding=1, bias=False),
        nn.BatchNorm2d(shape.stem),
        nn.ReLU(),
        nn.Conv2d(shape.stem, dim, 3, stride=2, padding=1),
    )


class Swin(nn.Module):
    """Images [batch, channels, size, size] to [batch, classes]."""

    def __init__(self, shape: Shape, size: int, classes: int = 1000, channels: int = 3) -> None:
        super().__init__()
        self.patch_embed = patch_embedding(shape, channels)
        self.embed_norm = nn.LayerNorm(shape.dims[0])
        side, before = size // shape.patch, 0
        self.stages = nn.ModuleList()
        stages = zip(shape.dims, shape.depths, shape.heads, shape.windows, strict=True)
        for dim, depth, heads, window in stages:
            layers: list[nn.Module] = [Merging(before, dim)] if before else []
            side //= 2 if before else 1
            shift = window // 2 if window < side else 0
            layers += (
                Block(dim, heads, side, window, shift * (i % 2), shape.ratio) for i in range(depth)
            )
            self.stages.append(nn.Sequential(*layers))
            before = dim
        self.norm, self.head = nn.LayerNorm(before), nn.Linear(before, classes)

    def features(self, x: Tensor) -> Sequence[Tensor]:
        """What each stage gives, [batch, H, W, dim]."""
        maps = [self.embed_norm(self.patch_embed(x).permute(0, 2, 3, 1))]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.features(x)[-1]).mean((1, 2)))
