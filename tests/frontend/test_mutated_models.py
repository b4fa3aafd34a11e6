"""Models with random changes of structure: a clear refusal, or what onnxruntime computes."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
import zoo
from onnx import ModelProto

from mcuformer.errors import McuformerError
from mcuformer.frontend import load_model
from mcuformer.ir.graph import Graph
from mcuformer.ir.interp_float import onnx_outputs, run_float
from mcuformer.ir.optable import ONNX


def mutate(model: ModelProto, rng: random.Random) -> None:
    """One random change of structure: inputs, operators, attributes, constants, shapes."""
    graph = model.graph
    node = rng.choice(graph.node)
    names = [o for n in graph.node for o in n.output] + [t.name for t in graph.initializer] + [""]
    numbers = [-1, 0, 1, 2, 3, 7, 2**40, -(2**63)]
    match rng.randrange(8):
        case 0 if node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(names)
        case 1:
            node.op_type = rng.choice(sorted(ONNX))
        case 2 if node.attribute:
            del node.attribute[rng.randrange(len(node.attribute))]
        case 3 if node.attribute:
            attribute = rng.choice(node.attribute)
            attribute.i = rng.choice(numbers)
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(numbers)
        case 4 if node.input:
            node.input.pop()
        case 5:
            node.input.append(rng.choice(names))
        case 6:
            tensor = rng.choice(graph.initializer)
            dims = rng.sample(list(tensor.dims), len(tensor.dims))
            del tensor.dims[:]
            tensor.dims.extend(dims)
        case _:
            dims = graph.input[0].type.tensor_type.shape.dim
            rng.choice(dims).dim_value = rng.choice(numbers)


@pytest.mark.parametrize("seed", range(6))
def test_mutated_structure(tmp_path: Path, seed: int) -> None:
    """Refused with a clear message, or imported to compute what onnxruntime computes."""
    rng = random.Random(seed)
    sources = [
        zoo.path(n).read_bytes() for n in (*zoo.QDQ[:2], "vit_cls.dyn18", "seq_post_relu_bf.ts17")
    ]
    path = tmp_path / "mutated.onnx"
    for _ in range(25):
        proto = onnx.ModelProto.FromString(rng.choice(sources))
        mutate(proto, rng)
        path.write_bytes(proto.SerializeToString())
        try:
            graph = load_model(path)
        except McuformerError as error:
            assert error.exit_code in (2, 3)
            continue
        agrees_with_onnxruntime(path, graph)


def agrees_with_onnxruntime(path: Path, graph: Graph) -> None:
    x = zoo.zoo_input(graph.meta["input_shapes"][0])
    try:
        references = zoo.onnxruntime_outputs(str(path), x)
    except Exception:  # noqa: BLE001, onnxruntime refuses more than we do: nothing to compare with
        return
    if "qdq" in graph.meta:
        return
    for ours, reference in zip(onnx_outputs(graph, run_float(graph, x)), references, strict=True):
        assert ours.shape == reference.shape
        if np.isfinite(reference).all() and reference.any():
            assert zoo.relative(ours, reference) < 1e-3
