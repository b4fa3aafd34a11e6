"""A network without its repeated blocks is placed like the whole one."""

from random import Random

import pytest

from mcuformer.compile.static_bytes import static_estimate
from mcuformer.memory.check import check
from mcuformer.memory.model import arenas_of
from mcuformer.memory.simulate import simulate
from mcuformer.operators.flash_bytes import flash_bytes
from mcuformer.plan.fit import curve, place
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
