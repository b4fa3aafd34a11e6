"""Pictures of regions: lanes of values that live side by side, bars of lines."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.program.running import ImageLines, RegionRun, Sweep
from mcuformer.report.pictures import LANE, MARGIN, REGION, order_picture, strip_pictures


def run(name: str, *reads: int, size: int = 10, sweeps: tuple[Sweep, ...] = ()) -> RegionRun:
    return RegionRun(name, (f"{name}.value",), size, reads, "tiles of 4", sweeps)


RING = ImageLines("wide", 56, 100, 4, (26, 28), (28, 30))
WHOLE = ImageLines("x", 56, 50, 56, (29, 30), (30, 31), source=True)
TARGET = ImageLines("y", 56, 50, 56, (29, 29), (29, 30), inside="x")
SWEEP = Sweep(28, (WHOLE, RING, TARGET))


def test_a_chain_stays_in_one_lane() -> None:
    picture = order_picture([run("a"), run("b", 0), run("c", 1)])
    assert picture.lanes == 1 and {dot.y for dot in picture.dots} == {MARGIN}
    assert [dot.x for dot in picture.dots] == [MARGIN, MARGIN + REGION, MARGIN + 2 * REGION]
    assert len(picture.wires) == 2 and picture.dots[1].title.startswith("1: b, tiles of 4")


def test_branches_take_lanes_and_give_them_back() -> None:
    """A stem, two branches of it, their sum, a head."""
    runs = [run("stem"), run("left", 0), run("right", 0), run("sum", 1, 2), run("head", 3)]
    picture = order_picture(runs)
    lanes = [(dot.y - MARGIN) // LANE for dot in picture.dots]
    assert picture.lanes == 2 and lanes[1] != lanes[2] and lanes[3] == lanes[4]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_no_two_live_values_share_a_lane(data: st.DataObject) -> None:
    reads = [
        sorted(data.draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else []
        for i in range(data.draw(st.integers(1, 12)))
    ]
    runs = [run(str(i), *r, size=i) for i, r in enumerate(reads)]
    ys = [dot.y for dot in order_picture(runs).dots]
    last = [max([i, *(k for k, r in enumerate(reads) if i in r)]) for i in range(len(runs))]
    for i in range(len(runs)):
        for j in range(i + 1, len(runs)):
            assert ys[i] != ys[j] or last[i] <= j


def test_of_nothing_there_is_no_picture() -> None:
    assert order_picture([]).dots == () and strip_pictures([]) == []


def test_a_strip_as_bars() -> None:
    (picture,) = strip_pictures([run("a", sweeps=(SWEEP,)), run("b"), run("c", sweeps=(SWEEP,))])
    assert picture.names == ("a", "c") and picture.ring_bytes == 400
    ((steps, (read, ring, target)),) = picture.sweeps
    assert steps == 28
    assert (read.place, read.is_whole, read.size_bytes) == ("read; whole", True, 0)
    assert ring.place == "made; 4 lines at a time" and not ring.is_whole
    assert (ring.kept_lines, ring.made_lines, ring.size_bytes) == (2, 2, 400)
    assert ring.kept_from < ring.made_from == 50.0 and ring.made_share == round(200 / 56, 2)
    assert target.place == "made; whole; over x"


def test_others_have_a_picture_of_their_own() -> None:
    other = Sweep(14, (WHOLE, RING, TARGET))
    found = strip_pictures([run("a", sweeps=(SWEEP,)), run("b", sweeps=(other, SWEEP))])
    assert [p.names for p in found] == [("a",), ("b",)] and len(found[1].sweeps) == 2
