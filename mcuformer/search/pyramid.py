"""One hierarchical network by its numbers alone: stages of ever fewer and wider tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcuformer.search.architecture import Architecture
from mcuformer.search.mixers import GridSize, Mixer, mixer_dict, mixer_of
from mcuformer.util.names import counted


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks on tokens of `dim` channels, one per mixer, each with an MLP `hidden` wide."""

    dim: int
    hidden: int
    mixers: tuple[Mixer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pyramid(Architecture):
    """A stem and a norm; stages, joined by convolutions of 2x2 and a norm each; a norm, the mean and a head.

    `conditional`: a depthwise convolution of 3x3 is added behind the first block of every stage
    (conditional positions, Twins). What lacks to whole patches is padded with zeros below and at the right.
    """

    stages: tuple[Stage, ...]
    conditional: bool = False

    @property
    def width(self) -> int:
        return self.stages[0].dim

    @property
    def grids(self) -> tuple[GridSize, ...]:
        """Rows and columns of tokens, by stage."""
        return grids(self.grid, len(self.stages))

    @property
    def parameters(self) -> int:
        """Trainable numbers of the network."""
        total, before = self.stem_parameters, self.width
        for i, stage in enumerate(self.stages):
            e, h = stage.dim, stage.hidden
            total += 2 * e + (e * (4 * before + 1) if i else 0)
            total += sum(m.parameters(e) + 4 * e + h * (e + 1) + e * (h + 1) for m in stage.mixers)
            total += 10 * e if self.conditional else 0
            before = e
        return total + 2 * before + self.classes * (before + 1)

    @property
    def blocks(self) -> int:
        return sum(len(stage.mixers) for stage in self.stages)

    @property
    def brief(self) -> str:
        """Widths, blocks and patch, for tables."""
        dims, depths = (
            "-".join(str(n) for n in numbers)
            for numbers in ([s.dim for s in self.stages], [len(s.mixers) for s in self.stages])
        )
        return f"{dims}, {depths}, {self.patch}"

    def lines(self) -> list[str]:
        """What `search` prints of it."""
        found = [f"{self.family}: {len(self.stages)} stages, patch {self.patch} ({self.stem})"]
        for stage in self.stages:
            kinds = "; ".join(dict.fromkeys(str(m) for m in stage.mixers))
            found.append(
                f"{counted(len(stage.mixers), 'block')} of {stage.dim}, MLP width {stage.hidden}, {kinds}"
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        stages = [
            {"dim": s.dim, "hidden": s.hidden, "mixers": [mixer_dict(m) for m in s.mixers]}
            for s in self.stages
        ]
        own = {n: getattr(self, n) for n in ("family", "classes", "stem", "patch", "conditional")}
        return {**own, "image": list(self.image), "stages": stages}

    @staticmethod
    def from_dict(table: dict[str, Any]) -> Pyramid:
        stages = tuple(
            Stage(s["dim"], s["hidden"], tuple(mixer_of(m) for m in s["mixers"]))
            for s in table["stages"]
        )
        return Pyramid(**{**table, "image": tuple(table["image"]), "stages": stages})


def grids(first: GridSize, stages: int) -> tuple[GridSize, ...]:
    """Half as many rows and columns in every further stage."""
    found = [first]
    for _ in range(stages - 1):
        down, across = found[-1]
        found.append((-(-down // 2), -(-across // 2)))
    return tuple(found)
