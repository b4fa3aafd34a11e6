"""An independent check of a plan: no lifetimes, no planner code, only what each call touches.

Walks the executions of the program backwards and keeps, for every byte of memory, which buffer a
later call still needs there. A write over another buffer's needed byte, two buffers needed on one
byte, or a byte read that nothing wrote, is an error.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from mcuformer.memory.model import MemoryPlan, PlanError
from mcuformer.program.buffers import Addr, Span
from mcuformer.program.calls import Call
from mcuformer.program.expressions import Env
from mcuformer.program.program import Program

Owners = NDArray[np.int32]
NOBODY = -1


def check(program: Program, made: MemoryPlan) -> None:
    """Raise PlanError unless the placements of `made` run `program` without losing a byte."""
    _check_bounds(program, made)
    _Backwards(program, made).run()


def _check_bounds(program: Program, made: MemoryPlan) -> None:
    uses = {use.arena.name: use for use in made.arenas}
    for name, buffer in program.buffers.items():
        place = made.placements[name]
        use = uses[place.arena]
        end = place.offset + buffer.size_bytes
        if place.offset < 0 or end > use.used_bytes:
            raise PlanError(
                f"buffer {name} at {place.offset}..{end} leaves {use.used_bytes} B of {place.arena}"
            )
        if (use.arena.base + place.offset) % buffer.align:
            raise PlanError(f"buffer {name} at {place.offset} is not aligned to {buffer.align}")


class _Backwards:
    """`owners[:, a]`: `need`, the buffer whose byte at address a a later call reads, and `busy`, the buffer
    that the call at hand writes there.
    """

    def __init__(self, program: Program, made: MemoryPlan) -> None:
        self.program = program
        self.names = list(program.buffers)
        self.ids = {name: i for i, name in enumerate(self.names)}
        origin, total = {}, 0
        for use in made.arenas:
            origin[use.arena.name] = total
            total += use.used_bytes
        self.base = {n: origin[p.arena] + p.offset for n, p in made.placements.items()}
        slack = max((s.stride for c, _ in program.calls() for s in _all(c)), default=0)
        self.owners: Owners = np.full((2, total + slack), NOBODY, np.int32)
        self.need = self.owners[0]

    def run(self) -> None:
        for output in filter(None, (t.span() for t in self.program.outputs)):
            held = self.at(self.need, output, {})
            mine = self.ids[output.buffer]
            if not np.isin(held, (NOBODY, mine)).all():
                raise PlanError(f"outputs {output.buffer} and another share bytes")
            held[:] = mine
        for call, env in reversed(list(self.program.executions())):
            self.step(call, env)
        self.check_inputs()
        sources = {t.buffer for t in self.program.inputs}
        for left in np.unique(self.need):
            if left != NOBODY and self.names[left] not in sources:
                raise PlanError(f"buffer {self.names[left]} is read before anything wrote it")

    def check_inputs(self) -> None:
        """No two inputs share a byte: the caller writes one after the other."""
        taken: Owners = np.full(len(self.need), NOBODY, np.int32)
        for i, span in enumerate(t.span() for t in self.program.inputs):
            if span is not None:
                held = self.at(taken, span, {})
                if (held != NOBODY).any():
                    raise PlanError(f"input {span.buffer} and another share bytes")
                held[:] = i

    def step(self, call: Call, env: Env) -> None:
        """From the state after the call to the one before: results are free, operands needed."""
        here = partial(self.expect, call, env)
        scratch, written = (
            [(s, *self.at(self.owners, s, env)) for s in spans]
            for spans in (call.scratch, call.writes)
        )
        for span, need, _ in scratch:
            here(need, span, (NOBODY,), "which a later call reads")
        for span, need, _ in written:
            here(need, span, (NOBODY, self.ids[span.buffer]), "which a later call reads")
        touched = written + scratch
        for span, need, busy in touched:
            here(busy, span, (NOBODY, self.ids[span.buffer]), "which the same call writes")
            busy[:] = self.ids[span.buffer]
            need[:] = NOBODY
        own = {s.buffer for s in call.writes} - {s.buffer for s in call.scratch}
        for span in call.reads:
            me = self.ids[span.buffer]
            rowwise = call.overwrites and span.buffer in own
            need, busy = self.at(self.owners, span, env)
            here(busy, span, (NOBODY, me if rowwise else NOBODY), "which the same call writes")
            here(need, span, (NOBODY, me), "which a later call reads")
            need[:] = me
        for _, _, busy in touched:
            busy[:] = NOBODY
        self.check_arguments(call, env)

    def expect(
        self, call: Call, env: Env, held: Owners, span: Span, allowed: tuple[int, ...], why: str
    ) -> None:
        wrong = held != allowed[0]
        if not wrong.any():
            return
        for owner in allowed[1:]:
            wrong &= held != owner
        if wrong.any():
            other = self.names[int(held[wrong][0])]
            raise PlanError(f"{_where(call, env)}: {span.buffer} lies on bytes of {other} {why}")

    def at(self, array: Owners, span: Span, env: Env) -> Owners:
        """The bytes of a span in `array` [..., bytes], one row per piece."""
        start, rows = span.start.value(env), span.rows.value(env)
        end = start + (rows - 1) * span.stride + span.row_bytes
        if start < 0 or rows < 1 or end > self.program.buffers[span.buffer].size_bytes:
            raise PlanError(f"bytes {start}..{end} are outside of buffer {span.buffer}")
        low = self.base[span.buffer] + start
        if rows == 1 or span.stride <= span.row_bytes:
            return array[..., low : low + end - start]
        pieces = array[..., low : low + rows * span.stride]
        return pieces.reshape(*array.shape[:-1], rows, span.stride)[..., : span.row_bytes]

    def check_arguments(self, call: Call, env: Env) -> None:
        """Every span begins at or after a pointer that the kernel gets, in the same buffer."""
        pointers = [a for a in call.args if isinstance(a, Addr) and a.buffer]
        given = [(a.buffer, a.offset.value(env)) for a in pointers]
        for span in _all(call) if given else ():
            at = span.start.value(env)
            if not any(buffer == span.buffer and offset <= at for buffer, offset in given):
                raise PlanError(f"{_where(call, env)}: no argument points at {span.buffer}+{at}")


def _all(call: Call) -> tuple[Span, ...]:
    return (*call.reads, *call.writes, *call.scratch)


def _where(call: Call, env: Env) -> str:
    loops = ", ".join(f"{name}={value}" for name, value in env.items() if not name.endswith("_n"))
    return f"{call.kernel} of layer {call.layer}" + (f" ({loops})" if loops else "")
