"""mcf_matmul against the integer interpreter, and its instructions."""

from __future__ import annotations

import functools

import builds
import numpy as np
import pytest
from builds import HOST, M0, M7, drawn, every_set
from harness import Ptr
from hypothesis import strategies as st
from row_cases import VALUES, Case, fill, make, padded

from mcuformer.ir import product
from mcuformer.ir.types import TensorType
from mcuformer.kernels.costs import CostSet
from mcuformer.operators.product import SOURCES, q_matmul
from mcuformer.operators.table import instructions_of, kernel_of

TYPES = st.sampled_from(("int8", "int8", "int16"))
LAYOUTS = [  # of a, b and y
    ("gm.hk", "gn.hk", "gm.hn"),
    ("gm.hk", "gk.hn", "gm.hn"),
    ("ghm.k", "ghk.n", "ghm.n"),
    ("gk.hm", "gk.hn", "ghm.n"),
    ("k.mhg", "n.k", "ghm.n"),
    ("g.km", "k.n", "g.nm"),
    ("hgm.k", "n.hk", "hgm.n"),
    ("gm.hk", "gnh.k", "gm.nh"),
    ("h.gmk", "hk.gn", "h.mgn"),
    (".ghkm", "gh.nk", ".mhgn"),
]
device = functools.partial(builds.device, SOURCES)


def reach(dtype: str, zero: int, shift: int) -> int:
    info = np.iinfo(dtype)
    far = max(info.max - zero, zero - info.min)
    return min(32768, (far + (1 << shift >> 1)) >> shift)


def case_of(
    layouts: tuple[str, str, str], sizes: tuple[int, ...], types: tuple[str, str, str],
    values: tuple[str, str], seed: int,
) -> Case:  # fmt: skip
    """Numbers that use the range of y, and sums that fit int32."""
    rng = np.random.default_rng(seed)
    named = dict(zip(product.LETTERS, sizes, strict=True))
    named |= {x: 1 for x in "ghm" if x not in layouts[2]}
    sizes = tuple(named.values())
    alone = {x for x in "ghmnk" if named[x] == 1}
    kept = ["".join(c for c in layout if c not in alone) for layout in layouts]
    attrs = {**dict(zip("aby", kept, strict=True)), "sizes": sizes}
    zeros = [int(rng.integers(-128, 128)) if t == "int8" else 0 for t in types[:2]]
    shifts = [0, 0]
    far = [reach(t, z, 0) for t, z in zip(types[:2], zeros, strict=True)]
    while far[0] * far[1] * named["k"] >= 2**31:
        wider = int(far[1] > far[0])
        shifts[wider] += 1
        far[wider] = reach(types[wider], zeros[wider], shifts[wider])
    bound = far[0] * far[1] * named["k"]
    up = 31 - bound.bit_length()
    attrs |= {"a_zp": zeros[0], "b_zp": zeros[1], "a_shift": shifts[0], "b_shift": shifts[1]}
    attrs |= {"acc_shift": up, "mult": int(rng.integers(2**29, 2**31)), "shift": 1}
    spread = 2 ** (31 - (8 if types[2] == "int8" else 16))
    attrs["shift"] = max(1, min(31, spread.bit_length() - 3))
    attrs["offset"] = int(rng.integers(-(2**20), 2**20))
    xs = [
        fill(rng, product.matrix(attrs[side], named), dtype, value)
        for side, dtype, value in zip("ab", types, values, strict=False)
    ]
    out = TensorType(product.matrix(attrs["y"], named), types[2])
    return make("q_matmul", [*xs], [False, False], out, attrs)


def run(case: Case, where: str, tile: int, pad: int = 0) -> tuple[np.ndarray, int]:
    """y by `tile` rows at a time, from padded rows."""
    kernel, attrs = kernel_of(case.op), case.op.attrs
    data = kernel.pack(case.op, case.graph)
    (a, a_stride), (b, b_stride) = (padded(x, pad) for x in case.inputs)
    for buffer in (a, b):
        buffer.flags.writeable = False
    y, y_stride = padded(np.zeros_like(case.expected), pad)
    size = kernel.scratch_bytes
    assert size is not None
    scratch = np.zeros(size(case.op, case.graph, tile), np.uint8)
    count, heads = 0, [pad * x.itemsize for x in (*case.inputs, case.expected)]
    for first in range(0, len(case.expected), tile):
        rows = min(tile, len(case.expected) - first)
        at = first * a_stride if product.is_row_wise(attrs) else 0
        count += device(where).call("mcf_matmul", [
            data, Ptr(a, at + heads[0]), a_stride, Ptr(b, heads[1]), b_stride,
            Ptr(y, first * y_stride + heads[2]), y_stride, first, rows, scratch,
        ])  # fmt: skip
    rows_of = y.reshape(-1, y_stride)[:, heads[2] :]
    made = np.ascontiguousarray(rows_of).view(case.expected.dtype)
    return made.reshape(case.expected.shape), count


@drawn(60, HOST, M7, "cortex-m4 -Os", M0, data=st.data(), pad=st.integers(0, 2))
def test_products(where: str, data: st.DataObject, pad: int) -> None:
    """Any layout, odd sizes, tiles that end inside of a batch."""
    layouts = data.draw(st.sampled_from(LAYOUTS))
    sizes = [data.draw(st.integers(1, n)) for n in (3, 3, 19, 9, 12)]
    types = tuple(data.draw(TYPES) for _ in range(3))
    values = tuple(data.draw(st.sampled_from(VALUES)) for _ in range(2))
    case = case_of(layouts, tuple(sizes), types, values, data.draw(st.integers(0, 99)))  # type: ignore[arg-type]
    y, _ = run(case, where, data.draw(st.integers(1, len(case.expected))), pad)
    np.testing.assert_array_equal(y, case.expected)


@pytest.mark.parametrize("k", [255, 256, 257, 600])
def test_long_sums(k: int) -> None:
    case = case_of(LAYOUTS[3], (1, 2, 18, 5, k), ("int8", "int16", "int16"), ("mixed", "random"), 1)
    np.testing.assert_array_equal(run(case, "cortex-m7 -O2", 99)[0], case.expected)


COUNTED = {
    "scores of 64 tokens, 4 heads of 16": (LAYOUTS[0], (1, 4, 64, 64, 16), "int8", 3.3),
    "values of 64 tokens": (LAYOUTS[1], (1, 4, 64, 16, 64), "int8", 2.45),
    "windows of 16": (LAYOUTS[0], (4, 2, 16, 16, 32), "int8", 2.9),
    "channels of 196 tokens": (LAYOUTS[3], (1, 2, 32, 32, 196), "int8", 1.95),
    "four heads mixed": (LAYOUTS[5], (64, 1, 64, 4, 4), "int8", 12.5),
    "scores of int16": (LAYOUTS[0], (1, 4, 64, 64, 16), "int16", 3.6),
}


@every_set
@pytest.mark.parametrize("name", COUNTED)
def test_instructions(core: str, costs: CostSet, name: str) -> None:
    """Per multiplication below a ceiling, and near what the cost model says."""
    layouts, sizes, dtype, most = COUNTED[name]
    case = case_of(layouts, sizes, (dtype, dtype, "int8"), ("random", "random"), 0)
    y, count = run(case, f"{core} -O3", len(case.expected))
    np.testing.assert_array_equal(y, case.expected)
    macs = int(np.prod(sizes))
    estimate = instructions_of(case.op, costs)(case.op, case.graph, len(y))
    print(f"{name}: {count} instructions, {count / macs:.2f} per MAC, estimate {estimate}")
    assert count <= most * macs * (1.0 if core == "cortex-m7" else 1.05)
    assert 0.85 <= estimate / count <= 1.15


def test_a_sum_that_is_too_long_is_a_bug() -> None:
    case = case_of(LAYOUTS[0], (1, 1, 2, 2, 4), ("int16", "int16", "int8"), ("random",) * 2, 0)
    op = case.op.replace(attrs={**case.op.attrs, "a_shift": 0, "b_shift": 0, "acc_shift": 0})
    wide = [np.full(x.shape, -32768, np.int16) for x in case.inputs]
    with pytest.raises(Exception, match="accumulator leaves int32"):
        q_matmul(op, wide, TensorType(case.expected.shape, "int8"))
