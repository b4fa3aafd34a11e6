"""The stem of a network in torch: one patch, or a chain of convolutions (`architecture.py`)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mcuformer.search.architecture import PATCH, Architecture


def stem_of(arch: Architecture) -> nn.Module:
    """Images [batch, C, H, W] -> [batch, width, rows, columns]."""
    if arch.stem == PATCH:
        return nn.Conv2d(arch.image[2], arch.width, arch.patch, stride=arch.patch)
    return convolutions(arch)


def made_of(arch: Architecture, stem: nn.Module, x: Tensor) -> Tensor:
    """Tokens of images that are padded to whole patches."""
    below, right = arch.padding
    if arch.stem == PATCH and (below or right):
        x = F.pad(x, (0, right, 0, below))
    tokens: Tensor = stem(x)
    return tokens


def convolutions(arch: Architecture) -> nn.Sequential:
    """3x3 convolutions, each with a batch norm that the compiler folds, ReLU between them."""
    return _chain(arch, normed=True)


def folded_convolutions(arch: Architecture) -> nn.Sequential:
    """The same where the norms are folded: the convolutions have biases."""
    return _chain(arch, normed=False)


def _chain(arch: Architecture, normed: bool) -> nn.Sequential:
    chain, before = nn.Sequential(), arch.image[2]
    for i, (width, stride) in enumerate(arch.convolutions):
        if i:
            chain.add_module(f"relu{i - 1}", nn.ReLU())
        conv = nn.Conv2d(before, width, 3, stride, padding=1, bias=not normed)
        chain.add_module(f"conv{i}", conv)
        if normed:
            chain.add_module(f"norm{i}", nn.BatchNorm2d(width))
        before = width
    return chain
