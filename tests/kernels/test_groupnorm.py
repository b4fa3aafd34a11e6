"""Statistics over rows, GroupNorm and powers against the integer interpreter, and their instructions."""

from __future__ import annotations

import functools

import builds
import numpy as np
import pytest
from builds import HOST, M0, M7, drawn, every_set
from harness import Ptr
from hypothesis import strategies as st
from row_cases import VALUES, Case, call_rows, fill, make, padded

from mcuformer.ir.types import TensorType
from mcuformer.kernels import groupnorm as kernels
from mcuformer.kernels.costs import CostSet
from mcuformer.operators.table import instructions_of, kernel_of

TYPES = ("int8", "int8", "int16")
device = functools.partial(builds.device, (*kernels.SOURCES, *kernels.POWER_SOURCES, "mcf_copy.c"))
SMALL = functools.partial(drawn, 40, HOST, M7, M0)


def scales(rng: np.random.Generator, x: np.ndarray, given: str) -> list[np.ndarray | None]:
    """a and z of every channel, so that v fits int16: both, z alone or none."""
    channels = x.shape[1]
    if x.dtype == np.int16:
        return [None, None]
    a = rng.integers(1, 127, channels).astype(np.int16) if given == "both" else None
    z = rng.integers(-100, 100, channels).astype(np.int16) if given != "none" else None
    return [a, z]


def stats_case(
    kind: str, x: np.ndarray, groups: int, given: str, out: str, seed: int = 0, centred: bool = True
) -> Case:
    rng = np.random.default_rng(seed)
    a, z = scales(rng, x, given)
    attrs = {"groups": groups, "eps_q": int(rng.integers(1, 1000)), "centred": centred}
    attrs |= {"gain": int(rng.integers(2**14, 2**15)), "gain_exp": int(rng.integers(-14, 16))}
    attrs |= {"halve": int(rng.integers(0, 3)), "zp": int(rng.integers(-99, 99))}
    attrs |= {"a": 1 if a is not None or x.dtype == np.int16 else 64}
    width = 4 * groups if kind == "q_groupstats" else groups
    constant = [False, *[v is not None for v in (a, z)]]
    return make(kind, [x, a, z], constant, TensorType((1, width), out), attrs)


def run_stats(case: Case, where: str, pad: int, tile: int) -> tuple[np.ndarray, int]:
    kernel, x = kernel_of(case.op), case.inputs[0]
    assert kernel.sums is not None
    packed = kernel.pack(case.op, case.graph)
    buffer, stride = padded(x, pad)
    sums = np.ones(kernel.sums.bytes(case.op, case.graph) // 8, np.int64)
    device(where).call("mcf_zero", [sums, sums.nbytes])
    count = 0
    for row in range(0, len(x), tile):
        at = Ptr(buffer, row * stride + pad * x.itemsize)
        args = [packed, at, stride, row, min(tile, len(x) - row), sums]
        count += device(where).call(kernel.function, args)
    y = np.zeros_like(case.expected)
    return y, count + device(where).call(kernel.sums.finish, [packed, sums, y])


@SMALL(data=st.data(), pad=st.integers(0, 3), tile=st.integers(1, 9))
def test_statistics(where: str, data: st.DataObject, pad: int, tile: int) -> None:
    """By tiles of rows; also of groups that never move."""
    groups, size = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 6))
    shape = (data.draw(st.integers(1, 40)), groups * size)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = fill(rng, shape, data.draw(st.sampled_from(TYPES)), data.draw(st.sampled_from(VALUES)))
    kind = data.draw(st.sampled_from(("q_groupstats", "q_rms")))
    out = "int16" if kind == "q_groupstats" else data.draw(st.sampled_from(TYPES))
    given = data.draw(st.sampled_from(("both", "z", "none")))
    seed, centred = data.draw(st.integers(0, 99)), data.draw(st.booleans())
    case = stats_case(kind, x, groups, given, out, seed, centred)
    y, _ = run_stats(case, where, pad, tile)
    np.testing.assert_array_equal(y, case.expected)


def norm_case(x: np.ndarray, groups: int, given: str, out: str, seed: int = 0) -> Case:
    """Multipliers and offsets whose u fits int32, whatever x is."""
    rng = np.random.default_rng(seed)
    a, z = scales(rng, x, given)
    m = rng.integers(0, 2**30, groups)
    o = rng.integers(-(2**29), 2**29, groups)
    words = np.stack([m, m >> 16, o, o >> 16], axis=-1).astype(np.uint16).view(np.int16)
    g = rng.integers(-(2**15), 2**15, x.shape[1]).astype(np.int16)
    b = rng.integers(-(2**29), 2**29, x.shape[1]).astype(np.int32)
    attrs = {"groups": groups, "frac2": int(rng.integers(8, 25))}
    attrs |= {"a": 1 if a is not None or x.dtype == np.int16 else 64}
    inputs = [x, words.reshape(1, -1), a, z, g, b]
    constant = [False, False, *[v is not None for v in (a, z)], True, True]
    return make("q_groupnorm", inputs, constant, TensorType(x.shape, out), attrs)


@SMALL(data=st.data(), pad=st.integers(0, 3), in_place=st.booleans())
def test_groupnorm(where: str, data: st.DataObject, pad: int, in_place: bool) -> None:
    groups, size = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    dtype, values = data.draw(st.sampled_from(TYPES)), data.draw(st.sampled_from(VALUES))
    x = fill(rng, (data.draw(st.integers(2, 5)), groups * size), dtype, values)
    given, out = (
        data.draw(st.sampled_from(("both", "z", "none"))),
        data.draw(st.sampled_from(TYPES)),
    )
    case = norm_case(x, groups, given, out, data.draw(st.integers(0, 99)))
    packed = kernel_of(case.op).pack(case.op, case.graph)
    y, _ = call_rows(
        device(where), "mcf_groupnorm", packed, list(case.inputs), case.expected, pad, in_place
    )
    np.testing.assert_array_equal(y, case.expected)


def power_case(x: np.ndarray, halves: int, out: str, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    attrs = {"halves": halves, "gain": int(rng.integers(2**14, 2**15))}
    attrs |= {"gain_exp": int(rng.integers(-20, 40)), "x_zp": int(rng.integers(-128, 127))}
    attrs |= {"zp": int(rng.integers(-128, 127))}
    return make("q_power", [x], [False], TensorType(x.shape, out), attrs)


@SMALL(data=st.data(), pad=st.integers(0, 3), in_place=st.booleans())
def test_power(where: str, data: st.DataObject, pad: int, in_place: bool) -> None:
    """Of any number, 0 among them: what has no root and no reciprocal is defined."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shape = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 23)))
    x = fill(rng, shape, data.draw(st.sampled_from(TYPES)), data.draw(st.sampled_from(VALUES)))
    halves, out = data.draw(st.sampled_from((-2, -1, 1))), data.draw(st.sampled_from(TYPES))
    case = power_case(x, halves, out, data.draw(st.integers(0, 99)))
    packed = kernel_of(case.op).pack(case.op, case.graph)
    y, _ = call_rows(device(where), "mcf_power", packed, [x], case.expected, pad, in_place)
    np.testing.assert_array_equal(y, case.expected)


@every_set
@pytest.mark.parametrize(("rows", "channels", "groups"), [(9, 64, 1), (20, 48, 4), (9, 33, 33)])
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("given", ["both", "none"])
def test_instructions(
    core: str, costs: CostSet, rows: int, channels: int, groups: int, dtype: str, given: str
) -> None:
    rng = np.random.default_rng(0)
    x = fill(rng, (rows, channels), dtype, "random")
    stats, norm = stats_case("q_rms", x, groups, given, "int16"), norm_case(x, groups, given, dtype)
    found = run_stats(stats, f"{core} -O3", 0, rows)[1]
    sums = kernel_of(stats.op).sums
    assert sums is not None
    said = instructions_of(stats.op, costs)(stats.op, stats.graph, rows)
    said += sums.instructions(stats.op, stats.graph)
    assert 0.9 < said / found < 1.1, (said, found)
    packed = kernel_of(norm.op).pack(norm.op, norm.graph)
    args = (device(f"{core} -O3"), "mcf_groupnorm", packed, list(norm.inputs), norm.expected)
    found = call_rows(*args)[1]
    said = instructions_of(norm.op, costs)(norm.op, norm.graph, rows)
    assert 0.9 < said / found < 1.1, (said, found)


@every_set
@pytest.mark.parametrize("halves", [-2, -1, 1])
def test_instructions_of_powers(core: str, costs: CostSet, halves: int) -> None:
    x = fill(np.random.default_rng(0), (3, 40), "int16", "random")
    case = power_case(np.abs(x), halves, "int16")
    packed = kernel_of(case.op).pack(case.op, case.graph)
    args = (device(f"{core} -O3"), "mcf_power", packed, list(case.inputs), case.expected)
    found = call_rows(*args)[1]
    said = instructions_of(case.op, costs)(case.op, case.graph, 3)
    assert 0.9 < said / found < 1.1, (said, found)
