"""What is computed from one emission equals what every choice says when it is bound."""

from collections import defaultdict
from itertools import accumulate
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from mcuformer.memory.lifetimes import stretches
from mcuformer.plan import options
from mcuformer.plan.bind import Binding
from mcuformer.price.book import CostBook
from mcuformer.price.measure import steps_instructions
from mcuformer.program.calls import Loop
from mcuformer.quant.absorb import absorb, absorbable
from mcuformer.report.rows import call_work
from mcuformer.schedule.build import skeleton
from mcuformer.search.outline import whole_outline
from mcuformer.search.space import load_space

WINDOWED = ("mcf_conv2d", "mcf_dwconv2d", "mcf_maxpool", "mcf_avgpool")  # of a chain in strips


def listed(trials):
    return [
        (int(p), int(n), int(w), s.choice(i))
        for s in (trial.made() for trial in trials)
        for i, (p, n, w) in enumerate(zip(s.peak, s.cost, s.read, strict=True))
    ]


def bound(fr, region, choice, book):
    """Peak of the region's own bytes, instructions and bytes of weights read, counted call by call."""
    em, steps, outside = options._emit(fr, region, choice)
    binding = Binding(em, book)
    calls = binding.region(steps, choice.budget)
    read = sum(work.weight_bytes_read for _, work in call_work(SimpleNamespace(steps=calls)))
    return peak(binding, calls, outside), steps_instructions(calls), read


def peak(binding, steps, outside):
    """By the planner's own lifetimes."""
    change = defaultdict(int)
    for name, stairs in lives(binding, steps).items():
        for first, last, size in stairs if name not in outside else ():
            change[first] += -(-size // 8) * 8
            change[last + 1] -= -(-size // 8) * 8
    return max(accumulate(change[t] for t in sorted(change)), default=0)


def lives(binding, steps):
    windows = any(c.kernel in WINDOWED for step in steps for c in calls_of(step))
    if windows:
        return {
            n: [(s.first, s.last, s.hi - s.lo) for s in stairs]
            for n, stairs in stretches(steps).items()
        }
    size = {name: buffer.size_bytes for name, buffer in binding.buffers.items()}
    return {n: [(*ends, size[n])] for n, ends in whole_lives(steps).items()}


def whole_lives(steps):
    """First and last call; what is touched inside and outside of a loop lives through all of it."""
    marks, position = defaultdict(list), 0
    for step in steps:
        inside = list(calls_of(step))
        ends = position, position + len(inside) - 1
        for at, call in enumerate(inside, position):
            for span in (*call.reads, *call.writes, *call.scratch):
                marks[span.buffer].append((at, ends if isinstance(step, Loop) else (at, at)))
        position += len(inside)
    found = {}
    for name, touched in marks.items():
        several = len({ends for _, ends in touched}) > 1
        first = min(ends[0] if several else at for at, ends in touched)
        found[name] = first, max(ends[1] if several else at for at, ends in touched)
    return found


def calls_of(step):
    return [c for s in step.body for c in calls_of(s)] if isinstance(step, Loop) else [step]


@pytest.mark.parametrize("mode", ["bands", "resident"])
@pytest.mark.parametrize("preset", ["tiny", "cifar"])
def test_measured_figures_are_those_of_the_emitted_steps(preset, mode):
    random = Random(preset + mode)
    space = load_space(preset)
    seen, book = set(), CostBook()
    for _ in range(3):
        graph = whole_outline(space.decode(space.draw(random)))
        exact = skeleton(graph, mode)
        other = skeleton(absorb(graph, tuple(absorbable(graph))), mode, exact)
        twins = {r.target: r for r in other.regions}
        for region in exact.regions:
            found = [(exact, region, f) for f in listed(options.exact_trials(book, exact, region))]
            twin = twins.get(region.target)
            if twin is not None and twin.attention is not None:
                made = listed(options.absorbed_trials(book, other, twin))
                found += [(other, twin, f) for f in made]
            for fr, r, (*figures, choice) in random.sample(found, min(12, len(found))):
                assert bound(fr, r, choice, CostBook()) == tuple(figures), (r.name, choice)
                seen.add(choice.schedule)
    assert {"rows", "kv", "heads", "absorbed", "absorbed together"} <= seen


def test_small_tiles_where_the_finest_cut_leaves_many_rows():
    assert options._tiles(3136)[:3] == [8, 16, 32]
    assert options._tiles(197)[0] == 2 and options._tiles(1000)[0] == 12


def test_options_are_what_nothing_beats():
    random = Random(3)
    peak, cost = (np.array([random.randrange(20) for _ in range(40)]) for _ in range(2))
    kept = options.front(peak, cost)
    best = {
        (p, n)
        for p, n in zip(peak, cost, strict=True)
        if not any(a <= p and b <= n and (a, b) != (p, n) for a, b in zip(peak, cost, strict=True))
    }
    assert {(peak[i], cost[i]) for i in kept} == best and len(kept) == len(best)
