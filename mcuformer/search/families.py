"""The families of networks that a space file can name: one row each, all that the search needs to know.

Layers and shared weights, which need torch, stand in `networks.py` under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph
from mcuformer.search import pyramid_space, vit_space
from mcuformer.search.arch import VIT, Arch
from mcuformer.search.architecture import Architecture
from mcuformer.search.formula import formula_bytes
from mcuformer.search.gene_checks import Frame, GeneChoices
from mcuformer.search.outline import Known, short_outline
from mcuformer.search.pyramid import Pyramid
from mcuformer.search.pyramid_graph import pyramid_outline
from mcuformer.search.pyramid_space import HIERARCHIES, Hierarchy


@dataclass(frozen=True, slots=True)
class NetworkFamily:
    """`choices(name, table)` of a space file's lists, and back by `lists`; `genes` names them in order.

    `tokens` are the genes that all networks of a training step share, `free` and `ends` those that are all
    tried, and tried at either end, for the smallest networks. `outline` is what the planner measures;
    `rounded`: qat.py knows whose weights are whose.
    """

    name: str
    choices: Callable[[str, Mapping[str, Any]], GeneChoices]
    lists: Callable[[GeneChoices], dict[str, Any]]
    genes: Callable[[GeneChoices], tuple[str, ...]]
    active: Callable[[str, Mapping[str, Any]], bool]
    decoded: Callable[[Frame, Mapping[str, Any]], Architecture]
    read: Callable[[dict[str, Any]], Architecture]
    outline: Callable[[Any, Known], Graph]
    formula: Callable[[Any], int]
    tokens: tuple[str, ...]
    free: tuple[str, ...]
    ends: tuple[str, ...] = ()
    rounded: bool = False


def _no_formula(arch: Architecture) -> int:
    raise UsageError(
        f"MCUFormer's memory formula knows no {arch.family}", "take the planner's figures"
    )


def _hierarchical(row: Hierarchy) -> NetworkFamily:
    return NetworkFamily(
        row.family,
        row.choices,
        pyramid_space.as_lists,
        pyramid_space.pyramid_genes,
        pyramid_space.pyramid_active,
        row.decoded,
        Pyramid.from_dict,
        lambda arch, known: pyramid_outline(arch),
        _no_formula,
        pyramid_space.PYRAMID_TOKENS,
        pyramid_space.PYRAMID_FREE,
    )


_VIT = NetworkFamily(
    VIT,
    vit_space.vit_choices,
    lambda choices: {gene: list(values) for gene, values in choices.items()},
    vit_space.vit_genes,
    vit_space.vit_active,
    vit_space.vit_decoded,
    Arch.from_dict,
    short_outline,
    formula_bytes,
    vit_space.VIT_TOKENS,
    vit_space.VIT_TOKENS,
    vit_space.VIT_ENDS,
    rounded=True,
)
NETWORK_FAMILIES: Mapping[str, NetworkFamily] = MappingProxyType(
    {row.name: row for row in (_VIT, *map(_hierarchical, HIERARCHIES.values()))}
)


def arch_of(table: dict[str, Any]) -> Architecture:
    """The network of a table that its `as_dict` gave; a ViT where none is named."""
    return NETWORK_FAMILIES[table.get("family", VIT)].read(table)


def check_rounded(family: str) -> None:
    """UsageError before any work where networks of the family do not train with rounding."""
    if not NETWORK_FAMILIES[family].rounded:
        raise UsageError(f"--qat knows no {family}", "leave --qat out")
