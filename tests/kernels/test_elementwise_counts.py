"""Executed instructions of the elementwise kernels in Unicorn, beside what their cost says."""

from __future__ import annotations

import numpy as np
import pytest
from row_cases import Case, call_rows, fill, make
from test_elementwise import device, numbers, scratch_of, softmax_case

from mcuformer.ir.types import TensorType
from mcuformer.kernels import elementwise
from mcuformer.kernels.costs import CORTEX_M7
from mcuformer.operators.table import instructions_of, kernel_of
from mcuformer.quant.tables import value_table_type


def counted(case: Case, function: str) -> int:
    """Instructions as the firmware is built."""
    packed = kernel_of(case.op).pack(case.op, case.graph)
    y, count = call_rows(
        device("cortex-m7 -O3"),
        function,
        packed,
        list(case.inputs),
        case.expected,
        scratch=scratch_of(case),
    )
    np.testing.assert_array_equal(y, case.expected)
    return count


def joined_case(kind: str, shapes: tuple[tuple[int, int], ...], types: tuple[str, ...]) -> Case:
    """A sum, a product or the larger of two as the lowering makes it; `types` of a, b and the result.
    `larger`: all on one grid."""
    rng = np.random.default_rng(0)
    xs = [fill(rng, s, t, "random") for s, t in zip(shapes, types, strict=False)]
    channels, narrow = shapes[0][1], types == ("int8",) * 3
    limit, shift = (999, elementwise.ADD_SHIFT if narrow else 9)
    attrs = {"shift": shift, "acc_shift": 0, "a_zp": 1, "b_zp": 2}
    if kind == "q_mul" and narrow:
        attrs |= {"shift": elementwise.MUL_SHIFT, "acc_shift": elementwise.MUL_UP}
        limit = 2**18
    count = {"q_max": 4, "q_add": 3, "larger": 0}.get(kind, 2)
    rest = [np.abs(numbers(rng, limit, channels)) & ~1 for _ in range(count)]
    out = TensorType(max(shapes), types[2])
    kind = "q_max" if kind == "larger" else kind
    return make(kind, [*xs, *rest], [False, False, *(True for _ in rest)], out, attrs)


@pytest.mark.parametrize("kind", ("q_add", "q_mul", "gate"))
@pytest.mark.parametrize("channels", (96, 20, 6))
def test_bytes_joined(kind: str, channels: int) -> None:
    """The cost model of the loops for bytes, and their figures (docs/kernels.md)."""
    shapes = ((196, channels), (1 if kind == "gate" else 196, channels))
    case = joined_case("q_mul" if kind == "gate" else kind, shapes, ("int8",) * 3)
    assert kernel_of(case.op).pack(case.op, case.graph).fields["narrow"]
    count = counted(case, "mcf_mul" if kind == "gate" else f"mcf_{kind[2:]}")
    assert instructions_of(case.op, CORTEX_M7)(case.op, case.graph, 196) == pytest.approx(
        count, rel=0.03
    )


@pytest.mark.parametrize("kind", ("q_add", "q_requant", "q_mul", "q_unary"))
@pytest.mark.parametrize("dtype", ("int8", "int16"))
def test_cost_model(kind: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    rows, channels = 16, 192
    xs = [
        fill(rng, (rows, channels), dtype, "random")
        for _ in range(1 + (kind[2:] in ("add", "mul")))
    ]
    if len(xs) == 2:
        case = joined_case(kind, ((rows, channels),) * 2, (dtype,) * 3)
    else:
        rest = [fill(rng, (value_table_type(dtype, dtype)[1],), dtype, "random")]
        if kind == "q_requant":
            rest = [np.abs(numbers(rng, 999, channels)) for _ in range(2)]
        out = TensorType((rows, channels), dtype)
        case = make(kind, [*xs, *rest], [False, *(True for _ in rest)], out, {"shift": 9})
    count = counted(case, "mcf_" + kind[2:])
    assert instructions_of(case.op, CORTEX_M7)(case.op, case.graph, rows) == pytest.approx(
        count, rel=0.03
    )


@pytest.mark.parametrize("kind", ("q_add", "q_mul"))
@pytest.mark.parametrize("types", (("int8", "int8"), ("int16", "int16"), ("int8", "int16")))
def test_column_instructions(kind: str, types: tuple[str, str]) -> None:
    """The type of b costs nothing; another one of y does."""
    rng = np.random.default_rng(0)
    rows, channels = 16, 192
    xs = [fill(rng, (rows, n), t, "random") for n, t in ((channels, types[0]), (1, "int16"))]
    rest = [np.abs(numbers(rng, 99, channels)) for _ in range(2 + (kind == "q_add"))]
    attrs = {"shift": 9, "acc_shift": 0, "a_zp": 1, "b_zp": 2}
    out = TensorType((rows, channels), types[1])
    case = make(kind, [*xs, *rest], [False, False, *(True for _ in rest)], out, attrs)
    count = counted(case, f"mcf_{kind[2:]}_column")
    assert instructions_of(case.op, CORTEX_M7)(case.op, case.graph, rows) == pytest.approx(
        count, rel=0.03
    )


@pytest.mark.parametrize("shape", [(16, 192), (16, 12, 16)], ids=("rows", "lines of an image"))
def test_unary_instructions_to_bytes(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, table = (fill(rng, s, "int16", "random") for s in (shape, (4097,)))
    case = make("q_unary", [x, table], [False, True], TensorType(x.shape, "int8"), {})
    count = counted(case, "mcf_unary")
    assert instructions_of(case.op, CORTEX_M7)(case.op, case.graph, 16) == pytest.approx(
        count, rel=0.03
    )


@pytest.mark.parametrize("dtype", ("int8", "int16"))
def test_argmax_instructions(dtype: str) -> None:
    x = fill(np.random.default_rng(0), (3, 1000), dtype, "random")
    case = make("q_argmax", [x], [False], TensorType((3, 1), "int16"), {})
    count = counted(case, "mcf_argmax")
    assert instructions_of(case.op, CORTEX_M7)(case.op, case.graph, 3) == pytest.approx(
        count, rel=0.03
    )


@pytest.mark.parametrize("channels", (50, 197, 1000))
def test_softmax_instructions(channels: int) -> None:
    """Rows of 197 cost at most 12 instructions per element."""
    case = softmax_case(16, channels, "int8", "int8", "random", 4.0, 0)
    count = counted(case, "mcf_softmax")
    assert instructions_of(case.op, CORTEX_M7)(case.op, case.graph, 16) == pytest.approx(
        count, rel=0.03
    )
    if channels == 197:
        assert count <= 12 * 16 * channels
