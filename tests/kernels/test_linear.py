"""mcf_linear against the integer interpreter: every type, epilogue, panel and odd shape."""

from __future__ import annotations

import functools
from dataclasses import replace

import builds
import numpy as np
import pytest
from builds import HOST, LDR, M0, M7, drawn, sweep
from harness import Ptr, UnicornDevice
from hypothesis import strategies as st
from linear_cases import Case, Spec, make_case, specs

from mcuformer.kernels import linear
from mcuformer.kernels.base import KernelData

device = functools.partial(builds.device, linear.SOURCES)


def unaligned_rows(x: np.ndarray, stride: int, offset: int) -> np.ndarray:
    """Rows of x in a byte buffer, `stride` apart from byte `offset`."""
    rows, row_bytes = x.shape[0], x[0].nbytes
    buffer = np.full(offset + (rows - 1) * stride + row_bytes, 0x5A, np.uint8)
    for i in range(rows):
        buffer[offset + i * stride :][:row_bytes] = x[i].view(np.uint8)
    return buffer


def run(
    case: Case,
    where: str | UnicornDevice,
    panel: int,
    tile: int = 2,
    pad: int = 0,
    in_place: bool = False,
    beside: int = 0,
) -> tuple[np.ndarray, int]:
    """y and the executed instructions; rows of x lie `pad` bytes apart and unaligned, `beside` other
    positions behind every row of the weights."""
    op, graph, rows = case.op, case.graph, case.x.shape[0]
    data = linear.pack(op, graph, panel=panel, tile=tile)
    if beside:
        data = slice_of_wider(data, beside)
    step = case.x[0].nbytes + pad
    x = unaligned_rows(case.x, step, pad)
    x.flags.writeable = False
    y = np.zeros_like(case.expected)
    res = case.res
    if res is not None and in_place and res.dtype == y.dtype:
        y = res = res.copy()
    scratch = np.zeros(linear.scratch_bytes(op, graph, rows, panel=panel, tile=tile), np.uint8)
    args = [data, Ptr(x, pad), step, res, res[0].nbytes if res is not None else 0]
    runner = device(where) if isinstance(where, str) else where
    count = runner.call("mcf_linear", [*args, y, y[0].nbytes, rows, scratch])
    return y, count


def slice_of_wider(data: KernelData, beside: int) -> KernelData:
    """The same layer, whose weights are the first columns of a wider one's."""
    w, *others = data.arrays
    kp, bits = int(data.fields["kp"]), int(data.fields["weight_bits"])
    groups = w.data.reshape(-1, kp * bits // 2)
    noise = np.random.default_rng(0).integers(-128, 128, (len(groups), beside * bits // 2))
    wider = np.concatenate([groups, noise.astype(np.int8)], axis=1).reshape(-1)
    fields = data.fields | {"w_stride": kp + beside}
    return replace(data, fields=fields, arrays=(replace(w, data=wider), *others))


@drawn(
    60,
    HOST,
    M7,
    LDR,
    M0,
    spec=specs(),
    panel=st.sampled_from((0, 4, 8, 32)),
    tile=st.sampled_from((2, 2, 4, 8)),
    pad=st.integers(0, 3),
    in_place=st.booleans(),
    beside=st.sampled_from((0, 4, 20)),
)
def test_equals_the_interpreter(
    where: str, spec: Spec, panel: int, tile: int, pad: int, in_place: bool, beside: int
) -> None:
    case = make_case(spec)
    y, _ = run(case, where, panel, tile, pad * case.x.itemsize, in_place, beside)
    np.testing.assert_array_equal(y, case.expected)


@sweep(HOST, M7, LDR, M0)
@pytest.mark.parametrize("panel", (0, 8))
@pytest.mark.parametrize("x", ("int8", "uint8", "int16"))
@pytest.mark.parametrize("values", ("random", "lowest", "highest"))
@pytest.mark.parametrize("weight_bits", (8, 4))
def test_long_rows(where: str, panel: int, x: str, values: str, weight_bits: int) -> None:
    """K = 4096; with int16 rows the sums are split to stay inside int32."""
    case = make_case(Spec(3, 4096, 6, x, values=values, shift=10, weight_bits=weight_bits))
    assert ("k_split" in case.op.attrs) == (x == "int16")
    np.testing.assert_array_equal(run(case, where, panel)[0], case.expected)


@sweep(HOST, M7, LDR, M0)
@pytest.mark.parametrize("panel", (0, 8))
@pytest.mark.parametrize("values", ("mixed", "lowest"))
def test_lengths(where: str, panel: int, values: str) -> None:
    """K around multiples of the unrolled steps, odd rows and channels."""
    for k in (1, 3, 4, 63, 64, 65, 95, 96, 97, 191, 193, 1000, 4095):
        case = make_case(Spec(3, k, 5, values=values, shift=3))
        np.testing.assert_array_equal(run(case, where, panel)[0], case.expected)


@pytest.mark.parametrize("flags", ((), ("-DMCF_LDR",)))
def test_words_are_aligned_where_the_chip_wants_it(flags: tuple[str, ...]) -> None:
    """Rows at any byte, outputs at any byte, odd K: the emulator alone would not notice."""
    strict = UnicornDevice(linear.SOURCES, "cortex-m7", ("-O2", *flags))
    strict.check_alignment()
    for x, res, k, weight_bits, panel in (
        ("int8", "int8", 27, 8, 8), ("uint8", None, 30, 4, 8), ("int16", "int16", 9, 8, 8),
        ("int8", None, 33, 8, 0), ("int8", "int8", 21, 4, 0),
    ):  # fmt: skip
        case = make_case(Spec(5, k, 11, x, res=res, weight_bits=weight_bits))
        pad = case.x.itemsize
        y, _ = run(case, strict, panel, 4, pad)
        np.testing.assert_array_equal(y, case.expected)
