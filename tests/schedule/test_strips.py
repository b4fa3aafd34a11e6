"""Strips of convolution chains: which lines are where, replayed line by line; plans, right and broken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from util_stems import BUDGETS, LINES, MODES, Layer, Stem, in_strips, stem_model, stems

from mcuformer.kernels.lines import Lines
from mcuformer.memory.check import check
from mcuformer.memory.model import MemoryPlan, Placement, PlanError
from mcuformer.memory.simulate import simulate
from mcuformer.plan.fit import Schedule
from mcuformer.program.program import Program
from mcuformer.quant import lower, synthetic_stats
from mcuformer.schedule.ways.strips import Flow, Strips, line_choices


def resized(draw: st.DrawFn, height: int) -> Lines:
    """A resize by any factor: sampled evenly, or with the ends in place."""
    count, taps = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    factor = height / count if draw(st.booleans()) else (height - 1) / max(count - 1, 1)
    shift = draw(st.sampled_from((0.0, 0.5, factor / 2 - 0.5, -2.0, 3.0)))
    return Lines.of_table([int(i * factor + shift // 1) for i in range(count)], taps, height)


def flow_of(convs: tuple[Lines, ...], height: int) -> Flow:
    """One after the other."""
    readers = (*(((k, c),) for k, c in enumerate(convs, 1)), ())
    return Flow((height, *(c.count for c in convs)), readers)


@st.composite
def chains(draw: st.DrawFn) -> tuple[tuple[Lines, ...], int]:
    height = draw(st.integers(1, 60))
    convs: list[Lines] = []
    lines = height
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.integers(0, 3)) == 0:
            convs.append(resized(draw, lines))
            lines = convs[-1].count
            continue
        kernel, stride = draw(st.integers(1, 7)), draw(st.integers(1, 4))
        pad, below = draw(st.integers(0, 5)), draw(st.integers(0, 5))
        if lines + pad + below < kernel:
            break
        lines = (lines + pad + below - kernel) // stride + 1
        convs.append(Lines.of_windows(kernel, stride, pad, lines))
    return tuple(convs) or (Lines.of_windows(1, 1, 0, height),), height


@settings(max_examples=100, deadline=None, derandomize=True)
@given(chains(), st.integers(1, 12), st.booleans())
def test_every_line_is_there_when_it_is_read(
    chain: tuple[tuple[Lines, ...], int], lines: int, all_at_once: bool
) -> None:
    convs, height = chain
    strips = Strips.of(flow_of(convs, height), 1 << 30 if all_at_once else lines)
    windows: list[dict[int, int]] = [{} for _ in convs]  # row of the window -> line of the image
    done = [0] * (len(convs) + 1)
    for i in range(strips.steps):
        for k in range(len(convs) + 1):
            first, end = strips.made(k, i)
            assert first == done[k]
            done[k] = end
            if k < len(convs):
                kept = range(*strips.kept(k, i))
                assert set(kept) <= set(windows[k].values())
                windows[k] = {n - strips.top(k, i): n for n in (*kept, *range(first, end))}
                assert all(row >= 0 for row in windows[k])
            if k and end > first:
                conv = convs[k - 1]
                low = conv.reads_from(first)
                inside = range(max(0, low), min(conv.reads_to(end), strips.limits[k - 1]))
                assert set(inside) <= set(windows[k - 1].values())
                read = strips.read(k - 1, (k, conv), i)
                assert not inside or read == (inside.start, inside.stop)
    assert done == list(strips.limits)
    if all_at_once:
        assert strips.steps == 1
    steady = strips.steady()
    assert len(steady) % strips.period == 0
    for n, i in enumerate(steady):
        like = steady.start + n % strips.period
        for k in range(len(convs) + 1):
            move = n // strips.period * strips.per_period[k]
            found = [strips.made]
            if k < len(convs):
                found += [strips.kept, lambda k, i: strips.read(k, (k + 1, convs[k]), i)]
            assert all(f(k, i) == tuple(line + move for line in f(k, like)) for f in found)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(chains())
def test_choices_begin_with_whole_images_and_end_with_a_line(
    chain: tuple[tuple[Lines, ...], int],
) -> None:
    flow = flow_of(*chain)
    heights = line_choices(flow)
    assert heights == sorted(set(heights), reverse=True) and heights[-1] == 1
    assert Strips.of(flow, heights[0]).steps == 1


drawn = settings(
    deadline=None,
    derandomize=True,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


def scheduled(stem: Stem, mode: str, lines: int, budget: int) -> Schedule:
    graph = stem_model(stem)
    return in_strips(lower(graph, synthetic_stats(graph), "8"), mode, lines, budget)


@settings(drawn, max_examples=10)
@given(stems(), MODES, LINES, BUDGETS)
def test_scheduled_stems_replay_near_the_bound(
    stem: Stem, mode: str, lines: int, budget: int
) -> None:
    made = scheduled(stem, mode, lines, budget)
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    assert made.plan.arena_bytes <= 1.05 * made.plan.lower_bound_bytes + 128


def accepted(program: Program, made: MemoryPlan) -> list[bool]:
    """Whether the checker and the replay accept the plan."""
    found = []
    for judge in (check, simulate):
        try:
            judge(program, made)
            found.append(True)
        except PlanError:
            found.append(False)
    return found


THREE = Stem((24, 24), (Layer(5, 3, 1, 1), Layer(6, 3, 2, 1), Layer(8, 3, 2, 1, relu=False)))


@pytest.mark.parametrize(
    "name", ["image.lines", "image.kept", "stem.0.act.lines", "stem.1.act.kept"]
)
def test_both_judges_see_a_moved_window(name: str) -> None:
    """Every place on another buffer that lives at the same time is refused by both."""
    made = scheduled(THREE, "bands", 1, 0)
    place, refused = made.plan.placements[name], 0
    for offset in range(0, made.plan.arena_bytes - made.program.buffers[name].size_bytes, 8):
        moved = replace(
            made.plan,
            placements={**made.plan.placements, name: Placement(name, place.arena, offset)},
        )
        verdict = accepted(made.program, moved)
        assert verdict[0] == verdict[1], offset
        refused += not verdict[0]
    assert refused > 0


def test_a_strip_costs_lines_instead_of_images() -> None:
    whole, strip = (scheduled(THREE, "bands", n, 0).plan.arena_bytes for n in (1000, 1))
    assert strip < whole / 2
