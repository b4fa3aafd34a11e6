"""A search space: a small TOML file of choices, and its fixed-length encoding.

Every gene is an index into a list of choices. What genes there are and what network they make is the
family's to say (`families.py`); genes that a network does not have are kept, inherited and mutated, and
mean nothing until one has them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from mcuformer.errors import UsageError
from mcuformer.search.arch import VIT
from mcuformer.search.architecture import Architecture
from mcuformer.search.families import NETWORK_FAMILIES, NetworkFamily
from mcuformer.search.gene_checks import Frame, GeneChoices

PRESETS = ("tiny", "cifar", "imagenet", "focal", "twins", "s3")

Genes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """`choices` of a gene, or of all genes that are numbered from its name, rise in cost."""

    name: str
    family: str
    image: tuple[int, int, int]
    classes: int
    choices: GeneChoices

    @property
    def row(self) -> NetworkFamily:
        return NETWORK_FAMILIES[self.family]

    @property
    def ratio(self) -> tuple[float, ...]:
        """Of a ViT: the MLP width over `dim`, chosen per block."""
        return self.choices["ratio"]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the genes in the order of their vector."""
        return self.row.genes(self.choices)

    def options(self, gene: str) -> tuple[Any, ...]:
        return self.choices[gene if gene in self.choices else gene.rstrip("0123456789")]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(self.options(name)) for name in self.names)

    def values(self, genes: Sequence[int]) -> dict[str, Any]:
        """What is chosen for each gene."""
        return {n: self.options(n)[g] for n, g in zip(self.names, genes, strict=True)}

    def decode(self, genes: Sequence[int]) -> Architecture:
        return self.row.decoded(Frame(self.image, self.classes), self.values(genes))

    def draw(self, random: Random) -> Genes:
        return tuple(random.randrange(n) for n in self.sizes)

    def active(self, genes: Sequence[int]) -> list[bool]:
        """Which genes the network has."""
        values = self.values(genes)
        return [self.row.active(n, values) for n in self.names]

    def canonical(self, genes: Sequence[int]) -> Genes:
        """Inactive genes at 0: equal for equal networks."""
        pairs = zip(genes, self.active(genes), strict=True)
        return tuple(g if on else 0 for g, on in pairs)

    def smallest(self, **fixed: Any) -> Architecture:
        return self.decode(self.fixed([0] * len(self.names), fixed))

    def largest(self, **fixed: Any) -> Architecture:
        return self.decode(self.fixed([n - 1 for n in self.sizes], fixed))

    def fixed(self, genes: Sequence[int], values: Mapping[str, Any]) -> Genes:
        """The same with these choices."""
        pairs = zip(self.names, genes, strict=True)
        return tuple(self.options(n).index(values[n]) if n in values else g for n, g in pairs)

    def corners(self) -> list[Genes]:
        """The smallest network for every way to make tokens (for a ViT stem, patch and pool), with every
        rank at either end: a rank saves weights, but it has a latent to keep and one more layer."""
        free = {n: range(len(self.choices[n])) for n in self.row.free}
        ends = {n: {0, len(self.choices[n]) - 1} for n in self.row.ends}
        options = [free.get(n) or sorted(ends.get(n, {0})) for n in self.names]
        return list(product(*options))

    def grids(self) -> Iterator[Architecture]:
        """The largest network for every way to make tokens."""
        for values in product(*(self.choices[n] for n in self.row.tokens)):
            yield self.largest(**dict(zip(self.row.tokens, values, strict=True)))

    def sized(self, image: tuple[int, int, int], classes: int) -> Space:
        return replace(self, image=image, classes=classes)

    def with_choices(self, **choices: Sequence[Any]) -> Space:
        """The same space with other lists for some genes."""
        assert set(choices) <= set(self.choices)
        return replace(self, choices={**self.choices, **{n: tuple(c) for n, c in choices.items()}})

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `parse_space` reads `choices`."""
        return {
            "name": self.name,
            "family": self.family,
            "image": list(self.image),
            "classes": self.classes,
            "choices": self.row.lists(self.choices),
        }


def load_space(name: str) -> Space:
    """A preset by its name, or a TOML file."""
    path = Path(__file__).parent / "spaces" / f"{name}.toml" if name in PRESETS else Path(name)
    if not path.is_file():
        raise UsageError(
            f"there is no space {name}", f"give a TOML file, or one of {', '.join(PRESETS)}"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    return parse_space(path.stem, table)


def parse_space(name: str, table: Mapping[str, Any]) -> Space:
    family = table.get("family", VIT)
    if family not in NETWORK_FAMILIES:
        raise UsageError(
            f"space {name}: no family {family}", f"known are {', '.join(NETWORK_FAMILIES)}"
        )
    frame = ("family", "image", "classes")
    choices = NETWORK_FAMILIES[family].choices(
        name, {n: v for n, v in table.items() if n not in frame}
    )
    image, classes = table.get("image", [24, 24, 1]), table.get("classes", 10)
    if (
        type(image) is not list
        or len(image) != 3
        or any(type(v) is not int or v < 1 for v in image)
    ):
        raise UsageError(f"space {name}: image is [height, width, channels]")
    if type(classes) is not int or classes < 2:
        raise UsageError(f"space {name}: classes is a whole number from 2 on")
    return Space(name, family, (image[0], image[1], image[2]), classes, choices)
