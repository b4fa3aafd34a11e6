"""mcf_maxpool and mcf_avgpool against the integer interpreter, and their instructions."""

from __future__ import annotations

import functools
import math

import builds
import numpy as np
import pytest
from builds import HOST, M0, M7, drawn
from hypothesis import strategies as st
from row_cases import VALUES, Case, fill, make

from mcuformer.ir.types import TensorType
from mcuformer.kernels import maxpool
from mcuformer.kernels.costs import CORTEX_M7
from mcuformer.operators.pooling import AVGPOOL_SOURCES
from mcuformer.operators.table import instructions_of, kernel_of

SOURCES = (*maxpool.SOURCES, *AVGPOOL_SOURCES)
TYPES = st.sampled_from(("int8", "int8", "uint8", "int16"))


device = functools.partial(builds.device, SOURCES)


def pool_case(
    x: np.ndarray, kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, ...]
) -> Case:
    size = [
        (n + pads[a] + pads[a + 2] - kernel[a]) // strides[a] + 1 for a, n in enumerate(x.shape[:2])
    ]
    attrs = {"kernel": kernel, "strides": strides, "pads": pads}
    out = TensorType((*size, x.shape[2]), str(x.dtype))
    return make("q_maxpool", [x], [False], out, attrs)


def average_case(
    x: np.ndarray, kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, ...], y: str
) -> Case:
    """Averages over all of x's range reach a quarter beyond that of y."""
    like, rng = pool_case(x, kernel, strides, pads), np.random.default_rng(1)
    reach, channels = np.iinfo(x.dtype).max + 1, x.shape[2]
    up = math.floor(31 - math.log2(math.prod(kernel) * reach + 1))
    acc_shift = math.floor(30 - math.log2(reach * 2.0 ** (up - 2) + 2))
    shift = 9 if y == "int8" else 5
    scale = 1.25 * (np.iinfo(y).max + 1) * 2.0**shift / (reach * 2.0 ** (up - 2 + acc_shift))
    mult = np.minimum(rng.uniform(0.3, 1, channels) * scale * 2.0**32, 2**31 - 1)
    offset = rng.integers(-(2**shift), 2**shift, channels)
    attrs = {**like.op.attrs, "up": up, "acc_shift": acc_shift, "shift": shift}
    inputs = [x, mult.astype(np.int32), offset.astype(np.int32)]
    out = TensorType(like.expected.shape, y)
    return make("q_avgpool", inputs, [False, True, True], out, attrs)


def run(case: Case, where: str, lines: int) -> tuple[np.ndarray, int]:
    """y, `lines` output lines at a time from no more of the image than they need; instructions."""
    x, attrs, kernel = case.inputs[0], case.op.attrs, kernel_of(case.op)
    data = kernel.pack(case.op, case.graph)
    parts, count = [], 0
    for first in range(0, len(case.expected), lines):
        y = np.zeros_like(case.expected[first : first + lines])
        low = first * attrs["strides"][0] - attrs["pads"][0]
        high = low + (len(y) - 1) * attrs["strides"][0] + attrs["kernel"][0]
        low = max(low, 0)
        seen = x[low : min(high, len(x))].copy()
        seen.flags.writeable = False
        count += device(where).call(kernel.function, [data, seen, low, y, first, len(y)])
        parts.append(y)
    return np.concatenate(parts), count


@drawn(40, HOST, M7, "cortex-m4 -Os", M0, data=st.data(), lines=st.integers(1, 9))
def test_pools(where: str, data: st.DataObject, lines: int) -> None:
    """Any window and stride, uneven padding, windows that begin or end outside."""
    size = tuple(data.draw(st.integers(1, 9)) for _ in range(2))
    channels = data.draw(st.sampled_from((1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 23, 33)))
    kernel, pads = [], []
    for n in size:
        k = data.draw(st.integers(1, 5))
        low, high = (data.draw(st.integers(0, k - 1)) for _ in range(2))
        pads.append((low, max(high, k - low - n)))
        kernel.append(k)
    if any(low + n < 1 or high >= k for (low, high), n, k in zip(pads, size, kernel, strict=True)):
        return
    strides = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = fill(rng, (*size, channels), data.draw(TYPES), data.draw(st.sampled_from(VALUES)))
    (top, bottom), (left, right) = pads
    window = x, (kernel[0], kernel[1]), strides, (top, left, bottom, right)
    out = data.draw(st.sampled_from(("int8", "int16")))
    for case in (pool_case(*window), average_case(*window, out)):
        np.testing.assert_array_equal(run(case, where, lines)[0], case.expected)


COUNTED = {
    "2x2 of 16": ((16, 16, 16), (2, 2), (2, 2), (0, 0, 0, 0), 10.5),
    "3x3 stride 2 of 32": ((16, 16, 32), (3, 3), (2, 2), (1, 1, 1, 1), 13.5),
    "3x3 stride 1 of 12": ((12, 12, 12), (3, 3), (1, 1), (1, 1, 1, 1), 27.0),
    "5x5 stride 1 of 64": ((9, 9, 64), (5, 5), (1, 1), (2, 2, 2, 2), 24.0),
    "global of 64": ((8, 8, 64), (8, 8), (1, 1), (0, 0, 0, 0), 72.0),
    "2x2 of 3": ((16, 16, 3), (2, 2), (2, 2), (0, 0, 0, 0), 76.0),
}


def counted_case(name: str) -> Case:
    shape, kernel, strides, pads, _ = COUNTED[name]
    x = fill(np.random.default_rng(0), shape, "int8", "random")
    return pool_case(x, kernel, strides, pads)


@pytest.mark.parametrize("name", COUNTED)
def test_instructions(name: str) -> None:
    """Per output below a ceiling, and near what the cost model says."""
    case, most = counted_case(name), COUNTED[name][-1]
    y, count = run(case, "cortex-m7 -O3", 99)
    np.testing.assert_array_equal(y, case.expected)
    estimate = instructions_of(case.op, CORTEX_M7)(case.op, case.graph, len(y))
    print(f"{name}: {count} instructions, {count / y.size:.2f} per output, estimate {estimate}")
    assert count <= most * y.size
    assert 0.9 <= estimate / count <= 1.1


AVERAGES = {
    "3x3 stride 1 of 32": ((12, 12, 32), (3, 3), (1, 1), (1, 1, 1, 1), "int8", 46.0),
    "3x3 stride 2 of 7": ((12, 12, 7), (3, 3), (2, 2), (1, 1, 1, 1), "int8", 80.0),
    "5x5 stride 1 of 16": ((9, 9, 16), (5, 5), (1, 1), (2, 2, 2, 2), "int8", 70.0),
    "15x15 of 8": ((15, 15, 8), (15, 15), (7, 7), (7, 7, 7, 7), "int8", 360.0),
    "3x3 of 16, int16": ((12, 12, 16), (3, 3), (1, 1), (1, 1, 1, 1), "int16", 110.0),
}


@pytest.mark.parametrize("name", AVERAGES)
def test_instructions_of_averages(name: str) -> None:
    shape, kernel, strides, pads, dtype, most = AVERAGES[name]
    x = fill(np.random.default_rng(0), shape, dtype, "random")
    case = average_case(x, kernel, strides, pads, dtype)
    y, count = run(case, "cortex-m7 -O3", 99)
    np.testing.assert_array_equal(y, case.expected)
    estimate = instructions_of(case.op, CORTEX_M7)(case.op, case.graph, len(y))
    print(f"{name}: {count} instructions, {count / y.size:.2f} per output, estimate {estimate}")
    assert count <= most * y.size
    assert 0.9 <= estimate / count <= 1.1


def test_averages_are_right() -> None:
    """Within a step of the exact average, at the border too."""
    x = fill(np.random.default_rng(0), (6, 7, 5), "int8", "random")
    case = average_case(x, (3, 3), (2, 2), (1, 1, 1, 1), "int16")
    attrs = case.op.attrs
    mult, offset = (np.asarray(case.graph.const(n)) for n in case.op.inputs[1:])
    scale = mult * 2.0 ** (attrs["up"] - 2 + attrs["acc_shift"] - 32 - attrs["shift"])
    for i, j in np.ndindex(*case.expected.shape[:2]):
        top, left = 2 * i - 1, 2 * j - 1
        seen = x[max(top, 0) : top + 3, max(left, 0) : left + 3].reshape(-1, 5)
        exact = seen.mean(0) * scale + offset / 2.0 ** attrs["shift"]
        assert np.abs(np.clip(exact, -32768, 32767) - case.expected[i, j]).max() <= 1
