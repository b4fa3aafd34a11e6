"""Byte-level replay of a program on its memory plan.

Every write stamps the bytes of memory that it covers with a fresh number and remembers the number
for the buffer's own bytes. Every read compares the two: another number means that something else
was written there in between, none means that nothing was ever written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.memory.model import MemoryPlan, PlanError
from mcuformer.program.buffers import Span
from mcuformer.program.calls import Call
from mcuformer.program.expressions import Env, Expr
from mcuformer.program.program import Program

Stamps = NDArray[np.int64]
BEFORE = 1  # the stamp of the first input, which the caller wrote


@dataclass(frozen=True, slots=True)
class Replay:
    """Calls executed, bytes moved, and one past the highest byte used, per arena."""

    executions: int
    bytes_read: int
    bytes_written: int
    high_water: dict[str, int]


def simulate(program: Program, made: MemoryPlan) -> Replay:
    """Run every call of `program` in order; PlanError at the first read that would be wrong."""
    memory = _Memory(program, made)
    count = 0
    for call, env in program.executions():
        memory.run(call, env)
        count += 1
    memory.finish()
    return Replay(count, memory.bytes_read, memory.bytes_written, memory.high_water())


class _Memory:
    """`held`: the stamp of each byte of SRAM. `wrote[buffer]`: the stamp its bytes should carry."""

    def __init__(self, program: Program, made: MemoryPlan) -> None:
        self.program, self.made = program, made
        widest = max((s.stride for c, _ in program.calls() for s in _spans(c)), default=0)
        self.origin: dict[str, int] = {}
        total = 0
        for use in made.arenas:
            self.origin[use.arena.name] = total
            total += use.used_bytes + widest  # the slack lets a last row be viewed with its stride
        for name, place in made.placements.items():
            end = place.offset + program.buffers[name].size_bytes
            used = next(u.used_bytes for u in made.arenas if u.arena.name == place.arena)
            if place.offset < 0 or end > used:
                raise PlanError(f"buffer {name} leaves the {used} B of {place.arena}")
        self.held: Stamps = np.zeros(total, np.int64)
        self.base = {n: self.origin[p.arena] + p.offset for n, p in made.placements.items()}
        self.wrote: dict[str, Stamps] = {
            name: np.zeros(b.size_bytes + widest, np.int64) for name, b in program.buffers.items()
        }
        self.log: list[str] = ["nothing"]
        self.bytes_read = self.bytes_written = 0
        sources = [(t.value, s) for t in program.inputs if (s := t.span()) is not None]
        for i, (name, span) in enumerate(sources):
            self.log.append(f"input {name}")
            self.stamp(span, {}, BEFORE + i)
        for i, (_, span) in enumerate(sources):
            self.compare(span, {}, "the caller", BEFORE + i)

    def run(self, call: Call, env: Env) -> None:
        """Scratch and results land while the call still reads, save rows that it overwrites."""
        where = f"{call.kernel} of layer {call.layer} {dict(env) or ''}".rstrip()
        own = [s for s in call.reads if call.overwrites and self.meets(s, call.writes, env)]
        others = [s for s in call.reads if s not in own]
        before = [(s, self.view(self.wrote[s.buffer], s, env).copy()) for s in others]
        stamps = []
        for span in call.scratch:
            stamps.append((span, self.next_stamp(f"{where} (scratch {span.buffer})")))
            self.stamp(span, env, stamps[-1][1])
        for span in own:
            self.compare(span, env, where)
        for buffer in dict.fromkeys(s.buffer for s in call.writes):
            stamp = self.next_stamp(f"{where} (writing {buffer})")
            mine = [s for s in call.writes if s.buffer == buffer]
            rowwise = [s for s in own if s.buffer == buffer]
            self.write(mine, rowwise, env, stamp, where)
            stamps += [(s, stamp) for s in mine]
        for span, expected in before:
            self.compare(span, env, where, expected)
        for span, stamp in stamps:
            self.compare(span, env, f"{where} (its own bytes)", stamp)

    def write(self, writes: list[Span], own: list[Span], env: Env, stamp: int, where: str) -> None:
        """Stamp the spans, row by row in step with the reads where they overwrite operands."""
        if all(_same_bytes(r, w, env) or not self.meets(r, [w], env) for r in own for w in writes):
            for span in writes:
                self.stamp(span, env, stamp)
            return
        before = self.wrote[own[0].buffer].copy()
        rows = max(s.rows.value(env) for s in writes)
        if any(s.rows.value(env) != rows for s in (*own, *writes)):
            raise PlanError(f"{where}: overwrites rows of {writes[0].buffer} of another count")
        for i in range(rows):
            for row in (_row(span, i, env) for span in own):
                self.compare(row, env, f"{where} row {i}", self.view(before, row, env))
            for span in writes:
                self.stamp(_row(span, i, env), env, stamp)

    def compare(
        self, span: Span, env: Env, where: str, expected: Stamps | int | None = None
    ) -> None:
        """Memory must hold what the buffer's last writes (or `expected`) put there."""
        held = self.view(self.held, span, env, self.base[span.buffer])
        wrote = self.view(self.wrote[span.buffer], span, env) if expected is None else expected
        self.bytes_read += held.size
        wrong = (held != wrote) | (wrote == 0)
        if not wrong.any():
            return
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        byte = span.start.value(env) + row * span.stride + column
        if np.broadcast_to(wrote, held.shape)[row, column] == 0:
            raise PlanError(f"{where} reads byte {byte} of {span.buffer}, which nothing wrote")
        culprit = self.log[held[row, column]]
        raise PlanError(f"{where} reads byte {byte} of {span.buffer}, overwritten by {culprit}")

    def stamp(self, span: Span, env: Env, stamp: int) -> None:
        held = self.view(self.held, span, env, self.base[span.buffer])
        held[:] = stamp
        self.view(self.wrote[span.buffer], span, env)[:] = stamp
        self.bytes_written += held.size

    def view(self, array: Stamps, span: Span, env: Env, base: int = 0) -> Stamps:
        """The bytes of a span as [rows, row_bytes], sharing memory with `array`."""
        start, rows = span.start.value(env), span.rows.value(env)
        stride, width = span.stride, span.row_bytes
        if rows <= 1 or stride <= width:  # one piece
            rows, width = 1, max(0, rows - 1) * stride + width
            stride = width
        end = start + (rows - 1) * stride + width
        if start < 0 or end > self.program.buffers[span.buffer].size_bytes:
            raise PlanError(f"bytes {start}..{end} are outside of buffer {span.buffer}")
        at = base + start
        return array[at : at + rows * stride].reshape(rows, stride)[:, :width]

    def meets(self, span: Span, others: Sequence[Span], env: Env) -> bool:
        """True when `span` shares bytes with one of `others` of its own buffer."""
        mine = [o for o in others if o.buffer == span.buffer]
        if not mine:
            return False
        mark: Stamps = np.zeros_like(self.wrote[span.buffer])
        self.view(mark, span, env)[:] = 1
        return any(self.view(mark, o, env).any() for o in mine)

    def next_stamp(self, text: str) -> int:
        self.log.append(text)
        return len(self.log) - 1

    def finish(self) -> None:
        for span in filter(None, (t.span() for t in self.program.outputs)):
            self.compare(span, {}, "the caller")

    def high_water(self) -> dict[str, int]:
        marks = {}
        for use in self.made.arenas:
            first = self.origin[use.arena.name]
            touched = np.flatnonzero(self.held[first : first + use.used_bytes])
            marks[use.arena.name] = int(touched[-1]) + 1 if len(touched) else 0
        return marks


def _spans(call: Call) -> tuple[Span, ...]:
    return (*call.reads, *call.writes, *call.scratch)


def _same_bytes(a: Span, b: Span, env: Env) -> bool:
    shape = [(s.start.value(env), s.rows.value(env), s.stride, s.row_bytes) for s in (a, b)]
    return shape[0] == shape[1]


def _row(span: Span, i: int, env: Env) -> Span:
    start = Expr(span.start.value(env) + i * span.stride)
    return Span(span.buffer, start, span.stride, span.row_bytes, Expr(1))
