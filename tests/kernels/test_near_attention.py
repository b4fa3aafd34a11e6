"""mcf_attention_near against the integer interpreter: grids, radii, leading rows, rings of lines, lowest scores."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import builds
import numpy as np
import pytest
from attention_cases import VALUES, Case, Spec, make_case
from builds import HOST, LDR, M0, M7, drawn, sweep
from harness import Ptr
from hypothesis import strategies as st
from row_cases import padded

from mcuformer.ir.graph import Graph
from mcuformer.kernels import attention, near_attention
from mcuformer.operators.interpreter import run_op

device = functools.partial(builds.device, attention.SOURCES)


ANY = Spec(1, 1, 1, 1)  # sizes come from the grid


@dataclass(frozen=True)
class Near:
    """A grid of patches behind `leading` rows, and what its heads see."""

    lines: int
    columns: int
    radii: tuple[int, ...]
    leading: int = 0
    d: int = 8
    dv: int = 8
    spec: Spec = ANY

    def case(self) -> Case:
        rows = self.leading + self.lines * self.columns
        spec = replace(
            self.spec,
            tq=rows,
            tk=rows,
            d=self.d,
            dv=self.dv,
            heads=len(self.radii),
            shared=False,
            bias=0,
        )
        return localised(make_case(spec), self)


def localised(case: Case, near: Near) -> Case:
    attrs = {**case.op.attrs, "radii": near.radii, "grid": (near.lines, near.columns)}
    op = case.op.replace(attrs=attrs)
    graph: Graph = case.graph.replace(ops=(op,))
    env = {"q": case.q, "k": case.k, "v": case.v}
    return Case(graph, op, case.q, case.k, case.v, run_op(graph, op, env))


@st.composite
def nears(draw: st.DrawFn, most: int = 7) -> Near:
    kinds = st.sampled_from(("int8", "int8", "int16"))
    types = {name: draw(kinds) for name in "qkvy"}
    spec = Spec(
        1, 1, 1, 1, zero_points=draw(st.booleans()), spread=draw(st.sampled_from((0.1, 3.0, 60.0))),
        pre_shift=draw(st.sampled_from((0, 0, 3))), values=draw(st.sampled_from(VALUES)),
        seed=draw(st.integers(0, 99)), **types,
    )  # fmt: skip
    return Near(
        draw(st.integers(1, most)), draw(st.integers(1, 2 * most)),
        tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))),
        draw(st.sampled_from((0, 0, 1, 2, 5))), draw(st.integers(1, 19)), draw(st.integers(1, 19)), spec,
    )  # fmt: skip


def run(
    case: Case, near: Near, where: str, panel: int, pad: int = 0, rows: int = 1 << 30, held: int = 0
) -> tuple[np.ndarray, int]:
    """y and the executed instructions, by tiles of `rows` queries; `held`: lines of K and V that a ring
    holds, each tile being a line."""
    op, graph, total = case.op, case.graph, case.q.shape[0]
    data = near_attention.pack(op, graph, panel=panel)
    (q, qs), (k, ks), (v, vs) = (padded(x, pad) for x in (case.q, case.k, case.v))
    y, ys = padded(np.zeros_like(case.expected), pad)
    rows = near.columns if held else rows
    scratch = np.zeros(
        near_attention.scratch_bytes(op, graph, min(rows, total), panel=panel), np.uint8
    )
    count = 0
    for row in range(0, total, rows):
        keys = [ring(x, near, row // rows, held) if held else x for x in (k, v)]
        args = [data, 0, op.attrs["heads"]]
        for x, stride, item, first in (
            (q, qs, case.q.itemsize, row), (keys[0], ks, case.k.itemsize, 0),
            (keys[1], vs, case.v.itemsize, 0), (y, ys, case.expected.itemsize, row),
        ):  # fmt: skip
            args += [Ptr(x, first * stride + pad * item), stride]
        args += [row, min(rows, total - row), held or near.lines, scratch]
        count += device(where).call("mcf_attention_near", args)
    y = y.reshape(-1, ys)[:, pad * case.expected.itemsize :]
    return np.ascontiguousarray(y).view(case.expected.dtype), count


def ring(x: np.ndarray, near: Near, line: int, held: int) -> np.ndarray:
    """The lines of K or V that queries of `line` need, each in its place; in the others lies noise."""
    lines = x.reshape(near.lines, -1)
    found = np.full((held, lines.shape[1]), 99, x.dtype)
    for y in range(max(0, line - held // 2), min(near.lines, line + held // 2 + 1)):
        found[y % held] = lines[y]
    return found.reshape(-1)


@drawn(
    80, HOST, M7, LDR, near=nears(), panel=st.sampled_from((-6, 0, 2, 4, 8, 200)),
    pad=st.integers(0, 3), rows=st.integers(1, 40),
)  # fmt: skip
def test_equals_the_interpreter(where: str, near: Near, panel: int, pad: int, rows: int) -> None:
    case = near.case()
    np.testing.assert_array_equal(run(case, near, where, panel, pad, rows)[0], case.expected)


@drawn(20, M0, near=nears(3), panel=st.sampled_from((0, 2)), pad=st.integers(0, 3))
def test_small(where: str, near: Near, panel: int, pad: int) -> None:
    case = near.case()
    np.testing.assert_array_equal(run(case, near, where, panel, pad)[0], case.expected)


@sweep(HOST, M7, LDR)
@pytest.mark.parametrize("radii", [(1,), (2, 1), (3, 3)])
@pytest.mark.parametrize("lines", [2, 5, 9])
def test_a_ring_of_lines(where: str, radii: tuple[int, ...], lines: int) -> None:
    near = Near(lines, 6, radii)
    held = 2 * max(radii) + 1
    case = near.case()
    np.testing.assert_array_equal(run(case, near, where, 4, held=held)[0], case.expected)


@sweep(HOST, M7, LDR)
@pytest.mark.parametrize("columns", (5, 6, 8))
@pytest.mark.parametrize("leading", (0, 1))
def test_lowest_scores(where: str, columns: int, leading: int) -> None:
    """Every score saturates at the lowest: what is hidden must not count."""
    near = Near(4, columns, (1, 2), leading, spec=Spec(1, 1, 1, 1, values="highest"))
    case = near.case()
    k = np.full_like(case.k, -128)
    op = case.op.replace(attrs={**case.op.attrs, "m": (2**31 - 1,) * 2})
    case = localised(Case(case.graph, op, case.q, k, case.v, case.expected), near)
    for panel in (2, 8):
        np.testing.assert_array_equal(run(case, near, where, panel)[0], case.expected)


COUNTED = (
    (Near(12, 12, (2, 2, 2, 2), d=16, dv=16), 12),
    (Near(12, 12, (2, 2, 2, 2), d=16, dv=16), 4),
    (Near(8, 8, (1, 1, 1), d=32, dv=32), 8),
    (Near(8, 8, (1, 0, 1), 1, d=32, dv=32), 8),
    (Near(14, 14, (3, 3, 3), d=64, dv=64), 14),
    (Near(14, 14, (1, 2), d=24, dv=24), -6),
    (Near(16, 24, (2,), d=16, dv=16), 8),
)


@pytest.mark.parametrize("near,panel", COUNTED)
def test_cost_model(near: Near, panel: int) -> None:
    case = near.case()
    y, count = run(case, near, M7, panel)
    np.testing.assert_array_equal(y, case.expected)
    estimate = near_attention.instructions(case.op, case.graph, case.q.shape[0], panel=panel)
    assert estimate == pytest.approx(count, rel=0.05)


@pytest.mark.parametrize(
    "lines,columns,radius,d", [(12, 12, 2, 16), (12, 12, 1, 32), (14, 14, 2, 64), (8, 8, 1, 16)]
)
def test_at_most_six_tenths_of_all_keys(lines: int, columns: int, radius: int, d: int) -> None:
    near = Near(lines, columns, (radius,) * 2, d=d, dv=d)
    case = near.case()
    some = min(run(case, near, M7, panel)[1] for panel in (6, columns))
    whole = localised(case, replace(near, radii=(0, 0)))
    _, every = run(whole, near, M7, 40)
    assert some <= 0.6 * every
