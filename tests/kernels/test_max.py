"""The larger of two against the integer interpreter, on every core: bits and instructions."""

from __future__ import annotations

import numpy as np
import pytest
from builds import every_set
from hypothesis import strategies as st
from row_cases import VALUES, Case, call_rows, fill, make
from test_elementwise import SMALL, TYPES, device, numbers, operand_shapes
from test_elementwise_counts import joined_case

from mcuformer.ir.types import TensorType
from mcuformer.kernels.costs import CostSet
from mcuformer.operators.table import instructions_of, kernel_of


def max_case(data: st.DataObject) -> Case:
    """Grids of their own, or one for all."""
    rows, channels = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 23))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    one = data.draw(st.booleans())
    types = [data.draw(TYPES) for _ in range(3)]
    types = types[:1] * 3 if one else types
    xs = [
        fill(rng, s, t, data.draw(st.sampled_from(VALUES)))
        for s, t in zip(operand_shapes(data, 2, rows, channels), types, strict=False)
    ]
    shift = data.draw(st.integers(1, 14))
    rest: list[np.ndarray] = []
    if not one:
        most = [2**29 // (128 if t == "int8" else 32768) for t in types[:2]]
        rest = [numbers(rng, m, channels) for m in (*most, 2**29, 2**29)]
    out = TensorType((rows, channels), types[2])
    attrs = {} if one else {"shift": shift}
    return make("q_max", [*xs, *rest], [False, False, *(True for _ in rest)], out, attrs)


@SMALL(data=st.data(), pad=st.integers(0, 3), in_place=st.booleans())
def test_max(where: str, data: st.DataObject, pad: int, in_place: bool) -> None:
    case = max_case(data)
    packed = kernel_of(case.op).pack(case.op, case.graph)
    name = kernel_of(case.op).function_of(case.op, case.graph)
    y, _ = call_rows(device(where), name, packed, list(case.inputs), case.expected, pad, in_place)
    np.testing.assert_array_equal(y, case.expected)


@pytest.mark.parametrize("dtype", ("int8", "int16"))
def test_at_the_ends_of_a_type(dtype: str) -> None:
    """Of all pairs of extreme codes, in words and in what is left of them."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    ends = np.array([low, low + 1, -1, 0, 1, high - 1, high], dtype)
    a, b = (np.ascontiguousarray(m.reshape(1, -1)) for m in np.meshgrid(ends, ends))
    case = make("q_max", [a, b], [False, False], TensorType(a.shape, dtype), {})
    packed = kernel_of(case.op).pack(case.op, case.graph)
    y, _ = call_rows(device("cortex-m7 -O2"), "mcf_max", packed, [a, b], case.expected)
    np.testing.assert_array_equal(y, np.maximum(a, b))


@pytest.mark.parametrize("channels", (96, 16, 190))
@pytest.mark.parametrize("kind", ("larger", "q_max"))
@every_set
def test_instructions_of_bytes(core: str, costs: CostSet, kind: str, channels: int) -> None:
    """2 an element on one grid, 15 where each operand has its own."""
    case = joined_case(kind, ((196, channels),) * 2, ("int8",) * 3)
    packed = kernel_of(case.op).pack(case.op, case.graph)
    runs = device(f"{core} -O3")
    y, count = call_rows(runs, "mcf_max", packed, list(case.inputs), case.expected)
    np.testing.assert_array_equal(y, case.expected)
    estimate = instructions_of(case.op, costs)(case.op, case.graph, 196)
    assert estimate == pytest.approx(count, rel=0.04)
