"""A feature pyramid (arXiv 1612.03144) on a Swin or Twins: the mask of an image from what its stages give.

Every stage's map is normed and brought to one width; from the coarsest on each is enlarged and added to the
next finer one. A 3x3 convolution, then a score of each class for every pixel. Needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from swin import Swin
from torch import Tensor, nn
from torch.nn import functional
from twins import Twins


class Pyramid(nn.Module):
    """Maps [batch, H, W, dim], the finest first, to [batch, classes, scale * H, scale * W] of it."""

    def __init__(self, dims: Sequence[int], width: int, classes: int, scale: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in dims)
        self.laterals = nn.ModuleList(nn.Conv2d(dim, width, 1) for dim in dims)
        self.smooth = nn.Conv2d(width, width, 3, padding=1)
        self.classes, self.scale = nn.Conv2d(width, classes, 1), scale

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        levels = zip(maps, self.norms, self.laterals, strict=True)
        *fine, x = [lateral(norm(x).permute(0, 3, 1, 2)) for x, norm, lateral in levels]
        for level in reversed(fine):
            x = level + functional.interpolate(x, size=list(level.shape[2:]), mode="nearest")
        x = self.classes(functional.relu(self.smooth(x)))
        return functional.interpolate(x, scale_factor=float(self.scale), mode="bilinear")


class Segmenter(nn.Module):
    """Images [batch, channels, H, W] to [batch, classes, H, W]; `scale`: pixels to a token of the backbone's
    first stage, whose `dims` are given."""

    def __init__(
        self, backbone: Swin | Twins, dims: Sequence[int], width: int, classes: int, scale: int
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, Pyramid(dims, width, classes, scale)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.backbone.features(image))
