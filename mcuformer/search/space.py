"""A search space: a small TOML file of choices, and its fixed-length encoding.

Every gene is an index into a list of choices. The MLP ratio has one gene per block up to the
largest depth; those behind a network's last block are inactive: they are kept, inherited and
mutated, and mean nothing until a deeper network has them.
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
from mcuformer.search.arch import PATCH, Arch, last_stride

PRESETS = ("tiny", "cifar", "imagenet")
CHOICES = (
    "patch",
    "stem",
    "pool",
    "relative",
    "dim",
    "depth",
    "heads",
    "head_dim",
    "rank_qkv",
    "rank_proj",
    "rank_fc1",
    "rank_fc2",
)
_NEEDED = ("patch", "dim", "depth", "heads", "head_dim")
_DEFAULTS: Mapping[str, Sequence[Any]] = {
    "stem": ["patch"],
    "pool": ["mean"],
    "relative": [False],
    "rank_qkv": [1.0],
    "rank_proj": [1.0],
    "rank_fc1": [1.0],
    "rank_fc2": [1.0],
}

Genes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """`choices[name]` rise in cost; `ratio` is the MLP width over `dim`, chosen per block."""

    name: str
    image: tuple[int, int, int]
    classes: int
    choices: Mapping[str, tuple[Any, ...]]
    ratio: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the genes in the order of their vector."""
        blocks = max(self.choices["depth"])
        return (*CHOICES, *(f"ratio{i}" for i in range(blocks)))

    def options(self, gene: str) -> tuple[Any, ...]:
        return self.ratio if gene.startswith("ratio") else self.choices[gene]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(self.options(name)) for name in self.names)

    def decode(self, genes: Sequence[int]) -> Arch:
        table = {n: self.options(n)[g] for n, g in zip(self.names, genes, strict=True)}
        ratios = [table.pop(n) for n in self.names if n.startswith("ratio")]
        depth = table.pop("depth")
        hidden = tuple(round(r * table["dim"] / 4) * 4 for r in ratios[:depth])
        return Arch(image=self.image, classes=self.classes, hidden=hidden, **table)

    def draw(self, random: Random) -> Genes:
        return tuple(random.randrange(n) for n in self.sizes)

    def active(self, genes: Sequence[int]) -> list[bool]:
        """Which genes the network has."""
        depth = self.choices["depth"][genes[self.names.index("depth")]]
        return [not n.startswith("ratio") or int(n[5:]) < depth for n in self.names]

    def canonical(self, genes: Sequence[int]) -> Genes:
        """Inactive genes at 0: equal for equal networks."""
        pairs = zip(genes, self.active(genes), strict=True)
        return tuple(g if on else 0 for g, on in pairs)

    def smallest(self, **fixed: Any) -> Arch:
        return self._corner(0, fixed)

    def largest(self, **fixed: Any) -> Arch:
        return self._corner(-1, fixed)

    def corners(self) -> list[Genes]:
        """The smallest network for every way to make tokens (stem, patch and pool), with every rank
        at either end: a rank saves weights, but it has a latent to keep and one more layer."""
        free = {n: range(len(self.choices[n])) for n in ("stem", "patch", "pool")}
        ends = {n: {0, len(self.choices[n]) - 1} for n in CHOICES if n.startswith("rank")}
        options = [free.get(n) or sorted(ends.get(n, {0})) for n in self.names]
        return list(product(*options))

    def _corner(self, end: int, fixed: Mapping[str, Any]) -> Arch:
        genes = [0 if end == 0 else n - 1 for n in self.sizes]
        for name, value in fixed.items():
            genes[self.names.index(name)] = self.options(name).index(value)
        return self.decode(genes)

    def grids(self) -> Iterator[Arch]:
        """One network per way to make tokens: stem, patch and pool."""
        for stem in self.choices["stem"]:
            for patch in self.choices["patch"]:
                for pool in self.choices["pool"]:
                    yield self.largest(stem=stem, patch=patch, pool=pool)

    def sized(self, image: tuple[int, int, int], classes: int) -> Space:
        return replace(self, image=image, classes=classes)

    def with_choices(self, **choices: Sequence[Any]) -> Space:
        """The same space with other lists for some genes."""
        ratio = tuple(choices.pop("ratio", self.ratio))
        table = {**self.choices, **{n: tuple(c) for n, c in choices.items()}}
        return replace(self, choices=table, ratio=ratio)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "image": list(self.image),
            "classes": self.classes,
            "choices": {n: list(c) for n, c in self.choices.items()},
            "ratio": list(self.ratio),
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
    known = {*CHOICES, "ratio", "image", "classes"}
    if unknown := sorted(set(table) - known):
        hint = f"known are {', '.join(sorted(known))}"
        raise UsageError(f"space {name}: unknown {', '.join(unknown)}", hint)
    defaults = {gene: [*values] for gene, values in _DEFAULTS.items()}
    choices = {**defaults, **{n: table[n] for n in table if n in CHOICES}}
    lists = {**choices, **{n: table.get(n) for n in (*_NEEDED, "ratio")}}
    for gene, values in lists.items():
        if not isinstance(values, list) or not values:
            raise UsageError(f"space {name}: {gene} needs a list of choices")
    _check_numbers(name, choices, table["ratio"])
    _check_kinds(name, choices)
    image, classes = table.get("image", [24, 24, 1]), table.get("classes", 10)
    if (
        type(image) is not list
        or len(image) != 3
        or any(type(v) is not int or v < 1 for v in image)
    ):
        raise UsageError(f"space {name}: image is [height, width, channels]")
    if type(classes) is not int or classes < 2:
        raise UsageError(f"space {name}: classes is a whole number from 2 on")
    return Space(
        name,
        (image[0], image[1], image[2]),
        classes,
        {n: tuple(choices[n]) for n in CHOICES},
        tuple(table["ratio"]),
    )


def _check_numbers(name: str, choices: Mapping[str, list[Any]], ratio: list[Any]) -> None:
    for gene in _NEEDED:
        if any(type(v) is not int or v < 1 for v in choices[gene]):
            raise UsageError(f"space {name}: {gene} needs positive whole numbers")
    if not all(_is_number(v) and v > 0 for v in ratio):
        raise UsageError(f"space {name}: ratio needs positive numbers")
    for gene in ("rank_qkv", "rank_proj", "rank_fc1", "rank_fc2"):
        if not all(_is_number(v) and 0 < v <= 1 for v in choices[gene]):
            raise UsageError(f"space {name}: {gene} needs ratios in 0..1 (1: dense)")


def _check_kinds(name: str, choices: Mapping[str, list[Any]]) -> None:
    if any(type(v) is not bool for v in choices["relative"]):
        raise UsageError(f"space {name}: relative is true or false")
    if not all(type(v) is str for gene in ("stem", "pool") for v in choices[gene]):
        raise UsageError(f"space {name}: stem and pool are texts")
    if set(choices["pool"]) - {"cls", "mean"}:
        raise UsageError(f"space {name}: pool is cls or mean")
    for stem in choices["stem"]:
        for patch in choices["patch"] if stem != PATCH else ():
            last_stride(str(stem), patch)
    if any(d % 4 for d in choices["dim"]):
        raise UsageError(f"space {name}: dim must be a multiple of 4")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
