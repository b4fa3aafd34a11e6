"""Kernel calls as C text: addresses are buffer offsets by name plus what the loop variables add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mcuformer.codegen.constants import Constants
from mcuformer.codegen.lines import call as call_lines
from mcuformer.codegen.lines import note, noted
from mcuformer.codegen.symbols import OFFSET, Symbols, same
from mcuformer.memory.model import MemoryPlan
from mcuformer.program.buffers import IMAGE, Addr, Arg
from mcuformer.program.calls import Call, Loop, Step
from mcuformer.program.expressions import Expr
from mcuformer.program.program import Program
from mcuformer.util.names import c_comment


@dataclass(frozen=True, slots=True)
class Slot:
    """A buffer's name in C and which arena region it lies in."""

    name: str
    region: int
    offset: int
    size_bytes: int
    comment: str


@dataclass(frozen=True, slots=True)
class Printer:
    """`arenas`: how the C calls the arena of each region, the caller's first. `own`: where in the table
    `own` stand the structs in which tasks with one body differ."""

    program: Program
    constants: Constants
    slots: Mapping[str, Slot]
    arenas: Sequence[str]
    own: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        yield from self._steps(self.program.steps, 1, -1)

    def _steps(self, steps: tuple[Step, ...], depth: int, layer: int) -> Iterator[str]:
        pad = "    " * depth
        for step in steps:
            if isinstance(step, Loop):
                yield from self._loop(step, depth)
                layer = -1
                continue
            if step.layer != layer:
                yield noted(f"{pad}MCF_LAYER({step.layer});", self._layer(step.layer))
                layer = step.layer
            yield from self._call(step, pad)

    def _loop(self, loop: Loop, depth: int) -> Iterator[str]:
        pad, v, count = "    " * depth, loop.var, f"{loop.var}_n"
        if loop.comment:
            yield pad + note(loop.comment, len(pad))
        yield f"{pad}for (int32_t {v} = 0; {v} < {loop.total}; {v} += {loop.step}) {{"
        if any(name == count for step in loop.body for name in _variables(step)):
            yield f"{pad}    const int32_t {count} = {_tail(loop)};"
        yield from self._steps(loop.body, depth + 1, -1)
        yield f"{pad}}}"

    def _call(self, call: Call, pad: str) -> Iterator[str]:
        if call.kernel in ("read_lines", "write_lines"):
            yield from self._exchange(call, pad)
            return
        args = [self._arg(a) for a in call.args]
        if call.params is not None:
            args.insert(0, self._struct(call.params))
        yield from call_lines(pad, call.kernel, args)
        if call.trace is not None:
            index, span, first = call.trace
            where = self._addr(Addr(span.buffer, span.start))
            rest = (span.stride, span.row_bytes, _expr(first), _expr(span.rows))
            yield from call_lines(pad, "MCF_TRACE", [str(index), where, *map(str, rest)])

    def _struct(self, key: str) -> str:
        if key in self.own:
            return f"own[{self.own[key]}]"
        return f"&{self.constants.struct_names[key]}"

    def _exchange(self, call: Call, pad: str) -> Iterator[str]:
        """A callback fills lines of the arena, or takes them."""
        at, first, count = call.args
        assert isinstance(at, Addr)
        lines = [_unsigned(str(self._arg(a))) for a in (first, count)]
        if call.kernel == "read_lines":
            yield from call_lines(pad, "status = read", ["ctx", self._addr(at), *lines])
        else:
            address = f"(const int8_t *)({self._addr(at)})"
            yield from call_lines(pad, "status = write", ["write_ctx", address, *lines])
        yield f"{pad}if (status) return status;"

    def _arg(self, arg: Arg) -> str:
        if isinstance(arg, Addr):
            return self._addr(arg)
        return arg if isinstance(arg, str) else _expr(arg)

    def _addr(self, addr: Addr) -> str:
        """Bytes in an arena as uint8_t *, in flash as const void *: kernels take untyped addresses.

        Only arithmetic needs a type: an array in flash is of words, the caller's image of anything.
        """
        if addr.buffer is not None:
            slot = self.slots[addr.buffer]
            return f"{self.arena(slot)} + {slot.name}{_plus(addr.offset)}"
        base = "ctx" if addr.constant == IMAGE else self._constant(addr)
        offset = _plus(addr.offset)
        return f"(const uint8_t *){base}{offset}" if offset else base

    def arena(self, slot: Slot) -> str:
        return self.arenas[slot.region]

    def _constant(self, addr: Addr) -> str:
        return self.constants.constant_names[str(addr.constant)]

    def _layer(self, index: int) -> str:
        layer = self.program.layers[index]
        return f"{layer.name} [{'x'.join(map(str, layer.shape))}] {layer.schedule}"


def _plus(offset: Expr) -> str:
    text = _expr(offset)
    return "" if text == "0" else f" - {text[1:]}" if text.startswith("-") else f" + {text}"


def _expr(expr: Expr) -> str:
    text = " + ".join(name if k == 1 else f"{k} * {name}" for name, k in expr.terms)
    if not text:
        return str(expr.const)
    return text if not expr.const else f"{text} {'+' if expr.const > 0 else '-'} {abs(expr.const)}"


def _unsigned(text: str) -> str:
    return text if text.isdigit() else f"(unsigned)({text})"


def _tail(loop: Loop) -> str:
    if loop.total % loop.step == 0:
        return str(loop.step)
    return f"{loop.total} - {loop.var} < {loop.step} ? {loop.total} - {loop.var} : {loop.step}"


def _variables(step: Step) -> Iterator[str]:
    """Every loop variable and row count that the C of a step names."""
    if isinstance(step, Loop):
        for inner in step.body:
            yield from _variables(inner)
        return
    shown: Iterable[Arg] = step.args
    if step.trace is not None:
        _, span, first = step.trace
        shown = (*shown, span.start, span.rows, first)
    for arg in shown:
        expr = arg.offset if isinstance(arg, Addr) else arg
        if isinstance(expr, Expr):
            yield from (name for name, _ in expr.terms)


def slots(program: Program, plan: MemoryPlan, symbols: Symbols) -> dict[str, Slot]:
    """C names of all placed buffers; the enumeration in model.c gives their offsets."""
    names = symbols.table(same(program.buffers), OFFSET)
    order = {use.arena.name: i for i, use in enumerate(plan.arenas)}
    table = {}
    for key, buffer in program.buffers.items():
        place = plan.placements[key]
        table[key] = Slot(
            names[key], order[place.arena], place.offset, buffer.size_bytes, c_comment(key)
        )
    return table
