"""Scale, zero point and element type of every activation, before any operation is lowered."""

from __future__ import annotations

from collections.abc import Sequence

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph
from mcuformer.quant.assignment import Assignment, Formats, InputFormat, per_input
from mcuformer.quant.attention_grids import assign_operands, operand_limits
from mcuformer.quant.calibrate import CalibrationStats
from mcuformer.quant.class_grids import assign_class
from mcuformer.quant.policy import Mode, policies


def assign(stats: CalibrationStats, mode: Mode, input_format: Formats) -> Assignment:
    """Everything from the statistics; ranges given by a QDQ model already replaced theirs there."""
    graph = stats.graph
    formats = per_input(graph, input_format)
    pairs = [(n, fmt) for n, fmt in zip(graph.inputs, formats, strict=True) if fmt is not None]
    done = typed(graph, mode, [name for name, _ in pairs])
    for name, fmt in pairs:
        _assign_pixels(graph, name, fmt, done)
    for op in graph.ops:
        if op.kind == "attention":
            assign_operands(stats, op, done)
    for name, policy in done.policies.items():
        if name not in done.qparams:
            assign_class(stats, policy, done)
    return done


def typed(graph: Graph, mode: Mode, pixels: Sequence[str]) -> Assignment:
    """What structure decides of the prepared graph; the inputs `pixels` are raw uint8."""
    done = Assignment(policies(graph, mode))
    done.dtypes.update((name, policy.dtype) for name, policy in done.policies.items())
    for name in pixels:  # moves of pixels hold pixels
        done.dtypes.update((member, "uint8") for member in done.policies[name].members)
    for op in graph.ops:
        if op.kind == "attention":
            dtype = done.policies[str(op.inputs[1])].dtype
            done.limits[op.name] = operand_limits(graph, op, dtype)
            done.dtypes[str(op.inputs[0])] = dtype  # it may be a constant
    return done


def _assign_pixels(graph: Graph, name: str, fmt: InputFormat, done: Assignment) -> None:
    channels = graph.type(name).shape[-1]
    if len(fmt.mean) != channels or len(fmt.std) != channels or min(fmt.std) <= 0:
        raise UsageError(
            f"mean and std need {channels} numbers each (std positive), got "
            f"{list(fmt.mean)} and {list(fmt.std)}"
        )
    for member in done.policies[name].members:
        done.qparams[member] = fmt.qparams()
