"""Between the ONNX inputs (batched, NCHW) and the graph's own layouts; reals and integers.

What a file says of its inputs and outputs stands in the graph's meta, one entry each, in order:
input_names, input_layouts ("NCHW", "NHWC", "tokens", "flat"), input_shapes, input_pixels (None of floats),
output_names, output_shapes. Samples of an image are [N, C, H, W] here, whatever the file wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph

Pixels = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and std per channel over 0..1 of an input that is uint8 in the file."""
Feeds = NDArray | Sequence[NDArray] | Mapping[str, NDArray]
"""One array for the only input; else one for each, in order or by value name."""


def feeds(graph: Graph, x: Feeds) -> tuple[NDArray, ...]:
    """One array per input, in the order of graph.inputs; UsageError where one is missing."""
    if isinstance(x, Mapping):
        missing = [name for name in graph.inputs if name not in x]
        if missing:
            raise UsageError(f"no array for input {missing[0]}, only for {', '.join(map(str, x))}")
        return tuple(x[name] for name in graph.inputs)
    arrays = (x,) if isinstance(x, np.ndarray) else tuple(x)
    if len(arrays) != len(graph.inputs):
        raise UsageError(f"the model has {len(graph.inputs)} inputs, given are {len(arrays)}")
    return arrays


def onnx_shape(graph: Graph, index: int) -> tuple[int, ...]:
    """Of input `index` in the file, batch axis included."""
    shapes = graph.meta.get("input_shapes")
    return tuple(shapes[index]) if shapes else (1, *graph.type(graph.inputs[index]).shape)


def layout_of(graph: Graph, index: int) -> str:
    """Of input `index`: "NCHW", "NHWC", "tokens" or "flat"."""
    layouts = graph.meta.get("input_layouts")
    return str(layouts[index]) if layouts else "tokens"


def is_image(graph: Graph, index: int) -> bool:
    """Whether input `index` is [1, C, H, W] or [1, H, W, C] in the file and [H, W, C] in the graph."""
    return layout_of(graph, index) in ("NCHW", "NHWC")


def pixels_of(graph: Graph, index: int) -> Pixels | None:
    """Of input `index`, where the file takes uint8."""
    given = graph.meta.get("input_pixels")
    return given[index] if given else None


def to_file(graph: Graph, index: int, x: NDArray) -> NDArray:
    """Reals [n, ...] of input `index` in the graph's layout -> [n, *shape in the file] in its type."""
    pixels = pixels_of(graph, index)
    if pixels is not None:
        mean, std = (np.asarray(v, np.float64) for v in pixels)
        x = np.clip(np.rint((x * std + mean) * 255), 0, 255).astype(np.uint8)
    if layout_of(graph, index) == "NCHW":
        x = np.moveaxis(x, -1, 1)
    return np.ascontiguousarray(x).reshape(len(x), *onnx_shape(graph, index))


def to_canonical(graph: Graph, x: Feeds) -> tuple[NDArray, ...]:
    """Per input: samples [N, ...] or one [...] in the ONNX layout -> [N, ...] in the graph's."""
    arrays = tuple(_canonical(graph, i, a) for i, a in enumerate(feeds(graph, x)))
    counts = [len(a) for a in arrays]
    if len(set(counts)) > 1:
        found = ", ".join(f"{n} of {name}" for n, name in zip(counts, graph.inputs, strict=True))
        raise UsageError(f"every input wants as many samples: there are {found}")
    return arrays


def _canonical(graph: Graph, index: int, x: NDArray) -> NDArray:
    shape, onnx = graph.type(graph.inputs[index]).shape, onnx_shape(graph, index)
    inner = onnx[1:] if onnx[:1] == (1,) else onnx
    if is_image(graph, index):
        if layout_of(graph, index) == "NHWC" and x.shape[-3:] == inner:
            return np.ascontiguousarray(x.reshape(-1, *shape))
        inner = (shape[2], *shape[:2])
    if x.size == 0 or x.shape[x.ndim - len(inner) :] != inner:
        raise UsageError(
            f"samples of shape {list(x.shape)} do not match the model's input {list(onnx)}",
            "give arrays in the layout of the ONNX input, with any number of samples in front",
        )
    if is_image(graph, index):
        return np.ascontiguousarray(np.moveaxis(x.reshape(-1, *inner), 1, -1))
    return x.reshape(-1, *shape)


def quantise_input(graph: Graph, x: Feeds) -> tuple[NDArray, ...]:
    """Reals in the ONNX layout [N, ...] -> integers [N, ...] as the int graph reads them."""
    return tuple(
        _quantised(graph, name, a)
        for name, a in zip(graph.inputs, to_canonical(graph, x), strict=True)
    )


def _quantised(graph: Graph, name: str, x: NDArray) -> NDArray:
    type_ = graph.type(name)
    assert type_.qparams is not None
    return type_.qparams.quantise(x, type_.dtype)


def dequantise(graph: Graph, name: str, q: NDArray) -> NDArray[np.float64]:
    """Integers of the activation `name` -> reals, in the graph's layout."""
    qparams = graph.type(name).qparams
    assert qparams is not None
    return qparams.dequantise(q)
