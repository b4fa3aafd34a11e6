"""Graph at stage "onnx" -> Graph at stage "float": every node handled by one row of `HANDLERS`.

A handler gets views and constants and returns views. One that cannot go on raises Unsupported: an
opaque value of its result's shape takes its place, where that shape is known, the walk continues, and
all reasons are reported together. Nothing is refused for what an opaque value is or is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend import grids, joining, names, products, refusals
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.ends import convert_inputs, convert_outputs, laid_out
from mcuformer.frontend.handlers import HANDLERS
from mcuformer.frontend.names import shown
from mcuformer.frontend.operands import Operands
from mcuformer.frontend.views import Opaque, OwnFault, Unsupported, View, is_opaque
from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.layout import Pixels
from mcuformer.ir.optable import ONNX_STAGE
from mcuformer.ir.types import TensorType
from mcuformer.operators.table import refusal
from mcuformer.passes.fold_constants import KERNEL_ERRORS

Bound = dict[str, Operand | None]
MAX_LISTED = 40
# Their result is a tensor of its own, whatever they read: behind them all is known again.
_MAKES = frozenset((
    "Conv", "ConvTranspose", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "Unary",
    "MaxPool", "AveragePool", "GlobalMaxPool", "ArgMax",
))  # fmt: skip
_PRODUCTS = ("MatMul", "Gemm")  # likewise, by a constant matrix


@dataclass(slots=True)
class _Refused:
    """Sentences by node, the operators, and what depends on them."""

    problems: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    lost: set[str | None] = field(default_factory=set)

    def add(self, op: Op, reason: str) -> None:
        kind = op.attrs["fn"] if op.kind == "Unary" else op.kind
        self.problems.append(f"{kind} {shown(op.origin[0])}: {reason}")
        self.kinds.append(op.kind)
        self.lost.update(op.outputs)


def convert(graph: Graph) -> Graph:
    builder = Builder(graph.name, "float")
    emit = Emitter(graph, builder, products.real)
    env: Bound = {n: v.data for n, v in graph.values.items()}
    layouts, inputs = convert_inputs(graph, builder, env)
    for name in graph.inputs:
        env[name] = grids.noted(emit, name, env[name])
    refused = _Refused()
    for op in graph.ops:
        emit.stem, emit.origin = _stem(graph, op), tuple(names.origin(o) for o in op.origin)
        results = _results(emit, op, env, refused)
        for name, value in zip(op.outputs, results, strict=True):
            env[name] = value if is_opaque(value) else grids.noted(emit, name, value)
    emit.stem, emit.origin = "output", ()
    outputs = convert_outputs(graph, emit, env, refused.problems)
    if refused.problems:
        refused.problems += _later_problems(builder)
        raise _error(graph, refused)
    meta = {
        **{k: v for k, v in graph.meta.items() if k not in ("input_dims", "declared")},
        "input_names": tuple(graph.inputs),
        "input_pixels": tuple(
            _pixels(graph, n, builder, i) for n, i in zip(graph.inputs, inputs, strict=True)
        ),
        "input_layouts": layouts,
        "input_shapes": tuple(graph.type(n).shape for n in graph.inputs),
        "output_shapes": tuple(graph.type(o).shape for o in graph.outputs),
    }
    if "qdq" in meta:
        meta |= {"qdq": emit.qdq, "qdq_weights": emit.weight_scales}
    return builder.done(inputs, outputs, meta).pruned()


def _pixels(graph: Graph, name: str, builder: Builder, made: str) -> Pixels | None:
    """Of an input that is uint8 in the file: mean and std per channel over 0..1, so far those that keep it
    as it is. None where the file takes floats."""
    if graph.type(name).dtype.startswith("float"):
        return None
    channels = builder.values[made].type.shape[-1]
    return (0.0,) * channels, (1 / 255,) * channels


def _later_problems(builder: Builder) -> list[str]:
    """Of what was converted, that lowering refuses: all is said in one run."""
    partial = builder.done((), (), {})
    reasons = [(op, refusal(partial, op)) for op in partial.ops]
    return [
        f"{op.kind} {shown(op.origin[-1] if op.origin else op.name)}: {reason}"
        for op, reason in reasons
        if reason is not None
    ]


def _error(graph: Graph, refused: _Refused) -> UnsupportedModelError:
    for op in graph.ops:
        if not refused.lost.isdisjoint(op.inputs):
            refused.lost.update(op.outputs)
    lost = [name for name in graph.outputs if name in refused.lost]
    lost = lost if len(lost) < len(graph.outputs) else []
    return UnsupportedModelError(_message(refused.problems, lost), refusals.hint(refused.kinds))


def _message(problems: list[str], lost: list[str]) -> str:
    """`lost`: outputs that cannot be made for it, where they are not all."""
    count = len(problems)
    head = f"{count} node{'s are' if count > 1 else ' is'} not supported:"
    more = [f"... and {count - MAX_LISTED} more"] if count > MAX_LISTED else []
    names = ", ".join(map(shown, lost[:MAX_LISTED]))
    more += [f"wanted for graph output {names}"] if lost else []
    return "\n  ".join([head, *problems[:MAX_LISTED], *more])


def _stem(graph: Graph, op: Op) -> str:
    """A readable name: the module it was exported from, else its weights', else the node's own."""
    weights = (names.module_of_weight(i) for i in op.inputs if i and graph.const(i) is not None)
    return next((w for w in weights if w), op.name)


def _results(emit: Emitter, op: Op, env: Bound, refused: _Refused) -> list[Operand | None]:
    """What the node makes; what stands for it where it is refused, or reads what nobody knows."""
    args = [None if i is None else env[i] for i in op.inputs]
    opaque = any(map(is_opaque, args))
    try:
        results = _run(emit, op, args)
    except Unsupported as reason:
        blamed = bool(str(reason)) and (isinstance(reason, OwnFault) or not opaque)
        if blamed:
            refused.add(op, str(reason))
        return _opaque(emit, op, args, blamed and HANDLERS.get(op.kind) is None)
    if not opaque or op.kind in _MAKES or (op.kind in _PRODUCTS and _has_constant(args[:2])):
        return results
    return _opaque(emit, op, args, apart=op.kind in joining.MOVED_NODES and _all_apart(args))


def _has_constant(args: Operands) -> bool:
    return any(isinstance(a, np.ndarray) for a in args)


def _all_apart(args: Operands) -> bool:
    bases = [a.base for a in args if isinstance(a, View)]
    return all(b.apart for b in bases if isinstance(b, Opaque))


def _opaque(emit: Emitter, op: Op, args: Operands, apart: bool) -> list[Operand | None]:
    """Placeholders; None where the shape is unknown, or the result may be a constant."""
    if not any(isinstance(a, View) for a in args):
        return [None] * len(op.outputs)
    return [_placeholder(emit, name, apart) for name in op.outputs]


def _placeholder(emit: Emitter, name: str, apart: bool) -> View | None:
    shape = emit.graph.type(name).shape
    if any(d < 1 for d in shape):
        return None
    base, index = laid_out(shape)
    value = emit.builder.add_value("refused", TensorType(base, "float32"))
    return View(Opaque(value, base, apart), index)


def _run(emit: Emitter, op: Op, args: Operands) -> list[Operand | None]:
    if op.kind not in ONNX_STAGE:
        raise OwnFault(refusals.unknown_operator(op.kind))
    if op.attrs.get("error"):
        raise OwnFault(op.attrs["error"])
    unknown = any(i is not None and a is None for i, a in zip(op.inputs, args, strict=True))
    if unknown or "error" in op.attrs:
        if op.kind in refusals.ALWAYS:
            raise OwnFault(refusals.on_constants_only(op.kind))
        raise Unsupported("")  # for an unknown input, whose producer is on the list already
    try:
        if op.kind in joining.MOVED_NODES:
            return list(joining.move(emit, op, args))
        handler = HANDLERS.get(op.kind)
        if handler is None:
            raise _part_of_nothing(op.kind, args)
        result = handler(emit, op, args)
    except KERNEL_ERRORS as error:
        raise Unsupported(f"malformed: {error}") from error
    return [result, *[None] * (len(op.outputs) - 1)]


def _part_of_nothing(kind: str, args: Operands) -> Unsupported:
    """Of an operator that is understood inside a pattern, of which a refused node may be the rest."""
    own = kind in refusals.ALWAYS or _all_apart(args)
    return (OwnFault if own else Unsupported)(refusals.on_constants_only(kind))
