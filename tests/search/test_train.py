"""Training: exact resume after SIGKILL, two processes, the sandwich, the protocols."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

import torch

from mcuformer.errors import UsageError
from mcuformer.search import sandwich
from mcuformer.search.augment import Augment, cutmix
from mcuformer.search.checkpoint import weights_sha256
from mcuformer.search.data import Data, Images
from mcuformer.search.net import Network, initialise
from mcuformer.search.protocol import parts_of
from mcuformer.search.space import load_space
from mcuformer.search.supernet import Supernet
from mcuformer.search.teacher import trained_network
from mcuformer.search.train import Recipe, Trainer
from mcuformer.search.train_one import train_one

SPACE = load_space("tiny").with_choices(dim=(8, 16), depth=(1,), heads=(1, 2), patch=(8, 6))


def small_data(n=96):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, n)
    x = (rng.integers(0, 60, (n, 1, 24, 24)) + 15 * y[:, None, None, None]).astype(np.uint8)
    images = Images(x, y.astype(np.int64))
    return Data("small", images, images, tuple("0123456789"), (0.4,), (0.2,), False)


def plain(tmp_path, recipe, seed=0):
    network = Network(SPACE.smallest())
    initialise(network, torch.Generator().manual_seed(seed))
    return Trainer(network, small_data(), recipe, tmp_path)


def test_stopped_and_resumed_equals_unbroken(tmp_path):
    recipe = Recipe(epochs=4, batch=32, optimizer="muon")
    whole = plain(tmp_path / "a", recipe).run()
    plain(tmp_path / "b", recipe).run(until=2)
    resumed = plain(tmp_path / "b", recipe, seed=9)  # other weights: the checkpoint decides
    assert resumed.finished == 2
    assert weights_sha256(resumed.run()) == weights_sha256(whole)
    again = plain(tmp_path / "b", recipe)
    assert weights_sha256(again.run()) == weights_sha256(whole)


def test_another_recipe_does_not_continue_a_checkpoint(tmp_path):
    plain(tmp_path, Recipe(epochs=1, batch=32)).run()
    with pytest.raises(Exception, match="another recipe"):
        plain(tmp_path, Recipe(epochs=2, batch=32))


def test_losses_fall(tmp_path):
    trainer = plain(tmp_path, Recipe(epochs=8, batch=32, lr=5e-3, protocol="none", smoothing=0))
    trainer.run()
    assert trainer.losses[-1] < 0.7 * trainer.losses[0]


def test_the_sandwich_trains_all_of_the_space(tmp_path):
    net = Supernet(SPACE, torch.Generator().manual_seed(0))
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    Trainer(net, small_data(), Recipe(epochs=2, batch=32), tmp_path, sandwich.Sandwich()).run()
    idle = {n for n, p in net.named_parameters() if torch.equal(p, before[n])}
    assert not {n for n in idle if "relative" not in n and "cls" not in n}


def test_the_sandwich_starts_with_the_largest_and_ends_with_the_smallest():
    first, *others, last = sandwich.sample(SPACE, Random(0))
    assert first.dim == 16 and last.dim == 8 and len(others) == sandwich.RANDOM_NETWORKS


def test_cutmix_keeps_the_share_of_pixels_that_it_says():
    torch.manual_seed(3)
    for _ in range(20):
        x, share = cutmix(torch.zeros(1, 1, 17, 23), torch.ones(1, 1, 17, 23))
        assert abs((1 - x.mean()).item() - share) < 1e-6


def test_modern_labels_stay_distributions():
    pytest.importorskip("kornia", reason="the extra `search` (kornia) is not installed")
    augment = Augment("modern", True, 10, 0.1)
    torch.manual_seed(0)
    x = augment.images(torch.rand(40, 3, 32, 32))
    assert x.shape == (40, 3, 32, 32) and x.min() >= 0 and x.max() <= 1
    mixed, y = augment.mix(x, torch.arange(40) % 10)
    assert mixed.shape == x.shape and torch.allclose(y.sum(1), torch.ones(40))


def test_a_protocol_takes_parts_and_loses_them():
    torch.manual_seed(0)
    x, y = torch.rand(8, 3, 16, 16), torch.arange(8)
    plain = Augment("baseline-geometry", True, 10)
    assert plain.images(x) is x and plain.mix(x, y)[0] is x
    cut, mixed = Augment("baseline+cutmix", True, 10), Augment("modern-cutmix", True, 10)
    for augment, whole in ((cut, True), (mixed, False)):
        changed = [z for z, _ in (augment.mix(x, y) for _ in range(8)) if z is not x]
        assert 0 < len(changed) < 8, augment.protocol
        # a box of another image has that image's pixels, a mixture of two has neither's
        assert all(np.isin(z.numpy(), x.numpy()).all() == whole for z in changed), augment.protocol
    for wrong in ("cutmux", "baseline+", "baseline+blur", "modern-"):
        with pytest.raises(UsageError, match="protocol"):
            parts_of(wrong)


@pytest.fixture
def arch_file(tmp_path):
    arch = load_space("tiny").with_choices(depth=(1,), dim=(16,)).smallest()
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(arch.as_dict()))
    return path


def train_command(arch_file, output, *more):
    return [
        sys.executable,
        "-m",
        "mcuformer",
        "train",
        str(arch_file),
        "--data",
        "digits",
        "-o",
        str(output),
        "--epochs",
        "6",
        "--threads",
        "1",
        "--json",
        *more,
    ]


def test_training_goes_on_from_another_one(tmp_path, arch_file):
    pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")
    recipe = Recipe(epochs=2, batch=256)

    def trained(name, recipe=recipe, **more):
        return train_one(
            arch_file, "digits", tmp_path / name, recipe, 1, None, lambda *_: None, **more
        )

    first = trained("a")
    still = Recipe(epochs=1, batch=256, lr=0.0)
    again = trained("b", still, start=tmp_path / "a", refit=True)
    assert again["weights_sha256"] == first["weights_sha256"]  # a rate of 0: where it began
    assert again["validation"] is None and first["validation"] is not None
    wider = tmp_path / "wider.json"
    wider.write_text(json.dumps(json.loads(arch_file.read_text()) | {"dim": 24}))
    with pytest.raises(UsageError, match="another network"):
        train_one(
            wider, "digits", tmp_path / "c", recipe, 1, None, lambda *_: None, start=tmp_path / "a"
        )
    with pytest.raises(UsageError, match="does not exist"):
        trained("d", start=tmp_path / "none")


@pytest.mark.long
def test_sigkill_then_the_same_command_gives_the_same_weights(tmp_path, arch_file):
    pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")
    run = subprocess.run(train_command(arch_file, tmp_path / "a"), capture_output=True, check=True)
    wanted = json.loads(run.stdout)["weights_sha256"]
    kills = 0
    for delay in (0.5, 1.5, 0.9):
        process = subprocess.Popen(
            train_command(arch_file, tmp_path / "b"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.time() + 120
        while not (tmp_path / "b" / "last.pt").exists() and time.time() < deadline:
            time.sleep(0.05)
        time.sleep(delay)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills
    run = subprocess.run(train_command(arch_file, tmp_path / "b"), capture_output=True, check=True)
    assert json.loads(run.stdout)["weights_sha256"] == wanted


@pytest.mark.long
def test_two_processes_train_as_one(tmp_path, arch_file):
    """Without augmentation the mean of two halves' gradients is the whole batch's."""
    pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")
    more = ("--protocol", "none", "--epochs", "2", "--optimizer", "adamw", "--lr", "1e-3")
    command = train_command(arch_file, tmp_path / "one", *more)
    subprocess.run(command, capture_output=True, check=True)
    module = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",  # on a port that is free: a number of ours may be another connection's
        "--local-addr",
        "127.0.0.1",
        "--nproc-per-node",
        "2",
        "-m",
        "mcuformer",
    ]
    command = module + train_command(arch_file, tmp_path / "two", *more)[3:]
    subprocess.run(command, capture_output=True, check=True, timeout=300)
    one, two = (
        torch.load(tmp_path / n / "last.pt", weights_only=True)["model"] for n in ("one", "two")
    )
    for name, t in one.items():
        assert torch.allclose(t, two[name], atol=2e-3), name


def damage(path, how):
    whole = path.read_bytes()
    if how == "another file":
        torch.save([1, 2], path)
    else:
        path.write_bytes(
            {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"weights?"}[how]
        )


@pytest.mark.parametrize("how", ["truncated", "empty", "text", "another file"])
def test_a_damaged_checkpoint_is_named(tmp_path, arch_file, how):
    pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")
    recipe = Recipe(epochs=1, batch=256)

    def trained(name, **more):
        return train_one(
            arch_file, "digits", tmp_path / name, recipe, 1, None, lambda *_: None, **more
        )

    trained("a")
    damage(tmp_path / "a" / "last.pt", how)
    for more in ({"start": tmp_path / "a"}, {"teacher": tmp_path / "a"}):
        with pytest.raises(UsageError, match=r"a/last\.pt is (damaged|no checkpoint)"):
            trained("b", **more)
        assert not (tmp_path / "b").exists()
    with pytest.raises(UsageError, match=r"a/last\.pt is (damaged|no checkpoint)"):
        trained("a")  # that goes on from it


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"arch": {"dim": 8}}'])
def test_a_damaged_description_is_named(tmp_path, text):
    (tmp_path / "train.json").write_text(text)
    (tmp_path / "last.pt").write_bytes(b"weights")
    with pytest.raises(UsageError, match=r"train\.json is not what mcuformer train writes"):
        trained_network(tmp_path)


def test_a_damaged_rounded_network_is_named(tmp_path, arch_file):
    pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")
    recipe = Recipe(epochs=1, batch=256)
    told = train_one(arch_file, "digits", tmp_path / "a", recipe, 1, None, lambda *_: None)
    (tmp_path / "a" / "train.json").write_text(json.dumps(told | {"qat": {"epochs": 1}}))
    torch.save([1], tmp_path / "a" / "rounded.pt")
    damage(tmp_path / "a" / "rounded.pt", "truncated")
    with pytest.raises(UsageError, match=r"rounded\.pt is damaged"):
        trained_network(tmp_path / "a")


@pytest.mark.long
def test_trainings_are_averaged(tmp_path, arch_file):
    pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")
    for seed in (0, 1):
        recipe = Recipe(epochs=1, batch=256, seed=seed)
        train_one(arch_file, "digits", tmp_path / str(seed), recipe, 1, None, lambda *_: None)
    script = Path(__file__).parents[2] / "scripts" / "average_trainings.py"
    command = [
        sys.executable,
        str(script),
        "-o",
        str(tmp_path / "mean"),
        str(tmp_path / "0"),
        str(tmp_path / "1"),
        "--data",
        "digits",
        "--images",
        "100",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "mean: cross entropy" in run.stdout, run.stdout + run.stderr
    a, b, mean = (
        dict(trained_network(tmp_path / n)[0].named_parameters()) for n in ("0", "1", "mean")
    )
    for name, p in mean.items():
        torch.testing.assert_close(p, (a[name] + b[name]) / 2)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "mean exists" in again.stderr
