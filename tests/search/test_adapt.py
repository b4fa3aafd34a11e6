"""ARC: how tasks are adapted to, stopped, continued and exported, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from click.testing import CliRunner
from test_adapters import ARCH, adapters_of
from test_train import small_data

from mcuformer.cli import cli
from mcuformer.cli import export as export_command
from mcuformer.cli.adapt import parse_tasks
from mcuformer.cli.model_options import tasks_of
from mcuformer.errors import UsageError
from mcuformer.search import data as sources
from mcuformer.search.adapt import Method, adapt, adapted_network, export_adapted, recipe_of
from mcuformer.search.backbone import load_backbone
from mcuformer.search.data import Data, Images
from mcuformer.search.fitted import fitted
from mcuformer.search.train import Recipe
from mcuformer.search.train_one import train_one


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "load", lambda spec, seed=0: small_data(64))
    monkeypatch.setattr(sources, "check", quiet)
    monkeypatch.setattr(sources, "load_test", lambda spec: small_data(20).validation)
    arch = tmp_path / "arch.json"
    arch.write_text(json.dumps(ARCH.as_dict()))
    train_one(arch, "small", tmp_path / "base", Recipe(epochs=1, batch=32), 1, None, quiet)
    return tmp_path / "base"


def quiet(*_):
    pass


def asked(epochs=2):
    return recipe_of(epochs, 32, 1e-2, "none", 0)


def test_the_recipe_is_the_papers():
    recipe = recipe_of(100, 32, 1e-2, "none", 0)
    assert (recipe.optimizer, recipe.weight_decay, recipe.clip) == ("adamw", 0, 1)
    assert recipe.warmup_epochs == 10


def test_stopped_and_resumed_equals_unbroken(base, tmp_path):
    tasks, method = {"a": "small", "b": "small"}, Method(rank=4)
    whole = adapt(base, tasks, tmp_path / "one", method, asked(), 1, None, quiet)
    adapt(base, tasks, tmp_path / "two", method, asked(), 1, 1, quiet)
    resumed = adapt(base, tasks, tmp_path / "two", method, asked(), 1, None, quiet)
    alone = adapt(base, {"b": "small"}, tmp_path / "three", method, asked(), 1, None, quiet)
    shas = [[d["weights_sha256"] for d in found] for found in (whole, resumed, alone)]
    assert shas[0] == shas[1] and shas[2] == shas[0][1:]
    assert whole[0]["trained"] < 0.2 * whole[0]["backbone"]
    assert (tmp_path / "one/a/last.pt").stat().st_size < 60_000  # the backbone is not in it


def test_what_the_command_prints(base, tmp_path):
    given = ["--base", str(base), "--task", "a=small", "-o", str(tmp_path / "tasks"), "--rank", "4"]
    command = ["adapt", *given, "--epochs", "1", "--batch", "32", "--threads", "1", "--amp"]
    found = CliRunner().invoke(cli, command, catch_exceptions=False)
    info = json.loads((tmp_path / "tasks/a/adapt.json").read_text())
    assert info["recipe"]["amp"] and found.exit_code == 0
    (row,) = [line.split() for line in found.output.splitlines() if line.startswith("a ")]
    assert row[1:3] == [f"{info[n]:,}" for n in ("trained", "head")]
    assert row[-3:] == ["1", f"{info['validation']:.2f}", "%"]


def test_what_breaks_off_leaves_no_half_file(base, tmp_path, monkeypatch):
    saved = onnx.save

    def half(proto, path):
        path.write_bytes(proto.SerializeToString()[:999])
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx, "save", half)
    tasks, place = {"a": "small"}, tmp_path / "tasks"
    with pytest.raises(KeyboardInterrupt):
        adapt(base, tasks, place, Method(rank=4), asked(1), 1, None, quiet)
    assert sorted(p.name for p in (place / "a").iterdir()) == ["adapt.json", "last.pt"]
    monkeypatch.setattr(onnx, "save", saved)
    adapt(base, tasks, place, Method(rank=4), asked(1), 1, None, quiet)
    assert {"model.onnx", "folded.onnx", "calibration.npz"} < {
        p.name for p in (place / "a").iterdir()
    }


def test_what_was_adapted_otherwise_is_refused(base, tmp_path):
    adapt(base, {"a": "small"}, tmp_path, Method(rank=4), asked(1), 1, None, quiet)
    with pytest.raises(UsageError, match="another rank"):
        adapt(base, {"a": "small"}, tmp_path, Method(rank=6), asked(1), 1, None, quiet)
    with pytest.raises(UsageError, match="no less than the network's width"):
        adapt(base, {"c": "small"}, tmp_path, Method(rank=32), asked(1), 1, None, quiet)
    train_one(base.parent / "arch.json", "small", base, Recipe(epochs=1, batch=32), 1, None, quiet)
    info = json.loads((tmp_path / "a/adapt.json").read_text())
    (tmp_path / "a/adapt.json").write_text(json.dumps(info | {"base_sha256": "0" * 64}))
    with pytest.raises(UsageError, match="is not the network"):
        adapted_network(tmp_path / "a")


def test_all_weights_for_comparison(base, tmp_path):
    (found,) = adapt(base, {"a": "small"}, tmp_path, Method(full=True), asked(), 1, None, quiet)
    assert found["trained"] == found["backbone"]
    network, _ = adapted_network(tmp_path / "a")
    assert not adapters_of(network)


def test_export_of_a_folder(base, tmp_path):
    adapt(base, {"a": "small"}, tmp_path, Method(rank=4), asked(1), 1, None, quiet)
    made = [tmp_path / n for n in ("m.onnx", "c.npz", "t.npz")]
    export_adapted(tmp_path / "a", *made, dynamo=False, fold=True)
    assert np.load(made[1])["x"].shape == (64, 1, 24, 24)
    assert [*np.load(made[2])["classes"]] == [*"0123456789"]
    notes = {p.key: p.value for p in onnx.load(made[0]).metadata_props}
    kept = load_backbone(base)
    assert notes["mcuformer.mean"] == f"{kept.mean[0]:.6f}"
    refused = CliRunner().invoke(export_command.command, [str(base), "--fold", "-o", str(made[0])])
    assert (
        isinstance(refused.exception, UsageError) and "no adaptation" in refused.exception.message
    )


def test_compile_exports_what_is_missing_without_the_data(base, tmp_path, monkeypatch):
    """A folder may hold trained numbers alone; the network is where it was adapted from."""
    adapt(base, {"a": "small", "b": "small"}, tmp_path, Method(rank=4), asked(1), 1, None, quiet)
    made = [tmp_path / n / f for n in "ab" for f in ("model.onnx", "folded.onnx")]
    before = [path.read_bytes() for path in made]
    for path in made:
        path.unlink()
    monkeypatch.setattr(sources, "load", None)  # no image is asked for
    for mode in ("runtime", "fold"):
        points = tasks_of(tmp_path, (), "a,b", mode)
        assert [p.model.parent.name for p in points] == ["a", "b"]
    assert [path.read_bytes() for path in made] == before


@pytest.mark.parametrize("tasks", [["digits"], ["a/b=digits"], ["a="], ["a=digits", "a=digits"]])
def test_names_of_tasks(tasks, tmp_path):
    given = [w for t in tasks for w in ("--task", t)]
    found = CliRunner().invoke(cli, ["adapt", "--base", str(tmp_path), "-o", "x", *given])
    assert isinstance(found.exception, UsageError)
    assert parse_tasks(("a=grey:digits", "b=c=d")) == {"a": "grey:digits", "b": "c=d"}


def test_a_folder_is_of_one_adaptation_once_an_epoch_is_finished(base, tmp_path):
    def adapted(**other):
        recipe = replace(asked(1), **other)
        return adapt(base, {"a": "small"}, tmp_path, Method(rank=4), recipe, 1, None, quiet)

    with pytest.raises(UsageError, match="take a smaller --lr"):
        adapted(lr=1e30)
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["adapt.json"]
    adapted()  # as was said
    with pytest.raises(UsageError, match=r"another recipe \(amp, lr\)"):
        adapted(lr=0.5, amp=True)
    (tmp_path / "a/adapt.json").unlink()
    with pytest.raises(UsageError, match=r"adapt\.json does not exist"):
        adapted()


def test_all_tasks_are_read_before_one_is_trained(base, tmp_path, monkeypatch):
    adapt(base, {"b": "small"}, tmp_path, Method(rank=4), asked(1), 1, None, quiet)
    with pytest.raises(UsageError, match="another rank"):
        adapt(
            base, {"a": "small", "b": "small"}, tmp_path, Method(rank=6), asked(1), 1, None, quiet
        )
    monkeypatch.undo()
    with pytest.raises(UsageError, match="unknown data nothing"):
        adapt(
            base,
            {"a": "digits", "c": "nothing"},
            tmp_path,
            Method(rank=4),
            asked(1),
            1,
            None,
            quiet,
        )
    assert not (tmp_path / "a").exists()


def test_a_damaged_description_of_an_adaptation(base, tmp_path):
    adapt(base, {"a": "small"}, tmp_path, Method(rank=4), asked(1), 1, None, quiet)
    path = tmp_path / "a/adapt.json"
    whole = json.loads(path.read_text())
    for key, value in (("rank", "many"), ("rank", -3), ("classes", 7), ("recipe", None)):
        path.write_text(json.dumps({**whole, key: value}))
        with pytest.raises(UsageError, match="not what mcuformer adapt writes"):
            adapted_network(tmp_path / "a")


def test_data_without_a_validation_image_are_refused_before_the_training(
    base, tmp_path, monkeypatch
):
    none = Images(np.zeros((0, 1, 24, 24), np.uint8), np.zeros(0, np.int64))
    monkeypatch.setattr(sources, "load", lambda *_: replace(small_data(64), validation=none))
    arch, plain = base.parent / "arch.json", Recipe(epochs=1, batch=32)
    with pytest.raises(UsageError, match="too few of each class to validate"):
        train_one(arch, "small", tmp_path / "run", plain, 1, None, quiet)
    with pytest.raises(UsageError, match="too few of each class to validate"):
        adapt(base, {"a": "small"}, tmp_path, Method(rank=4), asked(1), 1, None, quiet)
    assert not (tmp_path / "run").exists() and not (tmp_path / "a").exists()
    train_one(arch, "small", tmp_path / "run", plain, 1, None, quiet, refit=True)


def test_images_are_made_as_the_network_takes_them():
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (5, 1, 8, 8)).astype(np.uint8), np.arange(5))
    data = Data("d", images, images, tuple("01234"), (0.5,), (0.2,), False)
    found = fitted(data, (12, 10, 3), (0.1, 0.2, 0.3), (1.0, 1.0, 1.0))
    assert found.train.x.shape == (5, 3, 12, 10) and found.mean == (0.1, 0.2, 0.3)
    assert np.array_equal(found.train.x[:, 0], found.train.x[:, 2])
    back = fitted(found, (12, 10, 1), (0.5,), (0.2,))
    assert np.array_equal(back.train.x, found.train.x[:, :1])
    four = replace(data, train=Images(np.zeros((1, 4, 8, 8), np.uint8), np.zeros(1, np.int64)))
    with pytest.raises(UsageError, match="channels"):
        fitted(four, (8, 8, 3), (0.5,), (0.2,))


def test_few_images_are_some_of_every_class_and_the_test_part_is_whole():
    few, every = sources.load("few:200:digits"), sources.load("digits")
    assert abs(len(few.train) + len(few.validation) - 200) < 6
    assert set(few.train.y) == set(every.train.y)
    assert len(sources.load_test("few:200:digits")) == len(sources.load_test("digits"))
    assert len(sources.load("few:9999:grey:digits").train) == len(every.train)
    with pytest.raises(UsageError, match="how many"):
        sources.load("few:many:digits")
    with pytest.raises(UsageError, match="leaves a class without"):
        sources.load("few:12:digits")
    assert set(sources.load("few:40:digits").validation.y) == set(every.train.y)


def test_grey_is_luminance():
    x = np.zeros((3, 3, 1, 1), np.uint8)
    x[0, 0], x[1, 1], x[2] = 255, 255, 255
    assert sources.grey(x).ravel().tolist() == [76, 150, 255]
    assert sources.load("grey:digits").train.x.shape[1] == 1
