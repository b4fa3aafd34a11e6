"""A model that ends in an ArgMax: its index through the chain, and refused where it goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chain import follow, scheduled
from util_models import Net

from mcuformer import quant
from mcuformer.errors import UnsupportedModelError
from mcuformer.ir.graph import Graph
from mcuformer.operators.interpreter import run_int


def classifier(rows: int, classes: int, mode: str = "8") -> Graph:
    """LayerNorm, a layer, the class of every row; quantised."""
    net = Net("classes", 0)
    net.tokens("tokens", rows, 12)
    logits = net.linear(net.layernorm("tokens", "norm"), classes, "head")
    index = net.emit("argmax", "class", [logits], (rows, 1))
    meta = {
        "input_layouts": ("tokens",),
        "input_shapes": ((1, rows, 12),),
        "output_shapes": ((rows, 1),),
    }
    graph = net.b.done(["tokens"], [index], meta)
    x = np.random.default_rng(3).normal(size=(8, 1, rows, 12)).astype(np.float32)
    return quant.lower(graph, quant.calibrate(graph, x), mode)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rows", "mode"), [(1, "8"), (7, "8"), (7, "16")])
def test_through_the_chain(tmp_path: Path, rows: int, mode: str) -> None:
    graph = classifier(rows, 11, mode)
    assert graph.type(graph.outputs[0]).dtype == "int16"
    made = scheduled(graph, "resident", "balanced")
    follow(made, tmp_path, ("host", "unicorn", "qemu") if rows == 7 else ("host",))


def test_the_index_is_the_number_itself() -> None:
    graph = classifier(1, 300)
    x = np.random.default_rng(5).integers(-128, 128, (20, 1, 12)).astype(np.int8)
    values = run_int(graph, x)
    scores, index = values[graph.ops[-1].inputs[0] or ""], values[graph.outputs[0]]
    assert scores.dtype == np.int16  # a single row: classes are told apart finely
    np.testing.assert_array_equal(index[:, 0, 0], scores[:, 0].argmax(axis=1))
    qparams = graph.type(graph.outputs[0]).qparams
    assert qparams is not None
    np.testing.assert_array_equal(qparams.dequantise(index), index)


def test_an_index_that_is_computed_with() -> None:
    net = Net("on", 0)
    net.tokens("tokens", 3, 4)
    index = net.emit("argmax", "class", ["tokens"], (3, 1))
    y = net.add(index, net.weights("c", 1, scale=1.0), "sum")
    meta = {"input_layouts": ("tokens",), "input_shapes": ((1, 3, 4),), "output_shapes": ((3, 1),)}
    graph = net.b.done(["tokens"], [y], meta)
    x = np.zeros((2, 1, 3, 4), np.float32)
    with pytest.raises(UnsupportedModelError, match="an index that sum computes with"):
        quant.lower(graph, quant.calibrate(graph, x))
