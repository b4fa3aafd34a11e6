"""Genes of plain vision transformers.

The MLP ratio has one gene per block up to the largest depth; those behind a network's last block are
inactive: they are kept, inherited and mutated, and mean nothing until a deeper network has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcuformer.errors import UsageError
from mcuformer.search.arch import VIT, Arch
from mcuformer.search.gene_checks import (
    Frame,
    GeneChoices,
    check_lists,
    check_ratios,
    check_stems,
    check_switches,
    check_whole,
    check_widths,
)

_NEEDED = ("patch", "dim", "depth", "heads", "head_dim")
_RANKS = ("rank_qkv", "rank_proj", "rank_fc1", "rank_fc2")
VIT_TOKENS = ("stem", "patch", "pool")
VIT_ENDS = _RANKS
_CHOICES = (
    "patch",
    "stem",
    "pool",
    "relative",
    "dim",
    "depth",
    "heads",
    "head_dim",
    *_RANKS,
)
_DEFAULTS: Mapping[str, Sequence[Any]] = {
    "stem": ["patch"],
    "pool": ["mean"],
    "relative": [False],
    **{rank: [1.0] for rank in _RANKS},
}


def vit_choices(name: str, table: Mapping[str, Any]) -> GeneChoices:
    """GeneChoices of every gene of a space file; UsageError where one is wrong."""
    lists = check_lists(name, table, (*_CHOICES, "ratio"), (*_NEEDED, "ratio"), _DEFAULTS)
    check_whole(name, lists, _NEEDED)
    if not all(type(v) in (int, float) and v > 0 for v in lists["ratio"]):
        raise UsageError(f"space {name}: ratio needs positive numbers")
    check_ratios(name, lists, _RANKS)
    check_switches(name, lists, ("relative",))
    check_stems(name, lists)
    if set(lists["pool"]) - {"cls", "mean"}:
        raise UsageError(f"space {name}: pool is cls or mean")
    check_widths(name, lists, ("dim",))
    return {n: tuple(lists[n]) for n in (*_CHOICES, "ratio")}


def vit_genes(choices: GeneChoices) -> tuple[str, ...]:
    """Names of the genes in the order of their vector."""
    return (*_CHOICES, *(f"ratio{i}" for i in range(max(choices["depth"]))))


def vit_active(gene: str, values: Mapping[str, Any]) -> bool:
    """Whether the network that has `values` has the gene."""
    return not gene.startswith("ratio") or int(gene[5:]) < values["depth"]


def vit_decoded(frame: Frame, values: Mapping[str, Any]) -> Arch:
    table = {n: v for n, v in values.items() if not n.startswith("ratio")}
    ratios = [v for n, v in values.items() if n.startswith("ratio")]
    depth = table.pop("depth")
    hidden = tuple(round(r * table["dim"] / 4) * 4 for r in ratios[:depth])
    return Arch(family=VIT, image=frame.image, classes=frame.classes, hidden=hidden, **table)
