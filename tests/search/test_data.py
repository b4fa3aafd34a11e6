"""Data: splits that do not meet, sizes, refusals."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the extra `search` (scikit-learn) is not installed")

from mcuformer.errors import UsageError
from mcuformer.search.data import load, load_test, stratified


def test_digits_are_enlarged_and_split_without_overlap():
    data, test = load("digits"), load_test("digits")
    assert data.image == (24, 24, 1) and len(data.classes) == 10
    assert len(data.train) + len(data.validation) + len(test) == 1797
    seen = {x.tobytes() for part in (data.train, data.validation) for x in part.x}
    assert not any(x.tobytes() in seen for x in test.x)
    assert all(abs(np.bincount(test.y) - 36) <= 1)


def test_the_test_split_is_fixed_whatever_the_seed():
    assert np.array_equal(load_test("digits").y, load_test("digits").y)
    a, b = load("digits", 0), load("digits", 1)
    assert len(a.train) == len(b.train) and not np.array_equal(a.train.x, b.train.x)


def test_stratified_takes_its_share_of_every_class():
    y = np.repeat(np.arange(4), 50)
    mask = stratified(y, 0.2, seed=3)
    assert list(np.bincount(y[mask])) == [10] * 4


def test_image_folders_are_read_by_class(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for i in range(10):
                pixels = rng.integers(0, 256, (40, 30, 3), np.uint8)
                image.fromarray(pixels).save(folder / f"{i}.png")
    data = load(f"imagefolder:{tmp_path},16")
    assert data.image == (16, 16, 3) and data.classes == ("cat", "dog") and data.mirror
    assert len(load_test(f"imagefolder:{tmp_path},16")) == 20


def test_a_truncated_image_is_named(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            path = tmp_path / part / name / "0.jpg"
            image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UsageError, match=r"test/dog/0\.jpg is no readable image"):
        load_test(f"imagefolder:{tmp_path},64")
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(UsageError, match="has no folder dog"):
        load_test(f"imagefolder:{tmp_path},64")


@pytest.mark.parametrize("spec", ["mnist", "cifar10", "cifar10:/nowhere", "imagefolder:x,y"])
def test_unknown_data_is_refused(spec):
    with pytest.raises(UsageError):
        load(spec)
