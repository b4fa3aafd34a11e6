"""Every float operator and every function in torch against the row that the compiler evaluates."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `search` (torch) is not installed")

import torch
from util_float_rows import CASES, arrays
from util_functions import NUMBERS

from mcuformer.errors import McuformerError
from mcuformer.ir import functions
from mcuformer.ir.functions import FUNCTIONS, named
from mcuformer.ir.optable import FLOAT_OPS
from mcuformer.search.twins import TWINS, function, twin


def test_every_row_is_held_against_its_twin() -> None:
    assert {case[0] for case in CASES} == set(FLOAT_OPS) == set(TWINS)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_operator(case: tuple) -> None:
    kind, attrs, *shapes = case
    args = arrays(tuple(shapes))
    want = FLOAT_OPS[kind].evaluate(attrs, args)
    if TWINS[kind] is None:
        with pytest.raises(McuformerError, match=f"no training with rounding for {kind}"):
            twin(kind)
        return
    got = twin(kind)(attrs, [None if a is None else torch.tensor(a) for a in args])
    assert tuple(got.shape) == want.shape
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    row, x = FUNCTIONS[name], np.linspace(-9, 9, 721, dtype=np.float32)
    numbers = named(name, *(NUMBERS[n] for n in row.numbers))
    for fn in {numbers if row.numbers else name, name if row.plain else numbers}:
        if row.twin is None:
            with pytest.raises(McuformerError, match="no training with rounding for the function"):
                function(fn)
            continue
        got = function(fn)(torch.tensor(x)).numpy()
        steep = fn in ("exp", "sinh", "cosh")  # hundreds and thousands, some steps of float32
        near = 1e-6 if steep else 1e-7
        np.testing.assert_allclose(got, functions.function(fn)(x), near, 3e-6, err_msg=fn)
