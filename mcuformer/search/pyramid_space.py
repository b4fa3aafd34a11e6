"""Genes of hierarchical networks: those of the whole network, and those of every stage.

A stage gene's list in a space file holds for all stages, or is a list of lists, one per stage. Genes of
stages that a network does not have are inactive, as a ViT's ratios behind its last block are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mcuformer.errors import UsageError
from mcuformer.search.gene_checks import (
    Frame,
    GeneChoices,
    check_lists,
    check_stems,
    check_switches,
    check_whole,
    check_widths,
)
from mcuformer.search.mixers import (
    FocalModulation,
    GridSize,
    Mixer,
    ReducedAttention,
    WindowAttention,
)
from mcuformer.search.pyramid import Pyramid, Stage, grids

PYRAMID_TOKENS = ("stem", "patch")
PYRAMID_FREE = (*PYRAMID_TOKENS, "stages")
_WHOLE, _SIZES = (*PYRAMID_FREE,), ("dim", "depth", "ratio")
_MOST_STAGES = 4
GeneValues = Mapping[str, Any]  # of the genes of one stage


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """What is special to a family: its genes beside those of all, and the mixer of a block.

    `mixer(values, grid, j)` of block j of a stage. `from_zero`: genes whose smallest number is not 1,
    `kinds` those by which a block has other weights, and not only more of them.
    """

    family: str
    stage_genes: tuple[str, ...]
    mixer: Callable[[GeneValues, GridSize, int], Mixer]
    defaults: Mapping[str, Sequence[Any]]
    switches: tuple[str, ...] = ()
    from_zero: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    conditional: bool = False

    def choices(self, name: str, table: Mapping[str, Any]) -> GeneChoices:
        """GeneChoices of every gene of a space file; UsageError where one is wrong."""
        of_stages = (*_SIZES, *self.stage_genes)
        genes = (*_WHOLE, *self.switches, *of_stages)
        needed = [g for g in genes if g not in {"stem", *self.defaults}]
        lists = check_lists(name, table, genes, needed, {"stem": ["patch"], **self.defaults})
        check_whole(name, lists, ("patch", "stages"))
        if max(lists["stages"]) > _MOST_STAGES:
            raise UsageError(f"space {name}: at most {_MOST_STAGES} stages")
        check_switches(name, lists, self.switches)
        check_stems(name, lists)
        found = {n: tuple(lists[n]) for n in (*_WHOLE, *self.switches)}
        for i in range(max(lists["stages"])):
            stage = {f"{n}{i}": _of_stage(name, n, lists[n], i) for n in of_stages}
            self._check(name, stage, i)
            found |= {n: tuple(v) for n, v in stage.items()}
        return found

    def _check(self, name: str, stage: Mapping[str, list[Any]], i: int) -> None:
        for gene in ("dim", "depth", *self.stage_genes):
            check_whole(name, stage, (f"{gene}{i}",), int(gene not in self.from_zero))
        check_widths(name, stage, (f"dim{i}",))
        if not all(type(v) in (int, float) and v > 0 for v in stage[f"ratio{i}"]):
            raise UsageError(f"space {name}: ratio{i} needs positive numbers")

    def decoded(self, frame: Frame, values: GeneValues) -> Pyramid:
        patch, image = values["patch"], frame.image
        first = -(-image[0] // patch), -(-image[1] // patch)
        stages = tuple(
            self._stage({n: values.get(f"{n}{i}", values.get(n)) for n in self._read}, grid)
            for i, grid in enumerate(grids(first, values["stages"]))
        )
        return Pyramid(
            family=self.family,
            image=image,
            classes=frame.classes,
            stem=values["stem"],
            patch=patch,
            stages=stages,
            conditional=self.conditional,
        )

    @property
    def _read(self) -> tuple[str, ...]:
        return (*_SIZES, *self.stage_genes, *self.switches)

    def _stage(self, values: GeneValues, grid: GridSize) -> Stage:
        mixers = tuple(self.mixer(values, grid, j) for j in range(values["depth"]))
        return Stage(values["dim"], round(values["ratio"] * values["dim"] / 4) * 4, mixers)


def _of_stage(name: str, gene: str, values: list[Any], i: int) -> list[Any]:
    """The choices of stage i; `values` are those of all stages, or one list per stage."""
    if not any(isinstance(v, list) for v in values):
        return values
    if i >= len(values) or not isinstance(values[i], list) or not values[i]:
        raise UsageError(
            f"space {name}: {gene} needs a list of choices for stage {i + 1}",
            "one list for all stages, or a list of lists, one per stage",
        )
    return list(values[i])


def pyramid_genes(choices: GeneChoices) -> tuple[str, ...]:
    """Names of the genes in the order of their vector: `dim0` is the width of the first stage."""
    return tuple(choices)


def pyramid_active(gene: str, values: Mapping[str, Any]) -> bool:
    """Whether the network that has `values` has the gene."""
    stage = gene[len(gene.rstrip("0123456789")) :]
    return not stage or int(stage) < values["stages"]


def as_lists(choices: GeneChoices) -> dict[str, Any]:
    """The table of a space file that has these choices."""
    found: dict[str, Any] = {}
    for gene, values in choices.items():
        base = gene.rstrip("0123456789")
        if base == gene:
            found[gene] = list(values)
        else:
            found.setdefault(base, []).append(list(values))
    return found


def _focal(values: GeneValues, grid: GridSize, j: int) -> Mixer:
    return FocalModulation(values["kernel"], values["levels"])


def _twins(values: GeneValues, grid: GridSize, j: int) -> Mixer:
    """Windows and the whole image in turn (Twins-SVT); window 0: the whole image always (PCPVT)."""
    heads = values["heads"], values["head_dim"]
    if values["window"] and j % 2 == 0:
        rows, columns = (min(values["window"], side) for side in grid)
        return WindowAttention(rows, columns, *heads)
    return ReducedAttention(min(values["reduction"], *grid), *heads)


def _windows(values: GeneValues, grid: GridSize, j: int) -> Mixer:
    """Every second block's windows are shifted by half, where there is more than one."""
    rows, columns = (min(values["window"], side) for side in grid)
    down, across = (
        side // 2 if values["shift"] and j % 2 and whole > side else 0
        for side, whole in zip((rows, columns), grid, strict=True)
    )
    heads = values["heads"], values["head_dim"]
    return WindowAttention(rows, columns, *heads, (down, across), values["relative"])


_FOCAL = Hierarchy("focal", ("kernel", "levels"), _focal, {"kernel": [3], "levels": [2]})
_TWINS = Hierarchy(
    "twins",
    ("heads", "head_dim", "window", "reduction"),
    _twins,
    {"window": [0], "reduction": [2]},
    from_zero=("window",),
    kinds=("window", "reduction"),
    conditional=True,
)
_WINDOWS = Hierarchy(
    "windows",
    ("heads", "head_dim", "window"),
    _windows,
    {"window": [7], "shift": [True], "relative": [True]},
    switches=("shift", "relative"),
)
HIERARCHIES: Mapping[str, Hierarchy] = MappingProxyType(
    {row.family: row for row in (_FOCAL, _TWINS, _WINDOWS)}
)
