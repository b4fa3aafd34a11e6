"""TensorProto -> numpy, trusting nothing: a claimed size must be backed by bytes that exist."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from mcuformer.errors import UnsupportedModelError
from mcuformer.frontend.names import shown

# ONNX element type -> (numpy type in the file, type we compute in)
_TYPES: Mapping[int, tuple[str, str]] = {
    TensorProto.FLOAT: ("<f4", "float32"), TensorProto.DOUBLE: ("<f8", "float64"),
    TensorProto.FLOAT16: ("<f2", "float32"), TensorProto.BFLOAT16: ("<u2", "float32"),
    TensorProto.INT8: ("i1", "int8"), TensorProto.UINT8: ("u1", "uint8"),
    TensorProto.INT16: ("<i2", "int16"), TensorProto.UINT16: ("<u2", "uint16"),
    TensorProto.INT32: ("<i4", "int32"), TensorProto.INT64: ("<i8", "int64"),
    TensorProto.UINT32: ("<u4", "int64"), TensorProto.UINT64: ("<u8", "int64"),
    TensorProto.BOOL: ("?", "bool"),
    TensorProto.INT4: ("u1", "int8"), TensorProto.UINT4: ("u1", "uint8"),
}  # fmt: skip
NIBBLES = frozenset((TensorProto.INT4, TensorProto.UINT4))  # two a byte, the first one low
_FIELDS = ("float_data", "double_data", "int32_data", "int64_data", "uint64_data")


def dtype_of(code: int) -> str | None:
    """Our element type for an ONNX one: half types widen to float32; None where unsupported."""
    return _TYPES[code][1] if code in _TYPES else None


def read_tensor(proto: TensorProto, folder: Path | None) -> NDArray:
    """The tensor's values; `folder` is the model's, for external data (None forbids it)."""
    where = f"tensor {shown(proto.name)}"
    if proto.data_type not in _TYPES:
        kind = TensorProto.DataType.Name(proto.data_type) if proto.data_type in _known() else "?"
        raise UnsupportedModelError(f"{where}: element type {kind} is not supported")
    shape = tuple(proto.dims)
    if any(d < 0 for d in shape):
        raise UnsupportedModelError(f"{where}: negative dimension in shape {list(shape)}")
    stored, wanted = _TYPES[proto.data_type]
    size, packed = math.prod(shape), proto.data_type in NIBBLES
    count = (size + 1) // 2 if packed else size
    flat = _stored_values(proto, count, np.dtype(stored), folder, where)
    if packed:
        flat = _unpacked(flat, proto.data_type == TensorProto.INT4)[:size]
    if proto.data_type == TensorProto.BFLOAT16:
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.astype(wanted, copy=False).reshape(shape)


def _unpacked(packed: NDArray, signed: bool) -> NDArray:
    """The nibbles of bytes, as int8 of -8..7 or as uint8 of 0..15."""
    nibbles = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)
    return ((nibbles ^ 8).astype(np.int8) - 8).astype(np.int8) if signed else nibbles


def _known() -> list[int]:
    return list(TensorProto.DataType.values())


def _stored_values(
    proto: TensorProto, count: int, dtype: np.dtype, folder: Path | None, where: str
) -> NDArray:
    claimed = count * dtype.itemsize
    if proto.data_location == TensorProto.EXTERNAL:
        return _external(proto, claimed, dtype, folder, where)
    if proto.HasField("raw_data"):
        if len(proto.raw_data) != claimed:
            raise UnsupportedModelError(
                f"{where}: shape {list(proto.dims)} claims {claimed:,} bytes, "
                f"the file holds {len(proto.raw_data):,}"
            )
        return np.frombuffer(proto.raw_data, dtype)
    held = max(len(getattr(proto, field)) for field in _FIELDS)
    if held != count:
        raise UnsupportedModelError(
            f"{where}: shape {list(proto.dims)} claims {count:,} elements, the file holds {held:,}"
        )
    values: Sequence[float] = next(
        (getattr(proto, f) for f in _FIELDS if len(getattr(proto, f))), []
    )
    half = proto.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    if half:  # stored as bit patterns in int32_data
        return np.asarray(values, np.int64).astype(np.uint16).view(dtype)
    return np.asarray(values).astype(dtype)


def _external(
    proto: TensorProto, claimed: int, dtype: np.dtype, folder: Path | None, where: str
) -> NDArray:
    info = {entry.key: entry.value for entry in proto.external_data}
    path = confined(info.get("location", ""), folder, where)
    try:
        offset, length = int(info.get("offset", 0)), int(info.get("length", claimed))
    except ValueError:
        raise UnsupportedModelError(f"{where}: offset or length is no number") from None
    size = path.stat().st_size
    if length != claimed or offset < 0 or offset + length > size:
        raise UnsupportedModelError(
            f"{where}: wants {claimed:,} bytes, its entry names {length:,} at {offset:,} "
            f"of {path.name}, which holds {size:,}"
        )
    return np.fromfile(path, dtype, claimed // dtype.itemsize, offset=offset)


def confined(location: str, folder: Path | None, where: str) -> Path:
    """The file `location` names: inside the model's folder, symbolic links resolved."""
    if folder is None:
        raise UnsupportedModelError(f"{where}: external data is not allowed here")
    root = folder.resolve()
    bad = not location or "\0" in location or len(location) > 1000
    try:
        path = root if bad else (root / location).resolve()
        outside = bad or path == root or not path.is_relative_to(root)
        missing = not outside and not path.is_file()
    except OSError:
        outside, missing = False, True
    if outside:
        raise UnsupportedModelError(
            f"{where}: its external data {shown(location)} lies outside of the model's folder"
        )
    if missing:
        raise UnsupportedModelError(f"{where}: its external data file {shown(location)} is missing")
    return path
