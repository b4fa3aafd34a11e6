"""Names are distinct by construction: of operations, and of values that are yet to be written."""

from __future__ import annotations

import numpy as np

from mcuformer.ir.graph import Builder, Op, distinct
from mcuformer.ir.types import TensorType

ROW = TensorType((1, 3), "float32")


def test_the_first_of_a_name_keeps_it() -> None:
    names = ("a", "b", "a", "a.1", "a")
    ops = distinct(Op("unary", name, ("x",), (f"y{i}",)) for i, name in enumerate(names))
    assert [op.name for op in ops] == ["a", "b", "a.2", "a.1", "a.3"]


def test_a_constant_does_not_take_the_name_of_a_value_to_come() -> None:
    b = Builder("g", "int", reserved={"x.w", "y"})
    assert b.const("x.w", np.zeros(3)) == "x.w.1"
    assert b.op("unary", "y", ["x.w.1"], ROW) == "y"
    assert b.op("unary", "y", ["y"], ROW) == "y.1"
    assert b.op("unary", "z", ["y"], ROW, out_name="x.w") == "x.w"
    done = b.done([], ["y"], {})
    assert [op.name for op in done.ops] == ["y", "y.1", "z"]
