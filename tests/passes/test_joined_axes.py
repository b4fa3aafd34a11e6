import numpy as np

from mcuformer.ir.graph import Builder, Graph
from mcuformer.ir.types import TensorType
from mcuformer.passes.fold_constants import fold_constants
from mcuformer.passes.joined_axes import joined_axes


def softmax(shape: tuple[int, ...], axis: int, joined: bool = True) -> Graph:
    builder = Builder("g", "onnx")
    x = builder.add_value("x", TensorType(shape, "float32"))
    attrs = {"axis": axis} | ({"joined": True} if joined else {})
    y = builder.op("Softmax", "y", (x,), TensorType(shape, "float32"), attrs, ("n",))
    return fold_constants(builder.done((x,), (y,), {}))


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def test_axes_become_one() -> None:
    graph = joined_axes(softmax((2, 3, 4), 1))
    assert kinds(graph) == ["Reshape", "Softmax", "Reshape"]
    assert graph.type(graph.ops[1].outputs[0]).shape == (2, 12)
    assert graph.ops[1].attrs == {"axis": -1}
    assert graph.ops[2].outputs == graph.outputs


def test_one_axis_stays() -> None:
    for shape, axis in (((2, 3, 4), 2), ((2, 3, 4), -1), ((1, 3, 1, 1), 1)):
        graph = joined_axes(softmax(shape, axis))
        assert kinds(graph) == ["Softmax"]
        assert graph.ops[0].attrs == {"axis": axis % len(shape)}


def test_a_new_softmax_is_left_alone() -> None:
    graph = softmax((2, 3, 4), 1, joined=False)
    assert joined_axes(graph) is graph
    assert np.prod(graph.type("y").shape) == 24
