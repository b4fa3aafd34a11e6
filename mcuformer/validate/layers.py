"""SQNR of every layer's output against the float graph: where quantisation hurts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.interp_float import eval_steps
from mcuformer.ir.layout import Feeds, to_canonical
from mcuformer.operators.table import kinds
from mcuformer.quant.rewrites import prepare
from mcuformer.validate.metrics import sqnr_db

VIEWS = kinds("view")


@dataclass(frozen=True, slots=True)
class LayerError:
    """`sqnr_db` None: no float value of this name exists (`why`), or there is no error at all."""

    id: int
    name: str
    op: str
    sqnr_db: float | None
    why: str | None = None


def shown_layers(graph: Graph) -> tuple[Op, ...]:
    """The operations that are layers of a report, in its order."""
    return tuple(op for op in graph.ops if op.kind not in VIEWS)


def layer_errors(
    graph: Graph, float_graph: Graph, floats: Feeds, ints: Mapping[str, NDArray]
) -> list[LayerError]:
    """`floats` [n, ...] are ONNX inputs (an array each), `ints` the interpreter's values [n, ...] for the same.

    Ids are those of report.json: operations that move no byte are not counted.
    """
    wanted = {op.outputs[0] for op in graph.ops}
    expected = _float_values(_in_basis_of(graph, float_graph), floats, wanted)
    rows: list[LayerError] = []
    for op in shown_layers(graph):
        name, type_ = op.outputs[0], graph.type(op.outputs[0])
        if name not in expected or type_.qparams is None:
            why = "the float graph has no such value"
            rows.append(LayerError(len(rows), op.name, op.kind, None, why))
            continue
        got = type_.qparams.dequantise(ints[name])
        error = sqnr_db(expected[name].reshape(got.shape), got)
        rows.append(LayerError(len(rows), op.name, op.kind, error))
    return rows


def _in_basis_of(graph: Graph, float_graph: Graph) -> Graph:
    """Of several widths each has its stream rotated in blocks that all of them share (quant/slices)."""
    blocks = {n: graph.meta[n] for n in ("stream_blocks",) if n in graph.meta}
    return float_graph.replace(meta={**float_graph.meta, **blocks})


def _float_values(graph: Graph, floats: Feeds, wanted: set[str]) -> dict[str, NDArray]:
    prepared = prepare(graph)
    values = {}
    for op, env in eval_steps(prepared, to_canonical(prepared, floats)):
        if op.outputs[0] in wanted:
            values[op.outputs[0]] = np.array(env[op.outputs[0]])
    return values
