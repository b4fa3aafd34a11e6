"""Span arithmetic against byte sets listed iteration by iteration."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from mcuformer.memory.spans import Missing, apart, corners, covers, hull, over_loop
from mcuformer.program.buffers import Span
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Env, Expr

LOOPS = (Loop("t", 7, 3, ()), Loop("h", 3, 1, ()))


def every(loops: tuple[Loop, ...]) -> list[dict[str, int]]:
    return [
        {k: v for env in values for k, v in env.items()}
        for values in product(*(list(loop.iterations({})) for loop in loops))
    ]


def bytes_of(span: Span, env: Env) -> set[int]:
    start, rows = span.start.value(env), span.rows.value(env)
    return {start + i * span.stride + b for i in range(rows) for b in range(span.row_bytes)}


@st.composite
def spans(draw: st.DrawFn) -> Span:
    width = draw(st.integers(1, 6))
    stride = width + draw(st.sampled_from((0, 0, 1, width, 2 * width)))
    start = Expr(draw(st.integers(0, 3 * stride)))
    terms = {
        "t": draw(st.sampled_from((0, 0, stride, width))),
        "h": draw(st.sampled_from((0, width))),
    }
    start += Expr(0, tuple((n, k) for n, k in terms.items() if k))
    if draw(st.booleans()) and not terms["t"]:  # tiles of rows, the last ones first
        back = Expr(7 * stride, (("t", -stride), ("t_n", -stride)))
        return Span("x", start + back, stride, width, Expr(0, (("t_n", 1),)))
    rows = draw(st.sampled_from((Expr(1), Expr(3), Expr(0, (("t_n", 1),)), Expr(0, (("t_n", 2),)))))
    return Span("x", start, stride, width, rows)


@settings(max_examples=300, deadline=None)
@given(spans())
def test_hull_and_loop_union(span: Span) -> None:
    touched = set().union(*(bytes_of(span, env) for env in every(LOOPS)))
    assert hull(span, corners(LOOPS)) == (min(touched), max(touched) + 1)
    inner = over_loop(span, LOOPS[1])
    outer = [whole for one in inner for whole in over_loop(one, LOOPS[0])]
    assert set().union(*(bytes_of(s, {}) for s in outer)) == touched


@settings(max_examples=600, deadline=None)
@given(spans(), spans())
def test_covers_and_apart_are_sound(a: Span, b: Span) -> None:
    if covers(a, b, corners(LOOPS)):
        assert all(bytes_of(b, env) <= bytes_of(a, env) for env in every(LOOPS))
    if apart(a, b, corners(LOOPS)):
        assert not any(bytes_of(b, env) & bytes_of(a, env) for env in every(LOOPS))


@settings(max_examples=300, deadline=None)
@given(spans(), st.lists(spans(), min_size=1, max_size=4))
def test_missing_bytes_are_sound(read: Span, writes: list[Span]) -> None:
    missing = Missing(read, corners(LOOPS))
    for write in writes:
        missing.supply(write)
    if missing.empty:
        for env in every(LOOPS):
            assert bytes_of(read, env) <= set().union(*(bytes_of(w, env) for w in writes))


def test_the_spans_of_vision_transformers_are_seen() -> None:
    """Lifetimes rely on it: tiles, heads, the class token row are recognised, not just bounded."""
    envs = corners(LOOPS)
    t_n, tile = Expr(0, (("t_n", 1),)), Expr(0, (("t", 8),))
    assert covers(Span("x", tile, 8, 8, t_n), Span("x", tile + 4, 8, 4, t_n), envs)
    assert not covers(Span("x", tile + 4, 8, 4, t_n), Span("x", tile, 8, 8, t_n), envs)
    assert apart(Span("x", tile, 8, 4, t_n), Span("x", tile + 4, 8, 4, t_n), envs)
    rest = Missing(Span("x", Expr(), 8, 8, Expr(4)), ({},))
    rest.supply(Span("x", Expr(8), 8, 8, Expr(3)))
    assert not rest.empty
    rest.supply(Span("x", Expr(), 8, 8, Expr(1)))
    assert rest.empty
    columns = Missing(Span("x", Expr(), 32, 32, Expr(1)), ({},))
    for start in (0, 4):
        columns.supply(Span("x", Expr(start), 8, 4, Expr(4)))
    assert columns.empty
