"""Parts of the report that a placed program knows by itself: memory, layers, the estimate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mcuformer.memory.model import MemoryPlan
from mcuformer.program.calls import Call, Loop, Step
from mcuformer.program.program import Program
from mcuformer.report.schema import LayerRow, Memory, RegionUse, sram_total


def memory_section(
    program: Program,
    made: MemoryPlan,
    *,
    regions: Iterable[RegionUse],
    available_bytes: int,
    static_bytes: int | None,
    stack_bytes: int | None,
) -> Memory:
    """SRAM of a plan; kernel scratch and a resident input lie in its arena, so they count there.

    `regions` are the board's, with all that lives in them; `available_bytes` its whole SRAM.
    """
    scratch = inputs = 0
    return Memory(
        arena_bytes=made.arena_bytes,
        scratch_bytes=scratch,
        static_bytes=static_bytes,
        stack_bytes=stack_bytes,
        input_bytes=inputs,
        input_mode=program.input_mode,
        output_mode=program.output_mode,
        sram_total_bytes=sram_total(made.arena_bytes, scratch, static_bytes, stack_bytes, inputs),
        sram_available_bytes=available_bytes,
        lower_bound_bytes=made.lower_bound_bytes,
        peak_layer=peak_layer(program, made),
        regions=tuple(regions),
    )


def peak_layer(program: Program, made: MemoryPlan) -> str:
    """The layer that runs when most bytes matter."""
    names = {layer.id: layer.name for layer in program.layers}
    return names.get(made.peak.layer, made.peak.kernel)


def layer_rows(program: Program, made: MemoryPlan) -> tuple[LayerRow, ...]:
    """One row per layer of the program; a layer that needs no call (a view) costs nothing."""
    spent: dict[int, _Spent] = defaultdict(_Spent)
    for (call, work), moment in zip(call_work(program), made.timeline, strict=True):
        row = spent[call.layer]
        row.instructions += work.instructions
        row.weight_bytes_read += work.weight_bytes_read
        row.live_bytes = max(row.live_bytes, moment.live_bytes)
        scratch = {span.buffer for span in call.scratch}
        size = sum(program.buffers[name].size_bytes for name in scratch)
        row.scratch_bytes = max(row.scratch_bytes, size)
    return tuple(
        LayerRow(
            id=layer.id,
            name=layer.name,
            op=layer.op,
            onnx_nodes=layer.onnx_nodes,
            shape=layer.shape,
            macs=layer.macs,
            weights_bytes=layer.weights_bytes,
            weight_bytes_read=spent[layer.id].weight_bytes_read,
            live_bytes=spent[layer.id].live_bytes,
            scratch_bytes=spent[layer.id].scratch_bytes,
            schedule=layer.schedule,
            estimated_instructions=spent[layer.id].instructions,
            weight_bits=layer.weight_bits,
        )
        for layer in program.layers
    )


@dataclass(slots=True)
class _Spent:
    instructions: int = 0
    weight_bytes_read: int = 0
    live_bytes: int = 0
    scratch_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CallTotal:
    """All executions of one call: how many, and what they cost together."""

    executions: int
    instructions: int
    weight_bytes_read: int


def call_work(program: Program) -> list[tuple[Call, CallTotal]]:
    """Every call in static order with what all its executions cost."""
    return list(_work(program.steps, 1, None))


def _work(
    steps: Iterable[Step], times: int, inner: Loop | None
) -> Iterator[tuple[Call, CallTotal]]:
    """`times` executions of the innermost loop `inner` around `steps`."""
    for step in steps:
        if isinstance(step, Loop):
            outer = times * (-(-inner.total // inner.step) if inner else 1)
            yield from _work(step.body, outer, step)
            continue
        full, tail = divmod(inner.total, inner.step) if inner else (1, 0)
        last = step.instructions if step.tail_instructions is None else step.tail_instructions
        runs = full + bool(tail)
        once = full * step.instructions + bool(tail) * last
        yield step, CallTotal(times * runs, times * once, times * runs * step.weight_bytes_read)
