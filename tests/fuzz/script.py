"""A draw as a Python script: the model node by node, its data, its modes, and the chain it fails."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

from fuzz.draws import Drawn
from fuzz.follow import Outcome, follow

_FEW = 24  # numbers that are written out

_HEAD = '''"""{title}

Run it in the repository: PYTHONPATH=.:tests python this.py
"""

import base64
import sys
import zlib

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from fuzz.draws import Drawn
from {judge.__module__} import {judge.__name__}
from fuzz.machine import Machine
from fuzz.modes import Modes


def packed(text, shape, dtype="float32"):
    return np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype).reshape(shape)

'''
_TAIL = """
graph = helper.make_graph(nodes, "drawn", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in weights.items()])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", {opset})], ir_version=10)
outcome = {judge}(Drawn((), model, modes, calibration, samples), {level!r}, Machine())
print(outcome.result, "at", outcome.stage, outcome.message, outcome.trace, sep="\\n")
sys.exit(outcome.result == "failed")
"""


def script(drawn: Drawn, title: str, level: str, judge: Callable[..., Outcome] = follow) -> str:
    """Stands by itself beside the repository; exit 1 while the draw fails what `judge` asks."""
    opset = drawn.model.opset_import[0].version
    body = "\n".join(_body(drawn))
    title = title.replace("\\", "/").replace('"', "'")
    end = _TAIL.format(opset=opset, level=level, judge=judge.__name__)
    return _HEAD.format(title=title, judge=judge) + body + end


def _body(drawn: Drawn) -> Iterator[str]:
    graph = drawn.model.graph
    words = ", ".join(f"{k}={v!r}" for k, v in asdict(drawn.modes).items())
    yield f"modes = Modes({words})"
    yield "nodes = ["
    for node in graph.node:
        attrs = {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}
        more = "".join(f", {k}={v!r}" for k, v in attrs.items())
        names = f"{list(node.input)!r}, {list(node.output)!r}, name={node.name!r}"
        yield f"    helper.make_node({node.op_type!r}, {names}{more}),"
    yield "]"
    yield from _infos("inputs", graph.input)
    yield from _infos("outputs", graph.output)
    used = {i for n in graph.node for i in n.input}
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.name in used}
    for name, arrays in (
        ("weights", tensors), ("calibration", drawn.calibration), ("samples", drawn.samples),
    ):  # fmt: skip
        yield f"{name} = {{"
        yield from (f"    {n!r}: {_array(a)}," for n, a in arrays.items())
        yield "}"


def _infos(name: str, infos: object) -> Iterator[str]:
    yield f"{name} = ["
    for info in infos:  # type: ignore[attr-defined]
        yield f"    {_info(info)},"
    yield "]"


def _info(info: ValueInfoProto) -> str:
    type_ = info.type.tensor_type
    kind = "INT64" if type_.elem_type == TensorProto.INT64 else "FLOAT"
    shape = [d.dim_value for d in type_.shape.dim]
    return f"helper.make_tensor_value_info({info.name!r}, TensorProto.{kind}, {shape})"


def _plain(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value


def _array(a: NDArray) -> str:
    if a.size <= _FEW and np.isfinite(a).all():
        return f"np.array({a.tolist()!r}, np.{a.dtype})"
    text = base64.b85encode(zlib.compress(np.ascontiguousarray(a).tobytes(), 9)).decode()
    return f"packed({text!r}, {a.shape}, {a.dtype.name!r})"
