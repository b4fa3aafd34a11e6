"""The textual form of a graph, for tests and for reading: print_graph and parse_graph are inverse.

    graph example float
    meta input_layouts = ('tokens',)
    input x: float32[4x3]
    const w: float32[3x2] = rand(1)
    y = linear(x, w, _) {} : float32[4x2]
    output y

A constant is a number (all elements), a [list], or rand(seed) when parsed; big ones print as
crc(...), which compares but does not parse. `_` is an absent operand; attributes are Python
literals.
"""

from __future__ import annotations

import ast
import re
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcuformer.errors import UsageError
from mcuformer.ir.graph import Graph, Op
from mcuformer.ir.types import TensorType, Value

MAX_PRINTED = 16  # elements of a constant printed one by one
_NAME = r"[^\s,(){}=:\[\]]+"
_TYPE = r"\w+\[[0-9x\-]*\]"
_OP = re.compile(
    rf"(?P<outs>{_NAME}(?:, {_NAME})*) = (?P<kind>[\w.]+)\((?P<args>[^)]*)\)"
    rf" (?P<attrs>\{{.*\}}) : (?P<types>{_TYPE}(?:, {_TYPE})*)$"
)
_VALUE = re.compile(
    rf"(?P<what>input|const) (?P<name>{_NAME}): (?P<type>{_TYPE})(?: = (?P<data>.*))?$"
)


def print_graph(graph: Graph) -> str:
    lines = [f"graph {graph.name} {graph.stage}"]
    lines += [f"meta {key} = {value!r}" for key, value in sorted(graph.meta.items())]
    lines += [f"input {name}: {graph.type(name)}" for name in graph.inputs]
    for value in graph.values.values():
        if value.data is not None:
            lines.append(f"const {value.name}: {value.type} = {_data_text(value.data)}")
    lines += [_op_text(graph, op) for op in graph.ops]
    return "\n".join([*lines, f"output {', '.join(graph.outputs)}", ""])


def _op_text(graph: Graph, op: Op) -> str:
    args = ", ".join("_" if i is None else i for i in op.inputs)
    types = ", ".join(str(graph.type(o)) for o in op.outputs)
    return (
        f"{', '.join(op.outputs)} = {op.kind}({args}) {dict(sorted(op.attrs.items()))!r} : {types}"
    )


def _data_text(data: NDArray) -> str:
    flat = data.reshape(-1)
    if flat.size and (flat == flat[0]).all():
        return repr(flat[0].item())
    if flat.size <= MAX_PRINTED:
        return repr(flat.tolist())
    return f"crc({zlib.crc32(np.ascontiguousarray(data).tobytes()):08x})"


def parse_graph(text: str) -> Graph:
    """The graph that `text` describes; UsageError names the line that is malformed."""
    parser = _Parser()
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.split("#")[0].strip()
        if not stripped:
            continue
        try:
            parser.line(stripped)
        except (ValueError, SyntaxError, KeyError, AttributeError) as error:
            raise UsageError(f"line {number}: {stripped!r}: {error}") from error
    return parser.done()


class _Parser:
    def __init__(self) -> None:
        self.name, self.stage = "graph", "float"
        self.values: dict[str, Value] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.ops: list[Op] = []
        self.meta: dict[str, Any] = {}

    def line(self, line: str) -> None:
        word = line.split(maxsplit=1)[0]
        if word == "graph":
            _, self.name, self.stage = line.split()
        elif word == "meta":
            key, _, literal = line.removeprefix("meta ").partition(" = ")
            self.meta[key] = ast.literal_eval(literal)
        elif word == "output":
            self.outputs += line.removeprefix("output ").split(", ")
        elif match := _VALUE.match(line):
            self._value(match)
        elif match := _OP.match(line):
            self._op(match)
        else:
            raise ValueError("neither graph, meta, input, const, output nor an operator")

    def _value(self, match: re.Match[str]) -> None:
        name, type_ = match["name"], parse_type(match["type"])
        if match["what"] == "input":
            self.inputs.append(name)
            self.values[name] = Value(name, type_)
        else:
            self.values[name] = Value(name, type_, _parse_data(match["data"], type_))

    def _op(self, match: re.Match[str]) -> None:
        outs = tuple(match["outs"].split(", "))
        args = tuple(None if a == "_" else a for a in match["args"].split(", ") if a)
        for out, type_ in zip(outs, match["types"].split(", "), strict=True):
            self.values[out] = Value(out, parse_type(type_))
        attrs = ast.literal_eval(match["attrs"])
        self.ops.append(Op(match["kind"], outs[0], args, outs, attrs, (outs[0],)))

    def done(self) -> Graph:
        return Graph(
            self.name, self.stage, tuple(self.inputs), tuple(self.outputs), tuple(self.ops),
            self.values, self.meta,
        )  # fmt: skip


def parse_type(text: str) -> TensorType:
    dtype, _, dims = text.rstrip("]").partition("[")
    return TensorType(tuple(int(d) for d in dims.split("x") if d), dtype)


def _parse_data(text: str, type_: TensorType) -> NDArray:
    if text.startswith("rand("):
        rng = np.random.default_rng(int(text[5:-1]))
        return rng.standard_normal(type_.shape).astype(type_.dtype)
    value = ast.literal_eval(text)
    if isinstance(value, list):
        return np.asarray(value, type_.dtype).reshape(type_.shape)
    return np.full(type_.shape, value, type_.dtype)
