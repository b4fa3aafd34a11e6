"""What the training scripts in examples/families rest on: steps that go on, composed images, key points."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from onnx.reference import ReferenceEvaluator

from mcuformer.frontend.load import load_model

sys.path.append(str(Path(__file__).parents[2] / "examples" / "families"))
from digits import SIZE, Scenes, compose, located, mean_iou, pck, points_of, sources
from training import Log, export, fit


def trained(work: Path, stops: list[int]):  # type: ignore[no-untyped-def]
    """A small network after stops[-1] epochs of four, stopped after each of the others."""
    for epochs in stops:
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.GELU(), torch.nn.Linear(8, 3))
        left = iter(range(epochs * 5))

        def batches(rng):  # type: ignore[no-untyped-def]
            for _ in range(5):
                if next(left, None) is None:  # noqa: B023
                    raise KeyboardInterrupt
                yield (torch.randn(4, 6, generator=rng),)

        def loss(x):  # type: ignore[no-untyped-def]
            return net(x).square().mean()  # noqa: B023

        try:
            fit(net, batches, loss, 4, 5, 0.01, 1, work / "state.pt", Log(work / "log"))
        except KeyboardInterrupt:
            assert epochs < 4
    return net


def test_a_stopped_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    once, resumed = trained(tmp_path / "a", [4]), trained(tmp_path / "b", [1, 4])
    for a, b in zip(once.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert "goes on after epoch 1" in (tmp_path / "b" / "log").read_text()


def scenes(seed: int, count: int = 32) -> Scenes:
    return compose(sources(None, "test"), count, torch.Generator().manual_seed(seed))


def test_a_seed_composes_the_same_images() -> None:
    one, same, other = scenes(1), scenes(1), scenes(2)
    assert torch.equal(one.image, same.image)
    assert torch.equal(one.mask, same.mask)
    assert not torch.equal(one.image, other.image)
    assert one.image.min() >= 0
    assert one.image.max() <= 1


def test_perfect_maps_find_their_points() -> None:
    made = scenes(3)
    inside = ((made.points > 4) & (made.points < SIZE - 4)).all(-1)
    far = (located(made.maps()) - made.points).norm(dim=-1)
    assert inside.sum() > 100
    assert far[inside].max() < 0.2
    assert pck(made.maps(), made.points, made.side) == 100
    assert pck(made.maps().flip(3), made.points, made.side) < 50


def test_the_box_of_a_mask() -> None:
    mask = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    mask[0, 0, 4:10, 3:15] = True
    points, side = points_of(mask)
    assert points[0].tolist() == [[9, 7], [3, 4], [15, 4], [3, 10], [15, 10]]
    assert side.item() == 12


def test_mean_iou() -> None:
    mask = torch.tensor([True, True, False, False]).view(1, 1, 2, 2)
    assert mean_iou(mask.float() - 0.5, mask) == 100
    assert mean_iou(torch.tensor([1.0, -1, -1, -1]).view(1, 1, 2, 2), mask) == pytest.approx(
        100 * (1 / 2 + 2 / 3) / 2
    )


def test_weights_of_16_bits_are_read_as_they_were(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32))
    path = tmp_path / "model.onnx"
    export(net, torch.zeros(1, 1, 8, 8), ["y"], path, {"mcuformer.mean": "0.5"})
    assert path.stat().st_size < 64 * 32 * 3
    x = torch.randn(1, 1, 8, 8)
    (y,) = ReferenceEvaluator(str(path)).run(None, {"image": x.numpy()})
    assert np.allclose(y, net(x).detach().numpy(), atol=2e-3)
    assert load_model(path).meta["output_shapes"] == ((1, 32),)
