"""mcuformer/inputs: folders, arrays, and what is no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mcuformer.errors import UsageError
from mcuformer.inputs.dataset import load_dataset

SHAPE = (3, 6, 4)
RNG = np.random.default_rng(1)
PIXELS = RNG.integers(0, 256, (5, *SHAPE), dtype=np.uint8)


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_folder_of_classes(tmp_path: Path) -> None:
    for name, value in (("b", 200), ("a", 10)):
        (tmp_path / name).mkdir()
        for n in range(2):
            image = PIL.Image.new("RGB", (4, 6), (value, n, 0))
            image.save(tmp_path / name / f"{n}.png")
    (tmp_path / "empty").mkdir()
    data = load_dataset(tmp_path, SHAPE)
    assert data.classes == ("a", "b") and data.labels is not None
    assert data.labels.tolist() == [0, 0, 1, 1]
    x = data.take([1, 2])
    assert x.shape == (2, *SHAPE) and x[:, :2, 0, 0].tolist() == [[10, 1], [200, 0]]


def test_flat_folder_grey_and_resized(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (40, 60), (9, 9, 9)).save(tmp_path / "x.jpg")
    data = load_dataset(tmp_path, (1, 6, 4))
    assert data.labels is None
    assert data.take([0]).shape == (1, 1, 6, 4) and data.take([0]).max() in (8, 9, 10)


@pytest.mark.parametrize(
    "x", [PIXELS, PIXELS.transpose(0, 2, 3, 1), PIXELS[:, None], PIXELS.astype(np.int64)]
)
def test_array_layouts(tmp_path: Path, x: np.ndarray) -> None:
    data = load_dataset(save(tmp_path / "d.npz", x=x, y=np.arange(5)), SHAPE)
    assert np.array_equal(data.take(np.arange(5)), PIXELS)
    assert data.labels is not None and data.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.spread(3).tolist() == [0, 2, 4] and len(data.spread(0)) == 5


def test_sequences_and_single_samples(tmp_path: Path) -> None:
    x = RNG.normal(size=(5, 7, 2)).astype(np.float64)
    np.save(tmp_path / "x.npy", x[:, :, None])
    assert np.array_equal(load_dataset(tmp_path / "x.npy", (7, 2)).take([4]), x[4:].astype("f4"))
    np.save(tmp_path / "x.npy", x[0])
    assert len(load_dataset(tmp_path / "x.npy", (7, 2))) == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": PIXELS[:, :2]}, "the model wants samples"),
        ({"x": PIXELS[:0]}, "the model wants samples"),
        ({"a": PIXELS, "b": PIXELS}, "has no array x"),
        ({"x": PIXELS.astype(np.int32) * 2}, "outside 0..255"),
        ({"x": PIXELS * np.float32("nan")}, "NaN"),
        ({"x": PIXELS.astype(str)}, "wanted are pixels or floats"),
        ({"x": PIXELS, "y": np.arange(4)}, "wanted are 5 class indices"),
        ({"x": PIXELS, "y": np.arange(5.0)}, "class indices"),
    ],
)
def test_wrong_arrays(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_dataset(save(tmp_path / "d.npz", **arrays), SHAPE)


def test_no_data_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_dataset(tmp_path / "none.npz", SHAPE)
    with pytest.raises(UsageError, match="holds no images"):
        load_dataset(tmp_path, SHAPE)
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY", b"text"):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(UsageError, match=r"no image folder, \.npz or \.npy"):
            load_dataset(tmp_path / "x.npz", SHAPE)


def test_pickles_are_not_executed(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(UsageError):
        load_dataset(tmp_path / "x.npy", SHAPE)


def test_broken_image(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8 nothing")
    with pytest.raises(UsageError, match="no readable image"):
        load_dataset(tmp_path, SHAPE).take([0])
