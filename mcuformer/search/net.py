"""The plain network of one Arch: standard layers, exportable by both torch exporters."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcuformer.search.arch import Arch, relative_entries
from mcuformer.search.stem import made_of, stem_of


class LowRank(nn.Sequential):
    """y = up(down(x)): a K x N matrix as two factors."""

    def __init__(self, k: int, n: int, rank: int) -> None:
        super().__init__()
        self.add_module("down", nn.Linear(k, rank, bias=False))
        self.add_module("up", nn.Linear(rank, n))


def linear(k: int, n: int, rank: int) -> nn.Module:
    return LowRank(k, n, rank) if rank else nn.Linear(k, n)


class Attention(nn.Module):
    """Heads of their own width; q, k and v share one down-projection where `rank` is not 0. `near`: a
    mask [heads, T, T] that is added to the scores (near.py)."""

    def __init__(self, arch: Arch, block: int) -> None:
        super().__init__()
        rank = arch.ranks(block)
        self.heads, self.scale = arch.heads, arch.head_dim**-0.5
        self.qkv = linear(arch.dim, 3 * arch.inner, rank.qkv)
        self.proj = linear(arch.inner, arch.dim, rank.proj)
        self.places: Tensor
        self.near: Tensor | None
        self.register_buffer("near", None, persistent=False)
        self.relative: nn.Parameter | None = None
        if arch.relative:
            self.relative = nn.Parameter(torch.zeros(arch.heads, relative_entries(arch)))
            self.register_buffer("places", relative_places(arch), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        # Fused: no [T, T] in memory. Eval exports; a CPU's fused backward is slow in bfloat16.
        lowered = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if self.training and self.relative is None and not lowered:
            near = None if self.near is None else self.near[None]
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=near, scale=self.scale)
            return self.proj(y.transpose(1, 2).reshape(batch, tokens, -1))
        scores = (q @ k.transpose(-2, -1)) * self.scale
        if self.relative is not None:
            scores = scores + self.relative[:, self.places]
        if self.near is not None:
            scores = scores + self.near
        y = scores.softmax(dim=-1) @ v
        return self.proj(y.transpose(1, 2).reshape(batch, tokens, -1))


class Block(nn.Module):
    """Pre-norm transformer block on tokens [batch, T, dim]."""

    def __init__(self, arch: Arch, block: int) -> None:
        super().__init__()
        rank = arch.ranks(block)
        self.norm1, self.norm2 = nn.LayerNorm(arch.dim), nn.LayerNorm(arch.dim)
        self.attn = Attention(arch, block)
        self.fc1 = linear(arch.dim, arch.hidden[block], rank.fc1)
        self.fc2 = linear(arch.hidden[block], arch.dim, rank.fc2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Network(nn.Module):
    """Normalised images [batch, C, H, W] -> logits [batch, classes]."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        self.arch = arch
        self.stem = stem_of(arch)
        self.cls = nn.Parameter(torch.zeros(1, 1, arch.dim)) if arch.pool == "cls" else None
        self.position = nn.Parameter(torch.zeros(1, arch.tokens, arch.dim))
        self.blocks = nn.ModuleList(Block(arch, i) for i in range(arch.depth))
        self.norm, self.head = nn.LayerNorm(arch.dim), nn.Linear(arch.dim, arch.classes)

    def embed(self, x: Tensor) -> Tensor:
        """[batch, dim, rows, columns]: the tokens before positions are added."""
        return made_of(self.arch, self.stem, x)

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(self.embed(x))

    def encode(self, tokens: Tensor) -> Tensor:
        """Logits from what `embed` gives."""
        x = tokens.flatten(2).transpose(1, 2)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + self.position
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x.mean(dim=1) if self.cls is None else x[:, 0])


def relative_places(arch: Arch) -> Tensor:
    """[T, T] indices into a table of distances; the class token has three entries of its own."""
    down, across = arch.grid
    y, x = (a.reshape(-1) for a in np.mgrid[:down, :across])
    wide = 2 * across - 1
    table = (y[:, None] - y + down - 1) * wide + (x[:, None] - x + across - 1)
    if arch.pool == "cls":
        end = (2 * down - 1) * wide
        table = np.pad(table, ((1, 0), (1, 0)))
        table[0, :], table[:, 0], table[0, 0] = end, end + 1, end + 2
    return torch.from_numpy(table.astype(np.int64))


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Normal weights of variance 1/K, small positions, zero biases."""
    with torch.no_grad():
        for name, p in network.named_parameters():
            if name.endswith(("bias", "relative")):
                p.zero_()
            elif "norm" in name:
                p.fill_(1.0)
            elif p.ndim >= 2 and "position" not in name and "cls" not in name:
                p.normal_(0, p[0].numel() ** -0.5, generator=generator)
            else:
                p.normal_(0, 0.02, generator=generator)
