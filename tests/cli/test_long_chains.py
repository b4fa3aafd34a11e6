"""Thousands of operators: time grows with their number, not with its square, and nothing recurses."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

_WEIGHTS = {
    "blk.w": np.eye(4, dtype=np.float32) * 0.59 + 0.1,
    "blk.b": np.full(4, 0.01, np.float32),
    "gain": np.full(4, 0.999, np.float32),
}
_OPERATORS = {"MatMul": "blk.w", "Add": "blk.b", "Mul": "gain"}
CHAINS = {
    "layers": ("Relu", "Add", "MatMul"),
    "one name": ("MatMul",),  # all named like their weights
    "gains": ("Mul",),  # a chain of affine maps
    "gathers": ("Transpose", "MatMul"),
}
TRIES = 4


def chain(path: Path, kinds: tuple[str, ...], count: int) -> Path:
    nodes, value = [], "x"
    for i in range(count):
        kind = kinds[i % len(kinds)]
        inputs = [value, _OPERATORS[kind]] if kind in _OPERATORS else [value]
        attrs = {"perm": [0, 2, 1]} if kind == "Transpose" else {}
        nodes.append(helper.make_node(kind, inputs, [f"v{i}"], **attrs))
        value = f"v{i}"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4, 4]) for n in ("x", value)]
    weights = [numpy_helper.from_array(data, name) for name, data in _WEIGHTS.items()]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def cpu_seconds(*arguments: str) -> float:
    """Of the command itself, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "from mcuformer.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("kinds", CHAINS.values(), ids=CHAINS)
def test_a_chain_of_two_thousand_is_no_matter(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    model = chain(tmp_path / "chain.onnx", kinds, 2000)
    assert cpu_seconds("analyze", str(model), "--board", "stm32f746") < 30


@pytest.mark.long
@pytest.mark.parametrize("kinds", CHAINS.values(), ids=CHAINS)
def test_twenty_thousand_take_twice_as_long_as_ten(tmp_path: Path, kinds: tuple[str, ...]) -> None:
    data = tmp_path / "data.npy"
    np.save(data, np.random.default_rng(0).normal(size=(16, 4, 4)).astype(np.float32))
    half, whole = (chain(tmp_path / f"{n}.onnx", kinds, n) for n in (10_000, 20_000))
    for words in (
        ["analyze"],
        ["compile", "--calibration", str(data), "--emit-only", "--no-check", "--weight-bits", "4",
         "-o", str(tmp_path / "out")],
    ):  # fmt: skip
        least = [1e9, 1e9]
        for _ in range(TRIES):  # a neighbour takes caches from one run, and so CPU time
            seconds = [
                cpu_seconds(words[0], str(m), "--board", "stm32f746", *words[1:])
                for m in (half, whole)
            ]
            least = [min(pair) for pair in zip(least, seconds, strict=True)]
            if least[1] <= 2.2 * least[0]:
                break
        assert least[1] < 120 and least[1] <= 2.2 * least[0], (words[0], least)
