"""Images for two dense tasks: handwritten digits of several sizes on photographs.

The digits are scikit-learn's (8x8 pixels, enlarged smoothly), the photographs CIFAR-10's as JPEG files in an
archive with folders train/CLASS and test/CLASS. What the training composes and what the test does share
neither digits nor photographs.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor
from torch.nn import functional

SIZE = 96
SIDES = (36.0, 84.0)  # of a digit's square, in pixels
DIGITS_FOR_TRAINING = 1400  # of 1,797
POINTS = ("centre", "top left", "top right", "bottom left", "bottom right")
CELL = 4  # pixels of a cell of a key point's map
SIGMA = 1.2  # of a key point's bump, in cells
LEAST_CONTRAST = 0.25  # between the ink and the photograph behind it, of white minus black


@dataclass(frozen=True)
class Sources:
    """digits [N, 1, 8, 8] in 0..1, photographs [M, 3, 32, 32] in 0..1."""

    digits: Tensor
    photographs: Tensor


@dataclass(frozen=True)
class Scenes:
    """image [N, 3, SIZE, SIZE] in 0..1, mask [N, 1, SIZE, SIZE] of bool, points [N, 5, 2] as x, y in pixels,
    side [N]: the longer side of the box that the digit fills."""

    image: Tensor
    mask: Tensor
    points: Tensor
    side: Tensor

    def maps(self) -> Tensor:
        """[N, 5, SIZE/CELL, SIZE/CELL]: a bump of height 1 at every key point."""
        cells = (torch.arange(SIZE // CELL) + 0.5) * CELL
        far = ((cells - self.points[..., None]) / (CELL * SIGMA)) ** 2
        x, y = torch.exp(-far / 2).unbind(2)
        return y[..., :, None] * x[..., None, :]


def read_photographs(archive: Path, part: str) -> Tensor:
    """[M, 3, 32, 32] in bytes, in the archive's order; `part`: "train" or "test"."""
    found = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if f"/{part}/" in member.name and member.name.endswith(".jpg"):
                file = tar.extractfile(member)
                assert file is not None
                found.append(np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB")))
    if not found:
        raise SystemExit(f"{archive}: no {part}/CLASS/*.jpg in it")
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


def sample_photographs() -> Tensor:
    """[M, 3, 32, 32] in bytes: pieces of the two photographs in scikit-learn, which may be shown."""
    whole = torch.from_numpy(np.stack(load_sample_images().images)).permute(0, 3, 1, 2).float()
    small = functional.avg_pool2d(whole, 4)
    pieces = small.unfold(2, 32, 5).unfold(3, 32, 5).permute(0, 2, 3, 1, 4, 5)
    return pieces.reshape(-1, 3, 32, 32).round().byte()


def sources(archive: Path | None, part: str) -> Sources:
    """`archive` None: photographs of scikit-learn."""
    images = torch.from_numpy(load_digits().images / 16).float()[:, None]
    cut = DIGITS_FOR_TRAINING
    digits = images[:cut] if part == "train" else images[cut:]
    return Sources(digits, read_photographs(archive, part) if archive else sample_photographs())


def compose(given: Sources, count: int, rng: torch.Generator) -> Scenes:
    """Each image: one digit of any size and place on one photograph, in one colour."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng)

    def drawn(images: Tensor) -> Tensor:
        return images[torch.randint(len(images), (count,), generator=rng)].float()

    photograph = drawn(given.photographs) / 255
    photograph = torch.where(uniform(count, 1, 1, 1) < 0.5, photograph.flip(3), photograph)
    behind = functional.interpolate(photograph, size=(SIZE, SIZE), mode="bilinear")
    side = SIDES[0] + (SIDES[1] - SIDES[0]) * uniform(count)
    corner = uniform(count, 2) * (SIZE - side[:, None])
    ink = 1.6 * placed(drawn(given.digits), side, corner)
    mask = ink > 0.5
    ink = ink.clamp(0, 1)
    area = mask.sum((2, 3), keepdim=True)
    under = (behind * mask).sum((2, 3), keepdim=True) / area
    image = behind.lerp(contrasting(uniform(count, 3, 1, 1), under), ink)
    image = (image + 0.02 * torch.randn(image.shape, generator=rng)).clamp(0, 1)
    points, longer = points_of(mask)
    return Scenes(image, mask, points, longer)


def placed(digits: Tensor, side: Tensor, corner: Tensor) -> Tensor:
    """[N, 1, SIZE, SIZE]: digits [N, 1, 8, 8] enlarged to squares of `side` [N] pixels from `corner` [N, 2]."""
    at = torch.arange(SIZE) + 0.5
    across = 2 * (at - corner[:, :1]) / side[:, None] - 1
    down = 2 * (at - corner[:, 1:]) / side[:, None] - 1
    shape = (len(digits), SIZE, SIZE)
    grid = torch.stack([across[:, None].expand(shape), down[:, :, None].expand(shape)], -1)
    return functional.grid_sample(digits, grid, mode="bilinear", align_corners=False)


def contrasting(colour: Tensor, under: Tensor) -> Tensor:
    """Colours [N, 3, 1, 1], made lighter or darker where too much like what is under them."""
    apart = (colour - under).mean(1, keepdim=True)
    away = torch.where(under.mean(1, keepdim=True) < 0.5, 1.0, -1.0)
    push = torch.where(apart.abs() < LEAST_CONTRAST, away * LEAST_CONTRAST - apart, 0.0)
    return (colour + push).clamp(0, 1)


def points_of(mask: Tensor) -> tuple[Tensor, Tensor]:
    """[N, 5, 2] as POINTS and [N]: of the box around mask [N, 1, H, W]."""
    ends = []
    for axis in (2, 3):
        line = mask.any(axis)[:, 0].int()
        ends.append((line.argmax(1), line.shape[1] - line.flip(1).argmax(1)))
    (left, right), (top, bottom) = ((a.float(), b.float()) for a, b in ends)
    centre = torch.stack([(left + right) / 2, (top + bottom) / 2], -1)
    corners = [torch.stack([x, y], -1) for y in (top, bottom) for x in (left, right)]
    return torch.stack([centre, *corners], 1), torch.maximum(right - left, bottom - top)


def located(maps: Tensor) -> Tensor:
    """[N, P, 2] as x, y in pixels: where maps [N, P, H, W] are largest, between cells by the parabola
    through the logarithms of the neighbours, which is exact for a bump of Gauss."""
    width = maps.shape[3]
    best = maps.flatten(2).argmax(2)
    logs = functional.pad(maps.clamp(min=1e-3).log(), (1, 1, 1, 1), mode="replicate").flatten(2)
    wide = width + 2
    at = (best // width + 1) * wide + best % width + 1

    def value(step: int) -> Tensor:
        return logs.gather(2, (at + step)[..., None])[..., 0]

    def between(step: int) -> Tensor:
        before, here, after = value(-step), value(0), value(step)
        bend = (2 * here - before - after).clamp(min=1e-6)
        return ((after - before) / (2 * bend)).clamp(-0.5, 0.5)

    x, y = (best % width).float() + between(1), (best // width).float() + between(wide)
    return CELL * (torch.stack([x, y], -1) + 0.5)


def in_bytes(scenes: Scenes) -> NDArray[np.uint8]:
    """The images, [N, 3, SIZE, SIZE]."""
    return (scenes.image * 255).round().byte().numpy()


def mean_iou(scores: Tensor, mask: Tensor) -> float:
    """Percent: intersection over union of digit and background over all pixels, their mean."""
    found = scores > 0
    pairs = ((found, mask), (~found, ~mask))
    return 50 * sum(((a & b).sum() / (a | b).sum()).item() for a, b in pairs)


def pck(maps: Tensor, points: Tensor, side: Tensor) -> float:
    """Percent of key points within a tenth of the box's longer side (PCK@0.1)."""
    far = (located(maps) - points).norm(dim=-1)
    return 100 * (far <= 0.1 * side[:, None]).float().mean().item()
