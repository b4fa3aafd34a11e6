"""mcuformer/files/npz.py: the same bytes as numpy's own, in a fraction of its time."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from mcuformer.files import npz
from mcuformer.files.npz import save_arrays


def saved(arrays: Mapping[str, NDArray]) -> bytes:
    file = io.BytesIO()
    save_arrays(file, arrays)
    return file.getvalue()


def by_numpy(arrays: Mapping[str, NDArray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def some() -> dict[str, NDArray]:
    rng = np.random.default_rng(0)
    square = rng.normal(size=(5, 7))
    return {
        "scalar": np.asarray(0.25),
        "bytes": np.frombuffer(b'{"a": 1}', np.uint8),
        "w": rng.integers(-127, 128, (33, 65), dtype=np.int8),
        "turned": square.T,
        "apart": square[::2, ::3],
        "column": square[:, :1],
        "empty": np.zeros((0, 4), np.int32),
        "big end": np.arange(5, dtype=">i4"),
        "flags": np.array([True, False]),
        "wide": np.zeros((1, 2, 3, 4, 5), np.float32),
    }


def test_bytes_are_those_of_numpy() -> None:
    assert saved(some()) == by_numpy(some())
    assert saved({}) == by_numpy({})


def test_more_members_than_sixteen_bits_count() -> None:
    """20,000 operations have 120,000 arrays."""
    arrays = {f"a{i}": np.int8(i % 100).reshape(()) for i in range((1 << 16) + 3)}
    assert saved(arrays) == by_numpy(arrays)


def test_numpy_reads_it_and_writes_what_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for large in (npz._LARGE, 16):
        monkeypatch.setattr(npz, "_LARGE", large)
        made = saved(some())
        assert made == by_numpy(some())
        with np.load(io.BytesIO(made), allow_pickle=False) as read:
            for name, array in some().items():
                assert read[name].dtype == array.dtype
                assert np.array_equal(read[name], array)


def test_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="no file for arrays of object"):
        saved({"a": np.array([None])})
