"""A subnet of the supernet and its plain network are the same function."""

from dataclasses import replace
from random import Random

import pytest

torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from mcuformer.search.net import Network
from mcuformer.search.space import load_space
from mcuformer.search.supernet import Supernet


def supernet(name="tiny", seed=0, **choices):
    space = load_space(name).with_choices(**choices)
    return Supernet(space, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_materialise_equals_the_slice(dtype, close):
    net = supernet(patch=(8, 6, 5, 4), stem=("patch",)).to(dtype)
    random = Random(1)
    with torch.no_grad():
        for p in net.parameters():  # biases and relative positions are zero at first
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
        for _ in range(12):
            arch = net.space.decode(net.space.draw(random))
            x = torch.randn(2, 1, 24, 24, dtype=dtype)
            plain = net.materialise(arch)
            expected = net(x, arch)
            assert plain(x).sub(expected).abs().max() <= close * expected.abs().max()
            assert sum(p.numel() for p in plain.parameters()) == arch.parameters


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_convolution_stems_are_shared_whole(dtype, close):
    net = supernet(
        "cifar",
        relative=(False, True),
        stem=("patch", "12/2", "8-12/2-16"),
        patch=(4, 2),
        pool=("cls", "mean"),
        depth=(1, 2),
    ).to(dtype)
    x = torch.randn(4, 3, 32, 32, dtype=dtype)
    random = Random(3)
    for _ in range(6):  # moves the statistics
        net(x + torch.rand(()), net.space.decode(net.space.draw(random)))
    assert any((b != 0).any() for n, b in net.named_buffers() if "running_mean" in n)
    net.eval()
    with torch.no_grad():
        for _ in range(12):
            arch = net.space.decode(net.space.draw(random))
            plain, expected = net.materialise(arch).eval(), net(x, arch)
            largest = expected.abs().max()
            assert plain(x).sub(expected).abs().max() <= close * largest
            assert net.encode(net.embed(x, arch), arch).sub(expected).abs().max() <= close * largest
            assert sum(p.numel() for p in plain.parameters()) == arch.parameters


def test_factors_are_the_best_approximation_of_the_dense_matrix():
    net = supernet()
    w = net.weights["blocks/0/fc1/weight"]
    product = net.weights["blocks/0/fc1/up"] @ net.weights["blocks/0/fc1/down"]
    rank = net.weights["blocks/0/fc1/down"].shape[0]
    rest = torch.linalg.svdvals(w)[rank:]
    assert torch.allclose((w - product).norm(), rest.norm(), rtol=1e-4)


def test_q_k_v_slices_take_each_its_own_rows():
    net = supernet()
    arch = replace(net.space.largest(), heads=1, head_dim=8, rank_qkv=1.0)
    weight = net.slices(arch)["blocks.0.attn.qkv.weight"]
    whole = net.weights["blocks/0/attn/qkv/weight"]
    inner = whole.shape[0] // 3
    assert torch.equal(weight, torch.cat([whole[i * inner : i * inner + 8] for i in range(3)]))


def test_gradients_reach_the_shared_weights():
    net = supernet()
    net(torch.randn(2, 1, 24, 24), net.space.smallest()).sum().backward()
    grad = net.weights["blocks/0/fc1/weight"].grad
    small = net.space.smallest()
    if small.ranks(0).fc1:
        grad = net.weights["blocks/0/fc1/down"].grad
    assert grad is not None and grad[:4].abs().sum() > 0


def test_the_plain_network_pads_the_last_patches():
    arch = load_space("tiny").with_choices(patch=(5,)).smallest()
    assert arch.grid == (5, 5) and arch.padding == (1, 1)
    assert Network(arch)(torch.zeros(1, 1, 24, 24)).shape == (1, 10)
