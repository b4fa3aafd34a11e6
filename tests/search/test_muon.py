"""Steps of Muon are nearly orthogonal, whatever the gradient's scale."""

import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

import torch

from mcuformer.search.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(1, 4, 9), (3, 9, 4), (2, 5, 5)])
def test_singular_values_come_near_one(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for scale in (1e-3, 1.0, 1e3):
        values = torch.linalg.svdvals(orthogonal(x * scale))
        assert values.min() > 0.4 and values.max() < 1.4


def test_a_parameter_without_gradient_stays_and_others_decay_and_move():
    still, moved = (torch.nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    moved.grad = torch.ones(3, 2)
    Muon([still, moved], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(still, torch.ones(3, 2))
    assert (moved < 0.95).all()
