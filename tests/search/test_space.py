"""Spaces: presets, errors, encoding with inactive genes, parameter counts."""

import json
from random import Random

import pytest

from mcuformer.errors import UsageError
from mcuformer.search.arch import inner_width
from mcuformer.search.families import arch_of
from mcuformer.search.space import PRESETS, load_space, parse_space

SMALL = {"patch": [4], "dim": [16], "depth": [1], "heads": [1], "head_dim": [8], "ratio": [2.0]}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_draw_networks_of_their_choices(name):
    space, random = load_space(name), Random(0)
    for _ in range(200):
        genes = space.draw(random)
        arch = space.decode(genes)
        assert len(genes) == len(space.names)
        values = space.values(genes)
        assert arch.width == values.get("dim", values.get("dim0")) and arch.family == space.family
        assert space.decode(space.canonical(genes)) == arch
        down, across = arch.grid
        assert down * arch.patch >= arch.image[0] and across * arch.patch >= arch.image[1]
        assert arch_of(json.loads(json.dumps(arch.as_dict()))) == arch


def test_genes_behind_the_last_block_change_nothing():
    space = load_space("tiny")
    genes = list(space.draw(Random(1)))
    genes[space.names.index("depth")] = 0  # one block
    other = [*genes[:-1], (genes[-1] + 1) % len(space.ratio)]
    assert space.decode(genes) == space.decode(other)
    assert space.canonical(genes) == space.canonical(other)


def test_layers_stay_dense_where_factors_cost_as_much():
    assert inner_width(1.0, 64, 64) == 0
    assert inner_width(0.5, 64, 64) == 0  # 32 * 128 = 64 * 64
    assert inner_width(0.25, 64, 64) == 16
    assert inner_width(0.5, 192, 64) == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": [3]}, "unknown dims"),
        ({"dim": []}, "dim needs a list"),
        ({"dim": [18]}, "multiple of 4"),
        ({"rank_fc1": [0.0]}, "ratios in 0..1"),
        ({"stem": ["16/2"], "patch": [3]}, "no patch of 3"),
        ({"stem": ["conv"]}, "no stem conv"),
        ({"heads": [0]}, "positive whole numbers"),
        ({"pool": ["max"]}, "pool is cls or mean"),
    ],
)
def test_a_wrong_space_is_refused_with_its_reason(change, message):
    with pytest.raises(UsageError, match=message):
        parse_space("mine", {**SMALL, **change})


def test_an_unknown_space_names_the_presets():
    with pytest.raises(UsageError, match="there is no space huge"):
        load_space("huge")
