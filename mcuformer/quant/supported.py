"""Which canonical operations have an integer form: asked before anything is measured."""

from __future__ import annotations

from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.functions import split
from mcuformer.ir.graph import Graph, Op
from mcuformer.quant.float_eval import UNARY

MOST_CLASSES = 32768  # of an argmax
MOST_ROWS = 65535  # that a table of uint16 can tell apart, and one mark
LOWERED = frozenset(
    """linear conv2d patch_embed layernorm attention softmax add mul mean
    argmax unary maxpool requant concat slice gather reshape""".split()  # noqa: SIM905
)


def check_supported(graph: Graph) -> Graph:
    """`graph`; every operation that cannot be lowered, in one UnsupportedModelError."""
    if all(op.kind in ("reshape", "slice") for op in graph.ops):
        raise UnsupportedModelError("the model computes nothing: it only selects from its inputs")
    problems = [
        f"{op.kind} {_where(op)}: {reason}" for op in graph.ops if (reason := _problem(graph, op))
    ]
    if problems:
        raise UnsupportedModelError(
            "operators that have no integer form:\n  " + "\n  ".join(problems),
            "`mcuformer ops` lists what can be compiled",
        )
    return graph


def _where(op: Op) -> str:
    return f"{op.name} ({', '.join(op.origin)})" if op.origin else op.name


def _problem(graph: Graph, op: Op) -> str | None:
    if op.kind == "avgpool":
        return "average pooling with padding"
    if op.kind not in LOWERED:
        return f"operator {op.kind}"
    fn = op.attrs.get("fn")
    if fn is not None and split(fn)[0] not in UNARY:
        return f"function {fn}"
    if op.kind == "argmax":
        return _argmax_problem(graph, op)
    if op.kind == "attention" and any(graph.const(n) is not None for n in op.inputs[1:3]):
        return "attention over constant keys or values"
    if op.kind == "attention" and len(op.inputs) > 3 and graph.const(op.inputs[3]) is None:
        return "an attention bias that is computed"
    weights = op.inputs[1:3] if op.kind in ("linear", "conv2d", "patch_embed") else ()
    if any(n is not None and graph.const(n) is None for n in weights):
        return "weights that are computed"
    if op.kind == "gather" and graph.type(str(op.inputs[0])).shape[0] > MOST_ROWS:
        return f"a choice among more than {MOST_ROWS:,} pieces"
    if op.kind in ("add", "mul") and _grows(graph, op):
        return "an activation that is repeated for the rows or channels of a constant"
    return None


def _argmax_problem(graph: Graph, op: Op) -> str | None:
    """An index is int16, and no operator but a reshape takes one."""
    if graph.type(str(op.inputs[0])).shape[1] > MOST_CLASSES:
        return f"the largest of more than {MOST_CLASSES} numbers"
    reached = {op.outputs[0]}
    for reader in graph.ops:
        if reached & set(reader.inputs):
            if reader.kind != "reshape":
                return f"an index that {reader.name} computes with"
            reached.add(reader.outputs[0])
    return None


def _grows(graph: Graph, op: Op) -> bool:
    shapes = [graph.type(str(n)).shape for n in op.inputs if graph.const(n) is None]
    return len(shapes) == 1 and shapes[0] != graph.type(op.outputs[0]).shape
