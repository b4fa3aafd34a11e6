"""The heads of HRFormer, and the convolutions that they share with its stem."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


class Sizes(Protocol):
    """Of a network with a branch for each of `heads`."""

    @property
    def width(self) -> int: ...

    @property
    def heads(self) -> tuple[int, ...]: ...

    @property
    def stem(self) -> int: ...

    def channels(self, branch: int) -> int: ...


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = False
) -> list[nn.Module]:
    """Full, with its BatchNorm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
    return [conv, nn.BatchNorm2d(outputs)]


def depthwise(channels: int, stride: int = 1, bias: bool = False) -> list[nn.Module]:
    """3x3, with its BatchNorm."""
    conv = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=bias)
    return [conv, nn.BatchNorm2d(channels)]


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a residual; `middle` of the channels of the output is a quarter."""

    def __init__(self, inputs: int, middle: int, separable: bool = False) -> None:
        super().__init__()
        window = depthwise(middle) if separable else convolution(middle, middle, 3)
        self.body = nn.Sequential(
            *convolution(inputs, middle, 1), nn.ReLU(), *window, nn.ReLU(),
            *convolution(middle, 4 * middle, 1),
        )  # fmt: skip
        same = inputs == 4 * middle
        self.skip = nn.Identity() if same else nn.Sequential(*convolution(inputs, 4 * middle, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.skip(x))


class KeyPoints(nn.Module):
    """`count` maps at a quarter of the image's lines and columns."""

    def __init__(self, sizes: Sizes, count: int) -> None:
        super().__init__()
        self.maps = nn.Conv2d(sizes.width, count, 1)

    def forward(self, xs: list[Tensor]) -> Tensor:
        return self.maps(xs[0])


class Mixed(nn.Module):
    """All branches at the size of the first, side by side and mixed, [N, `channels`, H, W]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.channels = sum(sizes.channels(i) for i in range(len(sizes.heads)))
        self.layers = nn.Sequential(*convolution(self.channels, self.channels, 1), nn.ReLU())

    def forward(self, xs: list[Tensor]) -> Tensor:
        size = list(xs[0].shape[2:])
        rest = [functional.interpolate(x, size=size, mode="bilinear") for x in xs[1:]]
        return self.layers(torch.cat([xs[0], *rest], 1))


class Mask(nn.Module):
    """Scores of `count` classes for every pixel of the first branch, which sees all others."""

    def __init__(self, sizes: Sizes, count: int) -> None:
        super().__init__()
        self.mix = Mixed(sizes)
        self.maps = nn.Conv2d(self.mix.channels, count, 1)

    def forward(self, xs: list[Tensor]) -> Tensor:
        return self.maps(self.mix(xs))


class Dense(nn.Module):
    """A score of the mask for every pixel of the image, and `count` maps of key points, from one mixture."""

    def __init__(self, sizes: Sizes, count: int) -> None:
        super().__init__()
        self.mix = Mixed(sizes)
        self.mask = nn.Conv2d(self.mix.channels, 1, 1)
        self.points = nn.Conv2d(self.mix.channels, count, 1)

    def forward(self, xs: list[Tensor]) -> tuple[Tensor, Tensor]:
        x = self.mix(xs)
        mask = functional.interpolate(self.mask(x), scale_factor=4.0, mode="bilinear")
        return mask, self.points(x)


class Classes(nn.Module):
    """Branches widened and added from fine to coarse, then one vector."""

    def __init__(self, sizes: Sizes, count: int) -> None:
        super().__init__()
        middles = [sizes.stem // 2 << i for i in range(len(sizes.heads))]
        outs = [4 * middle for middle in middles]
        self.widen = nn.ModuleList(
            Bottleneck(sizes.channels(i), middle, separable=True)
            for i, middle in enumerate(middles)
        )
        self.down = nn.ModuleList(
            nn.Sequential(*depthwise(fine, 2), *convolution(fine, coarse, 1), nn.ReLU())
            for fine, coarse in pairwise(outs)
        )
        self.last = nn.Sequential(*convolution(outs[-1], 2 * outs[-1], 1), nn.ReLU())
        self.classes = nn.Linear(2 * outs[-1], count)

    def forward(self, xs: list[Tensor]) -> Tensor:
        y = self.widen[0](xs[0])
        for down, widen, x in zip(self.down, self.widen[1:], xs[1:], strict=True):
            y = down(y) + widen(x)
        return self.classes(self.last(y).mean((2, 3)))


HEADS = {"classes": Classes, "keypoints": KeyPoints, "mask": Mask, "dense": Dense}
