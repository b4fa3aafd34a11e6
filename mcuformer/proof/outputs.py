"""The interpreter's outputs, and the float graph's, against those of the ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph, Op
from mcuformer.operators.line_outputs import in_file_order, orders
from mcuformer.package.outputs import gives_index
from mcuformer.proof.reference import OnnxFile
from mcuformer.proof.samples import Samples
from mcuformer.validate.metrics import sqnr_db

FLOAT_DB = 40.0  # the same float32 sums in another order stay far above it


def output_sqnr(
    graph: Graph, values: Mapping[str, NDArray], wanted: Sequence[NDArray]
) -> list[float | None]:
    """In dB per output; None where there is no error, no signal, or an index instead of reals."""
    found: list[float | None] = []
    rows = zip(graph.outputs, orders(graph), wanted, strict=True)
    for name, order, reference in rows:
        type_ = graph.type(name)
        assert type_.qparams is not None
        reals = in_file_order(order, type_.qparams.dequantise(values[name]), len(type_.shape))
        got = reals.reshape(reference.shape)
        found.append(None if gives_index(graph, name) else sqnr_db(reference, got))
    return found


def in_file_shapes(
    graph: Graph, outputs: Sequence[NDArray], wanted: Sequence[NDArray]
) -> list[NDArray]:
    """`outputs` [n, ...] of a float graph in the order and shapes that the file's have in `wanted`."""
    rows = zip(graph.outputs, orders(graph), outputs, wanted, strict=True)
    return [
        in_file_order(order, y, len(graph.type(n).shape)).reshape(w.shape)
        for n, order, y, w in rows
    ]


def float_fault(
    file: OnnxFile,
    prepared: Graph,
    samples: Samples,
    outputs: Sequence[NDArray],
    wanted: Sequence[NDArray],
    values: Mapping[str, NDArray],
) -> tuple[str, float] | None:
    """(layer, dB) where the float graph stops computing what the file does; None where it never does.

    `outputs` are the float graph's, `wanted` the file's; `values` are its own, of the first sample.
    The graph of a QDQ model rounds nothing, so it is compared with the file less its rounding.
    """
    quantised = "qdq" in prepared.meta
    if quantised:
        tensors = file.tensors([x[0] for x in samples.onnx], exact=True)
        wanted = [tensors[n].reshape(1, -1) for n in prepared.meta["output_names"]]
        outputs = [y[:1] for y in outputs]
    worst = min(
        (
            unlike_db(w, y)
            for n, w, y in zip(prepared.outputs, wanted, outputs, strict=True)
            if not gives_index(prepared, n)
        ),
        default=np.inf,
    )
    if worst >= FLOAT_DB:
        return None
    tensors = file.tensors([x[0] for x in samples.onnx], exact=quantised)
    return _fault_layer(prepared, file.nodes(), tensors, values), worst


def unlike_db(a: NDArray, b: NDArray) -> float:
    """SQNR in dB of arrays of as many numbers; infinite where they are equal."""
    a, b = np.ravel(a), np.ravel(b)
    found = sqnr_db(a, b)
    return found if found is not None else (np.inf if np.array_equal(a, b) else -np.inf)


def _fault_layer(
    prepared: Graph, nodes: Mapping[str, Sequence[str]], tensors: Mapping[str, NDArray],
    values: Mapping[str, NDArray],
) -> str:  # fmt: skip
    """The first operation behind which no value is a tensor of the file any more.

    Values are compared as sorted numbers, whatever their layout. A value that quantisation has
    scaled or rotated is no tensor of the file either, but later ones are again.
    """
    fault = prepared.ops[0].name
    for op, following in zip(prepared.ops, (*prepared.ops[1:], None), strict=True):
        if following is not None and _is_tensor(op, nodes, tensors, values):
            fault = following.name
    return fault


def _is_tensor(
    op: Op, nodes: Mapping[str, Sequence[str]], tensors: Mapping[str, NDArray],
    values: Mapping[str, NDArray],
) -> bool:  # fmt: skip
    value = values.get(op.outputs[0])
    names = [t for node in op.origin for t in nodes.get(node, ())]
    if value is None:
        return False
    mine = np.sort(value, axis=None)
    found = [tensors[t] for t in names if t in tensors and tensors[t].size == mine.size]
    return any(unlike_db(np.sort(t, axis=None), mine) >= FLOAT_DB for t in found)
