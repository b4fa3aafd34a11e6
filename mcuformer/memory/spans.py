"""Byte spans under loops: corner iterations, what a whole loop touches, which span covers which.

Starts and row counts are affine in the loop variables, so the first, the last full and the last
short iteration of a loop bound every iteration between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcuformer.program.buffers import Span
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Env, Expr


class Rect(NamedTuple):
    """Concrete bytes: `rows` pieces of `width` bytes, `stride` apart; one piece when contiguous."""

    start: int
    stride: int
    width: int
    rows: int

    @property
    def end(self) -> int:
        return self.start + (self.rows - 1) * self.stride + self.width


def rect(span: Span, env: Env) -> Rect:
    start, rows = span.start.const, span.rows.const
    for name, k in span.start.terms:
        start += k * env[name]
    for name, k in span.rows.terms:
        rows += k * env[name]
    if rows > 1 and span.stride > span.row_bytes:
        return Rect(start, span.stride, span.row_bytes, rows)
    width = (rows - 1) * span.stride + span.row_bytes
    return Rect(start, width, width, 1)


def corners(loops: Iterable[Loop]) -> tuple[dict[str, int], ...]:
    """Every combination of the first, last full and last iterations of `loops`."""
    table = []
    for loop in loops:
        full = loop.total // loop.step
        at = {0, max(0, full - 1) * loop.step, (-(-loop.total // loop.step) - 1) * loop.step}
        table.append([(loop, t) for t in sorted(at)])
    return tuple(
        {name: value for loop, t in chosen for name, value in _bound(loop, t).items()}
        for chosen in product(*table)
    )


def hull(span: Span, envs: Sequence[Env]) -> tuple[int, int]:
    """Lowest and one past the highest byte over all iterations."""
    start, rows = span.start, span.rows
    if not (start.terms or rows.terms):
        return start.const, start.const + (rows.const - 1) * span.stride + span.row_bytes
    low, high = 1 << 62, -1 << 62
    for env in envs:
        at, n = start.const, rows.const
        for name, k in start.terms:
            at += k * env[name]
        for name, k in rows.terms:
            n += k * env[name]
        low, high = min(low, at), max(high, at + (n - 1) * span.stride)
    return low, high + span.row_bytes


def covers(outer: Span, inner: Span, envs: Sequence[Env]) -> bool:
    """True when `outer` surely holds every byte of `inner` in every iteration."""
    if outer == inner:
        return True
    locked = moves_with(outer, inner)
    for env in envs:
        a, b = rect(outer, env), rect(inner, env)
        if a.start > b.start or b.end > a.end:
            return False
        if a.rows == 1:
            continue
        row, column = divmod(b.start - a.start, a.stride)
        if not locked or (b.rows > 1 and b.stride != a.stride):
            return False
        if column + b.width > a.width or row + b.rows > a.rows:
            return False
    return True


def apart(a: Span, b: Span, envs: Sequence[Env]) -> bool:
    """True when the two surely share no byte in any iteration."""
    pairs = [(rect(a, env), rect(b, env)) for env in envs]
    if all(x.end <= y.start for x, y in pairs) or all(y.end <= x.start for x, y in pairs):
        return True
    if a.stride != b.stride or not moves_with(a, b):
        return False
    shift = (pairs[0][1].start - pairs[0][0].start) % a.stride
    return shift >= a.row_bytes and shift + b.row_bytes <= a.stride


def moves_with(a: Span, b: Span) -> bool:
    """Their distance is the same in every iteration, and so is their shape but for short tiles."""
    fixed = all(name.endswith("_n") for s in (a, b) for name, _ in s.rows.terms)
    return fixed and sorted(a.start.terms) == sorted(b.start.terms)


class Missing:
    """The bytes of a span that no write seen so far supplies, in every corner iteration."""

    def __init__(self, span: Span, envs: Sequence[Env]) -> None:
        self.span, self.envs = span, envs
        self.rects = [rect(span, env) for env in envs]
        self.masks = [np.zeros(r.end - r.start, np.bool_) for r in self.rects]
        for r, mask in zip(self.rects, self.masks, strict=True):
            _paint(mask, r, r.start, True)

    def supply(self, write: Span) -> None:
        if moves_with(write, self.span):
            for env, r, mask in zip(self.envs, self.rects, self.masks, strict=True):
                _paint(mask, rect(write, env), r.start, False)

    @property
    def empty(self) -> bool:
        return not any(map(np.logical_or.reduce, self.masks))


def _paint(mask: NDArray[np.bool_], r: Rect, low: int, value: bool) -> None:
    """Set the bytes of `r` in `mask`, which begins at byte `low`."""
    first = r.start - low
    if r.rows == 1:
        mask[max(0, first) : max(0, first + r.width)] = value
        return
    skip = max(0, -(first // r.stride))  # rows that begin below the mask, painted one by one
    n = min(r.rows, (len(mask) - first) // r.stride) - skip  # rows whose whole stride is inside
    if n > 0:
        begin = first + skip * r.stride
        mask[begin : begin + n * r.stride].reshape(n, r.stride)[:, : r.width] = value
    for i in (*range(min(skip, r.rows)), *range(skip + max(0, n), r.rows)):
        at = first + i * r.stride
        mask[max(0, at) : max(0, at + r.width)] = value


def bind(span: Span, loop: Loop, t: int) -> Span:
    """The span in the iteration that starts at `t`."""
    bound = _bound(loop, t)
    return Span(
        span.buffer,
        _substitute(span.start, bound),
        span.stride,
        span.row_bytes,
        _substitute(span.rows, bound),
    )


def over_loop(span: Span, loop: Loop) -> list[Span]:
    """What all iterations touch together, byte for byte.

    Row tiles grow to all rows, steps of a row's width (heads) grow to a wider row; anything else is
    listed iteration by iteration.
    """
    if not (span.start.terms or span.rows.terms):
        return [span]
    per_t, per_n = (_coefficient(span.start, n) for n in (loop.var, f"{loop.var}_n"))
    rows_t, rows_n = (_coefficient(span.rows, n) for n in (loop.var, f"{loop.var}_n"))
    first = bind(span, loop, 0)
    if not (per_t or per_n or rows_t or rows_n):
        return [first]
    n = -(-loop.total // loop.step)
    backwards = per_t == per_n == -rows_n * span.stride and rows_n and not rows_t
    if (
        backwards and not span.rows.const and not first.rows.terms
    ):  # tiles of rows, the last ones first
        rows = Expr(rows_n * loop.total)
        return [
            Span(
                span.buffer,
                first.start + per_t * (loop.total - loop.step),
                span.stride,
                span.row_bytes,
                rows,
            )
        ]
    if not (per_n or rows_t):
        if per_t == 0:
            return [first]  # the first iteration has the most rows
        if rows_n and not span.rows.const and per_t == rows_n * span.stride:
            return [_with(first, rows=Expr(rows_n * loop.total))]
        if not rows_n and per_t * loop.step == span.row_bytes and span.row_bytes * n <= span.stride:
            return [_with(first, row_bytes=span.row_bytes * n)]
        if not (rows_n or first.rows.terms) and per_t * loop.step == first.rows.const * span.stride:
            return [_with(first, rows=Expr(first.rows.const * n))]
    return [bind(span, loop, t) for t in range(0, loop.total, loop.step)]


def _with(span: Span, row_bytes: int | None = None, rows: Expr | None = None) -> Span:
    width, count = row_bytes or span.row_bytes, rows or span.rows
    return Span(span.buffer, span.start, span.stride, width, count)


def _bound(loop: Loop, t: int) -> dict[str, int]:
    return {loop.var: t, f"{loop.var}_n": min(loop.step, loop.total - t)}


def _substitute(expr: Expr, values: dict[str, int]) -> Expr:
    if not expr.terms:
        return expr
    const, rest = expr.const, []
    for name, k in expr.terms:
        if name in values:
            const += k * values[name]
        else:
            rest.append((name, k))
    return Expr(const, tuple(rest))


def _coefficient(expr: Expr, name: str) -> int:
    for n, k in expr.terms:
        if n == name:
            return k
    return 0
