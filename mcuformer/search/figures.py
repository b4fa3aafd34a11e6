"""What a candidate costs, by the compiler's own schedule and memory plan; no formula of its own.

Static data and stack count as `mcuformer analyze` counts them. Code is an upper bound for all
kernels together (tests/search/test_figures.py links ELFs and compares).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mcuformer.errors import DoesNotFitError
from mcuformer.ir.graph import Graph, Op
from mcuformer.memory.model import arena_regions
from mcuformer.pipeline import static_estimate
from mcuformer.schedule.choose import Memo
from mcuformer.schedule.outline import times
from mcuformer.schedule.run import Fit, curve, fit
from mcuformer.search.arch import Arch
from mcuformer.search.int_graph import short_graph
from mcuformer.targets.board import Board

CODE_BYTES = 40 * 1024  # start-up, port, all kernels and their tables of constants


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and instructions to stay within; None is the board's own."""

    ram: int | None = None
    flash: int | None = None
    max_instructions: int | None = None


@dataclass(frozen=True, slots=True)
class Cost:
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
    """Plans candidates for one board under limits; `optimize` is what compile will be told."""

    board: Board
    limits: Limits
    input_mode: str = "bands"
    optimize: str = "balanced"
    memo: Memo = field(default_factory=dict)

    @property
    def ram(self) -> int:
        return min(self.limits.ram or self.board.sram_bytes, self.board.sram_bytes)

    @property
    def flash(self) -> int:
        return min(self.limits.flash or self.board.flash.size_bytes, self.board.flash_bytes)

    def cost(self, arch: Arch) -> Cost | Illegal:
        """The figures that compile would report, or why the limits rule the candidate out."""
        graph = short_graph(arch)
        weights, constants = flash_bytes(graph)
        if weights + constants + CODE_BYTES > self.flash:
            return Illegal("flash", weights + constants + CODE_BYTES, self.flash)
        static = static_estimate(graph)
        beside = static + self.board.stack_bytes
        trade = curve(graph, self.input_mode, self.memo)
        smallest = min(p.limit_bytes for p in trade.points)
        if smallest + beside > self.ram:
            return Illegal("ram", smallest + beside, self.ram)
        fastest = min(p.instructions for p in trade.points)
        most = self.limits.max_instructions
        if most is not None and fastest > most:
            return Illegal("instructions", fastest, most)
        try:
            made = fit(trade, arena_regions(self.board, beside), self.optimize, self.ram - beside, most)
        except DoesNotFitError:  # fragmentation, or only the slow schedules fit
            return Illegal("ram", smallest + beside, self.ram)
        return self._cost(made, static, constants)

    def _cost(self, made: Fit, static: int, constants: int) -> Cost:
        return Cost(
            arena_bytes=made.plan.arena_bytes,
            static_bytes=static,
            stack_bytes=self.board.stack_bytes,
            weights_bytes=sum(
                times(made.graph, layer.name) * layer.weights_bytes for layer in made.program.layers
            ),
            constants_bytes=constants,
            instructions=made.point.instructions,
        )


def flash_bytes(graph: Graph) -> tuple[int, int]:
    """(int8 weights, everything else): packed rows are padded to fours in both directions."""
    weights = constants = 0
    for op in graph.ops:
        own, count = _weights(graph, op), times(graph, op.name)
        weights += count * own
        constants += count * (_packed(graph, op) - own)
    return weights, constants


def _weights(graph: Graph, op: Op) -> int:
    if op.kind not in ("q_linear", "q_conv2d", "q_patch_embed"):
        return 0
    return graph.type(str(op.inputs[1])).size_bytes


def _packed(graph: Graph, op: Op) -> int:
    """Bytes of an op's arrays in flash, and its struct."""
    struct = 96
    if _weights(graph, op):
        n, k = graph.type(str(op.inputs[1])).shape
        pieces = op.attrs["kernel"][0] if "kernel" in op.attrs else 1
        rows = -(-n // 4) * 4
        padded = pieces * (-(-(k // pieces) // 4) * 4)
        post = 4 * (3 + (op.inputs[6] is not None))
        others = sum(
            graph.type(str(i)).size_bytes for i in op.inputs[5::2] if i and graph.values[i].is_const
        )
        return rows * (padded + post) + others + struct
    return struct + sum(
        2 * graph.type(i).size_bytes for i in op.inputs if i and graph.values[i].is_const
    )
