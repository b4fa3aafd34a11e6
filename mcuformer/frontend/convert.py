"""Graph at stage "onnx" -> Graph at stage "float": every node handled by one row of `_HANDLERS`.

A handler gets views and constants and returns views. One that cannot go on raises Unsupported;
its results are unknown from there on, the walk continues, and all reasons are reported together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend import arithmetic, attention, grids, joining, layers, names, refusals
from mcuformer.frontend.arithmetic import Operand
from mcuformer.frontend.emit import Emitter
from mcuformer.frontend.names import shown
from mcuformer.frontend.views import Scores, Tensor, Unsupported, View
from mcuformer.ir.graph import Builder, Graph, Op
from mcuformer.ir.onnx_ops.base import axes_of, wrapped
from mcuformer.ir.optable import ONNX
from mcuformer.ir.types import TensorType
from mcuformer.passes.fold_constants import KERNEL_ERRORS

Args = Sequence[Operand | None]
Handler = Callable[[Emitter, Op, Args], Operand]
MAX_LISTED = 40


def convert(graph: Graph) -> Graph:
    builder = Builder(graph.name, "float")
    emit = Emitter(graph, builder)
    env: dict[str, Operand | None] = {n: v.data for n, v in graph.values.items()}
    problems: list[str] = []
    refused: list[str] = []  # their operators
    layouts, inputs = _convert_inputs(graph, builder, env)
    for name in graph.inputs:
        env[name] = grids.noted(emit, name, env[name])
    for op in graph.ops:
        emit.stem, emit.origin = _stem(graph, op), tuple(names.origin(o) for o in op.origin)
        try:
            results = _run(emit, op, env)
        except Unsupported as reason:
            if str(reason):
                problems.append(f"{op.kind} {shown(op.origin[0])}: {reason}")
                refused.append(op.kind)
            results = [None] * len(op.outputs)
        env.update(zip(op.outputs, results, strict=True))
        for name in op.outputs:
            env[name] = grids.noted(emit, name, env[name])
    emit.stem, emit.origin = "output", ()
    outputs = _convert_outputs(graph, emit, env, problems)
    if problems:
        problems += _later_problems(builder)
        raise UnsupportedModelError(_message(problems, _lost(graph, env)), refusals.hint(refused))
    meta = {
        **{k: v for k, v in graph.meta.items() if k not in ("input_dims",)},
        "input_names": tuple(graph.inputs),
        "input_layouts": layouts,
        "input_shapes": tuple(graph.type(n).shape for n in graph.inputs),
        "output_shapes": tuple(graph.type(o).shape for o in graph.outputs),
    }
    if "qdq" in meta:
        meta |= {"qdq": emit.qdq, "qdq_weights": emit.weight_scales}
    return builder.done(inputs, outputs, meta).pruned()


def _later_problems(builder: Builder) -> list[str]:
    """Of what was converted, that a later stage refuses: all is said in one run."""
    attentions = [op for op in builder.ops if op.kind == "attention" and len(op.inputs) > 3]
    biases = [(op, op.inputs[3]) for op in attentions]
    return [
        f"Add {shown(op.origin[-1] if op.origin else op.name)}: an attention bias that is computed"
        for op, bias in biases
        if bias is not None and not builder.values[bias].is_const
    ]


def _message(problems: list[str], lost: list[str]) -> str:
    """`lost`: outputs that cannot be made for it, where they are not all."""
    count = len(problems)
    head = f"{count} node{'s are' if count > 1 else ' is'} not supported:"
    more = [f"... and {count - MAX_LISTED} more"] if count > MAX_LISTED else []
    names = ", ".join(map(shown, lost[:MAX_LISTED]))
    more += [f"wanted for graph output {names}"] if lost else []
    return "\n  ".join([head, *problems[:MAX_LISTED], *more])


def _lost(graph: Graph, env: dict[str, Operand | None]) -> list[str]:
    lost = [name for name in graph.outputs if env.get(name) is None]
    return lost if len(lost) < len(graph.outputs) else []


def _convert_inputs(
    graph: Graph, builder: Builder, env: dict[str, Operand | None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Every input as image [H, W, C] or tokens [T, C]; (layouts, value names)."""
    if not graph.inputs:
        raise UnsupportedModelError("the model has no input")
    made = [_convert_input(graph, builder, env, name) for name in graph.inputs]
    return tuple(layout for layout, _ in made), tuple(name for _, name in made)


def _convert_input(
    graph: Graph, builder: Builder, env: dict[str, Operand | None], onnx_name: str
) -> tuple[str, str]:
    type_ = graph.type(onnx_name)
    shape = type_.shape
    base_shape: tuple[int, ...]
    if not type_.dtype.startswith("float"):
        raise UnsupportedModelError(f"input {shown(onnx_name)} is {type_.dtype}, want float")
    if len(shape) == 4 and shape[0] == 1:
        _, c, h, w = shape
        layout, base_shape = "NCHW", (h, w, c)
        index = np.arange(h * w * c).reshape(h, w, c).transpose(2, 0, 1)[None]
    elif len(shape) == 3 and 1 in shape[:2]:
        layout, base_shape = "tokens", (shape[0] * shape[1], shape[2])
        index = np.arange(math.prod(shape)).reshape(shape)
    elif len(shape) <= 2 and (len(shape) < 2 or shape[0] == 1):
        layout, base_shape = "flat", (1, math.prod(shape))
        index = np.arange(math.prod(shape)).reshape(shape)
    else:
        raise UnsupportedModelError(
            f"input {shown(onnx_name)} has shape {list(shape)}; "
            "want [1, C, H, W], [1, T, E], [T, 1, E] or [1, N]",
            hint="export with batch 1, or with a dynamic batch axis",
        )
    name = builder.add_value(names.plain(onnx_name) or "input", TensorType(base_shape, "float32"))
    env[onnx_name] = View(Tensor(name, base_shape), index)
    return layout, name


def _convert_outputs(
    graph: Graph, emit: Emitter, env: dict[str, Operand | None], problems: list[str]
) -> tuple[str, ...]:
    outputs, made = [], graph.producers()
    for name in graph.outputs:
        value = env.get(name)
        if isinstance(value, View):
            try:
                outputs.append(emit.result(value).name)
            except Unsupported as reason:
                problems.append(f"graph output {shown(name)}: {reason}")
        elif isinstance(value, np.ndarray):
            problems.append(f"graph output {shown(name)}: it does not depend on the input")
        elif _is_left_out(made.get(name), env):
            problems.append(f"graph output {shown(name)}: only the first result is supported")
    return tuple(outputs)


def _is_left_out(op: Op | None, env: dict[str, Operand | None]) -> bool:
    """Whether a node was converted, but for its further results."""
    return op is not None and env.get(op.outputs[0]) is not None


def _stem(graph: Graph, op: Op) -> str:
    """A readable name: the module it was exported from, else its weights', else the node's own."""
    weights = (names.module_of_weight(i) for i in op.inputs if i and graph.const(i) is not None)
    return next((w for w in weights if w), op.name)


def _run(emit: Emitter, op: Op, env: dict[str, Operand | None]) -> list[Operand | None]:
    if op.kind != "Unary" and op.kind not in ONNX:
        raise Unsupported(refusals.unknown_operator(op.kind))
    args = [None if i is None else env[i] for i in op.inputs]
    if any(i is not None and a is None for i, a in zip(op.inputs, args, strict=True)):
        if op.kind in refusals.ALWAYS:
            raise Unsupported(refusals.on_constants_only(op.kind))
        raise Unsupported("")  # unknown input: its producer is on the list already
    if op.attrs.get("error"):
        raise Unsupported(op.attrs["error"])
    try:
        if op.kind in joining.MOVES:
            return list(joining.move(emit, op, args))
        handler = _HANDLERS.get(op.kind)
        if handler is None:
            raise Unsupported(refusals.on_constants_only(op.kind))
        result = handler(emit, op, args)
    except KERNEL_ERRORS as error:
        raise Unsupported(f"malformed: {error}") from error
    return [result, *[None] * (len(op.outputs) - 1)]


def _file_scales(emit: Emitter, op: Op, i: int, axis: int) -> NDArray | None:
    """Per output channel (`axis` of the weight), the scales that a QDQ file gives input `i`."""
    table = emit.graph.meta.get("qdq_weights", {})
    name = op.inputs[i]
    if name not in table or name is None:
        return None
    scale, along = table[name]
    shape = emit.graph.type(name).shape
    if along is None:
        return np.full(shape[axis], float(scale[0]))
    return np.asarray(scale) if along == axis % len(shape) else None


def _view(args: Args, i: int) -> View:
    if i >= len(args) or not isinstance(args[i], View):
        raise Unsupported(f"input {i} is constant")
    value = args[i]
    assert isinstance(value, View)
    return value


def _const(args: Args, i: int) -> NDArray | None:
    value = args[i] if i < len(args) else None
    if isinstance(value, View):
        raise Unsupported(f"input {i} must be constant")
    return value


def _wanted(args: Args, i: int) -> NDArray:
    value = _const(args, i)
    if value is None:
        raise Unsupported(f"input {i} is missing")
    return value


def _both(args: Args) -> tuple[Operand, Operand]:
    a, b = args
    assert a is not None and b is not None
    return a, b


def _matmul(emit: Emitter, op: Op, args: Args) -> Operand:
    a, b = _both(args)
    if isinstance(a, View) and isinstance(b, View):
        return attention.product(emit, a, b)
    if isinstance(a, np.ndarray) and isinstance(b, View) and math.prod(a.shape[:-2]) > 1:
        return attention.constant_query(emit, a, b)
    left = isinstance(a, np.ndarray)
    return layers.matmul(emit, a, b, _file_scales(emit, op, 0 if left else 1, -2 if left else -1))


def _gemm(emit: Emitter, op: Op, args: Args) -> Operand:
    c = args[2] if len(args) > 2 else None
    scales = _file_scales(emit, op, 1, -2 if op.attrs.get("transB", 0) else -1)
    return layers.gemm(emit, _view(args, 0), _wanted(args, 1), c, op.attrs, scales)


def _sub(emit: Emitter, op: Op, args: Args) -> Operand:
    a, b = _both(args)
    minus_b = arithmetic.scaled(b, -1.0) if isinstance(b, View) else np.asarray(-b)
    return arithmetic.add(emit, a, minus_b)


def _sum(emit: Emitter, op: Op, args: Args) -> Operand:
    total, *rest = (a for a in args if a is not None)
    for term in rest:
        if isinstance(total, np.ndarray) and isinstance(term, np.ndarray):
            total = np.asarray(total + term)
        else:
            total = arithmetic.add(emit, total, term)
    return total


def _layernorm(emit: Emitter, op: Op, args: Args) -> Operand:
    x = _view(args, 0)
    axis = wrapped(op.attrs.get("axis", -1), len(x.shape))
    eps = op.attrs.get("epsilon", 1e-5)
    centred = op.kind == "LayerNormalization"
    beta = _const(args, 2) if centred else None
    return layers.layernorm(emit, x, _wanted(args, 1), beta, eps, axis, centred)


def _batchnorm(emit: Emitter, op: Op, args: Args) -> Operand:
    params = [_wanted(args, i) for i in range(1, 5)]
    return layers.batchnorm(emit, _view(args, 0), params, op.attrs.get("epsilon", 1e-5))


def _softmax(emit: Emitter, op: Op, args: Args) -> Operand:
    x, axis = _view(args, 0), op.attrs.get("axis", -1)
    return (
        attention.softmax(emit, x, axis)
        if isinstance(x.base, Scores)
        else layers.softmax(emit, x, axis)
    )


def _conv(emit: Emitter, op: Op, args: Args) -> Operand:
    scales = _file_scales(emit, op, 1, 0)
    return layers.conv(emit, _view(args, 0), _wanted(args, 1), _const(args, 2), op.attrs, scales)


def _reduce_axes(op: Op, args: Args, rank: int) -> list[int]:
    arrays = [None if isinstance(a, View) else a for a in args]
    axes = axes_of(op.attrs, arrays, 1)
    if not axes:
        return [] if op.attrs.get("noop_with_empty_axes", 0) else list(range(rank))
    return axes


def _reduce_mean(emit: Emitter, op: Op, args: Args) -> Operand:
    x = _view(args, 0)
    axes = _reduce_axes(op, args, len(x.shape))
    return layers.mean(emit, x, axes, bool(op.attrs.get("keepdims", 1)))


def _reduce_sum(emit: Emitter, op: Op, args: Args) -> Operand:
    x = _view(args, 0)
    count = math.prod(x.shape[a] for a in _reduce_axes(op, args, len(x.shape)))
    mean = _reduce_mean(emit, op, args)
    assert isinstance(mean, View)
    return arithmetic.scaled(mean, count)


def _global_pool(emit: Emitter, op: Op, args: Args) -> Operand:
    x = _view(args, 0)
    return layers.mean(emit, x, range(2, len(x.shape)), True)


def _max_pool(emit: Emitter, op: Op, args: Args) -> Operand:
    read = {i for reader in emit.graph.ops for i in reader.inputs} | set(emit.graph.outputs)
    if not read.isdisjoint(op.outputs[1:]):
        raise Unsupported("the indices of the largest")
    return layers.pool(emit, "maxpool", _view(args, 0), op.attrs)


def _global_max_pool(emit: Emitter, op: Op, args: Args) -> Operand:
    x = _view(args, 0)
    return layers.pool(emit, "maxpool", x, {"kernel_shape": x.shape[2:]})


def _reduce_max(emit: Emitter, op: Op, args: Args) -> Operand:
    x = _view(args, 0)
    axes = _reduce_axes(op, args, len(x.shape))
    return layers.largest(emit, x, axes, bool(op.attrs.get("keepdims", 1)))


def _where(emit: Emitter, op: Op, args: Args) -> Operand:
    """A constant mask: nothing masked, or masked attention scores become a bias."""
    mask, a, b = _wanted(args, 0).astype(np.bool_), args[1], args[2]
    if isinstance(a, View) and mask.all():
        return a
    if isinstance(b, View) and not mask.any():
        return b
    if isinstance(a, View) and isinstance(b, np.ndarray):
        mask, a, b = ~mask, b, a
    if not isinstance(b, View) or not isinstance(a, np.ndarray) or not isinstance(b.base, Scores):
        raise Unsupported("a choice between activations")
    if (np.broadcast_to(a, np.broadcast_shapes(a.shape, mask.shape))[mask] > -1e3).any():
        raise Unsupported("attention scores replaced by a value that does not mask them")
    return arithmetic.add(emit, b, np.where(mask, attention.LOWEST_BIAS, 0.0))


def _prelu(emit: Emitter, op: Op, args: Args) -> Operand:
    """A slope per channel: slope*x + (1 - slope)*relu(x)."""
    x, slope = _view(args, 0), _wanted(args, 1)
    above = arithmetic.multiply(emit, arithmetic.unary(emit, x, "relu"), 1.0 - slope)
    return arithmetic.add(emit, arithmetic.multiply(emit, x, slope), above)


def _is_nan(emit: Emitter, op: Op, args: Args) -> Operand:
    return np.zeros(_view(args, 0).shape, np.bool_)


def _argmax(emit: Emitter, op: Op, args: Args) -> Operand:
    if op.attrs.get("select_last_index", 0):
        raise Unsupported("the last of equals (select_last_index)")
    axis, keepdims = op.attrs.get("axis", 0), bool(op.attrs.get("keepdims", 1))
    return layers.argmax(emit, _view(args, 0), axis, keepdims)


def _cast(emit: Emitter, op: Op, args: Args) -> Operand:
    """Between floats nothing happens; an index is an integer already."""
    base = _view(args, 0).base
    if isinstance(base, Tensor) and emit.writes(base.name, "argmax"):
        return _view(args, 0)
    if not str(op.attrs["to"]).startswith("float"):
        raise Unsupported(f"a conversion to {op.attrs['to']}")
    return _view(args, 0)


_HANDLERS: dict[str, Handler] = {
    "MatMul": _matmul, "Gemm": _gemm, "Conv": _conv, "LayerNormalization": _layernorm,
    "RMSNormalization": _layernorm, "SimplifiedLayerNormalization": _layernorm,
    "BatchNormalization": _batchnorm, "Softmax": _softmax,
    "Add": lambda e, op, args: arithmetic.add(e, *_both(args)), "Sub": _sub, "Sum": _sum,
    "Mul": lambda e, op, args: arithmetic.multiply(e, *_both(args)),
    "Div": lambda e, op, args: arithmetic.divide(e, *_both(args)),
    "Pow": lambda e, op, args: arithmetic.power(e, *_both(args)),
    "Neg": lambda e, op, args: arithmetic.scaled(_view(args, 0), -1.0),
    "Unary": lambda e, op, args: arithmetic.unary(e, _view(args, 0), op.attrs["fn"]),
    "ReduceMean": _reduce_mean, "ReduceSum": _reduce_sum, "GlobalAveragePool": _global_pool,
    "AveragePool": lambda e, op, args: layers.pool(e, "avgpool", _view(args, 0), op.attrs),
    "MaxPool": _max_pool, "GlobalMaxPool": _global_max_pool, "ReduceMax": _reduce_max,
    "PRelu": _prelu, "Where": _where, "IsNaN": _is_nan, "Cast": _cast, "ArgMax": _argmax,
    "Identity": lambda e, op, args: _view(args, 0),
    "Dropout": lambda e, op, args: _view(args, 0),
}  # fmt: skip
