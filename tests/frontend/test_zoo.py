"""Every export in the zoo imports, and computes what onnxruntime and torch compute."""

from __future__ import annotations

from collections import Counter

import pytest
import zoo

from mcuformer.frontend import load_model, load_onnx_stage
from mcuformer.ir.interp_float import onnx_outputs, run_float, run_onnx


@pytest.mark.parametrize("name", zoo.PLAIN)
def test_equals_onnxruntime_and_torch(name: str) -> None:
    shape = zoo.shape(name)
    x = zoo.zoo_input(shape)
    graph = load_model(zoo.path(name), {"x": shape})
    outputs = onnx_outputs(graph, run_float(graph, x))
    references = zoo.onnxruntime_outputs(str(zoo.path(name)), x)
    torch_outputs = zoo.expected(name)
    assert len(outputs) == len(references) == len(torch_outputs)
    for ours, runtime, torch in zip(outputs, references, torch_outputs, strict=True):
        assert ours.shape == runtime.shape
        assert zoo.relative(ours, runtime) < 1e-5
        assert zoo.relative(ours, torch) < 1e-5


@pytest.mark.parametrize("name", ["vit_cls.ts17", "hf_vit_model.dyn20", "vit_qknorm_unfused.ts13"])
def test_onnx_stage_runs_too(name: str) -> None:
    x = zoo.zoo_input(zoo.shape(name))
    graph = load_onnx_stage(zoo.path(name))
    env = run_onnx(graph, {graph.inputs[0]: x})
    for output, torch in zip(graph.outputs, zoo.expected(name), strict=True):
        assert zoo.relative(env[output], torch) < 1e-5


def test_all_exports_of_a_model_give_one_graph() -> None:
    """Exporter, opset, dynamic batch and constant folding leave no trace in the canonical graph."""
    shapes = set()
    for name in zoo.PLAIN:
        if name.startswith("vit_cls."):
            graph = load_model(zoo.path(name))
            shapes.add(
                tuple((op.kind, op.name, graph.type(op.outputs[0]).shape) for op in graph.ops)
            )
    assert len(shapes) == 1


@pytest.mark.parametrize("name", zoo.PLAIN)
def test_fully_fused(name: str) -> None:
    """q, k, v, the projection and both MLP layers are linear; no detour of an exporter is left."""
    graph = load_model(zoo.path(name), {"x": zoo.shape(name)})
    kinds = Counter(op.kind for op in graph.ops)
    assert kinds["mul"] == kinds["gather"] == kinds["softmax"] == 0
    assert kinds["attention"] >= 1
    assert all(op.attrs.get("windows", 1) == 1 for op in graph.ops)
    made = graph.producers()
    for op in graph.ops:
        if op.kind == "attention":
            sources = [made[str(i)].kind for i in op.inputs[:3] if graph.const(i) is None]
            assert set(sources) <= {"linear", "layernorm"}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("vit_cls.ts17", 1),
        ("hf_vit_class.dyn18", 1),
        ("vit_distilled.ts17", 2),
        ("vit_reg.ts18", 1),
    ],
)
def test_last_block_computes_the_class_rows_only(name: str, rows: int) -> None:
    graph = load_model(zoo.path(name))
    last = [op for op in graph.ops if op.kind == "attention"][-1]
    assert graph.type(last.outputs[0]).shape[0] == rows
    assert graph.type(str(last.inputs[1])).shape[0] >= 17


def test_names_say_where_a_layer_is() -> None:
    names = {op.name for op in load_model(zoo.path("vit_cls.dyn18")).ops}
    assert {"patch_embed.proj", "blocks.0.norm1", "blocks.0.attn.q", "blocks.0.attn.attention",
            "blocks.1.mlp.fc1", "blocks.1.mlp.act", "norm", "head"} <= names  # fmt: skip


def test_meta() -> None:
    meta = load_model(zoo.path("vit_cls.ts17")).meta
    assert meta["input_layouts"][0] == "NCHW" and meta["input_shapes"][0] == (1, 3, 16, 16)
    assert (
        meta["output_shapes"][0] == (1, 5) and meta["opset"] == 17 and meta["producer"] == "pytorch"
    )
    assert meta["parameters"] == 4661  # sum of torch's parameters
    assert load_model(zoo.path("seq_pre_relu_nbf.ts17")).meta["input_layouts"][0] == "tokens"
    assert any(n.startswith("fuse-activations: ") for n in meta["notes"])


def test_origins_are_onnx_nodes() -> None:
    graph = load_model(zoo.path("vit_cls.ts17"))
    gelu = next(op for op in graph.ops if op.name == "blocks.0.mlp.act")
    assert {n.rpartition("/")[2] for n in gelu.origin} >= {"Div", "Erf", "Add", "Mul", "Mul_1"}
    attention = next(op for op in graph.ops if op.kind == "attention")
    assert "/blocks/blocks.0/attn/Softmax" in attention.origin
