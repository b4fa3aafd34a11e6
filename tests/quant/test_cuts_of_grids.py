"""QDQ files whose Relu or Clip is only the end of a grid, as quantize_static leaves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mcuformer.compile.options import CompileOptions
from mcuformer.compile.stages import plan_model
from mcuformer.frontend.load import load_raw
from mcuformer.inputs.codec import InputCodec
from mcuformer.ir.interp_float import eval_steps
from mcuformer.operators.interpreter import run_int
from mcuformer.package.outputs import outputs_of
from mcuformer.proof.layers import compare_layers
from mcuformer.proof.reference import OnnxFile
from mcuformer.validate.metrics import sqnr_db

ROWS, CHANNELS = 6, 16
WIDE = (0.03, 0)  # scale, zero point of int8: about -3.84..3.81
GRIDS = {"relu": (0.008, -128), "relu6": (0.004, -128), "hardtanh": (0.004, -50)}
BEHIND = {
    "nothing": (),
    "a factor": (("Mul", np.float32(3.0), {}),),
    "a negative factor": (("Mul", np.float32(-2.0), {}),),
    "a reshape": (("Reshape", np.array([1, ROWS * 2, CHANNELS // 2]), {}),),
    "moves and a factor": (("Transpose", None, {"perm": [0, 2, 1]}), ("Div", np.float32(0.5), {})),
    "a join of rows": (("Concat", "x_q", {"axis": 1}),),
    "some rows": (("Gather", np.array([1, 3]), {"axis": 1}),),
}
_OTHERS_ARE_NARROWER = ("some rows", "hardtanh")  # parts of a value may have less than its range


class _Model:
    """Nodes one behind the other; constants and pairs of Q and DQ get names by their number."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def const(self, data: np.ndarray | np.generic) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(data), name))
        return name

    def node(self, kind: str, *inputs: str, out: str = "", **attrs: object) -> str:
        out = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], f"n{len(self.nodes)}", **attrs))
        return out

    def pair(self, x: str, scale: float, zero: int, out: str = "") -> str:
        grid = self.const(np.float32(scale)), self.const(np.int8(zero))
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *grid), *grid, out=out)


def _file(path: Path, behind: str, cut: str) -> Path:
    rng, m = np.random.default_rng(0), _Model()
    weights = rng.integers(-127, 128, (CHANNELS, CHANNELS)).astype(np.int8)
    dq = m.node(
        "DequantizeLinear", m.const(weights), m.const(np.float32(0.004)), m.const(np.int8(0))
    )
    x = m.pair("x", *WIDE, out="x_q")
    y = m.pair(m.node("MatMul", x, dq), *WIDE) if behind != "nothing" else m.node("MatMul", x, dq)
    for kind, operand, attrs in BEHIND[behind]:
        extra = (
            [] if operand is None else [operand if isinstance(operand, str) else m.const(operand)]
        )
        y = m.node(kind, y, *extra, **attrs)
    y = m.pair(y, *GRIDS[cut])
    m.pair(m.node("Add", m.node("Sigmoid", y), y), 0.03, 0, out="y")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
              for n, s in (("x", (1, ROWS, CHANNELS)), ("y", None))]  # fmt: skip
    graph = helper.make_graph(m.nodes, "g", values[:1], values[1:], m.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("cut", GRIDS)
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("calibrated", [False, True])
def test_values_are_cut_where_their_grid_ends(
    behind: str, cut: str, calibrated: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if (behind, cut) == _OTHERS_ARE_NARROWER:
        why = "a Clip on a part of a value, told from a narrower part by nothing"
        request.applymarker(pytest.mark.xfail(reason=why, strict=True))
    path = _file(tmp_path / "model.onnx", behind, cut)
    x = np.random.default_rng(1).standard_normal((8, ROWS, CHANNELS)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    data = tmp_path / "x.npy" if calibrated else None
    options = CompileOptions(model=path, board="stm32f746", calibration=data)
    figures = plan_model(options, lambda *a, **k: None, needs_data=True)
    graph, prepared = figures.graph, figures.evidence.prepared
    values = run_int(graph, InputCodec.of(graph).to_int((x,)))
    got = outputs_of(graph)[0].reals(values[graph.outputs[0]]).reshape(len(x), -1)
    wanted = OnnxFile(path, load_raw(path)).outputs((x[:, None],))[0].reshape(len(x), -1)
    assert _db(wanted, got) > 28
    *_, (_, env) = eval_steps(prepared, (x,))
    assert _db(wanted, env[prepared.outputs[0]].reshape(len(x), -1)) > 28
    assert not compare_layers(prepared, graph, (x,), values).faults


def _db(wanted: np.ndarray, got: np.ndarray) -> float:
    found = sqnr_db(wanted, got)
    assert found is not None
    return found
