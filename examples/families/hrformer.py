"""HRFormer (arXiv 2110.09408), written from the paper: parallel branches that exchange what they see.

    python examples/families/hrformer.py --task keypoints --size 256x192 -o hrformer.onnx

Branch i has width x 2^i channels at 1/(4 x 2^i) of the image's lines and columns. A module runs two
transformer blocks on every branch, then adds to each branch all others, brought to its size. Weights are
random, drawn from --seed; BatchNorms know the statistics of noise. Needs torch.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from hrformer_heads import HEADS, Bottleneck, convolution, depthwise
from torch import Tensor, nn
from torch.nn import functional

WINDOW = 7
COUNTS = {"classes": 1000, "keypoints": 17, "mask": 19, "dense": 17}
OUTPUTS = {task: ["mask", "keypoints"] if task == "dense" else [task] for task in COUNTS}


@dataclass(frozen=True)
class Sizes:
    """Of a network; as they stand: HRFormer-T. `modules`: of the stages with 2, 3 and 4 branches."""

    width: int = 18
    heads: tuple[int, ...] = (1, 2, 4, 8)
    modules: tuple[int, ...] = (1, 3, 2)
    blocks: int = 2
    ratio: int = 4
    stem: int = 64

    def channels(self, branch: int) -> int:
        return self.width << branch


class WindowAttention(nn.Module):
    """Attention within windows of 7x7, with a learnt bias for every relative position.

    Where lines or columns do not divide by 7, zeros surround them, which are cut off again.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.positions = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        nn.init.trunc_normal_(self.positions, std=0.5)
        self.register_buffer("index", relative_index(WINDOW), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, H, W, C] to the same."""
        n, height, width, channels = x.shape
        down, across = -height % WINDOW, -width % WINDOW
        top, left = down // 2, across // 2
        if down or across:
            x = functional.pad(x, (0, 0, left, across - left, top, down - top))
        rows, columns = (height + down) // WINDOW, (width + across) // WINDOW
        x = x.view(n, rows, WINDOW, columns, WINDOW, channels).transpose(2, 3)
        x = self.attend(x.reshape(n * rows * columns, WINDOW * WINDOW, channels))
        x = x.view(n, rows, columns, WINDOW, WINDOW, channels).transpose(2, 3)
        x = x.reshape(n, height + down, width + across, channels)
        return x[:, top : top + height, left : left + width] if down or across else x

    def attend(self, x: Tensor) -> Tensor:
        """[windows, 49, C] to the same."""
        windows, tokens, channels = x.shape
        each = channels // self.heads
        q, k, v = self.qkv(x).view(windows, tokens, 3, self.heads, each).permute(2, 0, 3, 1, 4)
        bias = self.positions[self.index].view(tokens, tokens, self.heads).permute(2, 0, 1)
        scores = (q * self.scale) @ k.transpose(-2, -1) + bias[None]
        x = (scores.softmax(-1) @ v).transpose(1, 2).reshape(windows, tokens, channels)
        return self.out(x)


def relative_index(window: int) -> Tensor:
    """[w^4]: the row of the table of positions for every query and key of a window."""
    at = torch.arange(window)
    y, x = (grid.flatten() for grid in torch.meshgrid(at, at, indexing="ij"))
    dy = y[:, None] - y[None] + window - 1
    dx = x[:, None] - x[None] + window - 1
    return (dy * (2 * window - 1) + dx).flatten()


class Block(nn.Module):
    """Window attention, then an FFN with a depthwise 3x3 that links the windows."""

    def __init__(self, channels: int, heads: int, ratio: int) -> None:
        super().__init__()
        hidden = ratio * channels
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attention = WindowAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.ffn = nn.Sequential(
            *convolution(channels, hidden, 1, bias=True), nn.GELU(),
            *depthwise(hidden, bias=True), nn.GELU(),
            *convolution(hidden, channels, 1, bias=True), nn.GELU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same."""
        x = x.permute(0, 2, 3, 1)
        x = x + self.attention(self.norm1(x))
        return x.permute(0, 3, 1, 2) + self.ffn(self.norm2(x).permute(0, 3, 1, 2))


class Fusion(nn.Module):
    """What branch `source` adds to branch `target`."""

    def __init__(self, sizes: Sizes, source: int, target: int) -> None:
        super().__init__()
        inputs, outputs = sizes.channels(source), sizes.channels(target)
        layers: list[nn.Module] = []
        if source > target:
            layers = [
                *convolution(inputs, outputs, 1),
                nn.Upsample(scale_factor=1 << (source - target)),
            ]
        for step in range(target - source):
            last = step == target - source - 1
            layers += [*depthwise(inputs, 2), *convolution(inputs, outputs if last else inputs, 1)]
            layers += [] if last else [nn.ReLU()]
        self.layers, self.up = nn.Sequential(*layers), source > target

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        x = self.layers(x)
        if not self.up:
            return x
        return functional.interpolate(x, size=list(size), mode="bilinear", align_corners=True)


class Module(nn.Module):
    """Blocks on each of its branches, then every branch is added to the first `outputs`."""

    def __init__(self, sizes: Sizes, branches: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                *(
                    Block(sizes.channels(i), sizes.heads[i], sizes.ratio)
                    for _ in range(sizes.blocks)
                )
            )
            for i in range(branches)
        )
        self.fusions = nn.ModuleDict(
            {
                f"{j}to{i}": Fusion(sizes, j, i)
                for i in range(outputs)
                for j in range(branches)
                if i != j
            }
        )
        self.outputs = outputs

    def forward(self, xs: list[Tensor]) -> list[Tensor]:
        xs = [branch(x) for branch, x in zip(self.branches, xs, strict=True)]
        return [self.fused(xs, i) for i in range(self.outputs)]

    def fused(self, xs: list[Tensor], i: int) -> Tensor:
        size = xs[i].shape[2:]
        terms = [x if i == j else self.fusions[f"{j}to{i}"](x, size) for j, x in enumerate(xs)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return functional.relu(total)


class HRFormer(nn.Module):
    """Images [N, 3, H, W]; H and W divide by 32."""

    def __init__(self, sizes: Sizes, task: str, count: int) -> None:
        super().__init__()
        wide = 4 * sizes.stem
        self.stem = nn.Sequential(
            *convolution(3, sizes.stem, 3, 2), nn.ReLU(),
            *convolution(sizes.stem, sizes.stem, 3, 2), nn.ReLU(),
            Bottleneck(sizes.stem, sizes.stem), Bottleneck(wide, sizes.stem),
        )  # fmt: skip
        self.first = self.entry(wide, sizes.width, 1)
        self.entries, self.stages = nn.ModuleList(), nn.ModuleList()
        for branches, modules in enumerate(sizes.modules, 2):
            inputs = wide if branches == 2 else sizes.channels(branches - 2)
            self.entries.append(self.entry(inputs, sizes.channels(branches - 1), 2))
            last = branches == 1 + len(sizes.modules)
            kept = [branches] * (modules - 1) + [1 if last and task == "keypoints" else branches]
            self.stages.append(nn.ModuleList(Module(sizes, branches, n) for n in kept))
        self.head = HEADS[task](sizes, count)

    @staticmethod
    def entry(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        """Into a new branch."""
        return nn.Sequential(*convolution(inputs, outputs, 3, stride), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        stem = self.stem(image)
        xs, last = [self.first(stem)], stem
        for entry, stage in zip(self.entries, self.stages, strict=True):
            xs.append(entry(last))
            for module in stage:
                xs = module(xs)
            last = xs[-1]
        return self.head(xs)


@torch.no_grad()
def network(sizes: Sizes, task: str, count: int, image: tuple[int, int], seed: int) -> nn.Module:
    """Random weights; BatchNorms with the statistics of noise of the size `image`."""
    torch.manual_seed(seed)
    net = HRFormer(sizes, task, count)
    for norm in [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]:
        norm.momentum = None
    net.train()(torch.randn(4, 3, *image))
    return net.eval()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--task", choices=COUNTS, default="classes")
    add("--count", type=int, help="classes or maps; default: the data set's of the paper")
    add("--size", default="224x224", metavar="HxW", help="of the image")
    add("--width", type=int, default=18, help="channels of the first branch: 18 of T, 32 of S")
    add("--stem", type=int, default=64, help="channels of the stem")
    add("--modules", default="1,3,2", help="of each stage")
    add("--blocks", type=int, default=2, help="of each branch of a module")
    add("--seed", type=int, default=0)
    add("--opset", type=int, default=17)
    add("--exporter", choices=("torchscript", "dynamo"), default="torchscript")
    add("-o", "--output", type=Path, required=True)
    args = parser.parse_args(argv)
    height, width = map(int, args.size.split("x"))
    modules = tuple(map(int, args.modules.split(",")))
    heads = tuple(1 << i for i in range(1 + len(modules)))
    sizes = Sizes(args.width, heads, modules, args.blocks, stem=args.stem)
    count = args.count or COUNTS[args.task]
    net = network(sizes, args.task, count, (height, width), args.seed)
    warnings.filterwarnings("ignore")
    torch.onnx.export(
        net, (torch.zeros(1, 3, height, width),), str(args.output), opset_version=args.opset,
        dynamo=args.exporter == "dynamo", input_names=["image"], output_names=OUTPUTS[args.task],
    )  # fmt: skip
    print(f"{args.output}: {sum(p.numel() for p in net.parameters()):,} parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
