"""A placed program as text, for golden files and for reading: buffers, then calls in order.

    buffer blocks.0.q: 1568 B at sram+0, activation
    for t in 0..49 by 32: blocks.0.q
      0 mcf_linear blocks.0.q(&blocks.0.q) reads blocks.0.norm1[0 + 32*t]:t_n x 32/32 writes ...

A span prints as buffer[start]:rows x row_bytes/stride.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mcuformer.memory.model import MemoryPlan
from mcuformer.program.buffers import Addr, Arg, Span
from mcuformer.program.calls import Call, Loop, Step
from mcuformer.program.expressions import Expr
from mcuformer.program.program import IoTensor, Program


def print_program(program: Program, plan: MemoryPlan) -> str:
    """Everything that decides which bytes a firmware touches; no weights, no estimates."""
    lines = [f"program {program.name} {program.input_mode}"]
    for word, tensors in (("input", program.inputs), ("output", program.outputs)):
        lines += [
            f"{word} {t.value}: {t.lines} x {t.line_bytes} {_place(word, t)}" for t in tensors
        ]
    for name, buffer in program.buffers.items():
        at = plan.placements[name]
        lines.append(
            f"buffer {name}: {buffer.size_bytes} B at {at.arena}+{at.offset}, {buffer.kind}"
        )
    lines += _steps(program.steps, "")
    lines += [f"trace {i}: {t.value} +{t.first_byte}" for i, t in enumerate(program.traces)]
    return "\n".join([*lines, ""])


def _place(word: str, t: IoTensor) -> str:
    by_lines = word == "output" and t.buffer is None
    return f"by lines from {t.first_line}" if by_lines else f"at {t.buffer}+{t.offset}"


def _steps(steps: Iterable[Step], pad: str) -> Iterator[str]:
    for step in steps:
        if isinstance(step, Loop):
            yield f"{pad}for {step.var} in 0..{step.total} by {step.step}: {step.comment}"
            yield from _steps(step.body, pad + "  ")
        else:
            yield pad + _call(step)


def _call(call: Call) -> str:
    args = ", ".join([*([f"&{call.params}"] if call.params else []), *map(_arg, call.args)])
    text = f"{call.layer} {call.kernel}({args})"
    for word, spans in (("reads", call.reads), ("writes", call.writes), ("scratch", call.scratch)):
        if spans:
            text += f" {word} " + ", ".join(map(_span, spans))
    return text + (" overwrites" if call.overwrites else "")


def _span(span: Span) -> str:
    rows = f"{expression(span.rows)} x {span.row_bytes}/{span.stride}"
    return f"{span.buffer}[{expression(span.start)}]:{rows}"


def _arg(arg: Arg) -> str:
    if isinstance(arg, Addr):
        name = arg.buffer if arg.buffer is not None else f"const {arg.constant}"
        return f"{name}[{expression(arg.offset)}]"
    return arg if isinstance(arg, str) else expression(arg)


def expression(expr: Expr) -> str:
    """`64*t + 8`."""
    parts = [name if k == 1 else f"{k}*{name}" for name, k in expr.terms]
    return " + ".join([*parts, *([str(expr.const)] if expr.const or not parts else [])])
