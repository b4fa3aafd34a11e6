"""Rows of a window that is padded: gathered, filled, put back."""

from __future__ import annotations

import functools

import builds
import numpy as np
from builds import HOST, M0, M7, drawn
from harness import Ptr
from hypothesis import strategies as st
from row_cases import padded

from mcuformer.kernels import elementwise

SMALL = functools.partial(drawn, 50, HOST, M7, M0)
device = functools.partial(builds.device, elementwise.SOURCES)


@SMALL(data=st.data(), pad=st.integers(0, 3))
def test_rows_of_a_padded_window(where: str, data: st.DataObject, pad: int) -> None:
    """Gathered, its padded rows filled, and put back, which those do not change."""
    rows, size = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 13))
    index = [
        65535 if data.draw(st.booleans()) else i for i in data.draw(st.permutations(range(rows)))
    ]
    rng, table = np.random.default_rng(rows), np.array(index, np.uint16)
    x, fill = (rng.integers(-128, 128, (n, size)).astype(np.int8) for n in (rows, 1))
    (source, xs), (y, ys) = padded(x, pad), padded(np.zeros((len(index), size), np.int8), pad)
    real = table != 65535
    run, one = device(where), padded(fill, pad)[0]
    expected = np.where(real[:, None], x[np.where(real, table, 0)], fill)
    for constant in (None, Ptr(one, pad)):
        run.call("mcf_gather_padded",
                 [Ptr(source, pad), xs, Ptr(y, pad), ys, size, len(index), table, constant])  # fmt: skip
        made = y.reshape(-1, ys)[:, pad:].view(np.int8)
        np.testing.assert_array_equal(
            made, np.where(real[:, None], expected, 0 if constant is None else fill)
        )
    y[:] = 0
    made = y.reshape(-1, ys)[:, pad:].view(np.int8)
    run.call("mcf_fill_padded", [Ptr(y, pad), ys, size, len(index), table, Ptr(one, pad)])
    np.testing.assert_array_equal(made, np.where(real[:, None], 0, fill))
    run.call("mcf_scatter_padded", [Ptr(y, pad), ys, Ptr(source, pad), xs, size, len(index), table])
    x[table[real]] = 0
    np.testing.assert_array_equal(source.reshape(-1, xs)[:, pad:].view(np.int8), x)
