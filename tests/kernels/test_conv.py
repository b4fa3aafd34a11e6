"""mcf_conv2d and mcf_dwconv2d against the integer interpreter."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import builds
import numpy as np
from builds import HOST, LDR, M0, M7, drawn
from hypothesis import strategies as st
from linear_cases import TABLE_BITS, VALUES, Case, Spec, finish_case, integers, layer, make_weights

from mcuformer.ir.graph import Builder, Op
from mcuformer.ir.types import TensorType
from mcuformer.kernels import conv
from mcuformer.operators.table import kernel_of
from mcuformer.schedule.ways.over_image import can_lie_over


@dataclass(frozen=True)
class Image:
    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    out: int  # 0: depthwise
    groups: int = 1


device = functools.partial(builds.device, conv.SOURCES)


def make_conv(image: Image, spec: Spec) -> Case:
    rng = np.random.default_rng(spec.seed)
    builder = Builder("case", "int")
    shape = (image.height, image.width, image.channels)
    x = builder.add_value("x", TensorType(shape, spec.x))
    taps = image.kernel[0] * image.kernel[1]
    n = image.out or image.channels
    w = make_weights(rng, spec, n, taps * (image.channels // image.groups if image.out else 1))
    top, left, bottom, right = image.pads
    out = (
        (image.height + top + bottom - image.kernel[0]) // image.strides[0] + 1,
        (image.width + left + right - image.kernel[1]) // image.strides[1] + 1,
        n,
    )
    inputs, attrs = layer(rng, builder, spec, w, out)
    attrs |= {"kernel": image.kernel, "strides": image.strides, "pads": image.pads}
    attrs |= {"groups": image.groups} if image.groups > 1 else {}
    attrs["pad_value"] = tuple(integers(rng, spec.x, (image.channels,), "random").tolist())
    kind = "q_conv2d" if image.out else "q_dwconv2d"
    y = builder.op(kind, "conv", [x, *inputs], TensorType(out, spec.y), attrs)
    graph = builder.done([x], [y], {})
    return finish_case(graph, rng, integers(rng, spec.x, shape, spec.values), spec)


def run(case: Case, where: str, panel: int | None, lines: int) -> tuple[np.ndarray, int]:
    """y, computed `lines` output lines at a time from no more of the image than they need, and the instructions."""
    op, graph = case.op, case.graph
    kernel = kernel_of(op)
    data = kernel.pack(op, graph, panel=panel)
    assert kernel.scratch_bytes is not None
    parts, count = [], 0
    for first in range(0, case.expected.shape[0], lines):
        y = np.zeros_like(case.expected[first : first + lines])
        res = None if case.res is None else case.res[first : first + lines].copy()
        scratch = np.zeros(kernel.scratch_bytes(op, graph, len(y), panel=panel), np.uint8)
        low, high = needed(op, case.x, first, len(y))
        args = [data, case.x[low:high].copy(), low, res, y, first, len(y), scratch]
        count += device(where).call(kernel.function, args)
        parts.append(y)
    return np.concatenate(parts), count


def needed(op: Op, x: np.ndarray, first: int, lines: int) -> tuple[int, int]:
    """The image lines that output lines first .. first+lines-1 read."""
    low = first * op.attrs["strides"][0] - op.attrs["pads"][0]
    high = low + (lines - 1) * op.attrs["strides"][0] + op.attrs["kernel"][0]
    return min(max(low, 0), len(x)), max(0, min(high, len(x)))


@st.composite
def images(draw: st.DrawFn, depthwise: bool) -> Image:
    side = st.sampled_from((1, 2, 3, 3, 4))
    kernel = (draw(side), draw(side))
    pad = st.integers(0, 3)
    return Image(
        height=draw(st.integers(4, 7)),
        width=draw(st.integers(4, 7)),
        channels=draw(st.sampled_from((1, 2, 3, 3, 4, 5, 8, 9))),
        kernel=kernel,
        strides=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        pads=(draw(pad), draw(pad), draw(pad), draw(pad)),
        out=0 if depthwise else draw(st.integers(1, 9)),
    )


@st.composite
def grouped(draw: st.DrawFn) -> Image:
    image, groups = draw(images(False)), draw(st.integers(2, 4))
    inputs, outputs = draw(st.sampled_from((1, 2, 3, 4, 4, 8))), draw(st.integers(1, 9))
    return replace(image, channels=groups * inputs, out=groups * outputs, groups=groups)


@st.composite
def epilogues(draw: st.DrawFn, weight_bits: tuple[int, ...] = (8,), splits: bool = False) -> Spec:
    x = draw(st.sampled_from(("int8", "uint8", "int16")))
    y = draw(st.sampled_from(("int8", "int8", "int16")))
    table = draw(st.sampled_from((0, 0, *TABLE_BITS[y])))
    return Spec(
        rows=0, k=0, n=0,
        x=x,
        y=y,
        res=draw(st.sampled_from((None, "int8", "int16"))) if table == 0 else None,
        table_bits=table,
        shift=draw(st.integers(1, 12)),
        weight_bits=draw(st.sampled_from(weight_bits)),
        values=draw(st.sampled_from(VALUES)),
        seed=draw(st.integers(0, 999)),
        split=splits and x == "int16" and draw(st.booleans()),
    )  # fmt: skip


@drawn(
    25, HOST, M7, LDR, M0, image=images(False), spec=epilogues((8, 4)),
    panel=st.sampled_from((None, 0, 4)), lines=st.integers(1, 6),
)  # fmt: skip
def test_conv2d(where: str, image: Image, spec: Spec, panel: int | None, lines: int) -> None:
    case = make_conv(image, spec)
    np.testing.assert_array_equal(run(case, where, panel, lines)[0], case.expected)


@drawn(
    40, HOST, M7, LDR, M0, image=grouped(), spec=epilogues((8, 4), splits=True),
    panel=st.sampled_from((None, 0, 4)), lines=st.integers(1, 6),
)  # fmt: skip
def test_grouped(where: str, image: Image, spec: Spec, panel: int | None, lines: int) -> None:
    case = make_conv(image, spec)
    np.testing.assert_array_equal(run(case, where, panel, lines)[0], case.expected)


@drawn(25, HOST, M7, LDR, M0, image=images(True), spec=epilogues(), lines=st.integers(1, 6))
def test_dwconv2d(where: str, image: Image, spec: Spec, lines: int) -> None:
    case = make_conv(image, spec)
    np.testing.assert_array_equal(run(case, where, None, lines)[0], case.expected)


@drawn(40, HOST, M7, LDR, M0, image=images(True), spec=epilogues())
def test_a_depthwise_layer_over_its_image(where: str, image: Image, spec: Spec) -> None:
    """y is x: of four channels all of x is read first (schedule/ways/over_image.py)."""
    case = make_conv(image, replace(spec, y=spec.x, table_bits=0) if spec.x != "uint8" else spec)
    graph = case.graph
    if not can_lie_over(case.op, graph):
        return
    op = case.op.replace(attrs={**case.op.attrs, "over": 1})
    lines, memory = len(case.expected), case.x.copy()
    res = None if case.res is None else case.res.copy()
    scratch = np.zeros(conv.depthwise_scratch_bytes(op, graph, lines), np.uint8)
    data = kernel_of(op).pack(op, graph)
    device(where).call(kernel_of(op).function, [data, memory, 0, res, memory, 0, lines, scratch])
    made = memory.reshape(-1)[: case.expected.size].view(case.expected.dtype)
    np.testing.assert_array_equal(made.reshape(case.expected.shape), case.expected)
