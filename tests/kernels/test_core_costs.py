"""Cost sets against executed instructions, on every core that has one.

-O3, as the firmware is built. What is written in assembly is held to the Cortex-M7's counts beside each
kernel's tests, and here to those of the other cores.
"""

from __future__ import annotations

from itertools import product

import builds
import counted
import numpy as np
import pytest
import test_attention
import test_elementwise
import test_elementwise_counts
import test_gemm_counts
import test_layernorm
import test_pools
from builds import SETS, every_set
from row_cases import Case, call_rows, fill, make
from test_elementwise import numbers

from mcuformer.ir.types import TensorType
from mcuformer.kernels import elementwise
from mcuformer.kernels.costs import CORTEX_M7, CostSet
from mcuformer.operators.table import instructions_of, kernel_of
from mcuformer.quant.tables import value_table_type

OWN = {n: costs for n, costs in SETS.items() if costs is not CORTEX_M7}
ROWS, CHANNELS = 16, 192


def estimate(case: Case, costs: CostSet, rows: int, **choices: int) -> int:
    return instructions_of(case.op, costs)(case.op, case.graph, rows, **choices)


def near(case: Case, costs: CostSet, rows: int, count: int, rel: float, **choices: int) -> None:
    assert estimate(case, costs, rows, **choices) == pytest.approx(count, rel=rel)


def row_case(kind: str, types: tuple[str, ...], column: bool) -> Case:
    """`types` of the operands and of the result; `column`: b has one number per row."""
    rng = np.random.default_rng(0)
    if kind == "q_softmax":
        return test_elementwise.softmax_case(ROWS, CHANNELS, *types, "random", 4.0, 0)
    shapes = tuple((ROWS, 1 if column and i else CHANNELS) for i in range(len(types) - 1))
    if len(shapes) == 2:
        return test_elementwise_counts.joined_case(kind, shapes, types)
    xs = [fill(rng, s, t, "random") for s, t in zip(shapes, types, strict=False)]
    if kind == "q_argmax":
        return make(kind, xs, [False], TensorType((ROWS, 1), "int16"), {})
    rest = [np.abs(numbers(rng, 99, CHANNELS)) for _ in range(2)]
    if kind == "q_unary":
        stored, entries = value_table_type(*types)
        rest = [fill(rng, (entries,), stored, "random")]
    constant = [False, *(True for _ in rest)]
    out = TensorType((ROWS, CHANNELS), types[-1])
    return make(kind, [*xs, *rest], constant, out, {"shift": 9})


TYPES = ("int8", "int16")
ONE = [
    (kind, types, False)
    for kind in ("q_requant", "q_unary", "q_softmax")
    for types in product(TYPES, TYPES)
]
TWO = [
    (kind, types, column)
    for kind in ("q_add", "q_max")
    for types in product(TYPES, TYPES, TYPES)
    for column in (False, True)
]
SAME = [("larger", (t, t, t), column) for t in TYPES for column in (False, True)]
MUL = [
    ("q_mul", ("int8", *types), column)
    for types in product(TYPES, TYPES)
    for column in (False, True)
]
ARGMAX = [("q_argmax", (t, "int16"), False) for t in TYPES]


@pytest.mark.parametrize(("kind", "types", "column"), [*ONE, *TWO, *SAME, *MUL, *ARGMAX])
@every_set
def test_rows(core: str, costs: CostSet, kind: str, types: tuple[str, ...], column: bool) -> None:
    case = row_case(kind, types, column)
    kernel = kernel_of(case.op)
    size = 0 if kernel.scratch_bytes is None else kernel.scratch_bytes(case.op, case.graph, ROWS)
    y, count = call_rows(
        builds.device(elementwise.SOURCES, f"{core} -O3"),
        kernel.function_of(case.op, case.graph), kernel.pack(case.op, case.graph),
        list(case.inputs), case.expected, scratch=np.zeros(size, np.uint8) if size else None,
    )  # fmt: skip
    np.testing.assert_array_equal(y, case.expected)
    near(case, costs, ROWS, count, 0.03)


@pytest.mark.parametrize("rows", (16, 64))
@pytest.mark.parametrize("dtype", TYPES)
@every_set
def test_means(core: str, costs: CostSet, dtype: str, rows: int) -> None:
    rng = np.random.default_rng(0)
    x = fill(rng, (rows, CHANNELS), dtype, "random")
    rest = [np.abs(numbers(rng, 999, CHANNELS)) for _ in range(3)]
    attrs = {"shift": 20, "acc_shift": 0}
    case = make(
        "q_mean", [x, *rest], [False, True, True, True], TensorType((1, CHANNELS), "int8"), attrs
    )
    packed, sums = kernel_of(case.op).pack(case.op, case.graph), np.zeros(CHANNELS, np.int32)
    runs = builds.device(elementwise.SOURCES, f"{core} -O3")
    count = runs.call("mcf_mean_partial", [packed, x, x[0].nbytes, 0, rows, sums])
    near(case, costs, rows, count, 0.04)


@pytest.mark.parametrize("name", [*test_pools.COUNTED, *test_pools.AVERAGES])
@every_set
def test_pool(core: str, costs: CostSet, name: str) -> None:
    if name in test_pools.COUNTED:
        case = test_pools.counted_case(name)
    else:
        shape, kernel, strides, pads, dtype, _ = test_pools.AVERAGES[name]
        x = fill(np.random.default_rng(0), shape, dtype, "random")
        case = test_pools.average_case(x, kernel, strides, pads, dtype)
    y, count = test_pools.run(case, f"{core} -O3", 99)
    np.testing.assert_array_equal(y, case.expected)
    near(case, costs, len(y), count, 0.03)


@pytest.mark.parametrize("options", test_layernorm.COUNTED)
@every_set
def test_layernorm_rows(core: str, costs: CostSet, options: dict) -> None:
    case = test_layernorm.make_case(8, CHANNELS, **options)
    near(case, costs, 8, test_layernorm.check(case, f"{core} -O3", 0, False), 0.03)


@pytest.mark.parametrize(("spec", "panel", "merge"), test_attention.COUNTED)
@pytest.mark.parametrize(("core", "costs"), OWN.items(), ids=OWN)
def test_attention_heads(
    core: str, costs: CostSet, spec: test_attention.Spec, panel: int, merge: int
) -> None:
    case = test_attention.make_case(spec)
    y, count = test_attention.run(case, f"{core} -O3", panel, merge=merge)
    np.testing.assert_array_equal(y, case.expected)
    near(case, costs, spec.tq, count, 0.05, panel=panel, merge=merge)


@pytest.mark.parametrize("name", ("B fc1 + GELU", "B fc2", "int16 rows", "head"))
@pytest.mark.parametrize("core", OWN)
def test_linear(core: str, name: str) -> None:
    layer, most = test_gemm_counts.LAYERS[name]
    count = counted.count_linear(layer, core=core)
    assert count.instructions <= most * layer.macs
    assert count.estimate == pytest.approx(count.instructions, rel=0.03)


# Instructions per MAC where an M7 takes fewer: 7.61 there, 8.03 here.
OF_M4 = {"3x3, 8 groups of 2 to 4": 8.1}


@pytest.mark.parametrize("name", test_gemm_counts.IMAGES)
@pytest.mark.parametrize("core", OWN)
def test_convolution(core: str, name: str) -> None:
    image, x, most = test_gemm_counts.IMAGES[name]
    most = OF_M4.get(name, most)
    count, macs = counted.count_convolution(image, x, core)
    assert count.instructions <= most * macs
    assert count.estimate == pytest.approx(count.instructions, rel=0.05)
