"""Ranges of channels that were seen in few values have room for those to come."""

import numpy as np

from mcuformer.quant.calibrate import ValueStats
from mcuformer.quant.held_out import GROUPS, Groups, groups_of, reaching
from mcuformer.quant.ranges import rounding_error, value_range


def _seen(x: np.ndarray) -> tuple[Groups, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Groups, rows and ends of samples x[N, rows, C]."""
    groups = groups_of(x, np.arange(len(x)) * GROUPS // len(x), None)
    rows = x.reshape(-1, x.shape[-1])
    return groups, rows, (rows.min(axis=0).astype(float), rows.max(axis=0).astype(float))


def _normal(samples: int, rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(samples, rows, 64)).astype(np.float32)


def test_few_values_get_room_that_the_next_samples_need() -> None:
    groups, rows, ends = _seen(_normal(16, 4))
    found = reaching(groups, rows, ends, 256, symmetric=False)
    assert found is not None
    later = _normal(256, 4, seed=1).reshape(-1, 64)
    before, after = (rounding_error(later, *e, 256, None).sum() for e in (ends, found))
    assert after < before / 2


def test_many_values_need_none() -> None:
    groups, rows, ends = _seen(_normal(64, 256))
    assert reaching(groups, rows, ends, 256, symmetric=False) is None


def test_a_single_sample_says_nothing_of_the_next() -> None:
    groups, rows, ends = _seen(_normal(1, 4))
    assert reaching(groups, rows, ends, 256, symmetric=False) is None


def test_what_is_never_negative_has_room_above_and_is_never_cut() -> None:
    groups, rows, ends = _seen(np.maximum(_normal(16, 4), 0))
    found = reaching(groups, rows, ends, 256, symmetric=False)
    assert found is not None and np.array_equal(found[0], ends[0]) and (found[1] > ends[1]).all()
    groups, rows, ends = _seen(np.maximum(_normal(64, 256), 0))
    found = reaching(groups, rows, ends, 256, symmetric=False)
    assert found is not None and np.allclose(found[1], ends[1] * (1 + 4 / 64))


def test_symmetric_ranges_stay_so() -> None:
    groups, rows, (low, high) = _seen(_normal(16, 4))
    reach = np.maximum(-low, high)
    found = reaching(groups, rows, (-reach, reach), 255, symmetric=True)
    assert found is not None and np.allclose(found[0], -found[1])


def test_groups_that_span_two_batches_are_one() -> None:
    x = _normal(10, 3)
    of_sample = np.arange(10) * 4 // 10
    whole = groups_of(x, of_sample, None)
    parts = groups_of(x[:6], of_sample[:6], None).and_also(groups_of(x[6:], of_sample[6:], None))
    assert np.array_equal(whole.ends, parts.ends) and np.array_equal(whole.of_row, parts.of_row)
    cut = groups_of(x[:5], of_sample[:5], None).and_also(groups_of(x[5:], of_sample[5:], None))
    assert np.array_equal(whole.ends, cut.ends)


def test_grids_of_more_bits_have_room_for_far_more_than_was_seen() -> None:
    _, rows, ends = _seen(_normal(16, 4))
    stats = ValueStats(*ends, rows, groups=_seen(_normal(16, 4))[0])
    low, high = value_range(stats, "mse", 16000, per_channel=True)
    later = _normal(256, 4, seed=1).reshape(-1, 64)
    beyond, before = (np.mean((later < e[0]) | (later > e[1])) for e in ((low, high), ends))
    assert beyond < before / 5


def test_rows_that_a_layernorm_divides_by_their_size_count_by_it() -> None:
    """A few large rows have room where all errors are equal, and not at the cost of small ones."""
    x = _normal(16, 64) * np.where(np.arange(64) < 16, 1.0, 0.02)[:, None].astype(np.float32)
    groups, rows, ends = _seen(x)
    equal = reaching(groups, rows, ends, 256, symmetric=False)
    assert equal is not None
    assert reaching(groups, rows, ends, 256, symmetric=False, normalised=True) is None
