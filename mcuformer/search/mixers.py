"""What mixes tokens in a block of a hierarchical network: numbers alone, one record per kind.

A family is a way to choose them (`families.py`). Each kind has its layers (`mixer_layers.py`) and its
float graph (`mixer_graphs.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from mcuformer.util.names import counted

GridSize = tuple[int, int]  # rows and columns of tokens


@dataclass(frozen=True, slots=True)
class FocalModulation:
    """Focal modulation (arXiv 2203.11926): depthwise kernels `kernel`, `kernel` + 2 ... of `levels` contexts,
    and one for the whole image."""

    kind: ClassVar[str] = "modulation"
    kernel: int
    levels: int

    @property
    def kernels(self) -> tuple[int, ...]:
        return tuple(self.kernel + 2 * i for i in range(self.levels))

    def parameters(self, dim: int) -> int:
        layers = (2 * dim + self.levels + 1) * (dim + 1) + 2 * dim * (dim + 1)
        return layers + dim * sum(k * k for k in self.kernels)

    def __str__(self) -> str:
        return f"kernels {'+'.join(map(str, self.kernels))}"


@dataclass(frozen=True, slots=True)
class WindowAttention:
    """Attention within windows of `rows` x `columns`, the grid padded with zeros to whole ones (Swin, arXiv
    2103.14030). `shift` moves the windows down and right by as much; `relative`: a bias by distance."""

    kind: ClassVar[str] = "windows"
    rows: int
    columns: int
    heads: int
    head_dim: int
    shift: GridSize = (0, 0)
    relative: bool = False

    def padded(self, grid: GridSize) -> GridSize:
        return -(-grid[0] // self.rows) * self.rows, -(-grid[1] // self.columns) * self.columns

    def parameters(self, dim: int) -> int:
        table = (2 * self.rows - 1) * (2 * self.columns - 1) if self.relative else 0
        return _attention(dim, self.heads * self.head_dim) + self.heads * table

    def __str__(self) -> str:
        shifted = " shifted" if any(self.shift) else ""
        return f"windows {self.rows}x{self.columns}{shifted}, {counted(self.heads, 'head')} of {self.head_dim}"


@dataclass(frozen=True, slots=True)
class ReducedAttention:
    """Attention of every token to the image seen through a convolution of `reduction` x `reduction` and a
    norm (PVT, Twins: arXiv 2104.13840); 1: to all tokens."""

    kind: ClassVar[str] = "reduced"
    reduction: int
    heads: int
    head_dim: int

    def parameters(self, dim: int) -> int:
        r = self.reduction
        return _attention(dim, self.heads * self.head_dim) + (
            dim * (r * r * dim + 3) if r > 1 else 0
        )

    def __str__(self) -> str:
        return f"keys 1/{self.reduction}, {counted(self.heads, 'head')} of {self.head_dim}"


Mixer = FocalModulation | WindowAttention | ReducedAttention
KINDS: Mapping[str, type[Mixer]] = MappingProxyType(
    {m.kind: m for m in (FocalModulation, WindowAttention, ReducedAttention)}
)


def _attention(dim: int, inner: int) -> int:
    """Weights and biases of q, k, v and the projection."""
    return 3 * inner * (dim + 1) + dim * (inner + 1)


def mixer_dict(mixer: Mixer) -> dict[str, Any]:
    found = {"kind": mixer.kind, **asdict(mixer)}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in found.items()}


def mixer_of(table: dict[str, Any]) -> Mixer:
    """The inverse of `mixer_dict`."""
    given = {n: tuple(v) if isinstance(v, list) else v for n, v in table.items() if n != "kind"}
    made: Any = KINDS[table["kind"]]
    mixer: Mixer = made(**given)
    return mixer
