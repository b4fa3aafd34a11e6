"""Spaces of hierarchical networks: genes by stage, mixers by grid, errors, and the file they came from."""

import pytest

from mcuformer.errors import UsageError
from mcuformer.search.families import NETWORK_FAMILIES, arch_of, check_rounded
from mcuformer.search.mixers import ReducedAttention, WindowAttention
from mcuformer.search.pyramid_space import HIERARCHIES
from mcuformer.search.space import load_space, parse_space

TWINS = {
    "family": "twins", "patch": [4], "stages": [1, 2], "dim": [[16], [32, 48]], "depth": [2],
    "ratio": [2.0], "heads": [1, 2], "head_dim": [8], "window": [[3, 0], [0]], "reduction": [8],
}  # fmt: skip


def test_blocks_get_their_mixers_within_the_grid():
    space = parse_space("mine", TWINS)
    arch = space.largest(window0=3)
    first, second = arch.stages
    assert arch.grids == ((6, 6), (3, 3)) and arch.conditional
    assert first.mixers == (WindowAttention(3, 3, 2, 8), ReducedAttention(6, 2, 8))
    assert set(second.mixers) == {ReducedAttention(3, 2, 8)}  # no more than the grid has


def test_genes_of_missing_stages_change_nothing():
    space = parse_space("mine", TWINS)
    genes = space.fixed([0] * len(space.names), {"stages": 1})
    other = space.fixed(genes, {"dim1": 48})
    assert space.decode(genes) == space.decode(other)
    assert space.canonical(other) == space.canonical(genes) != other


def test_windows_shift_where_there_is_more_than_one():
    arch = load_space("s3").largest(window0=4, window1=7, stages=2, patch=4)
    assert [m.shift for m in arch.stages[0].mixers] == [(0, 0), (2, 2), (0, 0)]
    assert [m.shift for m in arch.stages[1].mixers] == [(0, 0)] * 3


@pytest.mark.parametrize("preset", ["tiny", "focal", "twins", "s3"])
def test_a_space_that_was_written_is_read_again(preset):
    space = load_space(preset)
    table = space.as_dict()
    own = {n: table[n] for n in ("family", "image", "classes")}
    assert parse_space(space.name, {**table["choices"], **own}) == space


@pytest.mark.parametrize("family", NETWORK_FAMILIES)
def test_a_network_says_what_it_is(family):
    preset = {"vit": "tiny", "windows": "s3"}.get(family, family)
    arch = load_space(preset).largest()
    assert arch.family == family and len(arch.key()) == 12
    assert arch.lines() and str(arch.patch) in arch.brief
    assert arch_of(arch.as_dict()) == arch


def test_the_formula_and_training_with_rounding_are_for_vits():
    check_rounded("vit")
    for family in HIERARCHIES:
        with pytest.raises(UsageError, match=f"--qat knows no {family}"):
            check_rounded(family)
        arch = load_space({"windows": "s3"}.get(family, family)).smallest()
        with pytest.raises(UsageError, match=f"knows no {family}"):
            NETWORK_FAMILIES[family].formula(arch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "cnn"}, "no family cnn"),
        ({"kernel": [3]}, "unknown kernel"),
        ({"stages": [0]}, "stages needs positive whole numbers"),
        ({"stages": [9]}, "at most 4 stages"),
        ({"dim": [[16]]}, "dim needs a list of choices for stage 2"),
        ({"dim": [[16], [18]]}, "dim1 must be a multiple of 4"),
        ({"window": [-1]}, "window0 needs whole numbers from 0 on"),
        ({"ratio": [0]}, "ratio0 needs positive numbers"),
        ({"stem": [3]}, "stem are texts"),
    ],
)
def test_a_wrong_space_is_refused_with_its_reason(change, message):
    with pytest.raises(UsageError, match=message):
        parse_space("mine", {**TWINS, **change})


def test_switches_are_true_or_false():
    table = load_space("s3").as_dict()
    with pytest.raises(UsageError, match="shift is true or false"):
        parse_space("mine", {**table["choices"], "family": "windows", "shift": [1]})
