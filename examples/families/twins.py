"""Twins-PCPVT (arXiv 2104.13840), written from the paper.

A block is x += MHSA(norm(x)), x += FFN(norm(x)); all tokens ask, keys and values come from few tokens, a
normed convolution of patches of the normed image (`reductions`). Behind the first block of a stage a
depthwise 3x3 and its input say where a token is (PEG). Stages begin with a convolution of patches and a
norm; the last tokens are normed and averaged. Needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """`patches` pixels or tokens to a token, `depths` blocks of `dims` channels with `heads` heads, keys of
    patches of `reductions` tokens a side, in the stages."""

    patches: tuple[int, ...]
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    reductions: tuple[int, ...]
    ratio: int = 4


class Attention(nn.Module):
    """Tokens [batch, H * W, dim] to the same; keys of patches of `reduction` tokens a side."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads, self.dim = heads, dim
        self.q, self.kv, self.proj = (
            nn.Linear(dim, dim),
            nn.Linear(dim, 2 * dim),
            nn.Linear(dim, dim),
        )
        self.reduce = nn.Conv2d(dim, dim, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(dim) if reduction > 1 else None

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        batch, tokens, dim = x.shape
        keys = x
        if self.reduce is not None and self.norm is not None:
            image = x.transpose(1, 2).reshape(batch, dim, *size)
            keys = self.norm(self.reduce(image).flatten(2).transpose(1, 2))
        each = dim // self.heads
        q = self.q(x).reshape(batch, tokens, self.heads, each).transpose(1, 2)
        kv = self.kv(keys).reshape(batch, -1, 2, self.heads, each).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, kv[0], kv[1])
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    """Tokens [batch, H * W, dim] to the same."""

    def __init__(self, dim: int, heads: int, reduction: int, ratio: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, reduction)
        self.fc1, self.fc2 = nn.Linear(dim, ratio * dim), nn.Linear(ratio * dim, dim)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = x + self.attention(self.norm1(x), size)
        return x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class Stage(nn.Module):
    """Images [batch, C, H, W] to [batch, dim, H/patch, W/patch]."""

    def __init__(self, channels: int, patch: int, dim: int, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.embed, self.norm = nn.Conv2d(channels, dim, patch, patch), nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(blocks)
        self.position = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, image: Tensor) -> Tensor:
        image = self.embed(image)
        batch, dim, height, width = image.shape
        x = self.norm(image.flatten(2).transpose(1, 2))
        for i, block in enumerate(self.blocks):
            x = block(x, (height, width))
            if i == 0:
                image = x.transpose(1, 2).reshape(batch, dim, height, width)
                x = (image + self.position(image)).flatten(2).transpose(1, 2)
        return x.transpose(1, 2).reshape(batch, dim, height, width)


class Twins(nn.Module):
    """Images [batch, channels, H, W] to [batch, classes]."""

    def __init__(self, shape: Shape, classes: int = 1000, channels: int = 3) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        stages = zip(
            shape.patches, shape.dims, shape.depths, shape.heads, shape.reductions, strict=True
        )
        for patch, dim, depth, heads, reduction in stages:
            blocks = [Block(dim, heads, reduction, shape.ratio) for _ in range(depth)]
            self.stages.append(Stage(channels, patch, dim, blocks))
            channels = dim
        self.norm, self.head = nn.LayerNorm(channels), nn.Linear(channels, classes)

    def features(self, x: Tensor) -> Sequence[Tensor]:
        """What each stage gives, [batch, H, W, dim]."""
        maps = [x]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return [x.permute(0, 2, 3, 1) for x in maps[1:]]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.features(x)[-1].flatten(1, 2)).mean(1))
