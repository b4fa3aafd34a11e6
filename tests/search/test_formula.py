"""MCUFormer's memory formula, and a planner that takes it for its limit."""

from dataclasses import replace

from mcuformer.search.figures import Illegal, Limits, NetworkCost, Planner
from mcuformer.search.formula import formula_bytes
from mcuformer.search.space import load_space
from mcuformer.targets.board_file import load_board

# 226 tokens of 192 channels: 240x240 in patches of 16 and a class token.
ARCH = load_space("imagenet").largest(patch=16, pool="cls", dim=192, rank_fc1=0.9, depth=12)


def test_the_published_figure():
    """341 KB for E = 192, M = 4, rho = 0.9; the plan needs less than half of it."""
    assert ARCH.tokens == 226 and set(ARCH.hidden) == {768}
    assert round(formula_bytes(ARCH) / 1024) == 341
    assert round(formula_bytes(replace(ARCH, dim=168, hidden=(672,))) / 1024) == 285
    cost = Planner(load_board("stm32f746"), Limits(flash=16 << 20)).cost(ARCH)
    assert isinstance(cost, NetworkCost) and cost.sram_total_bytes < formula_bytes(ARCH) / 2


def test_the_formula_as_a_limit():
    board, small = load_board("stm32f746"), replace(ARCH, dim=168, hidden=(588,) * 12)
    planner = Planner(board, Limits(flash=16 << 20), memory_model="formula")
    refused = planner.cost(ARCH)
    assert isinstance(refused, Illegal) and refused.where == "ram"
    assert refused.needs == formula_bytes(ARCH) > refused.limit
    taken = planner.cost(small)
    assert isinstance(taken, NetworkCost)  # with the figures of the plan
    assert taken == Planner(board, Limits(flash=16 << 20)).cost(small)
