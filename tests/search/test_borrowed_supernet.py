"""`search --supernet DIR`: the shared weights of another search, where they are the same question."""

from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")
pytest.importorskip("optuna", reason="the extra `search` (optuna) is not installed")
pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")

from mcuformer.errors import UsageError
from mcuformer.search.checkpoint import weights_sha256
from mcuformer.search.run import Search
from mcuformer.search.settings import Settings, save_settings

SPACE = "patch = [8]\ndim = [8, 12]\ndepth = [1]\nheads = [1]\nhead_dim = [8]\nratio = [1.0]\n"


def quiet(*_):
    pass


@pytest.fixture
def first(tmp_path):
    space = tmp_path / "mine.toml"
    space.write_text(SPACE)
    settings = Settings(ram=8192, space=str(space), budget="small", supernet_epochs=1, threads=1)
    save_settings(settings, tmp_path / "first")
    return settings, tmp_path / "first"


def search(settings, directory, **changes):
    return Search(replace(settings, **changes), directory, quiet)


def test_it_is_the_other_search_s(first, tmp_path):
    settings, directory = first
    trained = search(settings, directory).supernet()
    taken = search(settings, tmp_path / "second", ram=4096, supernet=str(directory)).supernet()
    assert weights_sha256(taken) == weights_sha256(trained)


def test_it_is_refused_where_it_is_of_another_question(first, tmp_path):
    settings, directory = first
    other = tmp_path / "other.toml"
    other.write_text(SPACE.replace("[8, 12]", "[8, 16]"))
    for changes, what in (({"seed": 1}, "seed"), ({"space": str(other)}, "space")):
        asked = search(settings, tmp_path / "second", supernet=str(directory), **changes)
        with pytest.raises(UsageError, match=f"another {what}"):
            asked.supernet()


def test_it_has_to_be_trained_to_its_end(first, tmp_path):
    settings, directory = first
    asked = search(settings, tmp_path / "second", supernet=str(directory))
    with pytest.raises(UsageError, match="no trained supernet"):
        asked.supernet()
    from mcuformer.search.sandwich import Sandwich
    from mcuformer.search.supernet import Supernet
    from mcuformer.search.train import Trainer, torch

    begun = search(settings, directory)
    recipe = replace(begun.budget.supernet, epochs=2)
    model = Supernet(begun.space, torch.Generator().manual_seed(0))
    Trainer(model, begun.data, recipe, directory / "supernet", Sandwich()).run(until=1)
    with pytest.raises(UsageError, match="1 of 2 epochs"):
        asked.supernet()
