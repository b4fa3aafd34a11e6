"""Elementwise operators with scalar constants that compute a known function of x -> Unary(x, fn).

No spelling is matched: the chain is evaluated on sample points and compared with every known
function, so erf and tanh GELUs, x*sigmoid(x), clipped ramps are found in whatever form they come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.functions import FUNCTIONS, SPELLINGS, clamp_bounds, named, spelled
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.optable import ONNX_STAGE
from mcuformer.passes.edit import is_uniform
from mcuformer.passes.fold_constants import KERNEL_ERRORS

SAMPLED_AT = np.linspace(-12.0, 12.0, 193)  # 1/8 apart, both tails flat
TOLERANCE = 2e-5  # float32 constants; GELU and its tanh form are 4.7e-4 apart
QDQ_TOLERANCE = 5e-2  # quantize_static rounds the constants 1.414 and 0.5 to 8 bits, too
MAX_CHAIN = 12  # the longest spelling met has 9 operators
CHAINABLE = frozenset((
    "Add", "Sub", "Mul", "Div", "Neg", "Pow", "Sqrt", "Reciprocal", "Clip", "Min", "Max", "Identity", "Cast",
    "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Where", *SPELLINGS,
))  # fmt: skip
_CHOOSING = frozenset(("Where", "Add", "Sub", "Mul"))  # that may end a function of two branches
_BRANCH: Mapping[str, Callable[[float], float]] = {  # its number from what it makes of -12
    "leaky_relu": lambda y: y / SAMPLED_AT[0],
    "elu": lambda y: y / np.expm1(SAMPLED_AT[0]),
}
_TARGETS: Mapping[str, NDArray] = {
    name: row.evaluate(SAMPLED_AT) for name, row in FUNCTIONS.items() if row.plain
}
RootSamples = dict[str, NDArray]  # root value -> the value's samples as a function of that root


def fuse_activations(graph: Graph) -> Graph:
    known: dict[str, RootSamples] = {}
    made = graph.producers()
    ops: list[Op] = []
    for op in graph.ops:
        samples = _derive(graph, op, known)
        match = _exact(graph, op, _match(graph, op, samples)) or _with_numbers(graph, op)
        match = match or _of_two_branches(graph, op, samples)
        if match is not None:
            root, fn = match
            chain = _chain(made, op, root)
            if fn.startswith("gelu") and "qdq" in graph.meta:
                fn = _which_gelu(chain, fn)
            origin = dict.fromkeys(name for part in chain for name in part.origin)
            op = op.replace(kind="Unary", inputs=(root,), attrs={"fn": fn}, origin=tuple(origin))
        known[op.outputs[0]] = {op.outputs[0]: SAMPLED_AT, **samples}
        ops.append(op)
    return graph.replace(ops=tuple(ops)).pruned()


def _chain(made: Mapping[str, Op], op: Op, root: str) -> list[Op]:
    """The operators from root to op, in that order."""
    found: dict[str, Op] = {}
    stack = [op]
    while stack:
        current = stack.pop()
        found[current.outputs[0]] = current
        stack += [made[i] for i in current.inputs if i is not None and i != root and i in made]
    return list(reversed(found.values()))


def _which_gelu(chain: list[Op], nearest: str) -> str:
    """Rounded constants blur what is 4.7e-4 apart; the operators do not."""
    kinds = {op.kind for op in chain}
    return "gelu" if "Erf" in kinds else "gelu_tanh" if "Tanh" in kinds else nearest


def _derive(graph: Graph, op: Op, known: Mapping[str, RootSamples]) -> RootSamples:
    """Samples of the result as a function of every value it depends on alone."""
    if op.kind not in CHAINABLE or len(op.outputs) != 1 or "error" in op.attrs:
        return {}
    operands: list[RootSamples | NDArray | None] = []
    for name in op.inputs:
        data = graph.const(name)
        if name is None:
            operands.append(None)
        elif data is None:
            operands.append(known.get(name, {name: SAMPLED_AT}))
        elif data.size == 1 and data.dtype.kind == "f":
            operands.append(data.reshape(()).astype(np.float64))
        else:
            return {}
    active = [o for o in operands if isinstance(o, dict)]
    roots = [r for r in active[0] if all(r in o for o in active)] if active else []
    result: RootSamples = {}
    for root in roots[:MAX_CHAIN]:
        arrays = [o[root] if isinstance(o, dict) else o for o in operands]
        attrs = {**op.attrs, "to": _widest(op)} if op.kind == "Cast" else op.attrs
        try:
            result[root] = ONNX_STAGE[op.kind].evaluate(attrs, arrays, 1)[0]
        except KERNEL_ERRORS:
            continue
    return result


def _widest(op: Op) -> str:
    """What stands for the type that a Cast gives: integers would cut samples off, as they cut values off."""
    return "float64" if str(op.attrs["to"]).startswith("float") else str(op.attrs["to"])


def _match(graph: Graph, op: Op, samples: RootSamples) -> tuple[str, str] | None:
    """The root and the function nearest to the samples, if it is near enough."""
    shape = graph.type(op.outputs[0]).shape
    limit = QDQ_TOLERANCE if "qdq" in graph.meta else TOLERANCE
    for root, values in samples.items():
        if graph.type(root).shape != shape or not _are_numbers(values):
            continue
        errors = {fn: _distance(values, target) for fn, target in _TARGETS.items()}
        fn = min(errors, key=lambda name: errors[name])
        if errors[fn] < limit:
            return root, fn
    return None


def _are_numbers(values: NDArray) -> bool:
    return values.dtype.kind == "f" and bool(np.isfinite(values).all())


def _of_two_branches(graph: Graph, op: Op, samples: RootSamples) -> tuple[str, str] | None:
    """A leaky ReLU or an ELU whose number is anything: Where(x > 0, x, a*x)."""
    if op.kind not in _CHOOSING or "qdq" in graph.meta:
        return None
    for root, values in samples.items():
        if graph.type(root).shape != graph.type(op.outputs[0]).shape or not _are_numbers(values):
            continue
        above = SAMPLED_AT > 0
        if _distance(values[above], SAMPLED_AT[above]) >= TOLERANCE:
            continue
        for fn, number in _BRANCH.items():
            alpha = float(f"{number(float(values[0])):.6g}")
            if fn == "leaky_relu" and alpha == 1:
                continue  # x + 1e-6: one branch
            if _distance(values, FUNCTIONS[fn].evaluate(SAMPLED_AT, alpha)) < TOLERANCE:
                return root, named(fn, alpha)
    return None


def _exact(graph: Graph, op: Op, match: tuple[str, str] | None) -> tuple[str, str] | None:
    """A bound near 0 is no ReLU: a logarithm or a quotient may stand behind it."""
    bounded = None if match is None else _bounded(graph, op)
    if match is None or bounded is None or match[0] != bounded[0]:
        return match
    return match if clamp_bounds(match[1]) == clamp_bounds(bounded[1]) else bounded


def _with_numbers(graph: Graph, op: Op) -> tuple[str, str] | None:
    """An operator that is a function by its own numbers: attributes, a slope, or scalar bounds."""
    if "error" in op.attrs:
        return None
    known = spelled(op.kind, op.attrs)
    if known is not None and (known[1] or not known[0].plain):
        return str(op.inputs[0]), named(known[0].name, *known[1])
    if op.kind == "PRelu":
        return _one_slope(graph, op)
    return _bounded(graph, op)


def _bounded(graph: Graph, op: Op) -> tuple[str, str] | None:
    if op.kind not in ("Clip", "Min", "Max") or "error" in op.attrs:
        return None
    roots = [n for n in op.inputs if n is not None and graph.const(n) is None]
    consts = {i: graph.const(n) for i, n in enumerate(op.inputs) if n is not None}
    bounds = {i: float(c.flat[0]) for i, c in consts.items() if c is not None and is_uniform(c)}
    shape = graph.type(op.outputs[0]).shape
    if len(roots) != 1 or len(bounds) + 1 != len(consts) or graph.type(roots[0]).shape != shape:
        return None
    low, high = -np.inf, np.inf
    if op.kind == "Clip":
        low = bounds.get(1, op.attrs.get("min", low))
        high = bounds.get(2, op.attrs.get("max", high))
    elif op.kind == "Max":
        low = max(bounds.values(), default=low)
    else:
        high = min(bounds.values(), default=high)
    fine = low <= high and low < np.inf and high > -np.inf
    return (roots[0], named("clip", low, high)) if fine else None


def _one_slope(graph: Graph, op: Op) -> tuple[str, str] | None:
    """A PRelu of many slopes is no function of one number."""
    slope = graph.const(op.inputs[1])
    if slope is None or slope.size != 1:
        return None
    return str(op.inputs[0]), named("leaky_relu", float(slope.flat[0]))


def _distance(a: NDArray, b: NDArray) -> float:
    return float((np.abs(a - b) / (1.0 + np.abs(b))).max())
