"""Grids of classes: no dead channel, LayerNorm gains that are exact."""

import numpy as np
import pytest

from mcuformer.quant.class_grids import lively, softmax_qparams


def test_no_channel_is_finer_than_a_128th_of_the_coarsest():
    scale = np.array([1.0, 0.5, 1e-9, 1 / 128])
    assert lively(scale).tolist() == [1.0, 0.5, 1 / 128, 1 / 128]


@pytest.mark.parametrize(("dtype", "low", "high"), [("int8", -128, 127), ("int16", 0, 32767)])
def test_a_softmax_goes_from_0_to_almost_1(dtype, low, high):
    ends = softmax_qparams(dtype).dequantise(np.array([low, high]))
    assert ends[0] == 0.0 and 0.99 < ends[1] < 1.0
