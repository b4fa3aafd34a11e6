"""Slices of packed matrices in the blob of a wider program."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.codegen.blob import blob_of
from mcuformer.kernels.base import CArray
from mcuformer.kernels.linear import pack_weights

RNG = np.random.default_rng(0)


def packed(w: np.ndarray, bits: int) -> CArray:
    return CArray("w", "int8_t", pack_weights(w, bits), 32, "weights", w.shape[1] * bits // 2)


def drawn(n: int, k: int) -> np.ndarray:
    return RNG.integers(-7, 8, (n, k))


@given(
    st.sampled_from((4, 8)),
    st.integers(0, 5), st.integers(1, 6), st.integers(0, 5), st.integers(1, 3),
)  # fmt: skip
def test_a_slice_is_an_offset_and_a_stride(
    bits: int, row: int, rows: int, column: int, columns: int
) -> None:
    first, second = drawn(24, 32), drawn(24, 32)
    both = np.concatenate([first, second])
    part = both[4 * row : 4 * (row + rows), 4 * column : 4 * (column + columns)]
    array = packed(part, bits)
    blob = blob_of([packed(first, bits), packed(second, bits)], [array, packed(second, bits)])
    at = blob.find(array)
    assert at is not None
    groups = [blob.data[at.offset + i * at.group_bytes :][: array.group_bytes] for i in range(rows)]
    np.testing.assert_array_equal(np.concatenate(groups), array.data)


def test_what_nobody_reads_is_left_out() -> None:
    matrices = [packed(drawn(8, 16), 8), packed(drawn(8, 32), 8), packed(drawn(8, 16), 8)]
    blob = blob_of(matrices, [matrices[2]])
    assert blob.data.size == matrices[2].data.size


@pytest.mark.parametrize("shape", ((8, 40), (28, 32), (8, 16)))
def test_what_is_no_slice_is_not_found(shape: tuple[int, int]) -> None:
    blob = blob_of(known := [packed(drawn(24, 32), 8)], known)
    assert blob.find(packed(drawn(*shape), 8)) is None
