"""mcf_layernorm against the integer interpreter: scales per channel, groups, gamma, both widths."""

from __future__ import annotations

import functools
import math

import builds
import numpy as np
import pytest
from builds import HOST, M7, drawn, sweep
from hypothesis import strategies as st
from row_cases import VALUES, Case, call_rows, fill, make

from mcuformer.ir.types import TensorType
from mcuformer.kernels import layernorm

device = functools.partial(builds.device, layernorm.SOURCES)


def gain_of(real: float) -> tuple[int, int]:
    """real = gain * 2^-gain_exp with a 15-bit gain."""
    exponent = 14 - math.floor(math.log2(real))
    return min(int(real * 2.0**exponent), 2**15 - 1), exponent


def make_case(
    rows: int = 3,
    channels: int = 16,
    groups: int = 1,
    x: str = "int8",
    y: str = "int8",
    a: bool = False,
    z: bool = False,
    g: bool = False,
    values: str = "random",
    sigmas: float = 6.0,
    eps: int = 1,
    frac: int = 16,
    seed: int = 0,
    centred: bool = True,
) -> Case:
    rng = np.random.default_rng(seed)
    size = channels // groups
    data = fill(rng, (rows, channels), x, values)
    zero = rng.integers(-127, 128, channels).astype(np.int16) if z and x == "int8" else None
    scale = rng.integers(1, 128, channels).astype(np.int16) if a and x == "int8" else None
    top = 127 if y == "int8" else 32767
    frac = frac if y == "int8" and x == "int8" else 9
    step = max(sigmas / top, 1.01 * math.sqrt(size) / (2 ** (31 - frac) - 2**frac * 128))
    zp = 0 if g or y == "int16" else int(rng.integers(-9, 10))
    gain, gain_exp = gain_of(2.0 ** (frac - 15) * size / (step if not g else 2.0**-6))
    gamma = beta = None
    if g:
        frac = 20
        gain, gain_exp = gain_of(2.0 ** (frac - 15) * size)
        unit = top / sigmas * 2.0 ** (16 + 16 - frac)
        limit = min(32767.0, unit, 2.0**30 / math.sqrt(size) / 2 ** (frac - 16))
        gamma = (rng.uniform(-1, 1, channels) * limit).astype(np.int16)
        beta = rng.integers(-(2**28), 2**28, channels).astype(np.int32)
    default = 1 if x == "int16" else 128 if zero is not None else 256
    attrs = {
        "groups": groups,
        "eps_q": eps,
        "gain": gain,
        "gain_exp": gain_exp,
        "frac": frac,
        "zp": zp,
        "a": default,
    }
    if g:
        attrs["frac2"] = 16
    if not centred:
        attrs["centred"] = False
    inputs = [data, scale, zero, gamma, beta]
    return make(
        "q_layernorm", inputs, [False, True, True, True, True], TensorType(data.shape, y), attrs
    )


def check(case: Case, where: str, pad: int, in_place: bool) -> int:
    data = layernorm.pack(case.op, case.graph)
    size = layernorm.scratch_bytes(case.op, case.graph, case.expected.shape[0])
    scratch = np.zeros(size, np.uint8)
    y, count = call_rows(
        device(where),
        "mcf_layernorm",
        data,
        list(case.inputs),
        case.expected,
        pad,
        in_place,
        scratch,
    )
    np.testing.assert_array_equal(y, case.expected)
    return count


@drawn(100, HOST, M7, data=st.data())
def test_equals_the_interpreter(where: str, data: st.DataObject) -> None:
    groups = data.draw(st.sampled_from((1, 1, 2, 3)))
    flag = st.booleans()
    case = make_case(
        rows=data.draw(st.integers(1, 4)),
        channels=groups * data.draw(st.integers(1, 45)),
        groups=groups,
        x=data.draw(st.sampled_from(("int8", "int8", "int16"))),
        y=data.draw(st.sampled_from(("int8", "int8", "int16"))),
        a=data.draw(flag),
        z=data.draw(flag),
        g=data.draw(flag),
        values=data.draw(st.sampled_from(VALUES)),
        sigmas=data.draw(st.sampled_from((0.5, 6.0, 20.0))),
        eps=data.draw(st.sampled_from((1, 1000, 2**40))),
        frac=data.draw(st.sampled_from((16, 16, 13))),
        seed=data.draw(st.integers(0, 99)),
        centred=data.draw(st.sampled_from((True, True, False))),
    )
    check(case, where, data.draw(st.integers(0, 3)), data.draw(flag))


@pytest.mark.parametrize("where", [b for b in builds.BUILDS if b != M7])
@pytest.mark.parametrize("options", ({}, {"a": True}, {"g": True, "groups": 2}, {"x": "int16"}))
def test_other_cores(where: str, options: dict) -> None:
    for values in VALUES:
        check(make_case(2, 22, values=values, **options), where, 1, False)


@sweep(HOST, M7)
@pytest.mark.parametrize("channels", (192, 768, 4096))
@pytest.mark.parametrize("scaled", (False, True))
def test_wide_rows(where: str, channels: int, scaled: bool) -> None:
    for values in VALUES:
        check(make_case(2, channels, a=scaled, z=scaled, values=values), where, 0, False)


COUNTED = [
    {},
    {"a": True},
    {"frac": 13},
    {"g": True},
    {"x": "int16"},
    {"x": "int16", "y": "int16"},
    {"groups": 3},
    {"centred": False},
]


@pytest.mark.parametrize("options", COUNTED)
@pytest.mark.parametrize("channels", (96, 192, 384))
def test_cost_model(options: dict, channels: int) -> None:
    case = make_case(8, channels, **options)
    count = check(case, M7, 0, False)
    assert layernorm.instructions(case.op, case.graph, 8) == pytest.approx(count, rel=0.03)


def test_instructions_per_element() -> None:
    """C = 192: at most 8 instructions per element, the plain rows at most 6."""
    assert check(make_case(32, 192), M7, 0, False) <= 6 * 32 * 192
    assert check(make_case(32, 192, a=True, z=True), M7, 0, False) <= 8 * 32 * 192
