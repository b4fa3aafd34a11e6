"""What `--output-mode lines` could not spare: outputs that lie whole in SRAM for a while, and why."""

from __future__ import annotations

from collections.abc import Iterator

from mcuformer.compile.options import CompileOptions
from mcuformer.errors import Diagnostic
from mcuformer.program.program import Program
from mcuformer.util.names import printable


def whole_outputs(program: Program, options: CompileOptions) -> Iterator[Diagnostic]:
    """A remark for every output that leaves by lines and has a place for all of its rows; a warning
    where no output is dense."""
    if options.output_mode == "resident":
        return
    if program.output_mode == "resident":
        yield Diagnostic(
            severity="warning", code="output-mode", where=None,
            message="--output-mode lines: no output has several rows of its own, all stay in SRAM",
        )  # fmt: skip
    for tensor, name in zip(program.outputs, program.graph.meta["output_names"], strict=True):
        size, found = tensor.size_bytes, _largest_written(program, tensor.first_line, tensor.lines)
        if tensor.buffer is None and found >= size:
            yield Diagnostic(
                severity="info", code="output-mode", where=name,
                message=f"output {printable(name)} leaves by lines, and its {size:,} B lie in SRAM "
                f"whole before: {_why(program, tensor.value)}",
            )  # fmt: skip


def _largest_written(program: Program, first_line: int, lines: int) -> int:
    """Bytes of the largest buffer that lines from `first_line` on are handed out of."""
    found = 0
    for call, loops in program.calls():
        if call.kernel == "write_lines":
            env = {v: 0 for loop in loops for v in (loop.var, f"{loop.var}_n")}
            line = call.args[1].value(env)  # type: ignore[union-attr]
            if first_line <= line < first_line + lines:
                found = max(found, program.buffers[call.reads[0].buffer].size_bytes)
    return found


def _why(program: Program, value: str) -> str:
    readers = program.graph.consumers()[value]
    if readers:
        return f"layer {printable(readers[0].name)} reads it"
    kind = program.graph.producers()[value].kind
    if kind in ("concat", "gather", "slice", "reshape"):
        return f"its rows are moved together ({kind}), not computed"
    return "that is no more than the layers before it need at once"
