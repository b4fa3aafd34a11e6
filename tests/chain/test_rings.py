"""Heads that see near patches alone: every way they run, bit for bit, with the bytes and instructions they save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chain import follow
from util_models import VitConfig, images, vit
from util_ways import measured, run_so

from mcuformer import quant
from mcuformer.ir.graph import Graph
from mcuformer.memory.check import check
from mcuformer.memory.simulate import simulate
from mcuformer.plan import options
from mcuformer.plan.fit import curve
from mcuformer.price.book import CostBook
from mcuformer.schedule.regions import Choice, Region
from mcuformer.schedule.ways.ring import RING


def localised(cfg: VitConfig, radii: tuple[int, ...]) -> Graph:
    """A ViT whose heads have these radii, in every layer; the last layer of a class-token model asks with
    one row, and sees all."""
    graph = vit(cfg)
    grid = cfg.image[0] // cfg.patch, cfg.image[1] // cfg.patch
    ops = tuple(
        op.replace(attrs={**op.attrs, "radii": radii, "grid": grid})
        if op.kind == "attention" and graph.type(str(op.inputs[0])).shape[0] >= grid[0] * grid[1]
        else op
        for op in graph.ops
    )
    graph = graph.replace(ops=ops)
    return quant.lower(graph, quant.calibrate(graph, images(cfg, 4)))


def near(chosen: Choice) -> Callable[[Region], Choice | None]:
    def choice(region: Region) -> Choice | None:
        if region.attention is None:
            return None
        return chosen if "radii" in region.attention.attrs else Choice("kv", 4, 4, 2048)

    return choice


RINGS = (  # lines and columns of patches, radii: a lap and a rest, laps alone, no lap, one line more
    ((8, 4), (1, 1)),
    ((9, 3), (1, 1)),
    ((7, 5), (2, 1)),
    ((6, 2), (2, 2)),
)


@pytest.mark.parametrize(("grid", "radii"), RINGS)
@pytest.mark.parametrize("budget", [0, 2048])
def test_a_ring_is_the_interpreters(
    tmp_path: Path, grid: tuple[int, int], radii: tuple[int, ...], budget: int
) -> None:
    lines, columns = grid
    cfg = VitConfig((4 * lines, 4 * columns), pool="mean", qk_norm=lines == 7, seed=lines)
    made = run_so(localised(cfg, radii), near(Choice(RING, columns, columns, budget)))
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    follow(made, tmp_path, ("host", "unicorn") if budget and lines in (7, 8) else ("host",))


@pytest.mark.parametrize("pool", ["mean", "token"])
@pytest.mark.parametrize("schedule", ["kv", "heads"])
@pytest.mark.parametrize("tile", [2, 6, 99])
def test_whole_keys_are_the_interpreters(
    tmp_path: Path, pool: str, schedule: str, tile: int
) -> None:
    """One head that sees all beside a near one; a class token sees all and is seen by all."""
    cfg = VitConfig((20, 16), pool=pool, heads=2, blocks=2, seed=tile)
    graph = localised(cfg, (1, 0) if tile < 99 else (1, 2))
    queries = graph.type("blocks.0.attn.q").shape[0] if schedule == "heads" else tile
    choice = Choice(schedule, tile, min(tile, 20) if queries == tile else queries, 2048)
    made = run_so(graph, near(choice))
    check(made.program, made.plan)
    simulate(made.program, made.plan)
    follow(made, tmp_path, ("host", "unicorn") if tile == 6 else ("host",))


def test_what_is_measured_is_what_is_bound() -> None:
    """Peak by the planner's own lifetimes, instructions call by call."""
    book = CostBook()
    trade = curve(localised(VitConfig((32, 16), pool="mean", blocks=1), (1, 1)), "resident", book)
    skeleton = trade.exact
    (region,) = (r for r in skeleton.regions if r.attention is not None)
    made = [t.made() for t in options.exact_trials(book, skeleton, region)]
    found = [(s.peak[i], s.cost[i], s.choice(i)) for s in made for i in range(len(s.peak))]
    rings = [f for f in found if f[2].schedule == RING]
    assert rings
    for peak, cost, choice in rings:
        assert measured(skeleton, region, choice, book) == (peak, cost)


def test_a_ring_holds_less_than_half_of_keys_and_values() -> None:
    """12 x 12 patches, radius 2: five lines of twelve."""
    cfg = VitConfig((48, 48), width=32, heads=2, pool="mean", blocks=1)
    graph = localised(cfg, (2, 2))
    ring, whole = (
        run_so(graph, near(Choice(schedule, 12, 12, 2048))).program.buffers
        for schedule in (RING, "kv")
    )
    kv = ("blocks.0.attn.k", "blocks.0.attn.v")
    sizes = [sum(buffers[name].size_bytes for name in kv) for buffers in (ring, whole)]
    assert sizes == [2 * 5 * 12 * 32, 2 * 144 * 32]
    chosen = curve(graph, "resident", CostBook()).points[-1].choices
    assert any(c.schedule == RING for c in chosen)
