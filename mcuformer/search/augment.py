"""What happens to a batch before a step, by the parts of a protocol (`protocol.py`).

Every draw comes from torch's default generator, which the trainer seeds from seed, epoch and step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mcuformer.search.protocol import parts_of

DRAWN_AT_ONCE = 32  # kornia draws one auto-augment policy per call


@dataclass(frozen=True, slots=True)
class Augment:
    """`images(x)` before the normalisation, [B,C,H,W] in 0..1; `mix` after it, with soft labels."""

    protocol: str
    mirror: bool
    classes: int
    smoothing: float = 0.0

    def images(self, x: Tensor) -> Tensor:
        parts = parts_of(self.protocol)
        if "autoaugment" in parts:
            return torch.cat([_policy(part, self.mirror) for part in x.split(DRAWN_AT_ONCE)])
        if "geometry" not in parts:
            return x
        if self.mirror:  # photographs: whole pixels, nothing is blurred
            return moved(x, mirror=True, shift=0.125, turn=0.0, zoom=0.0, whole=True)
        return moved(x, mirror=False)

    def mix(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """CutMix for half of the batches, MixUp for the others, where the protocol has them; label smoothing."""
        soft = F.one_hot(y, self.classes).to(x.dtype)
        soft = soft * (1 - self.smoothing) + self.smoothing / self.classes
        parts = parts_of(self.protocol)
        if not parts & {"cutmix", "mixup"}:
            return x, soft
        other = torch.randperm(len(x)).to(x.device)
        first = bool(torch.rand(()) < 0.5)
        if first and "cutmix" in parts:
            x, share = cutmix(x, x[other])
        elif first or "mixup" not in parts:
            return x, soft
        else:
            share = float(torch.distributions.Beta(0.8, 0.8).sample())
            x = share * x + (1 - share) * x[other]
        return x, share * soft + (1 - share) * soft[other]


def moved(
    x: Tensor,
    mirror: bool,
    shift: float = 0.1,
    turn: float = 0.15,
    zoom: float = 0.1,
    whole: bool = False,
) -> Tensor:
    """Each image shifted (share of its size), turned (radians), zoomed, and mirrored by chance.

    `whole`: shifts are whole pixels.
    """
    n = len(x)
    r = torch.rand(5, n) * 2 - 1
    angle, size = turn * r[0], 1 + zoom * r[1]
    flip = torch.where(r[4] < 0, -1.0, 1.0) if mirror else torch.ones(n)
    cos, sin = angle.cos() * size, angle.sin() * size
    across, down = shift * r[2], shift * r[3]
    if whole:
        across, down = (
            (across * x.shape[3]).round() / x.shape[3],
            (down * x.shape[2]).round() / x.shape[2],
        )
    rows = torch.stack([cos * flip, -sin, 2 * across, sin * flip, cos, 2 * down], dim=1)
    grid = F.affine_grid(rows.reshape(n, 2, 3).to(x), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def cutmix(x: Tensor, other: Tensor) -> tuple[Tensor, float]:
    """A box of `other` over `x`; the share of pixels that stay, after clipping the box."""
    h, w = x.shape[-2:]
    kept = float(torch.rand(()))  # Beta(1, 1)
    side = math.sqrt(1 - kept)
    cy, cx = (int(v) for v in (torch.rand(2) * torch.tensor([h, w])).tolist())
    top, bottom = max(0, cy - round(h * side / 2)), min(h, cy + round(h * side / 2))
    left, right = max(0, cx - round(w * side / 2)), min(w, cx + round(w * side / 2))
    x = x.clone()
    x[..., top:bottom, left:right] = other[..., top:bottom, left:right]
    return x, 1 - (bottom - top) * (right - left) / (h * w)


def _policy(x: Tensor, mirror: bool) -> Tensor:
    """RandAugment and colour jitter of kornia on a chunk; grey images borrow three channels."""
    import kornia.augmentation as K

    grey = x.shape[1] == 1
    rgb = x.expand(-1, 3, -1, -1) if grey else x
    steps: list[Any] = [K.auto.RandAugment(n=2, m=9), K.ColorJitter(0.3, 0.3, 0.3, p=0.8)]
    for step in steps:
        rgb = step(rgb)
    x = rgb.mean(dim=1, keepdim=True) if grey else rgb
    return moved(x.clamp(0, 1), mirror, turn=0.0, zoom=0.0)
