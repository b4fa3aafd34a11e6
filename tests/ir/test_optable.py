"""Every row of the float operators: whole, with a shape rule that its evaluation keeps."""

from __future__ import annotations

import numpy as np
import pytest
from util_float_rows import BATCH, CASES, arrays, single

from mcuformer.ir.float_ops import shapes
from mcuformer.ir.function_row import FunctionRow
from mcuformer.ir.functions import FUNCTIONS, SPELLINGS, function, named
from mcuformer.ir.optable import FLOAT_OPS, ONNX, FloatOp, OnnxOp


def test_there_is_a_case_of_every_row() -> None:
    assert {case[0] for case in CASES} == set(FLOAT_OPS)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_shape_rule_and_batch(case: tuple) -> None:
    """Results have the shape of the rule; samples do not see each other."""
    kind, attrs, *given = case
    row, args = FLOAT_OPS[kind], arrays(tuple(given))
    y = row.evaluate(attrs, args)
    assert y.shape == (BATCH, *row.infer(attrs, [single(s) for s in given]))
    assert set(row.attrs) <= set(attrs)
    for i in range(BATCH):
        one = [a[i : i + 1] if a is not None and len(a) == BATCH else a for a in args]
        np.testing.assert_allclose(row.evaluate(attrs, one)[0], y[i], rtol=1e-5, atol=1e-6)


def test_a_row_that_lacks_something_does_not_import() -> None:
    with pytest.raises(TypeError, match="evaluate"):
        FloatOp("cube", ("x",), (), shapes.same)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="twin"):
        FunctionRow("cube", lambda x: x**3, onnx=())  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="dtype"):
        OnnxOp("Cube", "folded", lambda *_: [], evaluate=lambda *_: ())  # type: ignore[call-arg]


@pytest.mark.parametrize("operator", SPELLINGS)
def test_an_onnx_operator_is_the_function_that_its_row_says(operator: str) -> None:
    x = np.linspace(-4, 4, 65)
    for row, spelling in SPELLINGS[operator]:
        numbers = [(n.attribute, (n.low + n.high) / 2) for n in spelling.numbers]
        attrs = {**spelling.fixed, **dict(numbers)}
        got = ONNX[operator].evaluate(attrs, [x], 1)[0]
        fn = named(row.name, *(v for _, v in numbers)) if numbers else row.name
        known = slice(None) if row.domain is None else (x > row.domain()[0]) & (x < row.domain()[1])
        assert np.array_equal(got[known], function(fn)(x)[known])
        assert len(numbers) == len(row.numbers)


def test_functions_without_their_numbers_are_those_that_samples_find() -> None:
    x = np.linspace(-4, 4, 65)
    for row in FUNCTIONS.values():
        if row.plain or not row.numbers:  # or the importer's own, found nowhere
            assert row.evaluate(x).shape == x.shape
        else:
            with pytest.raises(TypeError):
                row.evaluate(x)
