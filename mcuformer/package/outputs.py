"""The outputs of an integer graph: their bytes as a runner brings them, and what these stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcuformer.ir.graph import Graph
from mcuformer.ir.types import DTYPES, TensorType
from mcuformer.operators.line_outputs import LineOrder, in_file_order, orders


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """`name` and `shape` are the file's; `value` is the graph's and has `type`.

    `order`: how its numbers come, where they leave by lines, in the file's order otherwise (None).
    `gives_index`: its numbers are indices of largest scores, integers in ONNX too.
    """

    name: str
    shape: tuple[int, ...]
    value: str
    type: TensorType
    gives_index: bool
    order: LineOrder | None = None

    def arranged(self, x: NDArray) -> NDArray:
        """Numbers [..., *type.shape], in the order of the file."""
        return in_file_order(self.order, x, len(self.type.shape))

    def reals(self, ints: NDArray) -> NDArray:
        """What [..., *type.shape] integers stand for, in the order of the file: float64, or int64 of
        an index."""
        assert self.type.qparams is not None
        return self.arranged(
            ints.astype(np.int64) if self.gives_index else self.type.qparams.dequantise(ints)
        )


def outputs_of(graph: Graph) -> tuple[Output, ...]:
    """In the order of graph.outputs, which is the file's."""
    names, shapes = graph.meta["output_names"], graph.meta["output_shapes"]
    return tuple(
        Output(name, tuple(shape), value, graph.type(value), gives_index(graph, value), order)
        for name, shape, value, order in zip(
            names, shapes, graph.outputs, orders(graph), strict=True
        )
    )


def split(outputs: tuple[Output, ...], data: bytes) -> tuple[NDArray, ...]:
    """The integers of one inference, per output; `data` holds all outputs one after the other."""
    arrays, first = [], 0
    for output in outputs:
        end = first + output.type.size_bytes
        ints = np.frombuffer(data[first:end], DTYPES[output.type.dtype])
        arrays.append(ints.reshape(output.type.shape))
        first = end
    assert first == len(data), f"{len(data)} B of outputs, expected {first}"
    return tuple(arrays)


def gives_index(graph: Graph, name: str) -> bool:
    """Whether a value of a float or an integer graph is the place of a largest score."""
    producers = graph.producers()
    while name in producers and producers[name].kind in ("reshape", "slice", "gather", "concat"):
        name = str(producers[name].inputs[0])
    return name in producers and producers[name].kind in ("q_argmax", "argmax")
