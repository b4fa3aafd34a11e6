"""What the planner returns: arenas, placements, and how full memory is at every call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcuformer.errors import McuformerError
from mcuformer.memory.lifetimes import Live
from mcuformer.util.speed import record

if TYPE_CHECKING:
    from mcuformer.targets.board import Board

UNLIMITED = 1 << 31


@dataclass(frozen=True, slots=True)
class Arena:
    """Contiguous SRAM that buffers may use; its first `fast_bytes` are tightly coupled."""

    name: str
    base: int
    size_bytes: int
    fast_bytes: int = 0


def arenas_of(board: Board, beside_bytes: int) -> list[Arena]:
    """What stack and static data (`beside_bytes`, at the start of the first) leave of its RAM."""
    return [
        Arena(r.name, r.base, r.size_bytes - beside, max(0, r.fast_bytes - beside))
        for r, beside in zip(board.arenas, (beside_bytes, *[0] * len(board.arenas)), strict=False)
    ]


@record(frozen=True, slots=True)
class Placement:
    """`buffer` begins `offset` bytes after the base of `arena`."""

    buffer: str
    arena: str
    offset: int


@record(frozen=True, slots=True)
class Level:
    """A call (its position in the program, layer id, kernel) and the bytes that matter then."""

    position: int
    layer: int
    kernel: str
    live_bytes: int


@dataclass(frozen=True, slots=True)
class ArenaUse:
    """`used_bytes` of `arena`; more than its size where the plan does not fit."""

    arena: Arena
    used_bytes: int

    @property
    def missing_bytes(self) -> int:
        return max(0, self.used_bytes - self.arena.size_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class MemoryPlan:
    """`lower_bound_bytes` is what any placement needs: the most bytes that matter at one call."""

    placements: Mapping[str, Placement]
    arenas: tuple[ArenaUse, ...]
    lower_bound_bytes: int
    peak: Level
    timeline: tuple[Level, ...]
    lives: Mapping[str, tuple[Live, ...]]

    @property
    def arena_bytes(self) -> int:
        return sum(use.used_bytes for use in self.arenas)

    @property
    def missing_bytes(self) -> int:
        return sum(use.missing_bytes for use in self.arenas)

    @property
    def fits(self) -> bool:
        return self.missing_bytes == 0


class PlanError(McuformerError):
    """A placement that would corrupt data: a bug of the planner or the scheduler."""
