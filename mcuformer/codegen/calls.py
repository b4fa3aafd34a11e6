"""Kernel calls as C text: addresses are buffer offsets by name plus what the loop variables add."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mcuformer.codegen.constants import Constants
from mcuformer.memory.model import MemoryPlan
from mcuformer.names import c_comment, unique_identifiers
from mcuformer.schedule.program import Addr, Arg, Call, Expr, Loop, Program, Step


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
    program: Program
    constants: Constants
    slots: Mapping[str, Slot]

    def lines(self) -> Iterator[str]:
        yield from self._steps(self.program.steps, 1, -1)

    def _steps(self, steps: tuple[Step, ...], depth: int, layer: int) -> Iterator[str]:
        pad = "    " * depth
        for step in steps:
            if isinstance(step, Loop):
                v, n = step.var, f"{step.var}_n"
                if step.comment:
                    yield f"{pad}/* {c_comment(step.comment)} */"
                yield f"{pad}for (int32_t {v} = 0; {v} < {step.total}; {v} += {step.step}) {{"
                body = list(self._steps(step.body, depth + 1, -1))
                if any(n in line for line in body):
                    yield f"{pad}    const int32_t {n} = {_tail(step)};"
                yield from body
                yield f"{pad}}}"
                layer = -1
                continue
            if step.layer != layer:
                yield f"{pad}MCF_LAYER({step.layer}); /* {c_comment(self._layer(step.layer))} */"
                layer = step.layer
            yield from self._call(step, pad)

    def _call(self, call: Call, pad: str) -> Iterator[str]:
        args = [self._arg(a) for a in call.args]
        if call.params is not None:
            args.insert(0, f"&{self.constants.struct_names[call.params]}")
        if call.kernel == "read_lines":
            lines = f"(unsigned)({args[1]}), (unsigned)({args[2]})"
            yield f"{pad}if ((status = read(ctx, (uint8_t *)({args[0]}), {lines})) != 0)"
            yield f"{pad}    return status;"
            return
        yield f"{pad}{call.kernel}({', '.join(args)});"
        if call.trace is not None:
            index, span, first = call.trace
            where = self._addr(Addr(span.buffer, span.start))
            yield (
                f"{pad}MCF_TRACE({index}, {where}, {span.stride}, {span.row_bytes}, "
                f"{self._expr(first)}, {self._expr(span.rows)});"
            )

    def _arg(self, arg: Arg) -> str:
        if isinstance(arg, Addr):
            return self._addr(arg)
        return arg if isinstance(arg, str) else self._expr(arg)

    def _addr(self, addr: Addr) -> str:
        offset = self._expr(addr.offset)
        tail = "" if offset == "0" else f" + {offset}"
        if addr.buffer is not None:
            slot = self.slots[addr.buffer]
            return f"(void *)(arena{slot.region or ''} + {slot.name}{tail})"
        if addr.constant == "ctx":
            return f"((const uint8_t *)ctx{tail})"
        return f"((const uint8_t *){self.constants.constant_names[str(addr.constant)]}{tail})"

    @staticmethod
    def _expr(expr: Expr) -> str:
        parts = [name if k == 1 else f"{k} * {name}" for name, k in expr.terms]
        if expr.const or not parts:
            parts.append(str(expr.const))
        return " + ".join(parts)

    def _layer(self, index: int) -> str:
        layer = self.program.layers[index]
        return f"{layer.name} [{'x'.join(map(str, layer.shape))}] {layer.schedule}"


def _tail(loop: Loop) -> str:
    if loop.total % loop.step == 0:
        return str(loop.step)
    return f"{loop.total} - {loop.var} < {loop.step} ? {loop.total} - {loop.var} : {loop.step}"


def slots(program: Program, plan: MemoryPlan) -> dict[str, Slot]:
    """C names of all placed buffers; the enumeration in model.c gives their offsets."""
    names = unique_identifiers(list(program.buffers), "b")
    order = {use.region.name: i for i, use in enumerate(plan.regions)}
    table = {}
    for (key, buffer), name in zip(program.buffers.items(), names, strict=True):
        place = plan.placements[key]
        table[key] = Slot(
            f"AT_{name}", order[place.region], place.offset, buffer.size_bytes, c_comment(key)
        )
    return table
