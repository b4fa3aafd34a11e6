"""Bytes of a file -> ModelProto, or one clear error. Nothing is executed or allocated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto

from mcuformer.errors import UnsupportedModelError, UsageError

MAX_FILE_BYTES = 2**31 - 1  # protobuf's own limit
MIN_OPSET, MAX_OPSET = 7, onnx.defs.onnx_opset_version()
DOMAINS = ("", "ai.onnx", "com.microsoft")
NAMESAKES = frozenset((("com.microsoft", "Attention"), ("com.microsoft", "RotaryEmbedding")))
"""Operators that ONNX has under the same name, and with another meaning."""


def read_model(path: str | os.PathLike[str]) -> ModelProto:
    """Parse an ONNX file: UsageError where unreadable, UnsupportedModelError where no model."""
    return parse_model(read_file(path), Path(path).name)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """What a model file holds; UsageError where it cannot be read."""
    file = Path(path)
    try:
        if not file.is_file():
            reason = "is a directory" if file.is_dir() else "does not exist"
            raise UsageError(f"model {os.fspath(file)!r} {reason}")
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UnsupportedModelError(f"{file.name}: {size:,} bytes exceed protobuf's 2 GiB")
        return file.read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read model {os.fspath(file)!r}: {error}") from error


def parse_model(data: bytes, name: str) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise UnsupportedModelError(f"{name} is no ONNX model: {error}") from error
    model = _without_functions(model, name)
    if any(isinstance(text, bytes) for text in _texts(model)):  # protobuf's sign of bad UTF-8
        raise UnsupportedModelError(f"{name} is no ONNX model: a name in it is not UTF-8")
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise UnsupportedModelError(f"{name} is no ONNX model: it holds no graph")
    return model


def _without_functions(model: ModelProto, name: str) -> ModelProto:
    """With the nodes of the file's own functions (as torch 2.1 to 2.4 writes modules) where they are called."""
    if not model.functions:
        return model
    try:
        return onnx.inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError, TypeError) as error:
        raise UnsupportedModelError(
            f"{name}: its functions cannot be written out: {str(error).splitlines()[0]}",
            "inline them (onnx.inliner), or export with the TorchScript exporter",
        ) from error


def _texts(model: ModelProto) -> Iterator[str | bytes]:
    """Every string that the importer reads."""
    graph = model.graph
    yield model.producer_name
    yield graph.name
    for info in (*graph.input, *graph.output):
        yield info.name
        yield from (d.dim_param for d in info.type.tensor_type.shape.dim)
    for entry in model.metadata_props:
        yield from (entry.key, entry.value)
    tensors = [*graph.initializer]
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (text for p in node.metadata_props for text in (p.key, p.value))
        yield from (a.name for a in node.attribute)
        tensors += [a.t for a in node.attribute if a.HasField("t")]
    for tensor in tensors:
        yield tensor.name
        yield from (text for e in tensor.external_data for text in (e.key, e.value))


def weight_tensors(model: ModelProto) -> list[TensorProto]:
    """Where a file keeps its weights: its initialisers, else (PaddlePaddle) its Constant nodes."""
    if model.graph.initializer:
        return list(model.graph.initializer)
    constants = (n for n in model.graph.node if n.op_type == "Constant")
    return [a.t for n in constants for a in n.attribute if a.HasField("t")]


def opset_of(model: ModelProto) -> int:
    """The version of the default operator set, checked against what we know."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        raise UnsupportedModelError(
            "the model imports no ONNX operator set",
            hint="export it with standard ONNX operators (opset_version=20)",
        )
    version = max(versions)
    if not MIN_OPSET <= version <= MAX_OPSET:
        raise UnsupportedModelError(
            f"opset {version} is not supported, {MIN_OPSET} to {MAX_OPSET} are",
            hint="export again with opset_version=20",
        )
    return version
