"""Adapter Re-Composing (arXiv 2310.06234): few trained numbers on a frozen network, and their folding.

Behind a LayerNorm stands `x' = x + ((x W) * c) W^T + b`. W [dim, rank] is one for the attention of all
blocks and one for their MLPs, and its own transpose leads back; c [rank] and b [dim] are each block's.
Nothing in it bends, so the linear layer that reads x' takes it in: `folded` gives the plain network back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from mcuformer.search.net import Block, LowRank, Network

DROPOUT = 0.1  # between the projections, as in the paper's recipe


class Adapter(nn.Module):
    """One place behind one norm; `down` [dim, rank] is shared by the places of all blocks."""

    def __init__(self, down: nn.Parameter) -> None:
        super().__init__()
        dim, rank = down.shape
        self.down = down
        self.coefficients = nn.Parameter(torch.zeros(rank))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.dropout = nn.Dropout(DROPOUT)  # a module: replicas.py sees that a batch is whole

    def forward(self, x: Tensor) -> Tensor:
        inner = self.dropout((x @ self.down) * self.coefficients)
        return x + (inner @ self.down.t() + self.bias)


class Adapted(nn.Module):
    """A copy of a network, frozen, with adapters and a new head, which are all that is registered here:
    optimizers and checkpoints see the trained numbers alone. `network` is the whole, to run or export."""

    def __init__(
        self,
        base: Network,
        classes: int,
        rank: int,
        attention_only: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        network = with_head(deepcopy(base).requires_grad_(False).eval(), classes, generator)
        self.head = network.head
        self.attention = _places(network.arch.dim, rank, network.arch.depth, generator)
        for block, adapter in _pairs(network, self.attention):
            block.norm1 = _adapted(block.norm1, adapter)
        self.mlp = nn.ModuleList()
        if not attention_only:
            self.mlp = _places(network.arch.dim, rank, network.arch.depth, generator)
            bound = (
                6 / (rank + network.arch.depth)
            ) ** 0.5  # Xavier; those of attention begin at 0
            for block, adapter in _pairs(network, self.mlp):
                block.norm2 = _adapted(block.norm2, adapter)
                nn.init.uniform_(adapter.coefficients, -bound, bound, generator)
        self._whole = (network,)  # no child: it stays in eval(), and out of checkpoints

    @property
    def network(self) -> Network:
        return self._whole[0]

    @property
    def trained(self) -> int:
        """Numbers that training changes, those of the head among them."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def to(self, *where: Any, **how: Any) -> Any:
        """Takes the frozen part along."""
        self.network.to(*where, **how)
        return super().to(*where, **how)


def with_head(network: Network, classes: int, generator: torch.Generator) -> Network:
    """The same network, changed in place, with a new head for as many classes."""
    dim = network.arch.dim
    network.arch = replace(network.arch, classes=classes)
    network.head = nn.Linear(dim, classes)
    nn.init.normal_(network.head.weight, 0, dim**-0.5, generator)
    nn.init.zeros_(network.head.bias)
    return network


@torch.no_grad()
def folded(network: Network) -> Network:
    """A copy without adapters that computes the same: y = A x' + a becomes
    y = A (I + W diag(c) W^T) x + (a + A b), computed in float64."""
    network = deepcopy(network).cpu().eval()
    for block in cast(Iterable[Block], network.blocks):
        for norm, reader in (("norm1", block.attn.qkv), ("norm2", block.fc1)):
            chain = getattr(block, norm)
            if isinstance(chain, nn.Sequential):
                _fold(cast(Adapter, chain.adapter), reader)
                setattr(block, norm, chain.norm)
    return network


def _fold(adapter: Adapter, reader: nn.Module) -> None:
    parts = (reader.down, reader.up) if isinstance(reader, LowRank) else (reader, reader)
    first, last = (cast(nn.Linear, part) for part in parts)
    down, matrix = adapter.down.double(), first.weight.double()
    bias = matrix @ adapter.bias.double()
    if last is not first:
        bias = last.weight.double() @ bias
    last.bias.copy_(last.bias.double() + bias)
    first.weight.copy_(matrix + (matrix @ down) * adapter.coefficients.double() @ down.t())


def _places(dim: int, rank: int, depth: int, generator: torch.Generator) -> nn.ModuleList:
    down = nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, rank), generator=generator))
    return nn.ModuleList(Adapter(down) for _ in range(depth))


def _pairs(network: Network, places: nn.ModuleList) -> Iterator[tuple[Block, Adapter]]:
    blocks, adapters = cast(Iterable[Block], network.blocks), cast(Iterable[Adapter], places)
    return zip(blocks, adapters, strict=True)


def _adapted(norm: nn.Module, adapter: Adapter) -> Any:
    return nn.Sequential(OrderedDict(norm=norm, adapter=adapter))
