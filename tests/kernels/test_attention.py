"""mcf_attention against the integer interpreter: every type, block size and odd shape."""

from __future__ import annotations

import functools

import builds
import numpy as np
import pytest
from attention_cases import VALUES, Case, Spec, make_case, specs
from builds import HOST, LDR, M0, M7, drawn, sweep
from harness import Ptr
from hypothesis import strategies as st
from row_cases import padded

from mcuformer.files.paths import RUNTIME_C
from mcuformer.ir.int_ops_attention import EXP
from mcuformer.kernels import attention
from mcuformer.operators.interpreter import run_op

device = functools.partial(builds.device, attention.SOURCES)


def run(
    case: Case,
    where: str,
    panel: int,
    pad: int = 0,
    rows: int = 1 << 30,
    head_by_head: bool = False,
    merge: int = 1,
) -> tuple[np.ndarray, int]:
    """y and the executed instructions, by tiles of `rows` queries of unaligned operands."""
    op, graph, total = case.op, case.graph, case.q.shape[0]
    how = {"panel": panel, "merge": merge}
    data = attention.pack(op, graph, **how)
    (q, qs), (k, ks), (v, vs) = (padded(x, pad) for x in (case.q, case.k, case.v))
    for x in (q, k, v):
        x.flags.writeable = False
    y, ys = padded(np.zeros_like(case.expected), pad)
    heads = op.attrs["heads"]
    scratch = np.zeros(attention.scratch_bytes(op, graph, min(rows, total), **how), np.uint8)
    count = 0
    f = data.fields
    for head0 in range(0, heads, 1 if head_by_head else heads):
        for row in range(0, total, rows):
            args = [data, head0, 1 if head_by_head else heads]
            for x, stride, item, head, first in (
                (q, qs, case.q.itemsize, "q_head", row),
                (k, ks, case.k.itemsize, "k_head", 0),
                (v, vs, case.v.itemsize, "v_head", 0),
                (y, ys, case.expected.itemsize, "y_head", row),
            ):
                args += [Ptr(x, first * stride + pad * item + head0 * int(f[head])), stride]
            args += [row, min(rows, total - row), scratch]
            count += device(where).call("mcf_attention", args)
    y = y.reshape(-1, ys)[:, pad * case.expected.itemsize :]
    return np.ascontiguousarray(y).view(case.expected.dtype), count


@drawn(
    60,
    HOST,
    M7,
    LDR,
    spec=specs(),
    panel=st.sampled_from((-6, 0, 2, 4, 8, 200)),
    pad=st.integers(0, 3),
    rows=st.integers(1, 30),
    head_by_head=st.booleans(),
    merge=st.integers(1, 3),
)
def test_equals_the_interpreter(
    where: str, spec: Spec, panel: int, pad: int, rows: int, head_by_head: bool, merge: int
) -> None:
    case = make_case(spec)
    y, _ = run(case, where, panel, pad, rows, head_by_head, merge)
    np.testing.assert_array_equal(y, case.expected)


@sweep(HOST, M7, LDR)
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("panel", (0, 2, 24, 1000))
def test_large(where: str, values: str, panel: int) -> None:
    case = make_case(Spec(67, 67, 64, 64, values=values))
    np.testing.assert_array_equal(run(case, where, panel)[0], case.expected)


@drawn(25, M0, spec=specs(max_t=9, max_d=9), panel=st.sampled_from((0, 2)), pad=st.integers(0, 3))
def test_small(where: str, spec: Spec, panel: int, pad: int) -> None:
    case = make_case(spec)
    np.testing.assert_array_equal(run(case, where, panel, pad)[0], case.expected)


@sweep(HOST, M7, LDR)
@pytest.mark.parametrize("tk", (1, 2, 4, 62, 64, 65, 66, 130, 132))
def test_lengths(where: str, tk: int) -> None:
    """Around multiples of the unrolled steps."""
    case = make_case(Spec(2, tk, tk, 4, zero_points=True))
    for panel in (0, 2):
        np.testing.assert_array_equal(run(case, where, panel)[0], case.expected)


@sweep(HOST, M7, LDR)
@pytest.mark.parametrize("tk", (5, 6, 7, 8))
def test_lowest_scores(where: str, tk: int) -> None:
    """Every score saturates at the lowest: what fills the last group of keys must not count."""
    case = make_case(Spec(3, tk, 8, 4, values="highest"))
    k = np.full_like(case.k, -128)
    op = case.op.replace(attrs={**case.op.attrs, "m": (2**31 - 1,)})
    env = {"q": case.q, "k": k, "v": case.v}
    case = Case(case.graph, op, case.q, k, case.v, run_op(case.graph, op, env))
    np.testing.assert_array_equal(run(case, where, 2)[0], case.expected)


def test_table_is_the_interpreters() -> None:
    body = (RUNTIME_C / "src/mcf_exp.c").read_text().split("{", 1)[1].split("}")[0]
    np.testing.assert_array_equal([int(x) for x in body.replace(",", " ").split()], EXP)


ABSORBED = Spec(4, 65, 96, 96, heads=3, q="int16", y="int16", shared=True, zero_points=True)
COUNTED = (
    (Spec(50, 50, 32, 32, heads=3), 16, 1),
    (Spec(65, 65, 64, 64), 0, 1),
    (Spec(65, 65, 64, 64), 2, 1),
    (Spec(33, 49, 32, 32), -8, 1),
    (Spec(65, 65, 64, 64), 1000, 1),
    (Spec(49, 49, 32, 32, heads=2, bias=2, pre_shift=3), 8, 1),
    (Spec(33, 50, 30, 33), 8, 1),
    (Spec(50, 50, 32, 32, q="int16", k="int16", v="int16", y="int16"), 16, 1),
    (ABSORBED, -4, 1),
    (ABSORBED, 2, 3),
    (ABSORBED, 4, 3),
)


@pytest.mark.parametrize("spec,panel,merge", COUNTED)
def test_cost_model(spec: Spec, panel: int, merge: int) -> None:
    case = make_case(spec)
    y, count = run(case, M7, panel, merge=merge)
    np.testing.assert_array_equal(y, case.expected)
    estimate = attention.instructions(case.op, case.graph, spec.tq, panel=panel, merge=merge)
    assert estimate == pytest.approx(count, rel=0.02)


def test_instructions_of_a_head() -> None:
    """197 tokens, d = 64: at most 4.9 M instructions in 9.5 KB of scratch, 4.2 M in 22.5 KB."""
    case = make_case(Spec(197, 197, 64, 64))
    for panel, limit, size in ((16, 4_900_000, 9_728), (40, 4_200_000, 23_040)):
        assert run(case, M7, panel)[1] <= limit
        assert attention.scratch_bytes(case.op, case.graph, 197, panel=panel) <= size
