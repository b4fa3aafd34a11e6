"""Evolution of the space: E-T error, the fit, steps on normalised axes, the log; over spaces of any family."""

import json
from random import Random

import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("optuna", reason="the extra `search` (optuna) is not installed")

from mcuformer.errors import UsageError
from mcuformer.search.evolve import (
    ILLEGAL_ERROR,
    LEAST,
    Slope,
    dimensions,
    evolve,
    middle,
    quality,
    scattered,
    slope,
    stretched,
    told,
)
from mcuformer.search.explore import Candidate, Judge
from mcuformer.search.figures import Illegal, NetworkCost
from mcuformer.search.picture import PICTURES, draw, page
from mcuformer.search.space import load_space
from mcuformer.search.summary import text

SPACE = load_space("tiny").with_choices(
    patch=(8, 6), dim=(16, 24, 32, 48, 64), depth=(1, 2, 3, 4), ratio=(1.0, 2.0, 3.0, 4.0)
)


class Free(Judge):
    """Of networks whose figure is what `needs` says: at most `limit` of it are legal."""

    def __init__(self, space, needs=lambda arch: 0, limit=0):
        super().__init__(space, None)
        self.needs, self.limit = needs, limit

    def cost(self, genes):
        needs = self.needs(self.space.decode(genes))
        return Illegal("ram", needs, self.limit) if needs > self.limit else None


def worth(arch):
    """Wide, shallow networks are best."""
    return 50 + arch.dim / 4 - 5 * arch.depth


def test_the_error_of_a_space_is_that_of_all_and_of_its_best():
    found = quality([10.0, 20.0, 30.0, 40.0])
    assert (found.mean, found.top, found.error) == (25.0, 10.0, 17.5)


def test_a_dimension_that_matters_moves_and_noise_does_not():
    random = Random(0)
    noise = [(x / 3, random.gauss(30, 5)) for x in range(4) for _ in range(20)]
    assert slope(noise).steps == 0
    falls = [(x, error - 12 * x) for x, error in noise]
    assert slope(falls).w == pytest.approx(slope(noise).w - 12, rel=0.01) and slope(falls).steps > 0
    assert slope([(0.5, 10.0)]) == Slope(0.0, 0.0) and Slope(0.0, 0.0).steps == 0


def test_steps_are_rounded_and_bounded():
    assert [Slope(w, 2.0).steps for w in (0.9, -0.9, 1.1, -3.1, 99)] == [0, 0, -1, 2, -2]


def test_a_space_begins_in_the_middle_and_keeps_short_lists():
    stretches = middle(SPACE)
    assert (
        stretches["dim"] == (1, 4) and stretches["depth"] == (1, 3) and stretches["patch"] == (0, 2)
    )
    begun = stretched(SPACE, stretches)
    assert begun.choices["dim"] == (24, 32, 48) and begun.ratio == (2.0, 3.0)
    assert "stem" not in dimensions(SPACE)


def test_random_spaces_are_as_large_as_the_first():
    spaces = [scattered(SPACE, Random(i)) for i in range(20)]
    sizes = {n: b - a for n, (a, b) in middle(SPACE).items()}
    assert all({n: b - a for n, (a, b) in s.items()} == sizes for s in spaces)
    assert {s["dim"][0] for s in spaces} == {0, 1, 2}


def test_it_moves_to_where_networks_are_good(tmp_path):
    space, history = evolve(Free(SPACE), worth, 3, 0, tmp_path / "log.json")
    assert len(history) == 4
    assert space.choices["dim"] == (32, 48, 64) and space.choices["depth"] == (1, 2)
    assert history[-1]["error"] < history[0]["error"]
    summary = told(history, SPACE)
    assert summary["moved"]["dim"] == {"steps": 1, "from": [24, 32, 48], "to": [32, 48, 64]}
    assert summary["moved"]["depth"]["steps"] == -1
    assert [row["error"] for row in summary["errors"]] == [e["error"] for e in history]


def test_a_stopped_evolution_goes_on_as_if_it_had_not(tmp_path):
    log = tmp_path / "log.json"
    evolve(Free(SPACE), worth, 1, 0, log)
    resumed = evolve(Free(SPACE), worth, 3, 0, log)
    assert resumed == evolve(Free(SPACE), worth, 3, 0, tmp_path / "other.json")
    assert evolve(Free(SPACE), worth, 0, 0, tmp_path / "none.json") == (SPACE, [])


def test_where_few_are_legal_it_moves_to_where_more_are(tmp_path):
    judge = Free(SPACE, lambda arch: arch.dim * arch.depth, 40)
    space, history = evolve(judge, worth, 3, 0, tmp_path / "log.json")
    assert history[0]["legal"] == 0 and history[0]["error"] == ILLEGAL_ERROR
    assert history[0]["slopes"]["dim"]["steps"] < 0
    assert history[-1]["legal"] >= LEAST and space.choices["depth"][0] == 1


def test_every_family_evolves_stage_by_stage(tmp_path):
    for preset, gene in (("focal", "dim1"), ("twins", "head_dim0"), ("s3", "window0")):
        space = load_space(preset)
        best = space.options(gene)[-1]

        def grown(arch, gene=gene):
            stage = arch.stages[int(gene[-1])]
            mixer = stage.mixers[0]
            value = {"dim": stage.dim, "head": getattr(mixer, "head_dim", 0)}.get(
                gene[:-1].split("_")[0]
            )
            return 50 + (getattr(mixer, "rows", 0) if value is None else value) / 2

        found, history = evolve(Free(space), grown, 2, 0, tmp_path / f"{preset}.json")
        assert best in found.options(gene) and gene in history[0]["slopes"]


def test_a_log_of_another_space_is_refused(tmp_path):
    log = tmp_path / "log.json"
    evolve(Free(SPACE), worth, 1, 0, log)
    with pytest.raises(UsageError, match=r"log\.json"):
        evolve(Free(load_space("s3")), worth, 1, 0, log)
    log.write_text(json.dumps([{"stretches": {}}]))
    with pytest.raises(UsageError, match=r"log\.json"):
        evolve(Free(SPACE), worth, 1, 0, log)


def test_it_is_drawn_and_told(tmp_path):
    """search.html of a hierarchical network: errors by round, what moved, and what the network is."""
    pytest.importorskip("matplotlib", reason="the extra `search` (matplotlib) is not installed")
    space = load_space("s3")
    cost = NetworkCost(4096, 100, 2048, 1000, 500, 10**6)
    _, history = evolve(Free(space), lambda arch: arch.stages[0].dim, 3, 0, tmp_path / "log.json")
    best = Candidate(0, space.largest(), 90.0, cost)
    draw([best], best, history, space, 24 << 10, tmp_path)
    assert all((tmp_path / name).stat().st_size > 10_000 for name in PICTURES)
    row = {
        "accuracy": 90.0,
        "compiled": True,
        "arch": best.arch.as_dict(),
        "brief": best.arch.brief,
    }
    row |= {"sram_total_bytes": 6244, "flash_total_bytes": 2, "instructions": 1}
    percents = ("int8", "float", "emulator", "validation", "nearest_neighbour")
    document = {
        "arch": best.arch.as_dict(), "parameters": best.arch.parameters, "pareto": [row], "study": None,
        "accuracy": {**dict.fromkeys(percents, 90.0), "emulator_samples": 60}, "qat": None,
        "sram_total_bytes": 6244, "sram_high_water_bytes": 5000, "flash_total_bytes": 2,
        "instructions": 1, "candidates": 1, "legal_share": 1.0, "bit_exact": True, "model": "m",
        "build_dir": "b", "evolution": told(history, space),
    }  # fmt: skip
    html = page(document, tmp_path)
    assert "How the space evolved" in html and html.count("data:image/png") == 2
    assert "<td>dim0</td><td>grew</td>" in html and best.arch.brief in html
    lines = text(document)
    assert "dim0 grew: 24/32 to 32/40" in lines and "windows: 3 stages, patch 2 (12/2)" in lines
