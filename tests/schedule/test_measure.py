"""What is computed from one emission equals what every emission says."""

from random import Random

import numpy as np
import pytest

from mcuformer.kernels.costs import CORTEX_M7
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.schedule import choose
from mcuformer.schedule.build import frame
from mcuformer.schedule.measure import steps_instructions
from mcuformer.search.outline import whole_outline
from mcuformer.search.space import load_space


def listed(sheets):
    return [
        (int(p), int(n), s.choice(i))
        for s in sheets
        for i, (p, n) in enumerate(zip(s.peak, s.cost, strict=True))
    ]


def emitted(fr, region, choice):
    em, steps, outside = choose._emit(fr, region, choice)
    return choose._peak(fr, region, em, steps, outside), steps_instructions(steps)


@pytest.mark.parametrize("mode", ["bands", "resident"])
@pytest.mark.parametrize("preset", ["tiny", "cifar"])
def test_measured_figures_are_those_of_the_emitted_steps(preset, mode):
    random = Random(preset + mode)
    space = load_space(preset)
    seen = set()
    for _ in range(3):
        graph = whole_outline(space.decode(space.draw(random)))
        exact = frame(graph, mode, CORTEX_M7)
        other = frame(absorb(graph, tuple(absorbable(graph))), mode, CORTEX_M7)
        twins = {r.target: r for r in other.regions}
        for region in exact.regions:
            found = [(exact, region, f) for f in listed(choose._sheets(exact, region))]
            twin = twins.get(region.target)
            if twin is not None and twin.attention is not None:
                made = listed(choose.absorbed_sheets(other, twin))
                found += [(other, twin, f) for f in made]
            for fr, r, (peak, instructions, choice) in random.sample(found, min(12, len(found))):
                assert emitted(fr, r, choice) == (peak, instructions), (r.name, choice)
                seen.add(choice.schedule)
    assert {"rows", "kv", "heads", "absorbed", "absorbed together"} <= seen


def test_options_are_what_nothing_beats():
    random = Random(3)
    peak, cost = (np.array([random.randrange(20) for _ in range(40)]) for _ in range(2))
    kept = choose.front(peak, cost)
    best = {
        (p, n)
        for p, n in zip(peak, cost, strict=True)
        if not any(a <= p and b <= n and (a, b) != (p, n) for a, b in zip(peak, cost, strict=True))
    }
    assert {(peak[i], cost[i]) for i in kept} == best and len(kept) == len(best)
