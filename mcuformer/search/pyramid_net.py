"""The plain network of one Pyramid: standard layers, exportable by both torch exporters."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mcuformer.search.mixer_layers import LAYERS, NonOverlapping
from mcuformer.search.mixers import GridSize, Mixer
from mcuformer.search.pyramid import Pyramid, Stage
from mcuformer.search.stem import made_of, stem_of


class MixerBlock(nn.Module):
    """x += mixer(norm(x)); x += MLP(norm(x))."""

    def __init__(self, stage: Stage, mixer: Mixer, grid: GridSize) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(stage.dim), nn.LayerNorm(stage.dim)
        self.mixer = LAYERS[type(mixer)](stage.dim, mixer, grid)
        self.fc1, self.fc2 = nn.Linear(stage.dim, stage.hidden), nn.Linear(stage.hidden, stage.dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(self.norm1(x))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class StageLayers(nn.Module):
    """What joins it to the stage before, and its blocks; [batch, rows, columns, channels] between them."""

    def __init__(self, arch: Pyramid, i: int) -> None:
        super().__init__()
        stage = arch.stages[i]
        self.merge = NonOverlapping(arch.stages[i - 1].dim, stage.dim, 2) if i else None
        self.blocks = nn.ModuleList(MixerBlock(stage, m, arch.grids[i]) for m in stage.mixers)
        self.position = (
            nn.Conv2d(stage.dim, stage.dim, 3, padding=1, groups=stage.dim)
            if arch.conditional
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.merge is None else self.merge(x)
        for j, block in enumerate(self.blocks):
            x = block(x)
            if self.position is not None and j == 0:
                x = x + self.position(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x


class PyramidNetwork(nn.Module):
    """Normalised images [batch, C, H, W] -> logits [batch, classes]."""

    def __init__(self, arch: Pyramid) -> None:
        super().__init__()
        self.arch = arch
        self.stem = stem_of(arch)
        self.norm0 = nn.LayerNorm(arch.width)
        self.stages = nn.ModuleList(StageLayers(arch, i) for i in range(len(arch.stages)))
        last = arch.stages[-1].dim
        self.norm, self.head = nn.LayerNorm(last), nn.Linear(last, arch.classes)

    def embed(self, x: Tensor) -> Tensor:
        """[batch, width, rows, columns]: the tokens before their norm."""
        return made_of(self.arch, self.stem, x)

    def encode(self, tokens: Tensor) -> Tensor:
        """Logits from what `embed` gives."""
        x = self.norm0(tokens.permute(0, 2, 3, 1))
        for stage in self.stages:
            x = stage(x)
        return self.head(self.norm(x).mean((1, 2)))

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(self.embed(x))
