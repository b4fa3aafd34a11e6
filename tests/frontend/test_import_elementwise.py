"""Functions, bounds and choices that stand alone, each as a small model against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import build
import numpy as np
import pytest
from onnx import NodeProto
from test_import_layers import check

from mcuformer.errors import UnsupportedModelError

N = build.node
ABOVE = [N("Abs", "x", "p"), N("Add", "p c", "q")]
WEIGHTS = {
    "c": np.float32(0.5), "two": np.float32(2), "rows": build.rand(4, 1), "more": build.rand(3, 4, 6),
    "odd": np.float32(1.5), "axes": np.array([2]), "m": np.ones((3, 1, 1), np.bool_),
    "far": np.where(np.tri(4, dtype=np.bool_), 0, -1e9).astype(np.float32),
}  # fmt: skip


@pytest.mark.parametrize(
    "nodes",
    [
        [N("Max", "x rows", "y")],
        [N("Min", "rows x", "y")],
        [N("Sigmoid", "x", "s"), N("Max", "x s rows", "y")],
        [N("Sigmoid", "x", "s"), N("Min", "x s c", "y")],
        [N("Tanh", "x", "t"), N("Mean", "x t c", "y")],
        [N("ReduceL1", "x", "y", axes=[-1], keepdims=0)],
        [*ABOVE, N("ReduceLogSum", "q", "y", axes=[1])],
        [N("ReduceLogSumExp", "x", "y", axes=[1, 2], keepdims=0)],
        [N("Pow", "two x", "y")],
        [*ABOVE, N("Pow", "q odd", "y")],
        [N("Clip", "x low", "p"), N("Log", "p", "y")],
        [*ABOVE, N("Log", "q", "y")],
        [N("Div", "x root", "a"), N("Erf", "a", "e"), N("Add", "e one", "b"), N("Mul", "x c", "h"),
         N("Mul", "h b", "g"), N("Add", "g e", "y")],
    ],
    ids=lambda nodes: "-".join(n.op_type for n in nodes),
)  # fmt: skip
def test_elementwise(tmp_path: Path, nodes: list[NodeProto]) -> None:
    more = {"low": np.float32(1e-6), "root": np.float32(2**0.5), "one": np.float32(1)}
    check(tmp_path, nodes, WEIGHTS | more, [1, 4, 6])


@pytest.mark.parametrize("operands", ["m x c", "m c x", "m s x"])
def test_a_mask_that_is_larger_repeats(tmp_path: Path, operands: str) -> None:
    nodes = [N("ReduceMean", "x", "s", axes=[2]), N("Where", operands, "y")]
    check(tmp_path, nodes, WEIGHTS | {"m": np.ones((4, 1), np.bool_)}, [1, 4, 6])


def test_masked_scores_are_for_a_softmax_alone(tmp_path: Path) -> None:
    """The mask is cut, where a softmax sees nothing of it: as numbers they would be wrong."""
    nodes = [
        N("Transpose", "x", "t", perm=[0, 2, 1]),
        N("MatMul", "x t", "s"),
        N("Add", "s far", "b"),
    ]
    softmax = [N("Softmax", "b", "p", axis=-1), N("MatMul", "p x", "y")]
    check(tmp_path, [*nodes, *softmax], WEIGHTS, [1, 4, 6])
    with pytest.raises(
        UnsupportedModelError, match="Softmax behind the mask, found unary"
    ) as caught:
        build.load(tmp_path, build.model([*nodes, N("Sigmoid", "b", "y")], WEIGHTS, x=(1, 4, 6)))
    assert "n_s" in caught.value.message
    with pytest.raises(UnsupportedModelError, match="found an output of the model"):
        build.load(
            tmp_path, build.model([*nodes, *softmax], WEIGHTS, x=(1, 4, 6), outputs=["y", "b"])
        )
