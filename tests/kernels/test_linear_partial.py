"""Patches as segments of image lines: whole rows, and int32 sums over a few lines at a time."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import builds
import numpy as np
from builds import HOST, M0, M7, drawn
from harness import Ptr
from hypothesis import strategies as st
from linear_cases import VALUES, Case, Spec, finish_case, integers, layer, make_weights

from mcuformer.ir.graph import Builder
from mcuformer.ir.types import TensorType
from mcuformer.kernels import linear


@dataclass(frozen=True)
class Patches:
    """One row of patches: `across` patches of ph x pw pixels, an image line is a bit longer."""

    across: int
    ph: int
    pw: int
    channels: int
    line: int


device = functools.partial(builds.device, linear.SOURCES)


def make_patches(p: Patches, spec: Spec) -> Case:
    rng = np.random.default_rng(spec.seed)
    builder = Builder("case", "int")
    shape = (p.ph, p.line, p.channels)
    x = builder.add_value("x", TensorType(shape, spec.x))
    w = make_weights(rng, spec, spec.n, p.ph * p.pw * p.channels)
    out = (p.across, spec.n)
    inputs, attrs = layer(rng, builder, spec, w, out)
    attrs |= {"kernel": (p.ph, p.pw), "strides": (p.ph, p.pw)}
    y = builder.op("q_patch_embed", "embed", [x, *inputs], TensorType(out, spec.y), attrs)
    graph = builder.done([x], [y], {})
    return finish_case(graph, rng, integers(rng, spec.x, shape, spec.values), spec)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Patches, Spec]:
    pw, across = draw(st.integers(1, 7)), draw(st.integers(1, 6))
    patches = Patches(
        across, draw(st.sampled_from((1, 2, 3, 4, 6))), pw, draw(st.sampled_from((1, 3))),
        across * pw + draw(st.integers(0, pw - 1)),
    )  # fmt: skip
    spec = Spec(
        rows=across, k=0, n=draw(st.integers(1, 13)),
        x=draw(st.sampled_from(("uint8", "int8", "int16"))),
        y=draw(st.sampled_from(("int8", "int16"))),
        res=draw(st.sampled_from((None, "int16"))), res_const=True,
        shift=draw(st.integers(1, 12)), weight_bits=draw(st.sampled_from((8, 8, 4))),
        values=draw(st.sampled_from(VALUES)), seed=draw(st.integers(0, 999)),
    )  # fmt: skip
    return patches, spec


@drawn(
    50, HOST, M7, M0,
    both=cases(), panel=st.sampled_from((0, 4, 16)), tile=st.sampled_from((2, 6)),
)  # fmt: skip
def test_whole_patches_and_partial_sums(
    where: str, both: tuple[Patches, Spec], panel: int, tile: int
) -> None:
    patches, spec = both
    case = make_patches(patches, spec)
    for lines in (n for n in range(1, patches.ph + 1) if patches.ph % n == 0):
        y = in_parts(case, patches, where, lines, panel, tile)
        np.testing.assert_array_equal(y, case.expected)
    np.testing.assert_array_equal(whole(case, patches, where, panel, tile), case.expected)


def whole(case: Case, p: Patches, where: str, panel: int, tile: int) -> np.ndarray:
    op = _as_linear(case, p)
    data = linear.pack(op, case.graph, panel=panel, tile=tile)
    size = linear.scratch_bytes(op, case.graph, p.across, panel=panel, tile=tile)
    y, res = np.zeros_like(case.expected), case.res
    args = [data, case.x, p.pw * p.channels * case.x.itemsize]
    args += [res, 0 if res is None else res[0].nbytes, y, y[0].nbytes, p.across]
    device(where).call("mcf_linear", [*args, np.zeros(size, np.uint8)])
    return y


def in_parts(case: Case, p: Patches, where: str, lines: int, panel: int, tile: int) -> np.ndarray:
    """`lines` image lines at a time, as a camera delivers them."""
    op, n = _as_linear(case, p), case.expected.shape[1]
    data = linear.pack(op, case.graph, panel=panel, tile=tile, lines=lines)
    size = linear.partial_scratch_bytes(op, case.graph, p.across, lines, panel=panel, tile=tile)
    acc, y, res = np.zeros((p.across, n), np.int32), np.zeros_like(case.expected), case.res
    for first in range(0, p.ph, lines):
        args = [data, first, lines, Ptr(case.x, first * case.x[0].nbytes)]
        args += [p.pw * p.channels * case.x.itemsize, acc, p.across, np.zeros(size, np.uint8)]
        device(where).call("mcf_linear_partial", args)
    args = [data, acc, res, 0 if res is None else res[0].nbytes, y, y[0].nbytes, p.across]
    device(where).call("mcf_linear_finish", args)
    return y


def _as_linear(case: Case, p: Patches):
    attrs = {**case.op.attrs, "segments": p.ph, "segment_stride": case.x[0].nbytes}
    return case.op.replace(kind="q_linear", attrs=attrs)
