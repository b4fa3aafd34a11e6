"""Bytes of a file -> ModelProto, or one clear error. Nothing is executed or allocated."""

from __future__ import annotations

import os
from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto

from mcuformer.errors import UnsupportedModelError, UsageError

MAX_FILE_BYTES = 2**31 - 1  # protobuf's own limit
MIN_OPSET, MAX_OPSET = 13, 28
DOMAINS = ("", "ai.onnx", "com.microsoft")


def read_model(path: str | os.PathLike[str]) -> ModelProto:
    """Parse an ONNX file: UsageError where unreadable, UnsupportedModelError where no model."""
    file = Path(path)
    try:
        if not file.is_file():
            reason = "is a directory" if file.is_dir() else "does not exist"
            raise UsageError(f"model {os.fspath(file)!r} {reason}")
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UnsupportedModelError(f"{file.name}: {size:,} bytes exceed protobuf's 2 GiB")
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read model {os.fspath(file)!r}: {error}") from error
    return parse_model(data, file.name)


def parse_model(data: bytes, name: str) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise UnsupportedModelError(f"{name} is no ONNX model: {error}") from error
    if not model.graph.node or not model.graph.output or not model.opset_import:
        raise UnsupportedModelError(f"{name} is no ONNX model: it holds no graph")
    return model


def opset_of(model: ModelProto) -> int:
    """The version of the default operator set, checked against what we know."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if not versions:
        raise UnsupportedModelError("the model imports no ONNX operator set")
    version = max(versions)
    if not MIN_OPSET <= version <= MAX_OPSET:
        raise UnsupportedModelError(
            f"opset {version} is not supported, {MIN_OPSET} to {MAX_OPSET} are",
            hint=f"export again with opset_version={min(max(version, MIN_OPSET), 20)}",
        )
    return version
