"""A subnet of a hierarchical space's weights and its plain network are the same function."""

from random import Random

import pytest

torch = pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

from mcuformer.search.families import NETWORK_FAMILIES
from mcuformer.search.net import Network
from mcuformer.search.networks import NETWORKS, network_of
from mcuformer.search.pyramid_supernet import PyramidSupernet
from mcuformer.search.sandwich import Sandwich
from mcuformer.search.space import load_space


def supernet(preset):
    space = load_space(preset).sized((20, 20, 1), 10)
    return PyramidSupernet(space, torch.Generator().manual_seed(0))


def test_every_family_has_layers_and_shared_weights():
    assert set(NETWORKS) == set(NETWORK_FAMILIES)
    assert isinstance(network_of(load_space("tiny").smallest()), Network)


@pytest.mark.parametrize("preset", ["focal", "twins", "s3"])
def test_materialise_equals_the_slice(preset):
    net = supernet(preset).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():  # biases and relative positions are zero at first
            p.add_(0.05 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    random = Random(1)
    x = torch.randn(4, 1, 20, 20, dtype=torch.float64, generator=generator)
    for _ in range(3):  # moves the statistics of convolution stems
        net(x, net.space.decode(net.space.draw(random)))
    net.eval()
    with torch.no_grad():
        for _ in range(8):
            arch = net.space.decode(net.space.draw(random))
            plain, expected = net.materialise(arch).eval(), net(x, arch)
            most = 1e-9 * expected.abs().max()
            assert plain(x).sub(expected).abs().max() <= most
            assert net.encode(net.embed(x, arch), arch).sub(expected).abs().max() <= most
            assert sum(p.numel() for p in plain.parameters()) == arch.parameters


@pytest.mark.parametrize("preset", ["focal", "twins", "s3"])
def test_a_step_of_training_reaches_weights_of_every_stage(preset):
    net = supernet(preset)
    y = torch.nn.functional.one_hot(torch.arange(4), 10).float()
    Sandwich()(net, torch.randn(4, 1, 20, 20), y, Random(2))
    reached = {
        n.split("/")[1] for n, p in net.weights.items() if n[:6] == "stages" and p.grad is not None
    }
    assert reached == {str(i) for i in range(max(net.space.choices["stages"]))}


def test_parts_of_joined_layers_and_the_middle_of_kernels():
    net = supernet("s3")
    arch = net.space.smallest(relative=True)
    found, w = net.slices(arch), net.weights
    mixer, dim = arch.stages[0].mixers[0], arch.stages[0].dim
    inner = mixer.heads * mixer.head_dim
    whole = w["stages/0/blocks/0/mixer/qkv/weight"]
    k = found["stages.0.blocks.0.mixer.qkv.weight"][inner : 2 * inner]
    assert torch.equal(k, whole[len(whole) // 3 :][:inner, :dim])
    table, small = w["stages/0/blocks/0/mixer/relative"], mixer.rows
    at = table.shape[1] // 2
    mine = found["stages.0.blocks.0.mixer.relative"]
    assert torch.equal(mine[:, small - 1, small - 1], table[: mixer.heads, at, at])  # no distance
