"""Sums, products, tables, means, softmax and moves against the integer interpreter."""

from __future__ import annotations

import functools

import builds
import numpy as np
import pytest
from builds import HOST, M0, M7, drawn, sweep
from harness import Ptr
from hypothesis import strategies as st
from row_cases import VALUES, Case, call_rows, fill, make, padded

from mcuformer.ir.epilogue import LIMIT
from mcuformer.ir.int_ops_attention import EXP_PARTS
from mcuformer.ir.types import TensorType
from mcuformer.kernels import elementwise
from mcuformer.operators.table import kernel_of
from mcuformer.quant.tables import value_table_type
from mcuformer.schedule.ways.gather import cycles

TYPES = st.sampled_from(("int8", "int8", "int16"))
SMALL = functools.partial(drawn, 50, HOST, M7, M0)


device = functools.partial(builds.device, elementwise.SOURCES)


def numbers(rng: np.random.Generator, limit: int, channels: int) -> np.ndarray:
    return rng.integers(-limit, limit + 1, channels).astype(np.int32)


def operand_shapes(
    data: st.DataObject, count: int, rows: int, channels: int
) -> list[tuple[int, int]]:
    """Of a sum or product: either operand may be one row, b may be one column."""
    shapes = [(rows, channels)] * count
    if count == 2:
        i, small = data.draw(st.sampled_from(((0, None), (1, 0), (0, 0), (1, 1))))
        if small is not None:
            shapes[i] = (1, channels) if small == 0 else (rows, 1)
    return shapes


def add_case(data: st.DataObject, operands: int) -> Case:
    rows, channels = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 23))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    types = [data.draw(TYPES) for _ in range(operands)]
    shapes = operand_shapes(data, operands, rows, channels)
    xs = [
        fill(rng, s, t, data.draw(st.sampled_from(VALUES)))
        for s, t in zip(shapes, types, strict=True)
    ]
    per = channels if data.draw(st.booleans()) else 1
    shift = data.draw(st.one_of(st.integers(1, 31), st.just(elementwise.ADD_SHIFT)))
    narrow = shift == elementwise.ADD_SHIFT and data.draw(st.booleans())
    most = [32767 if narrow else 2**29 // (128 if t == "int8" else 32768) for t in types]
    mult = [numbers(rng, m, per) for m in most]
    inputs = [*xs, *mult, numbers(rng, 2**29, per)]
    constant = [False] * operands + [True] * (operands + 1)
    out = TensorType((rows, channels), data.draw(TYPES))
    kind = "q_add" if operands == 2 else "q_requant"
    return make(kind, inputs, constant, out, {"shift": shift})


def scratch_of(case: Case) -> np.ndarray | None:
    """None where the kernel takes none."""
    bytes_of = kernel_of(case.op).scratch_bytes
    return None if bytes_of is None else np.zeros(bytes_of(case.op, case.graph, 1) or 8, np.uint8)


@SMALL(data=st.data(), pad=st.integers(0, 3), in_place=st.booleans())
def test_add(where: str, data: st.DataObject, pad: int, in_place: bool) -> None:
    operands = data.draw(st.integers(1, 2))
    case = add_case(data, operands)
    packed = kernel_of(case.op).pack(case.op, case.graph)
    name = kernel_of(case.op).function_of(case.op, case.graph)
    y, _ = call_rows(device(where), name, packed, list(case.inputs), case.expected, pad, in_place)
    np.testing.assert_array_equal(y, case.expected)


@SMALL(data=st.data(), pad=st.integers(0, 3), in_place=st.booleans())
def test_mul(where: str, data: st.DataObject, pad: int, in_place: bool) -> None:
    rows, channels = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 23))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    types = ("int8", data.draw(st.sampled_from(("int8", "int16"))))
    shapes = operand_shapes(data, 2, rows, channels)
    xs = [
        fill(rng, s, t, data.draw(st.sampled_from(VALUES)))
        for s, t in zip(shapes, types, strict=True)
    ]
    attrs = {
        "a_zp": int(rng.integers(-20, 20)),
        "b_zp": int(rng.integers(-20, 20)),
        "shift": data.draw(st.integers(1, 31)),
        "acc_shift": data.draw(st.integers(0, 7)),
    }
    if types[1] == "int8":
        attrs["acc_shift"] += 8
    most = 2**31 - 1
    if data.draw(st.booleans()):  # as the loops for bytes have them
        attrs |= {"shift": elementwise.MUL_SHIFT, "acc_shift": elementwise.MUL_UP}
        attrs["acc_shift"] -= 8 * (types[1] == "int16")
        most = data.draw(st.sampled_from((2 * LIMIT // 255, 2 * LIMIT // 255 + 9, 2**18)))
    mult = np.abs(numbers(rng, most, channels)) & ~data.draw(st.integers(0, 1))
    inputs = [*xs, mult, numbers(rng, 2**29, channels)]
    out = TensorType((rows, channels), data.draw(TYPES))
    case = make("q_mul", inputs, [False, False, True, True], out, attrs)
    packed = kernel_of(case.op).pack(case.op, case.graph)
    name = kernel_of(case.op).function_of(case.op, case.graph)
    y, _ = call_rows(
        device(where),
        name,
        packed,
        list(case.inputs),
        case.expected,
        pad,
        in_place,
        scratch_of(case),
    )
    np.testing.assert_array_equal(y, case.expected)


@SMALL(data=st.data(), pad=st.integers(0, 3), in_place=st.booleans())
def test_unary(where: str, data: st.DataObject, pad: int, in_place: bool) -> None:
    rows, channels = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 23))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = fill(rng, (rows, channels), data.draw(TYPES), data.draw(st.sampled_from(VALUES)))
    out = TensorType((rows, channels), data.draw(TYPES))
    stored, entries = value_table_type(x.dtype.name, out.dtype)
    table = fill(rng, (entries,), stored, data.draw(st.sampled_from(VALUES)))
    case = make("q_unary", [x, table], [False, True], out, {})
    packed = kernel_of(case.op).pack(case.op, case.graph)
    y, _ = call_rows(device(where), "mcf_unary", packed, [x], case.expected, pad, in_place)
    np.testing.assert_array_equal(y, case.expected)


@SMALL(data=st.data(), pad=st.integers(0, 3), tile=st.integers(1, 9))
def test_mean(where: str, data: st.DataObject, pad: int, tile: int) -> None:
    """At once, and by tiles of rows."""
    rows, channels = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 23))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = fill(rng, (rows, channels), data.draw(TYPES), data.draw(st.sampled_from(VALUES)))
    attrs = {"shift": data.draw(st.integers(1, 31)), "acc_shift": data.draw(st.integers(0, 7))}
    inputs = [
        x,
        numbers(rng, 9999, channels),
        np.abs(numbers(rng, 2**31 - 1, channels)),
        numbers(rng, 2**29, channels),
    ]
    out = TensorType((1, channels), data.draw(TYPES))
    case = make("q_mean", inputs, [False, True, True, True], out, attrs)
    packed = kernel_of(case.op).pack(case.op, case.graph)
    buffer, stride = padded(x, pad)
    y = np.zeros_like(case.expected)
    scratch = np.zeros(channels, np.int32)
    device(where).call("mcf_mean", [packed, Ptr(buffer, pad * x.itemsize), stride, y, scratch])
    np.testing.assert_array_equal(y, case.expected)
    sums, y = np.ones(channels, np.int32), np.zeros_like(y)
    device(where).call("mcf_zero", [sums, sums.nbytes])
    for row in range(0, rows, tile):
        args = [
            Ptr(buffer, row * stride + pad * x.itemsize),
            stride,
            row,
            min(tile, rows - row),
            sums,
        ]
        device(where).call("mcf_mean_partial", [packed, *args])
    device(where).call("mcf_mean_finish", [packed, sums, y])
    np.testing.assert_array_equal(y, case.expected)


def softmax_case(
    rows: int, channels: int, x: str, y: str, values: str, spread: float, seed: int
) -> Case:
    rng = np.random.default_rng(seed)
    data = fill(rng, (rows, channels), x, values)
    pre_shift = 8 if x == "int8" else 2
    unit = (128 if x == "int8" else 32768 / EXP_PARTS) * 2.0**pre_shift
    attrs = {
        "m": int(min(2**31 - 1, spread / unit * 2048 / 11 * 2**32)),
        "pre_shift": pre_shift,
        "o_mant": int(rng.integers(2**14, 2**15)),
        "o_exp": 36 if y == "int8" else 29,
        "zp": -128 if y == "int8" else 0,
    }
    return make("q_softmax", [data], [False], TensorType(data.shape, y), attrs)


@SMALL(data=st.data(), pad=st.integers(0, 3), in_place=st.booleans())
def test_softmax(where: str, data: st.DataObject, pad: int, in_place: bool) -> None:
    case = softmax_case(
        data.draw(st.integers(1, 4)),
        data.draw(st.integers(1, 50)),
        data.draw(TYPES),
        data.draw(TYPES),
        data.draw(st.sampled_from(VALUES)),
        data.draw(st.sampled_from((0.1, 4.0, 60.0))),
        data.draw(st.integers(0, 99)),
    )
    scratch = np.zeros(elementwise.row_of_exponentials(case.op, case.graph, 1), np.uint8)
    packed = kernel_of(case.op).pack(case.op, case.graph)
    y, _ = call_rows(
        device(where),
        "mcf_softmax",
        packed,
        list(case.inputs),
        case.expected,
        pad,
        in_place,
        scratch,
    )
    np.testing.assert_array_equal(y, case.expected)


@SMALL(data=st.data(), pad=st.integers(0, 3))
def test_argmax(where: str, data: st.DataObject, pad: int) -> None:
    rows, channels = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    dtype = data.draw(st.sampled_from(("int8", "uint8", "int16")))
    x = fill(rng, (rows, channels), dtype, data.draw(st.sampled_from(VALUES)))  # ties in most
    case = make("q_argmax", [x], [False], TensorType((rows, 1), "int16"), {})
    packed = kernel_of(case.op).pack(case.op, case.graph)
    y, _ = call_rows(device(where), "mcf_argmax", packed, [x], case.expected, pad)
    np.testing.assert_array_equal(y, case.expected)


@sweep(HOST, M7, M0)
@pytest.mark.parametrize("at", (0, 1, 16383, 32766, 32767))
def test_argmax_of_many(where: str, at: int) -> None:
    """The last index that int16 holds; the first of two equals."""
    x = np.full((1, 32768), -128, np.int8)
    x[0, [at, 32767]] = 127
    case = make("q_argmax", [x], [False], TensorType((1, 1), "int16"), {})
    packed = kernel_of(case.op).pack(case.op, case.graph)
    y, _ = call_rows(device(where), "mcf_argmax", packed, [x], case.expected)
    assert y[0, 0] == case.expected[0, 0] == at


@sweep(HOST, M7, M0)
def test_copy(where: str) -> None:
    x, y = np.arange(60, dtype=np.uint8), np.zeros(50, np.uint8)
    device(where).call("mcf_copy", [Ptr(x, 3), 11, Ptr(y, 1), 9, 7, 5])
    for i in range(5):
        np.testing.assert_array_equal(y[1 + 9 * i :][:7], x[3 + 11 * i :][:7])
    assert y[8] == y[9] == y[0] == 0


@SMALL(data=st.data(), pad=st.integers(0, 3))
def test_gather(where: str, data: st.DataObject, pad: int) -> None:
    """Any rows in any order, rows at any byte."""
    rows, size = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 13))
    index = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=12))
    x = np.random.default_rng(rows).integers(-128, 128, (rows, size)).astype(np.int8)
    (source, xs), (y, ys) = padded(x, pad), padded(np.zeros((len(index), size), np.int8), pad)
    source.flags.writeable = False
    table = np.array(index, np.uint16)
    args = [Ptr(source, pad), xs, Ptr(y, pad), ys, size, len(index), table]
    device(where).call("mcf_gather", args)
    np.testing.assert_array_equal(y.reshape(-1, ys)[:, pad:].view(np.int8), x[index])


@SMALL(data=st.data(), pad=st.integers(0, 3))
def test_permute(where: str, data: st.DataObject, pad: int) -> None:
    """In place, cycle by cycle, as the scheduler writes the cycles down."""
    rows, size = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 13))
    index = data.draw(st.permutations(range(rows)))
    x = np.random.default_rng(rows).integers(-128, 128, (rows, size)).astype(np.int8)
    buffer, stride = padded(x, pad)
    table, row = np.array(cycles(index), np.uint16), np.zeros(size, np.uint8)
    device(where).call("mcf_permute", [Ptr(buffer, pad), stride, size, table, row])
    np.testing.assert_array_equal(buffer.reshape(-1, stride)[:, pad:].view(np.int8), x[list(index)])


@pytest.mark.parametrize("where", ("cortex-m4 -O3",))
@pytest.mark.parametrize("x", ("int8", "int16"))
def test_softmax_on_other_cores(where: str, x: str) -> None:
    case = softmax_case(3, 22, x, "int8", "random", 4.0, 1)
    scratch = np.zeros(elementwise.row_of_exponentials(case.op, case.graph, 1), np.uint8)
    packed = kernel_of(case.op).pack(case.op, case.graph)
    y, _ = call_rows(
        device(where), "mcf_softmax", packed, list(case.inputs), case.expected, scratch=scratch
    )
    np.testing.assert_array_equal(y, case.expected)
