"""A batch in parts, by threads: the gradients of the whole batch, the same bits every time."""

from dataclasses import replace
from random import Random

import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

import torch
from torch import nn

from mcuformer.search.arch import Arch
from mcuformer.search.net import Network, initialise
from mcuformer.search.networks import supernet_of
from mcuformer.search.replicas import InParts, Replicas, replica, splits_behind_stem, splits_whole
from mcuformer.search.sandwich import Sandwich, sample
from mcuformer.search.slimmable import ScaleCoordination, Widths
from mcuformer.search.space import load_space
from mcuformer.search.train import Recipe, Trainer, plain_loss

VIT = Arch(
    image=(16, 16, 3), classes=10, stem="patch", patch=4, pool="mean", relative=False,
    dim=16, heads=2, head_dim=8, hidden=(32, 32),
)  # fmt: skip


def network(seed=0):
    made = Network(VIT)
    initialise(made, torch.Generator().manual_seed(seed))
    return made


def batch(n, side=16, channels=3):
    g = torch.Generator().manual_seed(n)
    x = torch.randn(n, channels, side, side, generator=g)
    return x, torch.randn(n, 10, generator=g).softmax(1)


def gradients(model):
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def backward(model, loss, x, y, seed=5):
    model.zero_grad(set_to_none=True)
    value = loss(model, x, y, Random(seed))
    return value, gradients(model)


def assert_close(found, wanted):
    assert found.keys() == wanted.keys()
    for name, g in wanted.items():
        torch.testing.assert_close(found[name], g, rtol=2e-4, atol=2e-6, msg=name)


@pytest.mark.parametrize("images", [1, 2, 7, 32])
@pytest.mark.parametrize("count", [2, 3])
def test_parts_give_the_gradients_of_the_whole_batch(images, count):
    model, (x, y) = network().train(), batch(images)
    loss, wanted = backward(model, plain_loss, x, y)
    parted = InParts(plain_loss, Replicas(model, count))
    own, found = backward(model, parted, x, y)
    torch.testing.assert_close(own, loss)
    assert_close(found, wanted)
    _, again = backward(model, parted, x, y)
    assert all(torch.equal(found[n], again[n]) for n in found)


def test_widths_of_one_network_in_parts():
    model, (x, y) = network().train(), batch(12)
    widths = Widths((0.5, 1.0))
    _, wanted = backward(model, ScaleCoordination(widths, 1, 1), x, y)
    parted = InParts(ScaleCoordination(widths, 1, 1), Replicas(model, 2))
    _, found = backward(model, parted, x, y)
    assert_close(found, wanted)


@pytest.mark.parametrize("name", ["tiny", "s3"])
def test_the_sandwich_in_parts_has_its_stem_see_the_whole_batch(name):
    space = load_space(name).sized((24, 24, 1), 10)
    x, y = batch(8, 24, 1)
    seeds = (s for s in range(50) if name == "tiny" or sample(space, Random(s))[0].stem != "patch")
    seed = next(seeds)  # of a stem with BatchNorms, where the space has one
    kept, statistics = [], []
    for threads in (1, 2, 2):
        model = supernet_of(space, torch.Generator().manual_seed(0)).train()
        kept.append(backward(model, Sandwich(None, threads), x, y, seed)[1])
        statistics.append(dict(model.named_buffers()))
    assert_close(kept[1], kept[0])
    assert all(torch.equal(kept[2][n], kept[1][n]) for n in kept[1])
    assert all(torch.equal(statistics[0][n], statistics[1][n]) for n in statistics[0])


def test_a_replica_has_the_weights_of_its_model_and_gradients_of_its_own():
    model = network()
    other = replica(model)
    with torch.no_grad():
        model.head.bias.fill_(3)
    assert (other.head.bias == 3).all()
    other(torch.zeros(1, 3, 16, 16)).sum().backward()
    assert other.head.bias.grad is not None and model.head.bias.grad is None


def test_threads_work_under_the_callers_autocast_and_mode():
    model, (x, y) = network().eval(), batch(4)
    seen = []

    def loss(own, x, y, random):
        seen.append((own.training, torch.is_autocast_enabled("cpu"), torch.get_num_threads()))
        return plain_loss(own, x, y, random)

    parted = InParts(loss, Replicas(model, 2))
    with torch.autocast("cpu", torch.bfloat16):
        parted(model, x, y, Random(0))
    parted(model.train(), x, y, Random(0))
    assert seen == [(False, True, 1)] * 2 + [(True, False, 1)] * 2


def test_a_stem_sees_the_whole_batch_and_the_rest_is_parted():
    arch = replace(VIT, stem="8/2", patch=4)
    x, y = batch(8)
    found, statistics = [], []
    for count in (1, 2):
        model = Network(arch).train()
        initialise(model, torch.Generator().manual_seed(0))
        assert splits_behind_stem(model) and not splits_whole(model)
        loss = InParts(plain_loss, Replicas(model, count)) if count > 1 else plain_loss
        found.append(backward(model, loss, x, y)[1])
        statistics.append(dict(model.named_buffers()))
    assert_close(found[1], found[0])
    assert any("running" in n for n in statistics[0])
    assert all(torch.equal(b, statistics[1][n]) for n, b in statistics[0].items())


def test_what_looks_at_a_whole_batch_is_not_parted():
    assert splits_whole(network())
    assert not splits_whole(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    assert not splits_whole(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1)))


def test_a_training_in_parts_learns_what_the_whole_learns(tmp_path):
    from test_train import small_data

    data, arch = small_data(), load_space("tiny").smallest()
    trained = []
    for threads in (1, 2, 2):
        made = Network(arch)
        initialise(made, torch.Generator().manual_seed(0))
        at = tmp_path / str(len(trained))
        trained.append(Trainer(made, data, Recipe(epochs=2, batch=31), at, threads=threads).run())
    whole, once, again = (dict(t.named_parameters()) for t in trained)
    for n, p in whole.items():
        torch.testing.assert_close(once[n], p, rtol=0.05, atol=5e-3)
        assert torch.equal(once[n], again[n])


def test_a_fault_in_a_thread_is_the_callers():
    def loss(own, x, y, random):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        InParts(loss, Replicas(network(), 2))(network(), *batch(4), Random(0))
