"""Distance, entropy and mass of attentions whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from mcuformer.locality.head_sums import Geometry, HeadSums, entropies
from mcuformer.locality.positions import grid


def _heads(p: np.ndarray, queries: np.ndarray, keys: np.ndarray) -> list[dict]:
    sums = HeadSums(Geometry.of(queries, keys), p.shape[2])
    sums.add(p)
    return sums.heads()


@pytest.mark.parametrize("lines, columns", [(4, 4), (3, 7), (14, 14)])
def test_uniform_attention_has_the_analytic_distance(lines: int, columns: int) -> None:
    n, at = lines * columns, grid(lines, columns)[None]
    (head,) = _heads(np.full((2, 1, 1, n, n), 1 / n), at, at)
    cells = [(y, x) for y in range(lines) for x in range(columns)]
    apart = [np.hypot(a - c, b - d) for a, b in cells for c, d in cells]
    assert head["distance"] == pytest.approx(
        np.mean(apart) / np.hypot(lines - 1, columns - 1), abs=1e-5
    )
    assert head["entropy"] == pytest.approx(1, abs=1e-5)
    near = sum(abs(a - c) <= 1 and abs(b - d) <= 1 for a, b in cells for c, d in cells)
    assert head["mass"][1] == pytest.approx(near / n**2, abs=1e-5)
    assert head["mass"][-1] == pytest.approx(1)
    assert len(head["mass"]) == max(lines, columns)


def test_looking_at_oneself_is_no_distance() -> None:
    at = grid(4, 4)[None]
    (head,) = _heads(np.eye(16)[None, None, None], at, at)
    assert (head["distance"], head["entropy"], head["mass"][0]) == (0, 0, 1)


def test_a_class_token_is_dropped_and_rows_are_renormalised() -> None:
    at = np.concatenate([np.full((1, 2), np.nan), grid(2, 2)])[None]
    p = np.zeros((1, 1, 1, 5, 5))
    p[..., 0] = 0.75  # everybody looks at the class token,
    p[..., 1:, 1:] = 0.25 * np.eye(4)  # patches with the rest at themselves
    (head,) = _heads(p, at, at)
    assert (head["distance"], head["entropy"], head["mass"][0]) == (0, 0, 1)


def test_a_row_that_sees_no_patch_does_not_count() -> None:
    at = np.concatenate([np.full((1, 2), np.nan), grid(2, 2)])[None]
    p = np.zeros((1, 1, 1, 5, 5))
    p[..., 0] = 1
    p[..., 1, :] = [0, 0, 0, 0, 1]
    (head,) = _heads(p, at, at)
    assert head["distance"] == pytest.approx(1), "of the one row that counts: corner to corner"


def test_windows_are_measured_on_the_whole_map() -> None:
    at = grid(4, 4)
    order = np.arange(16).reshape(2, 2, 2, 2).transpose(0, 2, 1, 3).reshape(4, 4)
    p = np.full((1, 4, 1, 4, 4), 0.25)
    (head,) = _heads(p, at[order], at[order])
    assert head["distance"] == pytest.approx((2 + np.sqrt(2)) / 4 / np.hypot(3, 3), abs=1e-5)
    assert head["entropy"] == pytest.approx(1, abs=1e-5)


def test_coarse_keys_stand_in_the_middle_of_their_patches() -> None:
    geometry = Geometry.of(grid(4, 4)[None], grid(2, 2)[None])
    assert geometry.distances[0, 0, 0] * np.hypot(3, 3) == pytest.approx(np.hypot(0.5, 0.5))
    assert geometry.radii[0, 0].tolist() == [1, 3, 3, 3]


def test_entropy_of_two_equal_keys() -> None:
    assert entropies(np.array([[0.5, 0.5, 0, 0]])) == pytest.approx([np.log(2)])
