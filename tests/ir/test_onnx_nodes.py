"""The ONNX project's own node tests against run_onnx, for every operator in the op table.

`python tests/ir/test_onnx_nodes.py` prints how many of how many pass and why others are left out;
the README's figure comes from there.
"""

from __future__ import annotations

import functools
import warnings
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from mcuformer.frontend.import_graph import import_graph
from mcuformer.frontend.proto import MAX_OPSET, MIN_OPSET
from mcuformer.ir.interp_float import run_onnx
from mcuformer.ir.optable import ONNX

T = TensorProto
EXACT = {T.FLOAT, T.FLOAT16, T.DOUBLE, T.INT8, T.UINT8, T.INT16, T.UINT16, T.INT32, T.UINT32,
         T.INT64, T.UINT64, T.BOOL}  # fmt: skip
NOT_IN_ONNX_TESTS = {
    "SimplifiedLayerNormalization",
    "QuickGelu",
    "Upsample",
}  # others', of old opsets


OF_BROKEN_CELLS = tuple(
    f"test_resize_downsample_scales_{mode}_align_corners" for mode in ("linear", "cubic")
)
ALIGNED = (
    "corners aligned to a broken cell, where onnxruntime, PyTorch and the text count whole ones"
)


@functools.cache
def cases() -> dict[str, list[Any]]:
    """Cases by operator: those all of whose operators stand in the op table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        collected = collect_testcases(None)
    table: dict[str, list[Any]] = defaultdict(list)
    for case in collected:
        kinds = [node.op_type for node in case.model.graph.node]
        if set(kinds) <= set(ONNX):
            table[_subject(case.name, kinds)].append(case)
    return table


def _subject(name: str, kinds: list[str]) -> str:
    """A function's expansion counts for the first operator that it holds."""
    return kinds[0]


def why_left_out(case: Any) -> str | None:
    if case.name in OF_BROKEN_CELLS:
        return ALIGNED
    graph = case.model.graph
    for info in (*graph.input, *graph.output):
        if not info.type.HasField("tensor_type"):
            return "sequence or optional, no tensor"
        code = info.type.tensor_type.elem_type
        if code not in EXACT:
            name = T.DataType.Name(code).lower()
            return "bfloat16 or 8-bit float" if "float" in name else f"{name} elements"
    for node in graph.node:
        if any(
            a.t.data_type == T.FLOAT16 or (a.name, a.i) == ("to", T.FLOAT16) for a in node.attribute
        ):
            return "float16 inside the model, which is widened to float32"
        if any(a.name == "training_mode" and a.i for a in node.attribute):
            return "training mode"
        if node.op_type == "Dropout" and len(node.input) > 2:
            return "training mode"
    version = case.model.opset_import[0].version
    if version < MIN_OPSET and _schema(case, version) != _schema(case, MIN_OPSET):
        return f"operator version before opset {MIN_OPSET}"
    if version > MAX_OPSET:
        return f"opset after {MAX_OPSET}"
    return None


def _schema(case: Any, version: int) -> list[int]:
    return [onnx.defs.get_schema(n.op_type, version).since_version for n in case.model.graph.node]


def array(value: Any) -> np.ndarray:
    """Some cases hold TensorProto in place of arrays."""
    if isinstance(value, TensorProto):
        return np.asarray(numpy_helper.to_array(value))
    return np.asarray(value)


def run(case: Any) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for entry in model.opset_import:
        entry.version = max(entry.version, MIN_OPSET)  # same operator version, see why_left_out
    graph = import_graph(model, None)
    names = [i.name for i in case.model.graph.input]
    for inputs, wanted in case.data_sets:
        env = run_onnx(graph, dict(zip(names, map(array, inputs), strict=True)))
        for info, y in zip(case.model.graph.output, wanted, strict=True):
            got, y = env[info.name], array(y)
            assert got.shape == y.shape and got.dtype == y.dtype, case.name
            np.testing.assert_allclose(got, y, case.rtol, case.atol, err_msg=case.name)


@pytest.mark.parametrize("kind", sorted(set(ONNX) - NOT_IN_ONNX_TESTS))
def test_operator(kind: str) -> None:
    chosen = [case for case in cases()[kind] if why_left_out(case) is None]
    assert chosen, f"no node test covers {kind}"
    for case in chosen:
        run(case)


def test_count() -> None:
    """Few are left out, and only for the reasons that the README names."""
    passed, reasons = count()
    print(summary(passed, reasons))
    assert passed >= 840
    assert set(reasons) <= {
        "bfloat16 or 8-bit float",
        "float16 inside the model, which is widened to float32",
        *(f"{kind} elements" for kind in ("uint4", "int4", "uint2", "int2", "string")),
        "training mode",
        ALIGNED,
        "sequence or optional, no tensor",
        f"operator version before opset {MIN_OPSET}",
    }


def count() -> tuple[int, Counter[str]]:
    reasons: Counter[str] = Counter()
    passed = 0
    for kind in ONNX:
        for case in cases()[kind]:
            reason = why_left_out(case)
            if reason is None:
                run(case)
                passed += 1
            else:
                reasons[reason] += 1
    return passed, reasons


def summary(passed: int, reasons: Counter[str]) -> str:
    total = passed + sum(reasons.values())
    lines = [
        f"ONNX node tests of the {len(ONNX)} operators in the op table: {passed} of {total} pass"
    ]
    return "\n".join([*lines, *(f"  left out, {r}: {n}" for r, n in reasons.most_common())])


if __name__ == "__main__":
    print(summary(*count()))
