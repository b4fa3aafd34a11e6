"""Which keys a head sees: against the definition patch by patch, and in the float and the int definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcuformer.ir.float_ops.evaluate import attention
from mcuformer.ir.int_ops_attention import probabilities
from mcuformer.ir.neighbours import contradiction, seen_by_heads, visible


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 6))
def test_a_patch_sees_within_the_radius(lines: int, columns: int, leading: int, r: int) -> None:
    rows = leading + lines * columns
    seen = visible(rows, (lines, columns), r)
    for i in range(rows):
        for j in range(rows):
            (y, x), (v, u) = divmod(i - leading, columns), divmod(j - leading, columns)
            near = abs(y - v) <= r and abs(x - u) <= r
            assert seen[i, j] == (r == 0 or min(i, j) < leading or near)


def test_none_where_every_head_sees_all() -> None:
    assert seen_by_heads({"heads": 2}, 9) is None
    assert seen_by_heads({"heads": 2, "radii": (0, 0), "grid": (3, 3)}, 9) is None
    masks = seen_by_heads({"heads": 2, "radii": (0, 1), "grid": (3, 3)}, 10)
    assert masks is not None
    assert masks[0].all() and masks[1].sum() == 49 + 19


def test_a_head_weighs_what_it_sees() -> None:
    """v counts the keys: with equal scores the result is the mean over what is seen."""
    q, v = np.zeros((1, 12, 2), np.float32), np.arange(12, dtype=np.float32).reshape(1, 12, 1)
    attrs = {"heads": 1, "scale": 1.0, "radii": (1,), "grid": (3, 4)}
    y = attention(attrs, [q, q, v])[0, :, 0]
    mask = visible(12, (3, 4), 1)
    np.testing.assert_allclose(y, [np.arange(12)[m].mean() for m in mask], rtol=1e-5)


def test_the_greatest_score_is_of_those_seen() -> None:
    steps = np.array([[[-32768, 32767]]])
    np.testing.assert_array_equal(
        probabilities(steps, 0, np.array([[[True, False]]])),
        [[[probabilities(steps * 0, 0)[0, 0, 0], 0]]],
    )


@pytest.mark.parametrize(
    ("attrs", "queries", "biased", "wrong"),
    [
        ({"radii": (1, 0), "grid": (3, 3)}, 10, False, None),
        ({}, 3, True, None),
        ({"radii": (1,), "grid": (3, 3)}, 9, False, "heads"),
        ({"radii": (1, 256), "grid": (3, 3)}, 9, False, "heads"),
        ({"radii": (1, 0), "grid": (3, 3), "windows": 3}, 9, False, "windows"),
        ({"radii": (1, 0), "grid": (3, 3)}, 9, True, "bias"),
        ({"radii": (1, 0), "grid": (4, 3)}, 9, False, "grid"),
    ],
)
def test_what_does_not_fit_is_said(
    attrs: dict, queries: int, biased: bool, wrong: str | None
) -> None:
    found = contradiction({"heads": 2, **attrs}, queries, queries, biased)
    assert found is None if wrong is None else wrong in str(found)
