"""Between the ONNX input (batched, NCHW) and the graph's own layout; reals and integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph


def to_canonical(graph: Graph, x: NDArray) -> NDArray:
    """Samples [N, ...] or one [...] in the ONNX input's layout -> [N, ...] of the graph's input."""
    shape = graph.type(graph.inputs[0]).shape
    onnx = tuple(graph.meta.get("input_shape", (1, *shape)))
    inner = onnx[1:] if onnx[:1] == (1,) else onnx
    if x.size == 0 or x.shape[x.ndim - len(inner) :] != inner:
        raise UsageError(
            f"samples of shape {list(x.shape)} do not match the model's input {list(onnx)}",
            "give arrays in the layout of the ONNX input, with any number of samples in front",
        )
    if graph.meta.get("input_layout") == "NCHW":
        return np.ascontiguousarray(np.moveaxis(x.reshape(-1, *inner), 1, -1))
    return x.reshape(-1, *shape)


def quantise_input(graph: Graph, x: NDArray) -> NDArray:
    """Reals in the ONNX layout [N, ...] -> integers [N, ...] as the int graph reads them."""
    type_ = graph.type(graph.inputs[0])
    assert type_.qparams is not None
    return type_.qparams.quantise(to_canonical(graph, x), type_.dtype)


def dequantise(graph: Graph, name: str, q: NDArray) -> NDArray[np.float64]:
    """Integers of the activation `name` -> reals, in the graph's layout."""
    qparams = graph.type(name).qparams
    assert qparams is not None
    return qparams.dequantise(q)
