"""Biases by relative positions: what is stored adds up to what was given, and is small."""

from dataclasses import replace

import numpy as np
import pytest
from attention_cases import Case, Spec, make_case
from builds import HOST, M7
from test_attention import run

from mcuformer.kernels.relative import distances, relative
from mcuformer.operators.interpreter import run_op


def given(high: int, wide: int, heads: int, kinds: int, seed: int) -> tuple[np.ndarray, int]:
    """[windows*heads, n, n] with `kinds` windows' masks (1: none) and the numbers of the table."""
    rng, n = np.random.default_rng(seed), high * wide
    table = rng.integers(-900, 900, (heads, (2 * high - 1) * (2 * wide - 1)))
    parts = rng.integers(0, 3, (kinds, n))
    parts[0] = 0
    masks = np.where(parts[:, :, None] == parts[:, None], 0, -18618)
    bias = table[None][:, :, distances(high, wide)] + masks[:, None]
    return bias.reshape(-1, n, n).astype(np.int16), table.size


@pytest.mark.parametrize("sides", [(7, 7), (2, 3), (4, 2), (14, 14)])
@pytest.mark.parametrize("kinds", [1, 4])
def test_parts_add_up(sides: tuple[int, int], kinds: int) -> None:
    bias, numbers = given(*sides, 3, kinds, 5)
    found = relative(bias, 3)
    assert found is not None and found.table.size == numbers and found.width == sides[1]
    n = bias.shape[1]
    rows = np.concatenate([np.zeros((1, n), np.int32), found.masks.reshape(-1, n)])
    which = found.mask_of if kinds > 1 else np.zeros(n, np.uint8)
    masks = rows[which].reshape(kinds, 1, n, n)
    whole = found.table[None][:, :, distances(sides[0], n // sides[0])] + masks
    np.testing.assert_array_equal(whole.reshape(bias.shape), bias)
    small = found.table.nbytes + found.masks.nbytes + found.mask_of.nbytes
    assert small < bias.nbytes


def test_what_is_no_such_bias() -> None:
    rng = np.random.default_rng(1)
    assert relative(rng.integers(-9, 9, (2, 9, 9)).astype(np.int16), 2) is None
    assert relative(np.zeros((1, 7, 7), np.int16), 1) is None  # no window has seven rows
    bias, _ = given(3, 3, 2, 1, 1)
    assert relative(bias[:, :8], 2) is None
    two = np.concatenate([bias, bias])
    two[3, 0, 1] -= 5  # a mask that is another one for another head
    assert relative(two, 2) is None


def windowed(high: int, wide: int, seed: int, small: bool = True) -> Case:
    """An attention of one window with such a bias, or with one of the same size that is none."""
    n = high * wide
    case = make_case(Spec(tq=n, tk=n, d=32, dv=32, heads=2, bias=2, spread=3.0, seed=seed))
    if not small:
        return case
    bias, _ = given(high, wide, 2, 1, seed)
    value = case.graph.values["bias"]
    graph = case.graph.replace(values={**case.graph.values, "bias": replace(value, data=bias)})
    env = {"q": case.q, "k": case.k, "v": case.v}
    return replace(case, graph=graph, op=graph.ops[0], expected=run_op(graph, graph.ops[0], env))


@pytest.mark.parametrize("where", [HOST, M7])
@pytest.mark.parametrize("sides", [(7, 7), (2, 4), (3, 2)])
@pytest.mark.parametrize("rows", [1 << 30, 3])
def test_kernel(where: str, sides: tuple[int, int], rows: int) -> None:
    case = windowed(*sides, seed=2)
    y, _ = run(case, where, 4, rows=rows)
    np.testing.assert_array_equal(y, case.expected)


def test_hardly_slower_than_a_bias_of_every_pair() -> None:
    (small, large) = (run(windowed(7, 7, 3, s), M7, 50)[1] for s in (True, False))
    assert small < 1.06 * large, small / large
