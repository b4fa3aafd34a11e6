"""One vision transformer of a search space, by its numbers alone."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mcuformer.errors import UsageError

Pool = Literal["cls", "mean"]
_BODY = re.compile(r"[1-9]\d{0,3}(/[123])?(-[1-9]\d{0,3}(/[123])?)*")
PATCH = "patch"  # the stem that is one convolution of patch x patch


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

    `stem` is "patch" or a chain of 3x3 convolutions with batch normalisation, `width[/stride]` joined
    by "-": "24-64/2-64". One more convolution makes `dim` channels and brings the stride to `patch`.
    `rank_*` are ratios of the smaller side of a matrix; a factorised layer that would cost as many
    weights as the dense one stays dense (`ranks`).
    """

    image: tuple[int, int, int]
    classes: int
    stem: str
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
    def convolutions(self) -> tuple[tuple[int, int], ...]:
        """(channels, stride) of every 3x3 convolution of the stem; none for "patch"."""
        if self.stem == PATCH:
            return ()
        body = stem_body(self.stem)
        return (*body, (self.dim, last_stride(self.stem, self.patch)))

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
        total = e * (self.patch**2 * self.image[2] + 1) if self.stem == PATCH else 0
        before = self.image[2]
        for width, _ in self.convolutions:
            total += width * (9 * before + 2)  # no bias: the norm's offset is one
            before = width
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


def stem_body(stem: str) -> tuple[tuple[int, int], ...]:
    """(channels, stride) of the convolutions that "24-64/2" names."""
    found = _BODY.fullmatch(stem)
    if not found:
        raise UsageError(
            f"no stem {stem}", "patch, or widths of 3x3 convolutions with strides: 24-64/2-64"
        )
    pairs = (part.partition("/") for part in stem.split("-"))
    return tuple((int(width), int(stride or 1)) for width, _, stride in pairs)


def last_stride(stem: str, patch: int) -> int:
    """Stride of the convolution behind the body, so that all of them together make `patch`."""
    body = math.prod(stride for _, stride in stem_body(stem))
    if patch % body or patch // body > 3:
        raise UsageError(
            f"stem {stem} strides by {body}, which gives no patch of {patch}",
            f"patch {body}, {2 * body} or {3 * body} goes with it",
        )
    return patch // body


def inner_width(ratio: float, n: int, k: int) -> int:
    """Rank of an n x k matrix in multiples of 4, 0 where two factors would not be smaller."""
    rank = max(4, round(ratio * min(n, k) / 4) * 4)
    return 0 if ratio >= 1 or rank * (n + k) >= n * k else rank


def relative_entries(arch: Arch) -> int:
    """Distances between two places of the grid, and three more for the class token."""
    down, across = arch.grid
    return (2 * down - 1) * (2 * across - 1) + (3 if arch.pool == "cls" else 0)
