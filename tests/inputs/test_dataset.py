"""mcuformer/inputs: folders, arrays, and what is no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mcuformer.errors import UsageError
from mcuformer.inputs.arrays import InputSpec
from mcuformer.inputs.dataset import Dataset, load_dataset

SHAPE = (3, 6, 4)
RNG = np.random.default_rng(1)
PIXELS = RNG.integers(0, 256, (5, *SHAPE), dtype=np.uint8)


def load(path: Path, shape: tuple[int, ...] = SHAPE, name: str = "pixel/values") -> Dataset:
    """For a model with one input."""
    return load_dataset(path, [InputSpec(name, "pixel_values", shape)])


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
    data = load(tmp_path)
    assert data.classes == ("a", "b") and data.labels is not None
    assert data.labels.tolist() == [0, 0, 1, 1]
    (x,) = data.take([1, 2])
    assert x.shape == (2, *SHAPE) and x[:, :2, 0, 0].tolist() == [[10, 1], [200, 0]]


def test_flat_folder_grey_and_resized(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (40, 60), (9, 9, 9)).save(tmp_path / "x.jpg")
    data = load(tmp_path, (1, 6, 4))
    assert data.labels is None
    (x,) = data.take([0])
    assert x.shape == (1, 1, 6, 4) and x.max() in (8, 9, 10)


@pytest.mark.parametrize(
    "x", [PIXELS, PIXELS.transpose(0, 2, 3, 1), PIXELS[:, None], PIXELS.astype(np.int64)]
)
def test_array_layouts(tmp_path: Path, x: np.ndarray) -> None:
    data = load(save(tmp_path / "d.npz", x=x, y=np.arange(5)))
    assert np.array_equal(data.take(np.arange(5))[0], PIXELS)
    assert data.labels is not None and data.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.spread(3).tolist() == [0, 2, 4] and len(data.spread(0)) == 5


def test_sequences_and_single_samples(tmp_path: Path) -> None:
    x = RNG.normal(size=(5, 7, 2)).astype(np.float64)
    np.save(tmp_path / "x.npy", x[:, :, None])
    assert np.array_equal(load(tmp_path / "x.npy", (7, 2)).take([4])[0], x[4:].astype("f4"))
    np.save(tmp_path / "x.npy", x[0])
    assert len(load(tmp_path / "x.npy", (7, 2))) == 1


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
        load(save(tmp_path / "d.npz", **arrays))


def test_no_data_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load(tmp_path / "none.npz")
    with pytest.raises(UsageError, match="holds no images"):
        load(tmp_path)
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY", b"text"):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(UsageError, match=r"is no \.npz or \.npy"):
            load(tmp_path / "x.npz")


def test_pickles_are_not_executed(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(UsageError):
        load(tmp_path / "x.npy")


def test_broken_image(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8 nothing")
    with pytest.raises(UsageError, match="no readable image"):
        load(tmp_path).take([0])


@pytest.mark.parametrize(
    "name", ["x", "image", "images", "input", "inputs", "x0", "pixel/values", "pixel_values", "odd"]
)
@pytest.mark.parametrize("labels", ["y", "label", "labels"])
def test_names_of_arrays(tmp_path: Path, name: str, labels: str) -> None:
    arrays = {name: PIXELS, labels: np.arange(5), "classes": np.array(list("abcde"))}
    data = load(save(tmp_path / "d.npz", **arrays))
    assert np.array_equal(data.take([3])[0], PIXELS[3:4])
    assert data.labels is not None and data.labels.tolist() == [0, 1, 2, 3, 4]
    assert data.classes == ("a", "b", "c", "d", "e")


def test_an_input_that_is_named_like_labels(tmp_path: Path) -> None:
    found = load(save(tmp_path / "d.npz", y=PIXELS, label=np.arange(5)), name="y")
    assert np.array_equal(found.take([0])[0], PIXELS[:1])
    assert found.labels is not None and len(found.labels) == 5
    assert load(save(tmp_path / "e.npz", y=PIXELS), name="y").labels is None


TWO = [InputSpec("left/image", "left_image", SHAPE), InputSpec("state", "state", (1, 4))]
STATE = RNG.normal(size=(5, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "names", [("left/image", "state"), ("left_image", "state"), ("x0", "x1"), ("left/image", "x1")]
)
def test_several_inputs(tmp_path: Path, names: tuple[str, str]) -> None:
    path = save(
        tmp_path / "d.npz", **dict(zip(names, (PIXELS, STATE), strict=True)), y=np.arange(5)
    )
    data = load_dataset(path, TWO)
    image, state = data.take([4, 0])
    assert len(data) == 5 and data.labels is not None
    assert np.array_equal(image, PIXELS[[4, 0]]) and image.dtype == np.uint8
    assert np.array_equal(state, STATE[[4, 0], None]) and state.dtype == np.float32


def test_several_inputs_that_are_not_there(tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz", x=PIXELS, state=STATE)
    with pytest.raises(UsageError) as caught:
        load_dataset(path, TWO)
    assert "no array left/image (or x0), only state, x" in str(caught.value)
    assert "the model's inputs are left/image, state" in str(caught.value)
    path = save(tmp_path / "d.npz", x0=PIXELS, x1=STATE[:3])
    with pytest.raises(UsageError, match="as many samples, there are 5 of x0, 3 of x1"):
        load_dataset(path, TWO)
    np.save(tmp_path / "x.npy", PIXELS)
    with pytest.raises(UsageError, match="one array without a name"):
        load_dataset(tmp_path / "x.npy", TWO)
    PIL.Image.new("RGB", (4, 6)).save(tmp_path / "x.png")
    with pytest.raises(UsageError, match="images, but the model has 2 inputs"):
        load_dataset(tmp_path, TWO)
