"""mcf_resize against the integer interpreter, and its instructions."""

from __future__ import annotations

import functools

import builds
import numpy as np
import pytest
from builds import HOST, M0, M7, drawn, every_set
from hypothesis import strategies as st
from row_cases import VALUES, Case, fill, make

from mcuformer.ir.onnx_ops.resize import axis_taps
from mcuformer.ir.types import TensorType
from mcuformer.kernels.costs import CostSet
from mcuformer.operators import resize
from mcuformer.operators.table import instructions_of, kernel_of

TYPES = st.sampled_from(("int8", "int8", "uint8", "int16"))
MODES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
device = functools.partial(builds.device, resize.SOURCES)


def resize_case(x: np.ndarray, size: tuple[int, int], **attrs: object) -> Case:
    taps = []
    for n, out in zip(x.shape[:2], size, strict=True):
        first, weights = axis_taps({"mode": "linear", **attrs}, n, out, out / n)
        weights = np.pad(weights, ((0, 0), (0, max(0, 2 - weights.shape[1]))))
        taps.append((first, weights))
    (rows, wy), (columns, wx) = taps
    how = resize.precision((wy.shape[1], wx.shape[1]), str(x.dtype))
    parts = zip((wy, wx), how["bits"], strict=True)
    inputs = [x, *(resize.whole_weights(w, b) for w, b in parts)]
    known = {"rows": tuple(map(int, rows)), "columns": tuple(map(int, columns)), **how}
    out = TensorType((*size, x.shape[2]), str(x.dtype))
    return make("q_resize", inputs, [False, True, True], out, known)


def run(case: Case, where: str, lines: int) -> tuple[np.ndarray, int]:
    """y, `lines` output lines at a time from no more of the image than they need; instructions."""
    x, kernel = case.inputs[0], kernel_of(case.op)
    data, seen_by = kernel.pack(case.op, case.graph), resize.lines_of(case.op, case.graph)
    parts, count = [], 0
    for first in range(0, len(case.expected), lines):
        y = np.zeros_like(case.expected[first : first + lines])
        low, high = seen_by.reads_from(first), seen_by.reads_to(first + len(y))
        low = max(low, 0)
        seen = x[low : min(high, len(x))].copy()
        seen.flags.writeable = False
        scratch = np.zeros(resize.scratch_bytes(case.op, case.graph, len(y)), np.uint8)
        count += device(where).call(kernel.function, [data, seen, low, y, first, len(y), scratch])
        parts.append(y)
    return np.concatenate(parts), count


@drawn(40, HOST, M7, "cortex-m4 -Os", M0, data=st.data(), lines=st.integers(1, 9))
def test_resize(where: str, data: st.DataObject, lines: int) -> None:
    """Up and down by any factor, with every rule for where samples lie."""
    height, width, *size = (data.draw(st.integers(1, 12)) for _ in range(4))
    channels = data.draw(st.sampled_from((1, 2, 3, 4, 5, 8, 15, 16, 23)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = fill(rng, (height, width, channels), data.draw(TYPES), data.draw(st.sampled_from(VALUES)))
    case = resize_case(
        x, (size[0], size[1]),
        mode=data.draw(st.sampled_from(("linear", "linear", "cubic"))),
        coordinate_transformation_mode=data.draw(st.sampled_from(MODES)),
        antialias=data.draw(st.integers(0, 1)), exclude_outside=data.draw(st.integers(0, 1)),
    )  # fmt: skip
    np.testing.assert_array_equal(run(case, where, lines)[0], case.expected)


COUNTED = {
    "twice as large, 32 channels": ((8, 8, 32), (16, 16), "int8", {}, 8.0),
    "twice as large, 21 channels": ((8, 8, 21), (16, 16), "int8", {}, 9.6),
    "7 to 10, 16 channels": ((7, 7, 16), (10, 10), "uint8", {}, 10.0),
    "half, 24 channels": ((16, 16, 24), (8, 8), "int8", {}, 16.0),
    "four times, 1 channel": ((8, 8, 1), (32, 32), "int8", {}, 34.0),
    "cubic, 24 to 16 of 3": ((24, 24, 3), (16, 16), "int8", {"mode": "cubic"}, 95.0),
    "cubic of 16": ((8, 8, 16), (16, 16), "int8", {"mode": "cubic"}, 59.0),
    "a third, antialiased": ((24, 24, 8), (8, 8), "uint8", {"antialias": 1}, 160.0),
    "twice as large, int16": ((8, 8, 32), (16, 16), "int16", {}, 36.0),
}


@every_set
@pytest.mark.parametrize("name", COUNTED)
def test_instructions(core: str, costs: CostSet, name: str) -> None:
    shape, size, dtype, attrs, most = COUNTED[name]
    case = resize_case(fill(np.random.default_rng(0), shape, dtype, "random"), size, **attrs)
    y, count = run(case, f"{core} -O3", 99)
    np.testing.assert_array_equal(y, case.expected)
    estimate = instructions_of(case.op, costs)(case.op, case.graph, len(y))
    print(f"{name}: {count} instructions, {count / y.size:.2f} per output, estimate {estimate}")
    assert count <= most * y.size
    assert 0.9 <= estimate / count <= 1.1
