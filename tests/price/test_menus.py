"""Menus of several layers and row counts at once equal those of each alone."""

import numpy as np
import pytest

from mcuformer.kernels.linear_cost import Terms
from mcuformer.price.menus import Entries, linear_menus, order_by

BUDGETS = np.array([0, 512, 4096, 16384, 65536], np.int64)


@pytest.mark.parametrize(
    "bits", [(2, 2), (26, 36), (40, 38)]
)  # the last have no room in one number
def test_order_is_lexicographic(bits):
    random = np.random.default_rng(1)
    first, second = (random.integers(0, 1 << b, (4, 300)) for b in bits)
    assert np.array_equal(order_by(first, second), np.lexsort((second, first)))


def test_layers_costed_together_cost_what_they_cost_alone():
    layers = [
        Terms(192, 96, False, 200, 11_000, (8_000, 6_000)),
        Terms(10, 768, True, 900, 5_000, (4_000, 3_100)),
        Terms(768, 192, False, 300, 90_000, (60_000, 41_000)),
    ]
    rows = [[2, 8, 197], [1], [17, 64]]
    together, at = linear_menus(layers, rows, Entries()), 0
    chosen = together.chosen(BUDGETS)
    for terms, own in zip(layers, rows, strict=True):
        alone = linear_menus([terms], [own], Entries())
        for table in ("scratch", "cost"):
            got = getattr(together, table).take(chosen[at : at + len(own)])
            assert np.array_equal(got, getattr(alone, table).take(alone.chosen(BUDGETS)))
        at += len(own)
    # brute force: the fastest entry that fits, but for savings of less than 1/256
    fits = np.where(
        alone.scratch[:, :, None] <= BUDGETS, alone.cost[:, :, None], alone.cost[:, :1, None]
    )
    best, got = fits.min(axis=1), alone.cost.take(alone.chosen(BUDGETS))
    assert (got >= best).all() and (got * 255 <= best * 256).all()
