"""Whether a space file's lists are what their genes want; UsageError with the gene where one is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mcuformer.errors import UsageError
from mcuformer.search.architecture import PATCH, last_stride

GeneChoices = Mapping[str, tuple[Any, ...]]
Lists = Mapping[str, list[Any]]


class Frame(NamedTuple):
    """What no gene decides: the image's height, width and channels, and the number of classes."""

    image: tuple[int, int, int]
    classes: int


def check_lists(
    name: str,
    table: Mapping[str, Any],
    genes: Sequence[str],
    needed: Sequence[str],
    defaults: Mapping[str, Sequence[Any]],
) -> dict[str, list[Any]]:
    """A list of choices for every gene, of `defaults` where the file has none."""
    if unknown := sorted(set(table) - set(genes)):
        hint = f"known are {', '.join(sorted((*genes, 'family', 'image', 'classes')))}"
        raise UsageError(f"space {name}: unknown {', '.join(unknown)}", hint)
    lists = {gene: table.get(gene, [*defaults.get(gene, ())]) for gene in genes}
    for gene in genes:
        values = table.get(gene) if gene in needed else lists[gene]
        if not isinstance(values, list) or not values:
            raise UsageError(f"space {name}: {gene} needs a list of choices")
    return lists


def check_whole(name: str, lists: Lists, genes: Sequence[str], least: int = 1) -> None:
    for gene in genes:
        if any(type(v) is not int or v < least for v in lists[gene]):
            wanted = "positive whole numbers" if least == 1 else f"whole numbers from {least} on"
            raise UsageError(f"space {name}: {gene} needs {wanted}")


def check_ratios(name: str, lists: Lists, genes: Sequence[str]) -> None:
    for gene in genes:
        if not all(type(v) in (int, float) and 0 < v <= 1 for v in lists[gene]):
            raise UsageError(f"space {name}: {gene} needs ratios in 0..1 (1: dense)")


def check_switches(name: str, lists: Lists, genes: Sequence[str]) -> None:
    for gene in genes:
        if any(type(v) is not bool for v in lists[gene]):
            raise UsageError(f"space {name}: {gene} is true or false")


def check_widths(name: str, lists: Lists, genes: Sequence[str]) -> None:
    for gene in genes:
        if any(d % 4 for d in lists[gene]):
            raise UsageError(f"space {name}: {gene} must be a multiple of 4")


def check_stems(name: str, lists: Lists) -> None:
    """Stems, a class token or none, and whether every stem gives every patch."""
    texts = [gene for gene in ("stem", "pool") if gene in lists]
    if not all(type(v) is str for gene in texts for v in lists[gene]):
        raise UsageError(f"space {name}: {' and '.join(texts)} are texts")
    for stem in lists["stem"]:
        for patch in lists["patch"] if stem != PATCH else ():
            last_stride(str(stem), patch)
