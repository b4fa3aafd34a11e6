"""C names of what a model brings (docs/adr/0007).

A double underscore stands in every name inside a package and in none of its interface, of the
runtime, of a local or of another model's prefix: names are made of single ones.

    tiny_invoke       the interface: prefix and one word
    tiny__fc1         the const struct of layer fc1
    tiny__fc1__w      an array of that struct
    tiny__fc1__at     the offset of buffer fc1 in the arena
    tiny__fc1__const  a bare array
    tiny__arena1__own what every model has
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcuformer.util.names import unique_identifiers

# Columns for the prefix and a layer, so that a declaration fits a line (docs/adr/0007)
_ROOM = 52
_LONGEST_LAYER = 40
OFFSET, BARE, OWN = "at", "const", "own"  # never the suffix of an array


@dataclass(frozen=True, slots=True)
class Symbols:
    """`prefix` is the model's C name. `variant`: a word for one of several programs over the same
    weights, "" where there is one."""

    prefix: str
    variant: str = ""

    @property
    def macro(self) -> str:
        return self.prefix.upper()

    def table(self, names: Mapping[str, str], suffix: str = "") -> dict[str, str]:
        """A C name for each key, from the name that belongs to it; equal names are numbered."""
        longest = min(_LONGEST_LAYER, _ROOM - len(self.inner()))
        made = unique_identifiers(list(names.values()), longest=longest)
        return {key: self.inner(name, suffix) for key, name in zip(names, made, strict=True)}

    def inner(self, *words: str) -> str:
        return "__".join([self.prefix, *filter(None, (self.variant, *words))])


def same(keys: Iterable[str]) -> dict[str, str]:
    """Keys that are names themselves."""
    return {key: key for key in keys}
