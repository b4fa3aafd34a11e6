"""A sketch of a program touches the bytes that the whole program touches."""

from dataclasses import replace
from random import Random

import pytest

from mcuformer.plan.assemble import assemble, sketch
from mcuformer.plan.fit import curve
from mcuformer.price.book import CostBook
from mcuformer.search.outline import whole_outline
from mcuformer.search.space import load_space


def touched(program):
    return [(call.reads, call.writes, call.scratch) for call, _ in program.calls()]


@pytest.mark.parametrize("mode", ["bands", "resident", "flash"])
def test_sketch_and_program_touch_the_same_bytes(mode):
    space = load_space("tiny")
    graph = whole_outline(space.decode(space.draw(Random(mode))))
    trade = curve(graph, mode, CostBook())
    for point in trade.points[:: max(1, len(trade.points) // 4)]:
        absorbed = tuple(
            region.attention.name
            for region, choice in zip(trade.exact.regions, point.choices, strict=True)
            if region.attention is not None and choice.schedule.startswith("absorbed")
        )
        _, fr = trade.skeleton(absorbed)
        whole, own = assemble(fr, point.choices, trade.book)
        few, same = sketch(fr, point.choices, trade.book, range(len(fr.regions)))
        assert touched(whole) == touched(few)
        assert {n: whole.buffers[n] for n in few.buffers} == few.buffers and own == same
        assert not few.params and not few.layers and whole.params and whole.layers


def test_scratch_stays_within_the_budget():
    """But for what a kernel wants at least."""
    space = load_space("tiny")
    trade = curve(whole_outline(space.decode(space.draw(Random(1)))), "bands", CostBook())
    for point in trade.points:
        _, fr = trade.skeleton(())
        choices = point.choices
        if any(c.schedule.startswith("absorbed") for c in choices):
            continue
        program, own = assemble(fr, choices, trade.book)
        least, _ = assemble(fr, [replace(c, budget=0) for c in choices], trade.book)
        wanted = {n: b.size_bytes for n, b in least.buffers.items() if b.kind == "scratch"}
        for i, names in own.items():
            for name in names:
                buffer = program.buffers[name]
                if buffer.kind == "scratch":
                    assert buffer.size_bytes <= max(choices[i].budget, wanted[name])
