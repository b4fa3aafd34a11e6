"""What else could have been chosen, and the classifier that needs no training."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("optuna", reason="the extra `search` (optuna) is not installed")

from mcuformer.search.data import Images
from mcuformer.search.explore import Candidate
from mcuformer.search.figures import NetworkCost
from mcuformer.search.space import load_space
from mcuformer.search.study import kendall
from mcuformer.search.summary import nearest_neighbour, not_beaten, text

ARCH = load_space("tiny").smallest()


def candidate(number, accuracy, arena, instructions=1000):
    return Candidate(number, ARCH, accuracy, NetworkCost(arena, 0, 0, 100, 0, instructions))


def test_only_candidates_that_none_beats_are_kept():
    found = [
        candidate(0, 90.0, 5000),
        candidate(1, 91.0, 5000),
        candidate(2, 91.0, 5000),
        candidate(3, 80.0, 4000, 900),
        candidate(4, 79.0, 4500, 800),
        candidate(5, 91.0, 6000),
    ]
    assert [c.number for c in not_beaten(found, ("accuracy", "sram"))] == [1, 3]
    assert [c.number for c in not_beaten(found, ("accuracy", "sram", "instructions"))] == [1, 3, 4]


def test_the_nearest_image_gives_the_label():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 4
    x = (60 * y[:, None, None, None] + rng.integers(0, 20, (40, 1, 5, 5))).astype(np.uint8)
    known, test = Images(x[:20], y[:20]), Images(x[20:], (y[20:] + (np.arange(20) < 5)) % 4)
    assert nearest_neighbour(known, test) == 75.0


def test_kendall_counts_pairs_and_forgives_ties():
    assert kendall([1, 2, 3, 4], [10, 20, 30, 40]) == 1.0
    assert kendall([1, 2, 3, 4], [4, 3, 2, 1]) == -1.0
    assert kendall([1, 1, 2], [5, 6, 7]) == pytest.approx(2 / 6**0.5)
    assert kendall([1, 1], [2, 3]) == 0.0


@pytest.mark.parametrize("limit", ["32k", "320k"])
def test_what_a_search_prints_of_its_document(limit):
    folder = Path(__file__).parents[2] / "docs" / "search" / "cifar10"
    document = json.loads((folder / f"search-{limit}.json").read_text())
    lines = text(document).splitlines()
    assert lines[0].startswith("found     ") and lines[-1].startswith("package   ")
    (sram,) = [line for line in lines if line.startswith("SRAM")]
    total, written = document["sram_total_bytes"], document["sram_high_water_bytes"]
    assert sram == f"SRAM      {total:,} B ({written:,} B written in Unicorn)"
    unknown = text(document | {"sram_high_water_bytes": None})  # of an emulator that paints no RAM
    assert f"SRAM      {total:,} B\n" in unknown
