"""mcf_walk, mcf_transpose: rows in the order of loops, one in the other; their instructions."""

from __future__ import annotations

import functools
from itertools import product

import builds
import numpy as np
import pytest
from builds import HOST, M0, M7, SETS, drawn
from hypothesis import strategies as st

from mcuformer.kernels.elementwise import SOURCES
from mcuformer.kernels.walks import (
    Nest,
    instructions,
    nest,
    transpose,
    transpose_instructions,
)

device = functools.partial(builds.device, SOURCES)


def walk(where: str, x: np.ndarray, indices: list[int], loops: Nest) -> tuple[np.ndarray, int]:
    y = np.zeros((len(indices), x.shape[1]), np.uint8)
    args = [n for count, step, to in loops for n in (count, step * x.shape[1], to * x.shape[1])]
    first = indices[0] * x.shape[1]
    return y, device(where).call("mcf_walk", [x, first, y, x.shape[1], *args])


@drawn(40, HOST, M7, M0, data=st.data())
def test_walks(where: str, data: st.DataObject) -> None:
    """Up to four loops, forwards, backwards, repeating rows."""
    depth, size = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9))
    loops = [(data.draw(st.integers(1, 4)), data.draw(st.integers(-9, 9))) for _ in range(depth)]
    steps = [
        sum(i * s for i, (_, s) in zip(at, loops, strict=True))
        for at in product(*(range(n) for n, _ in loops))
    ]
    indices = [s - min(steps) for s in steps]
    found = nest(indices)
    assert found is not None
    x = np.random.default_rng(size).integers(0, 256, (max(indices) + 1, size)).astype(np.uint8)
    x.flags.writeable = False
    np.testing.assert_array_equal(walk(where, x, indices, found)[0], x[indices])


def test_what_is_no_nest() -> None:
    assert nest([0, 1, 3]) is None and nest([0, 2, 1, 3, 5, 4]) is None
    five = np.arange(32).reshape((2,) * 5).transpose(4, 3, 2, 1, 0)
    assert nest(five.ravel().tolist()) is None
    assert nest([7]) == ((1, 0, 0),) * 4


def order(shape: tuple[int, ...], axes: tuple[int, ...]) -> list[int]:
    return np.arange(np.prod(shape)).reshape(shape).transpose(axes).ravel().tolist()


COUNTED = {
    "pixels of 24 channels to planes": (order((64, 24), (1, 0)), 1, 4.0),
    "channels of two groups shuffled": (order((49, 2, 16), (0, 2, 1)), 1, 4.2),
    "the same of int16": (order((49, 2, 16), (0, 2, 1)), 2, 2.4),
    "twice as large, 32 channels": (np.arange(64).reshape(8, 8).repeat(2, 0).repeat(2, 1).ravel().tolist(), 32, 2.0),
    "windows of 7x7 pixels of 96": (order((2, 7, 2, 7), (0, 2, 1, 3)), 96, 1.4),
}  # fmt: skip


@pytest.mark.parametrize("core", SETS)
@pytest.mark.parametrize("name", COUNTED)
def test_instructions(core: str, name: str) -> None:
    indices, size, most = COUNTED[name]
    loops = nest(indices)
    assert loops is not None
    x = np.random.default_rng(0).integers(0, 256, (max(indices) + 1, size)).astype(np.uint8)
    y, count = walk(f"{core} -O3", x, indices, loops)
    np.testing.assert_array_equal(y, x[indices])
    estimate = instructions(loops, size)
    print(f"{name}: {count} instructions, {count / y.size:.2f} per byte, estimate {estimate}")
    assert count <= most * y.size
    assert 0.9 <= estimate / count <= 1.1


def transposed(where: str, x: np.ndarray, first: int, loops: Nest) -> tuple[np.ndarray, int]:
    *outer, (lines, x_line, _), (places, _, y_step) = loops
    y = np.zeros_like(x)
    steps = [n for loop in outer for n in loop]
    args = [x, first, y, *steps, lines, x_line, places, y_step]
    return y, device(where).call("mcf_transpose", args)


@drawn(60, HOST, M7, M0, data=st.data())
def test_transposes(where: str, data: st.DataObject) -> None:
    """Of every size, with loops around them, whether they are worth it or not."""
    sizes = tuple(data.draw(st.integers(1, n)) for n in (3, 3))
    lines, places = data.draw(st.integers(2, 11)), data.draw(st.integers(4, 11))
    axes = data.draw(st.sampled_from(((0, 1, 3, 2), (1, 0, 3, 2), (3, 0, 1, 2), (0, 3, 1, 2))))
    shape = (*sizes, lines, places)
    indices = np.arange(np.prod(shape)).reshape(shape).transpose(axes)
    strides = dict(zip(axes, (indices.size // np.cumprod(indices.shape)).tolist(), strict=True))
    steps = (indices.size // np.cumprod(shape)).tolist()
    loops = tuple((shape[i], steps[i], strides[i]) for i in range(4))
    x = np.random.default_rng(lines).integers(0, 256, (indices.size, 1)).astype(np.uint8)
    x.flags.writeable = False
    np.testing.assert_array_equal(transposed(where, x, 0, loops)[0], x[indices.ravel()])


def counted(indices: list[int], size: int, where: str) -> int:
    """Instructions of the faster kernel; rows of `size` bytes."""
    loops = nest(indices)
    assert loops is not None
    turned = transpose(loops) if size == 1 else None
    x = np.random.default_rng(0).integers(0, 256, (max(indices) + 1, size)).astype(np.uint8)
    if turned is None:
        y, count = walk(where, x, indices, loops)
    else:
        y, count = transposed(where, x, indices[0], turned)
    np.testing.assert_array_equal(y, x[indices])
    return count


TURNED = {
    "96 channels in two groups": (order((196, 2, 48), (0, 2, 1)), 2.0),
    "58 channels in two groups": (order((49, 2, 58), (0, 2, 1)), 2.0),
    "256 channels in two groups": (order((49, 2, 128), (0, 2, 1)), 1.7),
    "128 channels in four groups": (order((49, 4, 32), (0, 2, 1)), 2.0),
    "240 channels in six groups": (order((49, 6, 40), (0, 2, 1)), 1.8),
    "pixels of 24 channels to planes": (order((64, 24), (1, 0)), 2.2),
    "pixels of 62 channels to planes": (order((196, 62), (1, 0)), 2.0),
}


@pytest.mark.parametrize("name", TURNED)
def test_instructions_of_transposes(name: str) -> None:
    indices, most = TURNED[name]
    loops = nest(indices)
    turned = None if loops is None else transpose(loops)
    assert turned is not None
    count = counted(indices, 1, "cortex-m7 -O3")
    estimate = transpose_instructions(turned)
    per = count / len(indices)
    print(f"{name}: {count} instructions, {per:.2f} per byte, estimate {estimate}")
    assert per <= most
    assert 0.9 <= estimate / count <= 1.1


def test_few_bytes_are_no_transpose() -> None:
    for shape in ((49, 2, 6), (49, 3, 8), (49, 5, 5)):
        loops = nest(order(shape, (0, 2, 1)))
        assert loops is not None and transpose(loops) is None
