"""One vision transformer of a search space, by its numbers alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mcuformer.search.architecture import Architecture
from mcuformer.util.names import counted

VIT = "vit"
Pool = Literal["cls", "mean"]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Inner widths of the factorised linear layers of one block; 0 where the layer is dense."""

    qkv: int
    proj: int
    fc1: int
    fc2: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arch(Architecture):
    """`hidden` has one MLP width per block.

    `rank_*` are ratios of the smaller side of a matrix; a factorised layer that would cost as many
    weights as the dense one stays dense (`ranks`).
    """

    family: str = VIT
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
    def width(self) -> int:
        return self.dim

    @property
    def inner(self) -> int:
        """Width of q, of k and of v: all heads together."""
        return self.heads * self.head_dim

    @property
    def tokens(self) -> int:
        return self.grid[0] * self.grid[1] + (self.pool == "cls")

    def ranks(self, block: int) -> Ranks:
        return self.ranks_of(self.hidden[block])

    def ranks_of(self, hidden: int) -> Ranks:
        """Of a block whose MLP is as wide."""
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
        total = self.stem_parameters
        total += self.tokens * e + (e if self.pool == "cls" else 0)
        for i, hidden in enumerate(self.hidden):
            r = self.ranks(i)
            total += 4 * e + 3 * q + e + hidden + e
            for n, k, rank in (
                (3 * q, e, r.qkv),
                (e, q, r.proj),
                (hidden, e, r.fc1),
                (e, hidden, r.fc2),
            ):
                total += rank * (n + k) if rank else n * k
            if self.relative:
                total += self.heads * relative_entries(self)
        return total + 2 * e + self.classes * (e + 1)

    @property
    def brief(self) -> str:
        """Width, blocks and patch, for tables."""
        return f"{self.dim}, {len(self.hidden)}, {self.patch}"

    def lines(self) -> list[str]:
        """What `search` prints of it."""
        ranks = ", ".join(
            f"{n} {getattr(self, f'rank_{n}')}" for n in ("qkv", "proj", "fc1", "fc2")
        )
        return [
            (
                f"{counted(len(self.hidden), 'block')} of {self.dim}, {counted(self.heads, 'head')} of "
                f"{self.head_dim}, patch {self.patch} ({self.stem}), {self.pool} pool"
            ),
            f"MLP widths {list(self.hidden)}, ranks {ranks}",
        ]

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self) | {"image": list(self.image), "hidden": list(self.hidden)}
        del found["family"]  # the one that is meant where none is named
        return found

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
