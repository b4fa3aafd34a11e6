"""The integer interpreter: the definition of every number that generated code computes.

Host C, the emulators and a board must equal `run_int` bit for bit (docs/adr/0002).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from numpy.typing import NDArray

from mcuformer.errors import McuformerError, UsageError
from mcuformer.ir import int_ops_attention as attention
from mcuformer.ir import int_ops_linear as linear
from mcuformer.ir import int_ops_norm as norm
from mcuformer.ir import int_ops_simple as simple
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.layout import Feeds, feeds
from mcuformer.ir.types import DTYPES, TensorType

IntOp = Callable[[Op, linear.Args, TensorType], NDArray]

INT_OPS: Mapping[str, IntOp] = {
    "q_linear": linear.q_linear,
    "q_conv2d": linear.q_conv2d,
    "q_patch_embed": linear.q_conv2d,
    "q_dwconv2d": linear.q_dwconv2d,
    "q_layernorm": norm.q_layernorm,
    "q_attention": attention.q_attention,
    "q_softmax": attention.q_softmax,
    "q_add": simple.q_add,
    "q_requant": simple.q_requant,
    "q_mul": simple.q_mul,
    "q_unary": simple.q_unary,
    "q_mean": simple.q_mean,
    "q_argmax": simple.q_argmax,
    "q_maxpool": simple.q_maxpool,
    "concat": simple.concat,
    "slice": simple.slice_,
    "gather": simple.gather,
}


def run_int(graph: Graph, x_int: Feeds) -> dict[str, NDArray]:
    """Every activation of the int graph for one sample, or for a batch with one axis in front.

    `x_int` is the array of the only input, or one per input, of their types; the results carry the
    same batch axis.
    """
    env: dict[str, NDArray] = dict(zip(graph.inputs, feeds(graph, x_int), strict=True))
    for name, x in env.items():
        _check_input(graph.type(name), x, name)
    for op in graph.ops:
        env[op.outputs[0]] = run_op(graph, op, env)
    return env


def run_op(graph: Graph, op: Op, env: Mapping[str, NDArray]) -> NDArray:
    """One operation; `env` holds its activation inputs."""
    args = [_argument(graph, env, name) for name in op.inputs]
    out = graph.type(op.outputs[0])
    if op.kind == "reshape":
        rank = len(graph.type(str(op.inputs[0])).shape)
        return simple.reshape(op, args, out, rank)
    if op.kind not in INT_OPS:
        raise McuformerError(f"{op.name}: no integer definition of {op.kind}")
    return INT_OPS[op.kind](op, args, out)


def _argument(graph: Graph, env: Mapping[str, NDArray], name: str | None) -> NDArray | None:
    if name is None:
        return None
    data = graph.const(name)
    return env[name] if data is None else data


def _check_input(type_: TensorType, x: NDArray, name: str) -> None:
    if x.shape[x.ndim - len(type_.shape) :] != type_.shape or x.dtype != DTYPES[type_.dtype]:
        raise UsageError(f"input {name} wants {type_}, got {x.dtype}{list(x.shape)}")
