"""Inferred types equal those of computed results, for every node test whose shapes are constant."""

from __future__ import annotations

import pytest
import test_onnx_nodes as nodes

from mcuformer.frontend.import_graph import import_graph
from mcuformer.ir.onnx_shapes import infer
from mcuformer.ir.optable import ONNX
from mcuformer.ir.types import TensorType

BY_VALUE = {"NonZero", "Constant"}  # their shapes depend on data


@pytest.mark.parametrize("kind", sorted(set(ONNX) - nodes.NOT_IN_ONNX_TESTS - BY_VALUE))
def test_inference(kind: str) -> None:
    for case in nodes.cases()[kind]:
        if nodes.why_left_out(case) is not None or len(case.model.graph.node) != 1:
            continue
        if case.model.opset_import[0].version < nodes.MIN_OPSET:
            continue
        op = import_graph(case.model, None).ops[0]
        inputs, outputs = case.data_sets[0]
        by_name = dict(
            zip([i.name for i in case.model.graph.input], map(nodes.array, inputs), strict=True)
        )
        data = [None if i is None else by_name[i] for i in op.inputs]
        types = [None if d is None else TensorType(d.shape, str(d.dtype)) for d in data]
        # the first input is the activation, all others are constants
        known = [
            d if i or kind in ("ConstantOfShape", "Range") else None for i, d in enumerate(data)
        ]
        made = zip(op.outputs, infer(op, types, known), strict=False)
        inferred = [t for name, t in made if not name.startswith("\0unused")]
        for t, want in zip(inferred, outputs, strict=False):
            assert t.shape == nodes.array(want).shape, case.name
            assert t.dtype == str(nodes.array(want).dtype), case.name
