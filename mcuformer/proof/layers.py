"""Every layer against what its own grids can hold: a fault of the lowering, told from coarse grids.

The float graph runs twice over the same samples: exactly, and with every value rounded onto its grid
in the integer graph and every weight onto its own. The second run says what SQNR a right integer
graph reaches at each value, rounding errors of all layers before it included; an interpreter that
stays more than 10 dB below it computes something else, if a layer took 6 dB of that. Tables and
multipliers, which no grid tells of, take a little of every layer, and of 100 layers more than 10 dB:
that is noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.int_ops_attention import EXP_ENTRIES, EXP_RANGE
from mcuformer.ir.interp_float import eval_op
from mcuformer.ir.types import QParams, Value
from mcuformer.operators.table import WEIGHTED
from mcuformer.quant.gptq import full_scale, round_weights
from mcuformer.validate.metrics import sqnr_db

MARGIN_DB = 10.0
JUMP_DB = (
    6.0  # of right layers, the worst was an attention with 5.6 dB; a lost ReLU takes 27 and more
)
# No layer is expected to do better: tables of exponentials and activations, and the multipliers of
# a normalisation, have 12 to 16 bits whatever the grid behind them.
CEILING_DB = 45.0


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A layer that computes worse than its grids: SQNR that it has, and that they predict."""

    layer: str
    sqnr_db: float
    predicted_db: float

    @property
    def gap_db(self) -> float:
        return self.predicted_db - self.sqnr_db


@dataclass(frozen=True, slots=True, eq=False)
class LayerComparison:
    """`faults`: where faults begin; `outputs`: the float graph's own, [n, ...] in its layout.

    `first`: the float graph's values of the first sample.
    """

    faults: list[Shortfall]
    outputs: list[NDArray]
    first: Mapping[str, NDArray]


def compare_layers(
    prepared: Graph, graph: Graph, inputs: Sequence[NDArray], ints: Mapping[str, NDArray]
) -> LayerComparison:
    """The layers of the int `graph` where a fault begins; those that only inherit one are left out.

    `inputs`: real numbers [n, ...] in the graph's own layout; `ints`: the interpreter's values.
    """
    producers = graph.producers()
    seen: dict[str, Shortfall] = {}
    outputs = dict(zip(prepared.inputs, inputs, strict=True))
    first: dict[str, NDArray] = {}
    for name, exact, rounded in _runs(prepared, graph, inputs):
        first[name] = exact[0]
        if name in prepared.outputs:
            outputs[name] = exact
        type_ = graph.values[name].type if name in producers and name in ints else None
        if type_ is None or type_.qparams is None:
            continue
        got = type_.qparams.dequantise(ints[name]).reshape(exact.shape)
        found, predicted = _db(exact, got), min(CEILING_DB, _db(exact, rounded))
        seen[name] = Shortfall(producers[name].name, found, predicted)
    return LayerComparison(
        _faults(graph, seen), [outputs[name] for name in prepared.outputs], first
    )


def _faults(graph: Graph, seen: Mapping[str, Shortfall]) -> list[Shortfall]:
    """Of values that are too low, and read none that is, the layer that took most, if it took much."""
    low = {n for n, s in seen.items() if s.sqnr_db < s.predicted_db - MARGIN_DB}
    taken = _taken(graph, seen) if low else {}
    found: dict[str, Shortfall] = {}
    for name in seen:
        sources = set(_sources(graph, name)) if name in low else set()
        if name not in low or sources & low:
            continue
        worst = max((name, *(s for s in sources if s in taken)), key=lambda n: taken[n])
        if taken[worst] > JUMP_DB:
            found[worst] = seen[worst]
    return list(found.values())


def _taken(graph: Graph, seen: Mapping[str, Shortfall]) -> dict[str, float]:
    """How much farther below its prediction a value is than the worst that it is made of, in dB."""
    inherited: dict[str, float] = {}  # the gap behind each value, measured or not
    taken: dict[str, float] = {}
    for op in graph.ops:
        before = max((inherited.get(i, 0.0) for i in op.inputs if i is not None), default=0.0)
        for name in op.outputs:
            gap = seen[name].gap_db if name in seen else before
            taken |= {name: gap - before} if name in seen else {}
            inherited[name] = max(0.0, gap)
    return taken


def rounded_outputs(
    prepared: Graph, graph: Graph, inputs: Sequence[NDArray], stretch: float = 1.0
) -> list[NDArray[np.float32]]:
    """The outputs [n, ...] that the float graph has with everything on the int graph's grids.

    `stretch`: of the steps of weights, so that they are rounded otherwise: what few weights lose is luck.
    """
    found = {name: rounded for name, _, rounded in _runs(prepared, graph, inputs, stretch)}
    return [found[name] for name in prepared.outputs]


def _db(reference: NDArray, got: NDArray) -> float:
    """SQNR; infinite where both are equal, minus infinite where only the reference is zero."""
    found = sqnr_db(reference, got)
    if found is not None:
        return found
    return np.inf if np.array_equal(reference, got) else -np.inf


def _sources(graph: Graph, name: str) -> Iterator[str]:
    """All activations that `name` depends on."""
    producers, seen, stack = graph.producers(), set[str](), [name]
    while stack:
        op = producers.get(stack.pop())
        for source in op.inputs if op is not None else ():
            if source is not None and source not in seen and source in producers:
                seen.add(source)
                stack.append(source)
                yield source


def _runs(
    prepared: Graph, graph: Graph, inputs: Sequence[NDArray], stretch: float = 1.0
) -> Iterator[tuple[str, NDArray, NDArray]]:
    """(value, exact, on grids) in order; arrays are dropped when no later operation reads them."""
    last = {n: i for i, op in enumerate(prepared.ops) for n in op.inputs if n is not None}
    exact = {n: np.asarray(x, np.float32) for n, x in zip(prepared.inputs, inputs, strict=True)}
    rounded = {n: _on_grid(graph, n, x) for n, x in exact.items()}
    for i, op in enumerate(prepared.ops):
        name = op.outputs[0]
        exact[name] = eval_op(prepared, op, exact)
        coarse = prepared.replace(values=_coarse_values(prepared, graph, op, stretch))
        rounded[name] = _on_grid(graph, name, eval_op(coarse, op, rounded))
        yield name, exact[name], rounded[name]
        for dead in {n for n in (*op.inputs, name) if n in exact and last.get(n, -1) <= i}:
            del exact[dead], rounded[dead]


def _on_grid(graph: Graph, name: str, x: NDArray) -> NDArray:
    """Rounded and saturated as the integer graph stores it; as it is where it stores none."""
    value, made = graph.values.get(name), graph.producers().get(name)
    if value is None or value.type.qparams is None:
        return x
    if made is not None and made.kind == "q_requant" and f"{name}.raw" == made.inputs[0]:
        x = _on_grid(graph, f"{name}.raw", x)
    q = value.type.qparams.quantise(x, value.type.dtype)
    if made is not None and "clamp_max" in made.attrs:
        q = np.clip(q, made.attrs["clamp_min"], made.attrs["clamp_max"])
    y: NDArray = value.type.qparams.dequantise(q).astype(np.float32)
    return y


def _coarse_values(prepared: Graph, graph: Graph, op: Op, stretch: float) -> Mapping[str, Value]:
    """The weights of `op`, or its constant queries, with the bits they have in the integer graph."""
    if op.kind == "attention" and prepared.const(op.inputs[0]) is not None:
        return {**prepared.values, **_coarse_queries(prepared, graph, op)}
    weight = prepared.const(op.inputs[1]) if op.kind in WEIGHTED else None
    bits = _weight_bits(graph, op)
    if weight is None or bits is None:
        return prepared.values
    source = graph.values.get(str(op.inputs[0]))
    qparams = source.type.qparams if source is not None else None
    name = str(op.inputs[1])
    data = _rounded_weights(weight, qparams, bits, stretch)
    return {**prepared.values, name: Value(name, prepared.type(name), data)}


def _weight_bits(graph: Graph, op: Op) -> int | None:
    """Of what `op` has become: where only some channels of it are read, the layer cut to these; of a
    layer that an attention has absorbed, those it had. None where it has become nothing."""
    found = graph.producers().get(op.outputs[0])
    cut = (o for o in graph.ops if str((*o.inputs, None, None)[1]).startswith(f"{op.name}.w["))
    made = found or next(cut, None)
    if made is None:
        absorbed: Mapping[str, int] = graph.meta.get("absorbed", {})
        return absorbed.get(op.name)
    return int(made.attrs.get("weight_bits", 8))


def _coarse_queries(prepared: Graph, graph: Graph, op: Op) -> Mapping[str, Value]:
    """Their steps follow from those of the keys and of the scores (docs/adr/0002)."""
    producers, name = graph.producers(), str(op.inputs[0])
    made = producers.get(op.outputs[0])
    if made is not None and made.kind == "q_requant":
        made = producers.get(str(made.inputs[0]))
    keys = graph.values.get(str(op.inputs[1]))
    ints = graph.const(made.inputs[0]) if made is not None else None
    if made is None or ints is None or keys is None or keys.type.qparams is None:
        return {}
    steps = np.asarray(made.attrs["m"]) * 2.0 ** (made.attrs["pre_shift"] - 32)
    product = steps * EXP_RANGE / EXP_ENTRIES / op.attrs["scale"]
    scale = np.repeat(product, ints.shape[-1] // len(product)) / keys.type.qparams.scale
    return {name: Value(name, prepared.type(name), (ints * scale).astype(np.float32))}


def _rounded_weights(w: NDArray, x: QParams | None, bits: int, stretch: float) -> NDArray:
    """w[..., K, N] with one step per output channel, the scales of the input channels inside."""
    scale = np.ones(()) if x is None else np.asarray(x.scale, np.float64)
    if scale.ndim and scale.size == w.shape[-2]:
        scale = scale[:, None]
    elif scale.ndim:  # a depthwise layer: the input channel is the output channel
        scale = scale if scale.size == w.shape[-1] else np.ones(())
    folded = w.astype(np.float64) * scale
    flat = folded.reshape(-1, w.shape[-1])
    step = stretch * full_scale(flat, bits)
    rounded = (round_weights(flat, step, bits) * step).reshape(w.shape)
    return np.asarray(rounded / scale).astype(np.float32)
