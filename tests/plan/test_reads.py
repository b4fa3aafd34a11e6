"""`ram` reads at most 8 times the weights of the fastest schedule, where its bytes allow it."""

from random import Random

import pytest

from mcuformer.memory.check import check
from mcuformer.memory.model import UNLIMITED, Arena
from mcuformer.plan.fit import curve, fit, place
from mcuformer.plan.select import DEAREST, MOST_READS, reads_much, select
from mcuformer.price.book import CostBook
from mcuformer.price.measure import steps_instructions
from mcuformer.report.rows import call_work
from mcuformer.search.outline import short_outline, whole_outline
from mcuformer.search.space import load_space

ROOM = [Arena("sram", 0, UNLIMITED)]


def weights_read(schedule):
    return sum(work.weight_bytes_read for _, work in call_work(schedule.program))


@pytest.mark.long
def test_ram_reads_fewer_weights_in_the_same_bytes():
    random, space = Random("reads"), load_space("imagenet")
    fewer = 0
    while not fewer:
        arch = space.decode(space.draw(random))
        trade = curve(whole_outline(arch), "bands", CostBook())
        least, fastest = select(trade.points, "ram", UNLIMITED), trade.points[0]
        made = place(trade, ROOM, "ram")
        check(made.program, made.plan)
        assert made.point.limit_bytes <= least.limit_bytes
        assert made.point.instructions <= DEAREST * fastest.instructions
        assert steps_instructions(made.program.steps) == made.point.instructions
        assert weights_read(made) == made.point.weight_bytes_read
        assert weights_read(place(trade, ROOM, "speed")) == fastest.weight_bytes_read
        if not reads_much(trade.points, least):
            assert made.point is least
            continue
        if made.point is not least:
            assert made.point.weight_bytes_read <= MOST_READS * fastest.weight_bytes_read
            short = fit(curve(short_outline(arch, {}), "bands", CostBook()), ROOM, "ram")
            assert short.plan.arena_bytes == made.plan.arena_bytes
            assert short.point.weight_bytes_read == made.point.weight_bytes_read
            assert short.point.instructions == made.point.instructions
            fewer += 1


def test_a_limit_of_instructions_is_kept_by_thrift():
    random, space = Random("reads"), load_space("imagenet")
    seen = 0
    while not seen:
        trade = curve(whole_outline(space.decode(space.draw(random))), "bands", CostBook())
        least, free = select(trade.points, "ram", UNLIMITED), fit(trade, ROOM, "ram").point
        if free is not least:
            bound = fit(trade, ROOM, "ram", None, free.instructions - 1).point
            assert bound.instructions < free.instructions
            seen += 1
