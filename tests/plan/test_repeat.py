"""A network without its repeated blocks is placed like the whole one."""

from random import Random

import pytest
from util_strips import Blocks, lowered_blocks

from mcuformer.compile.static_bytes import static_estimate
from mcuformer.memory.check import check
from mcuformer.memory.model import Arena, arenas_of
from mcuformer.memory.simulate import simulate
from mcuformer.operators.flash_bytes import flash_bytes
from mcuformer.operators.outline import outline
from mcuformer.plan import fit
from mcuformer.plan.curve import outside_live, tightened
from mcuformer.plan.fit import build, curve, place
from mcuformer.price.book import CostBook
from mcuformer.price.measure import steps_instructions
from mcuformer.search.figures import Limits, NetworkCost, Planner
from mcuformer.search.outline import whole_outline
from mcuformer.search.space import load_space
from mcuformer.targets.board_file import load_board

BOARD = load_board("stm32f746")


def whole(planner, arch):
    """The figures of the network with all its blocks, and of its checked plan."""
    graph = whole_outline(arch)
    static = static_estimate(graph)
    beside = static + BOARD.stack_bytes
    made = place(
        curve(graph, planner.input_mode, CostBook()),
        arenas_of(BOARD, beside),
        planner.optimize,
        planner.ram - beside,
    )
    check(made.program, made.plan)
    assert steps_instructions(made.program.steps) == made.point.instructions
    flash = flash_bytes(graph)
    weights = sum(layer.weights_bytes for layer in made.program.layers)
    constants = flash.weights + flash.constants - weights
    return made, NetworkCost(
        made.plan.arena_bytes,
        static,
        BOARD.stack_bytes,
        weights,
        constants,
        made.point.instructions,
    )


@pytest.mark.parametrize(
    ("preset", "count", "optimize"),
    [("tiny", 8, "balanced"), ("tiny", 8, "ram"), ("cifar", 2, "balanced"), ("imagenet", 1, "ram")],
)
def test_repeated_blocks_change_no_figure(preset, count, optimize):
    random = Random(preset)
    space = load_space(preset)
    planner = Planner(BOARD, Limits(flash=16 << 20), optimize=optimize)
    seen = 0
    while seen < count:
        arch = space.decode(space.draw(random))
        cost = planner.cost(arch)
        if isinstance(cost, NetworkCost):
            made, figures = whole(planner, arch)
            assert cost == figures, arch
            seen += 1
    if preset == "tiny":
        simulate(made.program, made.plan)


def test_what_is_remembered_changes_no_figure():
    random = Random(4)
    space = load_space("cifar")
    archs = [space.decode(space.draw(random)) for _ in range(3)]
    warm = Planner(BOARD, Limits(flash=16 << 20))
    first = [warm.cost(a) for a in archs]
    assert [warm.cost(a) for a in archs] == first
    assert [Planner(BOARD, Limits(flash=16 << 20)).cost(a) for a in archs[::-1]] == first[::-1]


def test_what_can_be_smaller_beside_the_peak_is():
    """And what cannot takes the least that it can; nothing is faster than before."""
    trade = curve(lowered_blocks(Blocks((64, 64), ("inverted", "fused"))), "bands", CostBook())
    point = trade.points[0]
    limit = point.limit_bytes // 3
    made = tightened(trade.exact, point, limit)
    assert made.instructions > point.instructions
    assert made.places != point.places
    lives = outside_live(trade.exact)
    for live, options, at, before in zip(
        lives, made.options, made.places, point.places, strict=True
    ):
        assert at <= before
        assert at == 0 or live + options.peak[at] <= limit


def test_placed_again_it_takes_no_more_and_is_legal(monkeypatch):
    graph = outline(lowered_blocks(Blocks((64, 64), ("inverted", "inverted_down", "fused"))))
    sram = [Arena("sram", 0x20000000, 300_000)]
    monkeypatch.setattr(fit, "TIGHTER", 0)
    once = build(graph, sram, "bands", "ram")
    monkeypatch.setattr(fit, "TIGHTER", 4)
    made = build(graph, sram, "bands", "ram")
    assert once.plan.arena_bytes > (1 + fit.GAPS) * once.plan.lower_bound_bytes
    assert made.plan.arena_bytes <= once.plan.arena_bytes
    assert steps_instructions(made.program.steps) == made.point.instructions
    check(made.program, made.plan)
    simulate(made.program, made.plan)
