"""One vision transformer of a search space, by its numbers alone."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mcuformer.errors import UsageError

Stem = Literal["patch", "conv"]
Pool = Literal["cls", "mean"]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Inner widths of the factorised linear layers of one block; 0 where the layer is dense."""

    qkv: int
    proj: int
    fc1: int
    fc2: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arch:
    """`image` is (height, width, channels); `hidden` has one MLP width per block.

    `rank_*` are ratios of the smaller side of a matrix; a factorised layer that would cost as many
    weights as the dense one stays dense (`ranks`).
    """

    image: tuple[int, int, int]
    classes: int
    stem: Stem
    patch: int
    pool: Pool
    relative: bool
    dim: int
    heads: int
    head_dim: int
    hidden: tuple[int, ...]
    rank_qkv: float = 1.0
    rank_proj: float = 1.0
    rank_fc1: float = 1.0
    rank_fc2: float = 1.0

    @property
    def depth(self) -> int:
        return len(self.hidden)

    @property
    def inner(self) -> int:
        """Width of q, of k and of v: all heads together."""
        return self.heads * self.head_dim

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens; what a patch lacks at the right and below is padded."""
        return -(-self.image[0] // self.patch), -(-self.image[1] // self.patch)

    @property
    def padding(self) -> tuple[int, int]:
        """Lines below and columns at the right that fill the last patches."""
        down, across = self.grid
        return down * self.patch - self.image[0], across * self.patch - self.image[1]

    @property
    def tokens(self) -> int:
        return self.grid[0] * self.grid[1] + (self.pool == "cls")

    @property
    def stem_widths(self) -> tuple[int, ...]:
        """Output channels of the strided convolutions of a `conv` stem, each halving the image."""
        steps = self.patch.bit_length() - 1
        if self.patch != 1 << steps or not 1 <= steps <= 3:
            raise UsageError(f"a conv stem needs patch 2, 4 or 8, not {self.patch}")
        return tuple(-(-(self.dim >> (steps - 1 - i)) // 4) * 4 for i in range(steps))

    def ranks(self, block: int) -> Ranks:
        hidden = self.hidden[block]
        return Ranks(
            qkv=inner_width(self.rank_qkv, 3 * self.inner, self.dim),
            proj=inner_width(self.rank_proj, self.dim, self.inner),
            fc1=inner_width(self.rank_fc1, hidden, self.dim),
            fc2=inner_width(self.rank_fc2, self.dim, hidden),
        )

    @property
    def parameters(self) -> int:
        """Trainable numbers of the network."""
        e, q = self.dim, self.inner
        if self.stem == "patch":
            total = e * (self.patch * self.patch * self.image[2] + 1)
        else:
            widths = (self.image[2], *self.stem_widths)
            total = sum(
                b * (9 * a + 1) for a, b in itertools.pairwise(widths)
            )
        total += self.tokens * e + (e if self.pool == "cls" else 0)
        for i, hidden in enumerate(self.hidden):
            r = self.ranks(i)
            total += 4 * e + 3 * q + e + hidden + e
            for n, k, rank in (
                (3 * q, e, r.qkv), (e, q, r.proj), (hidden, e, r.fc1), (e, hidden, r.fc2),
            ):
                total += rank * (n + k) if rank else n * k
            if self.relative:
                total += self.heads * relative_entries(self)
        return total + 2 * e + self.classes * (e + 1)

    def key(self) -> str:
        """A short name that is equal for equal networks only."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"image": list(self.image), "hidden": list(self.hidden)}

    @staticmethod
    def from_dict(table: dict[str, Any]) -> Arch:
        lists = {name: tuple(table[name]) for name in ("image", "hidden")}
        return Arch(**{**table, **lists})


def inner_width(ratio: float, n: int, k: int) -> int:
    """Rank of an n x k matrix in multiples of 4, 0 where two factors would not be smaller."""
    rank = max(4, round(ratio * min(n, k) / 4) * 4)
    return 0 if ratio >= 1 or rank * (n + k) >= n * k else rank


def relative_entries(arch: Arch) -> int:
    """Distances between two places of the grid, and three more for the class token."""
    down, across = arch.grid
    return (2 * down - 1) * (2 * across - 1) + (3 if arch.pool == "cls" else 0)
