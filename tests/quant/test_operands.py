"""Constant operands: the same for every row, or rows of their own."""

import numpy as np

from mcuformer.ir.graph import Builder
from mcuformer.ir.types import TensorType, Value
from mcuformer.quant.operands import channel_constant, constant_operand

ROWS = TensorType((3, 2), "float32")


def added(data):
    b = Builder("g", "float")
    b.values["x"] = Value("x", ROWS)
    other = "x" if data is None else b.const("c", np.asarray(data, np.float32))
    b.op("add", "y", ["x", other], ROWS)
    graph = b.done(["x"], ["y"], {})
    return graph, graph.ops[0]


def test_two_activations_have_none():
    assert constant_operand(*added(None)) is None and channel_constant(*added(None)) is None


def test_one_number_and_one_row_hold_for_every_row():
    assert channel_constant(*added(2.0)).tolist() == [2, 2]
    assert channel_constant(*added([1, 2])).tolist() == [1, 2]
    assert constant_operand(*added([1, 2])).shape == ROWS.shape


def test_rows_of_its_own_are_no_channel_constant_unless_equal():
    assert channel_constant(*added([[1, 2], [1, 2], [1, 2]])).tolist() == [1, 2]
    assert channel_constant(*added([[1, 2], [3, 4], [5, 6]])) is None
    assert constant_operand(*added([[1, 2], [3, 4], [5, 6]]))[2].tolist() == [5, 6]
