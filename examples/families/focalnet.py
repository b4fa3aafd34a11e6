"""FocalNet in PyTorch, written from the paper (arXiv 2203.11926), and its export to ONNX.

A block is x += g1 * Mod(norm(x)); x += g2 * FFN(norm(x)). The modulation replaces attention:

    q, z, gates = f(x)                       one linear layer
    z[l] = GELU(depthwise(z[l-1]))           kernels window, window+2, ... : wider and wider contexts
    z[L+1] = GELU(mean of z[L])              one context for the whole image
    y = proj(q * h(sum of gates[l] * z[l]))

Needs torch and onnx, in an environment of its own (mcuformer itself needs none of it).

    python examples/families/focalnet.py --model iso_tiny -o iso_tiny.onnx
    python examples/families/focalnet.py --model tiny --size 192x192 --exporter dynamo -o small.onnx
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """`patch` pixels to a token of `dims[0]` channels; `depths` blocks of `dims` channels in the stages,
    joined by 2x2 convolutions; kernels of `levels` contexts from `window` on."""

    patch: int
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    levels: int = 2
    window: int = 3
    layerscale: float | None = None
    normalize: bool = False  # the sum of contexts divided by their number


MODELS = {
    "iso_tiny": Shape(16, (192,), (12,)),
    "iso_small": Shape(16, (96,), (8,)),
    "tiny": Shape(4, (96, 192, 384, 768), (2, 2, 6, 2)),
    "tiny_lrf": Shape(4, (96, 192, 384, 768), (2, 2, 6, 2), levels=3),
}


class Modulation(nn.Module):
    """Images [batch, H, W, dim] to the same shape."""

    def __init__(self, dim: int, shape: Shape) -> None:
        super().__init__()
        self.dim, self.levels, self.normalize = dim, shape.levels, shape.normalize
        self.f = nn.Linear(dim, 2 * dim + shape.levels + 1)
        kernels = [shape.window + 2 * level for level in range(shape.levels)]
        self.contexts = nn.ModuleList(
            nn.Conv2d(dim, dim, k, padding=k // 2, groups=dim, bias=False) for k in kernels
        )
        self.h, self.proj = nn.Conv2d(dim, dim, 1), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.f(x).permute(0, 3, 1, 2)
        q, z, gates = parts.split((self.dim, self.dim, self.levels + 1), 1)
        total: Tensor | float = 0.0
        for level, context in enumerate(self.contexts):
            z = F.gelu(context(z))
            total = total + z * gates[:, level : level + 1]
        mean = F.gelu(z.mean((2, 3), keepdim=True))
        total = total + mean * gates[:, self.levels :]
        if self.normalize:
            total = total / (self.levels + 1)
        return self.proj((q * self.h(total)).permute(0, 2, 3, 1))


class Block(nn.Module):
    def __init__(self, dim: int, shape: Shape) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.modulation = Modulation(dim, shape)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        scale = shape.layerscale
        self.scales = nn.Parameter(torch.full((2, dim), scale)) if scale is not None else None

    def forward(self, x: Tensor) -> Tensor:
        first, second = (1.0, 1.0) if self.scales is None else self.scales
        x = x + first * self.modulation(self.norm1(x))
        return x + second * self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Joined(nn.Module):
    """A convolution without overlap and a norm: [batch, H, W, C] to [batch, H/step, W/step, dim]."""

    def __init__(self, channels: int, dim: int, step: int) -> None:
        super().__init__()
        self.proj, self.norm = nn.Conv2d(channels, dim, step, step), nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class FocalNet(nn.Module):
    """Images [batch, channels, H, W] to [batch, classes]."""

    def __init__(self, shape: Shape, classes: int = 1000, channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        step = shape.patch
        for dim, depth in zip(shape.dims, shape.depths, strict=True):
            layers.append(Joined(channels, dim, step))
            layers += (Block(dim, shape) for _ in range(depth))
            channels, step = dim, 2
        self.layers = nn.Sequential(*layers)
        self.norm, self.head = nn.LayerNorm(channels), nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.layers(x.permute(0, 2, 3, 1)))
        return self.head(x.mean((1, 2)))


def export(model: nn.Module, size: Sequence[int], path: Path, exporter: str) -> None:
    image = torch.randn(1, 3, *size)
    torch.onnx.export(
        model.eval(), (image,), path, opset_version=18 if exporter == "dynamo" else 17,
        dynamo=exporter == "dynamo", input_names=["image"], output_names=["classes"],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--model", choices=MODELS, default="iso_tiny")
    parser.add_argument("--size", default="224x224", metavar="HxW", help="of the image")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--exporter", choices=("torchscript", "dynamo"), default="torchscript")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = FocalNet(MODELS[args.model], args.classes)
    height, width = map(int, args.size.split("x"))
    export(model, (height, width), args.output, args.exporter)


if __name__ == "__main__":
    main()
