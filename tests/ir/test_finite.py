"""Constants that overflow are refused by name; graphs of shapes alone have none to look at."""

import numpy as np
import pytest

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.finite import FOLDED, check_finite
from mcuformer.ir.graph import Builder


def graph_with(number):
    b = Builder("g", "float")
    b.const("good", np.zeros(3, np.float32))
    b.const("bad", np.array([0.0, number], np.float32))
    return b.done([], [], {})


def test_finite_numbers_pass():
    graph = graph_with(np.finfo(np.float32).max)
    assert check_finite(graph, FOLDED) is graph


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_others_are_refused_by_the_constant_s_name(number):
    with pytest.raises(UnsupportedModelError, match=f"weights bad {FOLDED}"):
        check_finite(graph_with(number), FOLDED)
