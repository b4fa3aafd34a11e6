"""What a candidate costs, by the compiler's own schedule and memory plan; no formula of its own.

Static data and stack count as `mcuformer analyze` counts them. Code is an upper bound for all
kernels together (tests/search/test_linked.py links ELFs and compares).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mcuformer.compile.static_bytes import static_estimate
from mcuformer.errors import DoesNotFitError
from mcuformer.ir.graph import Graph
from mcuformer.memory.model import UNLIMITED, Arena, arenas_of
from mcuformer.operators.flash_bytes import CODE_BYTES, FlashBytes, flash_bytes
from mcuformer.operators.macs import op_weight_bytes
from mcuformer.operators.outline import times
from mcuformer.plan.curve import Memo
from mcuformer.plan.fit import Curve, Fit, curve, fit
from mcuformer.price.book import CostBook
from mcuformer.search.architecture import Architecture
from mcuformer.search.families import NETWORK_FAMILIES
from mcuformer.search.outline import Known
from mcuformer.targets.board import Board
from mcuformer.targets.cores import costs_of
from mcuformer.util.speed import uncollected


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and instructions to stay within; None is the board's own."""

    ram: int | None = None
    flash: int | None = None
    max_instructions: int | None = None


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """`arena_bytes` includes scratch and a resident input; `weights_bytes` are the int8 matrices;
    `constants_bytes` what else a network keeps in flash: biases, multipliers, tables, padding."""

    arena_bytes: int
    static_bytes: int
    stack_bytes: int
    weights_bytes: int
    constants_bytes: int
    instructions: int

    @property
    def sram_total_bytes(self) -> int:
        return self.arena_bytes + self.static_bytes + self.stack_bytes

    @property
    def flash_total_bytes(self) -> int:
        return self.weights_bytes + self.constants_bytes + CODE_BYTES


@dataclass(frozen=True, slots=True)
class Illegal:
    """`where` names the limit that a candidate breaks, `needs` its smallest figure there."""

    where: str
    needs: int
    limit: int


@dataclass(slots=True, eq=False)
class Planner:
    """Plans candidates for one board under limits; `optimize` is what compile will be told.

    `memory_model` "formula" takes MCUFormer's for the limit on SRAM (search/formula.py); figures
    are the plan's all the same.
    """

    board: Board
    limits: Limits
    input_mode: str = "bands"
    optimize: str = "balanced"
    book: CostBook = field(init=False)
    memo: Memo = field(default_factory=dict)
    memory_model: Literal["plan", "formula"] = "plan"
    runs: Known = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book = CostBook(costs_of(self.board.core))

    @property
    def ram(self) -> int:
        return min(self.limits.ram or self.board.sram_bytes, self.board.sram_bytes)

    @property
    def flash(self) -> int:
        return min(self.limits.flash or self.board.flash.size_bytes, self.board.flash_bytes)

    def cost(self, arch: Architecture) -> NetworkCost | Illegal:
        """The figures that compile would report, or why the limits rule the candidate out."""
        with uncollected():
            return self._judged(arch)

    def _judged(self, arch: Architecture) -> NetworkCost | Illegal:
        row = NETWORK_FAMILIES[arch.family]
        graph = row.outline(arch, self.runs)
        flash = flash_bytes(graph)
        if flash.total > self.flash:
            return Illegal("flash", flash.total, self.flash)
        by_formula = self.memory_model == "formula"
        if by_formula and row.formula(arch) > self.ram:
            return Illegal("ram", row.formula(arch), self.ram)
        trade, beside = self._curve(graph)
        smallest = min(p.limit_bytes for p in trade.points) + beside
        if smallest > self.ram and not by_formula:
            return Illegal("ram", smallest, self.ram)
        fastest = min(p.instructions for p in trade.points)
        most = self.limits.max_instructions
        if most is not None and fastest > most:
            return Illegal("instructions", fastest, most)
        regions, room = arenas_of(self.board, beside), self.ram - beside
        if by_formula:  # the plan may say otherwise, which is what is compared
            regions, room = [Arena("sram", 0, UNLIMITED)], UNLIMITED
        try:
            made = fit(trade, regions, self.optimize, room, most)
        except DoesNotFitError:  # fragmentation, or only the slow schedules fit
            return Illegal("ram", smallest, self.ram)
        return self._cost(made, beside - self.board.stack_bytes, flash)

    def least(self, arch: Architecture) -> dict[str, int]:
        """The smallest figure of a network for each limit, each by itself."""
        row = NETWORK_FAMILIES[arch.family]
        graph = row.outline(arch, self.runs)
        trade, beside = self._curve(graph)
        sram = min(p.limit_bytes for p in trade.points) + beside
        return {
            "ram": row.formula(arch) if self.memory_model == "formula" else sram,
            "flash": flash_bytes(graph).total,
            "instructions": min(p.instructions for p in trade.points),
        }

    def _curve(self, graph: Graph) -> tuple[Curve, int]:
        """What the network can trade, and the bytes of SRAM beside its arena."""
        beside = static_estimate(graph) + self.board.stack_bytes
        return curve(graph, self.input_mode, self.book, self.memo), beside

    def _cost(self, made: Fit, static: int, flash: FlashBytes) -> NetworkCost:
        graph = made.skeleton.graph
        weights = sum(times(made.graph, op) * op_weight_bytes(graph, op) for op in graph.ops)
        return NetworkCost(
            arena_bytes=made.plan.arena_bytes,
            static_bytes=static,
            stack_bytes=self.board.stack_bytes,
            weights_bytes=weights,
            constants_bytes=flash.weights + flash.constants - weights,
            instructions=made.point.instructions,
        )
