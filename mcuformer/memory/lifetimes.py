"""When each byte of a buffer matters: from the write that made it to the last call that reads it.

Time is the static position of a call (0 for the first call in the program's text). A value that is
written and read within one iteration of a loop matters between those two calls only; one that
crosses iterations, or enters or leaves the loop, matters from the loop's first call to its last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from mcuformer.memory.spans import Missing, apart, bind, corners, covers, hull, over_loop
from mcuformer.program.buffers import Span
from mcuformer.program.calls import Loop
from mcuformer.program.expressions import Env
from mcuformer.program.program import Program


class Live(NamedTuple):
    """Bytes [lo, hi) of a buffer matter at positions first..last (inclusive).

    A buffer that holds the image and then the tokens written over it shrinks on the way: its
    lifetime is a staircase of these, and what it gives up is free for others.
    """

    first: int
    last: int
    lo: int
    hi: int


class Touch(Protocol):
    """What is known of a call: the bytes that it touches."""

    @property
    def reads(self) -> tuple[Span, ...]: ...
    @property
    def writes(self) -> tuple[Span, ...]: ...
    @property
    def scratch(self) -> tuple[Span, ...]: ...


def lifetimes(program: Program) -> dict[str, tuple[Live, ...]]:
    """Disjoint in time and in order, per buffer; none for a buffer that no call touches."""
    walk = _Walk()
    start = _Scope((), ({},))
    sources = [s for s in (t.span() for t in program.inputs) if s is not None]
    for whole in sources:
        start.written[whole.buffer].append((0, whole))
        if len(sources) > 1:  # the caller writes one after the other, read or not
            walk.add(start, whole, 0, 0)
    end = walk.steps(program.steps, start, 0)
    for result in filter(None, (t.span() for t in program.outputs)):
        if end and result.buffer in program.buffers:
            walk.read(start, result, end - 1, end - 1)
    for span, last in start.exposed:
        first = min(r.first for r in walk.found[span.buffer])
        walk.add(start, span, first, last)
    return {name: _staircase(walk.found[name]) for name in program.buffers}


def stretches(steps: Iterable[Touch | Loop[Any]]) -> dict[str, tuple[Live, ...]]:
    """The same for the buffers of some steps alone; positions count from their first call."""
    walk = _Walk()
    walk.steps(steps, _Scope((), ({},)), 0)
    return {name: _staircase(found) for name, found in walk.found.items()}


@dataclass(slots=True)
class _Scope:
    """The body of a loop, or the program: what has been written so far in one pass through it."""

    loops: tuple[Loop, ...]
    envs: tuple[Env, ...]
    written: dict[str, list[tuple[int, Span]]] = field(default_factory=lambda: defaultdict(list))
    exposed: list[tuple[Span, int]] = field(default_factory=list)


class _Walk:
    """One pass over the steps in text order; `found` collects rectangles of time and bytes."""

    def __init__(self) -> None:
        self.found: dict[str, list[Live]] = defaultdict(list)

    def steps(self, steps: Iterable[Touch | Loop[Any]], scope: _Scope, position: int) -> int:
        """Visit `steps`; the position after them."""
        for step in steps:
            if not isinstance(step, Loop):
                self.call(step, scope, position)
                position += 1
            elif step.total > step.step:
                position = self.loop(step, scope, position)
            elif step.total > 0:  # one iteration is no loop
                position = self.steps(_bound_steps(step), scope, position)
            else:
                position += sum(1 for _ in _calls_in(step.body))
        return position

    def call(self, call: Touch, scope: _Scope, position: int) -> None:
        for span in call.reads:
            self.read(scope, span, position, position)
        for span in (*call.writes, *call.scratch):
            self.add(scope, span, position, position)
        for span in call.writes:
            scope.written[span.buffer].append((position, span))

    def loop(self, loop: Loop, outside: _Scope, first: int) -> int:
        """The body by itself, then the loop as one step of the scope outside."""
        loops = (*outside.loops, loop)
        inside = _Scope(loops, corners(loops))
        end = self.steps(loop.body, inside, first)
        for span, last in inside.exposed:
            again = _for_next_pass(span, last, inside, loop)
            for whole in over_loop(span, loop):
                self.read(outside, whole, first, end - 1 if again is None else last)
            if again is not None:
                self.add(outside, span, again, end - 1)
        for name, writes in inside.written.items():
            outside.written[name] += [
                (at if _stays(s, loop) else first, w)
                for at, s in writes
                for w in over_loop(s, loop)
            ]
        return end

    def read(self, scope: _Scope, span: Span, first: int, last: int) -> None:
        """Bytes read at first..last live since the oldest write of this scope that they need."""
        source = _source(span, scope)
        if source is None:
            scope.exposed.append((span, last))
        self.add(scope, span, first if source is None else source, last)

    def add(self, scope: _Scope, span: Span, first: int, last: int) -> None:
        lo, hi = hull(span, scope.envs)
        if hi > lo:
            self.found[span.buffer].append(Live(first, last, lo, hi))


def _stays(span: Span, loop: Loop) -> bool:
    """True when every iteration touches the same bytes."""
    if not (span.start.terms or span.rows.terms):
        return True
    names = (loop.var, f"{loop.var}_n")
    return not any(name in names for name, _ in (*span.start.terms, *span.rows.terms))


def _for_next_pass(span: Span, last: int, scope: _Scope, loop: Loop) -> int | None:
    """Position of the write, after the read at `last`, that supplies the same read of the next
    iteration: between the two the bytes do not matter. None where they live through the loop."""
    if not _stays(span, loop):
        return None
    for position, write in reversed(scope.written[span.buffer]):
        if covers(write, span, scope.envs):
            return position if position > last and _stays(write, loop) else None
    return None


def _source(span: Span, scope: _Scope) -> int | None:
    """Position of the oldest write still needed; None where bytes come from before this scope."""
    missing: Missing | None = None
    oldest = 1 << 62
    for position, write in reversed(scope.written[span.buffer]):
        if covers(write, span, scope.envs):
            return min(oldest, position)
        if apart(write, span, scope.envs):
            continue
        missing = missing or Missing(span, scope.envs)
        missing.supply(write)
        oldest = min(oldest, position)
        if missing.empty:
            return oldest
    return None


@dataclass(frozen=True, slots=True)
class _Bound:
    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    scratch: tuple[Span, ...]


def _bound_steps(loop: Loop[Any]) -> tuple[Touch | Loop[Any], ...]:
    """The body of a loop that runs once, its variable replaced."""

    def bound(steps: tuple[Touch | Loop[Any], ...]) -> Iterator[Touch | Loop[Any]]:
        for step in steps:
            if isinstance(step, Loop):
                yield Loop(step.var, step.total, step.step, tuple(bound(step.body)))
            else:
                touched = (step.reads, step.writes, step.scratch)
                yield _Bound(*(tuple(bind(s, loop, 0) for s in spans) for spans in touched))

    return tuple(bound(loop.body))


def _calls_in(steps: tuple[Touch | Loop[Any], ...]) -> Iterator[Touch]:
    for step in steps:
        if isinstance(step, Loop):
            yield from _calls_in(step.body)
        else:
            yield step


def _staircase(rects: list[Live]) -> tuple[Live, ...]:
    """At every moment the hull of the bytes that matter; neighbours of equal extent joined."""
    if len(rects) == 1:
        return (rects[0],)
    extents: dict[tuple[int, int], list[Live]] = defaultdict(list)
    for r in sorted(set(rects)):  # by first, then last position
        _append(extents[r.lo, r.hi], r)
    if len(extents) == 1:
        return tuple(*extents.values())
    merged = [r for group in extents.values() for r in group]
    times = sorted({r.first for r in merged} | {r.last + 1 for r in merged})
    result: list[Live] = []
    for begin, end in pairwise(times):
        now = [r for r in merged if r.first <= begin <= r.last]
        if now:
            step = Live(begin, end - 1, min(r.lo for r in now), max(r.hi for r in now))
            _append(result, step)
    return tuple(result)


def _append(ordered: list[Live], new: Live) -> None:
    """Add `new`, joined to the last one where they touch in time and agree in bytes."""
    old = ordered[-1] if ordered else None
    if old and new.first <= old.last + 1 and (old.lo, old.hi) == (new.lo, new.hi):
        ordered[-1] = Live(old.first, max(old.last, new.last), old.lo, old.hi)
    else:
        ordered.append(new)
